//! What a client sees when it is refused: status, challenge, body.

use portcullis_testkit::{Reply, Response};
use serde_json::json;

use crate::stage::Stage;

/// Members of the body in their order, and the headers of every refusal.
fn check_body(answer: &Response, error: &str, message: &str, description: &str) {
    let id = answer.header("x-kong-request-id").expect("a request id");
    let body = json!({"message": message, "error": error, "error_description": description, "request_id": id});
    // I-50
    assert_eq!(answer.json(), body);
    let names: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["message", "error", "error_description", "request_id"]);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn refusals() {
    let stage = Stage::new();
    // I-44, K-14
    let none = stage.gateway.get("/", &[]);
    assert_eq!((none.status, none.all("www-authenticate")), (401, vec!["Bearer"]));
    check_body(&none, "invalid_request", "Unauthorized", "The access token is missing");

    // I-45
    let twice = stage.gateway.get("/?access_token=a", &[("Authorization", "Bearer b")]);
    let description = "The access token must be sent exactly once";
    let challenge = format!(r#"Bearer error="invalid_request", error_description="{description}""#);
    assert_eq!((twice.status, twice.all("www-authenticate")), (400, vec![&*challenge]));
    check_body(&twice, "invalid_request", "Bad request", description);

    // I-46, I-61, K-15
    let inactive = stage.gateway.get_as("unknown", "/");
    let description = "The access token is invalid or has expired";
    let challenge = format!(r#"Bearer error="invalid_token", error_description="{description}""#);
    assert_eq!((inactive.status, inactive.all("www-authenticate")), (401, vec![&*challenge]));
    check_body(&inactive, "invalid_token", "Unauthorized", description);

    // I-48, I-105
    stage.server.otherwise(Reply::status(500).header("x-secret", "inside"));
    let outage = stage.gateway.get_as("other", "/");
    let description = "The authorization server is unavailable";
    assert_eq!((outage.status, outage.header("www-authenticate")), (503, None));
    check_body(&outage, "temporarily_unavailable", description, description);
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn the_servers_text_stays_inside() {
    let stage = Stage::new();
    // I-61, I-30
    let refused = json!({"error": "canary-error", "error_description": "canary \" description"});
    stage.server.on("t", Reply::json(&refused).with_status(400));
    let answer = stage.gateway.get_as("t", "/");
    assert_eq!(answer.status, 401);
    let shown = format!("{:?} {}", answer.headers, answer.text());
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn the_format_is_negotiated() {
    let stage = Stage::new();
    // I-50, K-159
    for (accept, media_type, begins) in [
        ("*/*", "application/json; charset=utf-8", "{"),
        ("application/json", "application/json; charset=utf-8", "{"),
        ("text/plain", "text/plain; charset=utf-8", "Unauthorized\n"),
        ("text/html", "text/html; charset=utf-8", "<!"),
        ("text/html;q=0.1, text/plain", "text/plain; charset=utf-8", "Unauthorized\n"),
    ] {
        let answer = stage.gateway.get("/", &[("Accept", accept)]);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{accept}");
        assert_eq!(answer.header("content-type"), Some(media_type), "{accept}");
        assert!(
            answer.text().trim_start().to_lowercase().starts_with(&begins.to_lowercase()),
            "{accept}: {}",
            answer.text()
        );
    }
}

#[test]
fn a_head_request_has_the_same_head() {
    let stage = Stage::new();
    let answer = stage.gateway.client().request("HEAD", "/", &[]);
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
}
