//! What becomes of requests that fail to authenticate, or need not: the anonymous consumer, preflights.

use portcullis_testkit::{Reply, SeenRequest};
use serde_json::{Value, json};

use crate::stage::Stage;

const GUEST: &str = "44444444-4444-4444-8444-444444444444";

fn consumers() -> Value {
    json!([
        {"id": GUEST, "username": "guest", "custom_id": "nobody in particular"},
        {"username": "alice"},
    ])
}

/// Headers that say who calls, by name.
fn identity(seen: &SeenRequest) -> Vec<(&str, &str)> {
    let said =
        |name: &str| ["x-consumer-", "x-credential-", "x-anonymous-"].iter().any(|start| name.starts_with(start));
    let mut found: Vec<_> =
        seen.headers.iter().map(|(name, value)| (&**name, &**value)).filter(|(name, _)| said(name)).collect();
    found.sort_unstable();
    found
}

#[test]
fn takes_over_when_authentication_fails() {
    let expected = [
        ("x-anonymous-consumer", "true"),
        ("x-consumer-custom-id", "nobody in particular"),
        ("x-consumer-id", GUEST),
        ("x-consumer-username", "guest"),
    ];
    // By id or username (I-51, D5).
    for name in ["guest", GUEST] {
        let stage = Stage::with_consumers(json!({"anonymous": name}), consumers());
        stage.grant("expired", json!({"exp": crate::stage::now() - 10, "sub": "s-1"}));
        stage.server.on("refused", Reply::json(&json!({"error": "invalid_token"})).with_status(400));
        let forged = [("X-Anonymous-Consumer", "false"), ("X-Credential-Sub", "root"), ("X-Consumer-Username", "root")];
        let rows: [&[(&str, &str)]; 6] = [
            // K-30
            &[],
            &[("Authorization", "Basic Zm9vOmJhcg==")],
            // K-29
            &[("Authorization", "Bearer bad")],
            &[("Authorization", "Bearer expired")],
            &[("Authorization", "Bearer refused")],
            &[("Authorization", "Bearer not%a%token")],
        ];
        for headers in rows {
            let all: Vec<_> = headers.iter().chain(&forged).copied().collect();
            // I-51, S-28
            assert_eq!(stage.gateway.get("/", &all).status, 200, "{headers:?}");
            assert_eq!(identity(&stage.upstream.requests().pop().unwrap()), expected, "{headers:?}");
        }
        // One who is known is nobody's guest.
        stage.grant("good", json!({"username": "alice", "sub": "s-2"}));
        assert_eq!(stage.gateway.get_as("good", "/").status, 200);
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!((seen.header("x-consumer-username"), seen.header("x-credential-sub")), (Some("alice"), Some("s-2")));
        assert_eq!(seen.header("x-anonymous-consumer"), None);
    }
}

#[test]
fn is_no_way_around_an_outage_or_a_doubt() {
    let stage = Stage::with_consumers(json!({"anonymous": "guest", "timeout": 300}), consumers());
    // K-148, I-51, S-28: what is ambiguous is refused.
    for (target, headers) in [
        ("/?access_token=a", &[("Authorization", "Bearer a")][..]),
        ("/?access_token=a&access_token=a", &[]),
        ("/", &[("Authorization", "Bearer a"), ("Authorization", "Bearer a")]),
        ("/", &[("Authorization", "Bearer a b")]),
    ] {
        assert_eq!(stage.gateway.get(target, headers).status, 400, "{target} {headers:?}");
    }
    // K-148, I-51: and so is every fault of the authorization server.
    for (token, reply) in [
        ("a", Reply::status(500)),
        ("b", Reply::status(401)),
        ("c", Reply::status(403)),
        ("d", Reply::status(429)),
        ("e", Reply::status(302)),
        ("f", Reply::bytes("application/json", "[]")),
        ("g", Reply::bytes("text/html", "{}")),
        ("h", Reply::reset()),
    ] {
        stage.server.on(token, reply);
        assert_eq!(stage.gateway.get_as(token, "/").status, 503, "{token}");
    }
    stage.server.hold();
    assert_eq!(stage.gateway.get_as("late", "/").status, 503);
    stage.server.release();
    let mut stage = stage;
    stage.server.kill();
    assert_eq!(stage.gateway.get_as("down", "/").status, 503);
    assert!(stage.upstream.requests().is_empty());
    // K-30: who brings no token is a guest all the same.
    assert_eq!(stage.gateway.get("/", &[]).status, 200);
}

#[test]
fn one_that_does_not_exist_is_our_fault() {
    // K-31, I-51: `custom_id` is no name of it.
    for name in ["ghost", "nobody in particular", "55555555-5555-4555-8555-555555555555"] {
        let stage = Stage::with_consumers(json!({"anonymous": name}), consumers());
        for _ in 0..2 {
            let answer = stage.gateway.get("/", &[]);
            assert_eq!((answer.status, answer.header("www-authenticate")), (500, None));
            assert_eq!(answer.json()["message"], "An unexpected error occurred");
        }
        let line = portcullis_testkit::until("the log line", || {
            let output = stage.gateway.output();
            output.lines().find(|line| line.contains("anonymous consumer") && line.contains(name)).map(str::to_owned)
        });
        assert!(line.contains("ERROR"), "{line}");
        assert!(stage.upstream.requests().is_empty());
        // Nobody else notices.
        stage.grant("good", json!({}));
        assert_eq!(stage.gateway.get_as("good", "/").status, 200);
    }
}

#[test]
fn preflights_pass_where_configured() {
    let forged = [("X-Consumer-Username", "root"), ("X_Credential_Sub", "root"), ("X-Anonymous-Consumer", "true")];
    let preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")];
    let stage = Stage::with(json!({"run_on_preflight": false}));
    let options = |stage: &Stage, headers: &[(&str, &str)]| {
        let all: Vec<_> = headers.iter().chain(&forged).copied().collect();
        stage.gateway.client().request("OPTIONS", "/", &all).status
    };
    // K-33, S-37, I-63: every OPTIONS, whatever it carries; nothing forged passes.
    for headers in [&[][..], &preflight, &[("Authorization", "Bearer bad")]] {
        assert_eq!(options(&stage, headers), 200, "{headers:?}");
        assert_eq!(identity(&stage.upstream.requests().pop().unwrap()), [], "{headers:?}");
    }
    assert!(stage.server.calls().is_empty());
    // K-33, S-37: and nothing but OPTIONS; methods are told apart by case.
    for method in ["GET", "POST", "HEAD", "PUT", "DELETE", "options", "OPTION"] {
        let headers = preflight.iter().chain(&[("X-HTTP-Method-Override", "OPTIONS")]).copied().collect::<Vec<_>>();
        assert_eq!(stage.gateway.client().request(method, "/", &headers).status, 401, "{method}");
    }

    // K-34, S-37, I-63: by default they are requests like any other.
    let stage = Stage::new();
    stage.grant("good", json!({}));
    for headers in [&[][..], &preflight] {
        assert_eq!(options(&stage, headers), 401, "{headers:?}");
    }
    assert_eq!(options(&stage, &[("Authorization", "Bearer good")]), 200);
    assert_eq!(identity(&stage.upstream.requests()[0]), []);
}

#[test]
fn hidden_credentials_are_hidden_from_every_place() {
    let stage = Stage::with_consumers(json!({"hide_credentials": true, "anonymous": "guest"}), consumers());
    stage.grant("good", json!({}));
    // K-42, I-62: refused ones too, since the request goes on as anonymous.
    for token in ["good", "bad", "no%25token"] {
        let bearer = format!("Bearer {token}");
        assert_eq!(stage.gateway.get("/p?a=1", &[("Authorization", &bearer), ("DPoP", "proof")]).status, 200);
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!((seen.header("authorization"), seen.header("dpop")), (None, None), "{token}");
        assert_eq!(seen.target, "/p?a=1");

        let target = format!("/p?a=%2F&access%5Ftoken={token}&b=+&c");
        assert_eq!(stage.gateway.get(&target, &[("DPoP", "proof"), ("Authorization", "Basic Zm9v")]).status, 200);
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!((seen.target.as_str(), seen.header("dpop")), ("/p?a=%2F&b=+&c", None), "{token}");
        // Another scheme is no token of ours.
        assert_eq!(seen.header("authorization"), Some("Basic Zm9v"));

        assert_eq!(stage.gateway.get(&format!("/p?access_token={token}"), &[]).status, 200);
        assert_eq!(stage.upstream.requests().pop().unwrap().target, "/p");
    }
    // Without a token there is nothing to hide.
    assert_eq!(stage.gateway.get("/?access_token=", &[("DPoP", "proof")]).status, 200);
    let seen = stage.upstream.requests().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.header("dpop")), ("/?access_token=", Some("proof")));
}
