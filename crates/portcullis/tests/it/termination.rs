//! `request-termination`: what it answers, to whom, and what it never says.

use portcullis_testkit::{Response, Upstream};
use serde_json::{Value, json};

use crate::stage::{BINARY, Stage, plugin};

/// One unguarded route to nowhere in particular, past this configuration.
fn terminated(config: Value) -> portcullis_testkit::Gateway {
    let file = json!({
        "_format_version": "3.0",
        "services": [{
            "name": "s", "url": Upstream::start().url(), "routes": [{"name": "r", "paths": ["/"]}],
            "plugins": [{"name": "request-termination", "config": config}],
        }],
    });
    portcullis_testkit::Gateway::builder(BINARY, &file.to_string()).start()
}

fn check(answer: &Response, status: u16, content_type: &str, body: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (status, body));
    assert_eq!(answer.header("content-type"), Some(content_type), "{body}");
    // What every answer of the gateway's own has.
    for name in ["x-kong-request-id", "x-kong-response-latency", "server", "date"] {
        assert_eq!(answer.all(name).len(), 1, "{name}");
    }
    assert_eq!(answer.header("via"), None);
}

#[test]
fn answers() {
    let json_type = "application/json; charset=utf-8";
    let rows = [
        (json!({}), 503, json_type, r#"{"message":"Service unavailable"}"#),
        (json!({"status_code": 403}), 403, json_type, r#"{"message":"Forbidden"}"#),
        (json!({"status_code": 404, "message": "So \"long\""}), 404, json_type, r#"{"message":"So \"long\""}"#),
        (json!({"status_code": 200, "body": "{}"}), 200, json_type, "{}"),
        (json!({"status_code": 418, "body": "<p>", "content_type": "text/html"}), 418, "text/html", "<p>"),
        (json!({"status_code": 599, "message": ""}), 599, json_type, r#"{"message":"Request terminated"}"#),
    ];
    for (config, status, content_type, body) in rows {
        let gateway = terminated(config);
        check(&gateway.get("/", &[]), status, content_type, body);
        let mut client = gateway.client();
        let head = client.request("HEAD", "/", &[]);
        assert_eq!((head.status, head.header("content-length")), (status, Some(body.len().to_string().as_str())));
        // The connection goes on, also after a body that nobody read.
        assert_eq!(client.post("/", &[], b"abc").status, status);
        assert_eq!(client.get("/", &[]).status, status);
    }
    let empty = terminated(json!({"status_code": 204})).get("/", &[]);
    assert_eq!((empty.status, empty.header("content-type"), empty.header("content-length")), (204, None, None));
}

#[test]
fn a_trigger_is_a_header_or_an_argument() {
    let stage = Stage::new();
    let service = json!({
        "name": "s", "url": stage.upstream.url(), "routes": [{"name": "r", "paths": ["/"]}],
        "plugins": [{"name": "request-termination", "config": {"status_code": 418, "trigger": "X-Debug"}}],
    });
    stage.gateway.reload(&crate::stage::declarative(json!([service]), json!([])));
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);
    let rows: &[Row<'_>] = &[
        ("/", &[], 200),
        ("/", &[("x-debug", "")], 418),
        ("/", &[("X-DEBUG", "1")], 418),
        ("/?X-Debug=1", &[], 418),
        ("/?a=1&X%2DDebug", &[], 418),
        ("/?x-debug-not=1", &[("X-Debugs", "1")], 200),
    ];
    for (target, headers, status) in rows {
        assert_eq!(stage.gateway.get(target, headers).status, *status, "{target} {headers:?}");
    }
}

#[test]
fn an_echo_tells_no_secret() {
    let gateway = terminated(json!({"status_code": 401, "message": "Look", "echo": true}));
    let answer = gateway.get(
        "/a%20b?x=1&x=2&access_token=canary&y",
        &[
            ("Authorization", "Bearer canary"),
            ("Cookie", "sid=canary"),
            ("DPoP", "canary"),
            ("X-Api-Key", "canary"),
            ("X-Forwarded-Access-Token", "canary"),
            ("X-Other", "Basic canary"),
            ("Referer", "https://a.example/?access_token=canary"),
            ("X-Consumer-Username", "forged"),
            ("X-Fine", "one"),
            ("X-Fine", "two"),
        ],
    );
    let body = answer.json();
    assert_eq!((answer.status, &body["message"]), (401, &json!("Look")));
    let request = &body["request"];
    assert_eq!(
        (&request["method"], &request["path"], &request["scheme"]),
        (&json!("GET"), &json!("/a%20b"), &json!("http"))
    );
    assert_eq!(request["query"], json!({"x": ["1", "2"], "access_token": "(left out)", "y": ""}));
    assert_eq!(request["headers"]["x-fine"], json!(["one", "two"]));
    assert_eq!(request["headers"]["authorization"], "(left out)");
    assert!(!answer.text().contains("canary") && !answer.text().contains("forged"), "{}", answer.text());
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let stage = Stage::new();
    let rows = [
        (json!({"status_code": 99}), "config.status_code"),
        (json!({"status_code": 600}), "config.status_code"),
        (json!({"status_code": 100}), "config.status_code"),
        (json!({"status_code": "503"}), "config.status_code"),
        (json!({"message": "a", "body": "b"}), "config.message"),
        (json!({"content_type": "text/plain"}), "config.content_type"),
        (json!({"body": "b", "content_type": "a\nb"}), "config.content_type"),
        (json!({"trigger": "a b"}), "config.trigger"),
        (json!({"echo": "yes"}), "config.echo"),
        (json!({"status": 503}), "config.status"),
    ];
    for (config, field) in rows {
        let file = json!({
            "_format_version": "3.0",
            "plugins": [{"name": "request-termination", "config": config}],
        });
        let scratch = portcullis_testkit::Scratch::new();
        scratch.write("kong.yaml", &file.to_string());
        let path = scratch.path().join("kong.yaml");
        let checked = std::process::Command::new(BINARY).arg("check").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
        assert!(!checked.status.success() && said.contains(field), "{config}: {said}");
    }
    drop(stage);
}

/// The file of the documents: authentication by introspection, and nobody gets in as the anonymous consumer.
#[test]
fn anonymous_callers_are_refused() {
    let stage = Stage::new();
    let service = json!({
        "name": "s", "url": stage.upstream.url(), "routes": [{"name": "r", "paths": ["/"]}],
        "plugins": [plugin(&stage.server.url(), json!({"anonymous": "guest"}))],
    });
    let consumers = json!([
        {"username": "guest", "plugins": [
            {"name": "request-termination", "config": {"status_code": 401, "message": "Error - Authentication required"}},
        ]},
        {"username": "alice"},
    ]);
    stage.gateway.reload(&crate::stage::declarative(json!([service]), consumers));
    stage.grant("good", json!({"username": "alice"}));
    stage.grant("nobody", json!({"username": "nobody"}));
    // K-44: bound to a consumer, it applies once that consumer was found.
    assert_eq!(stage.gateway.get_as("good", "/").status, 200);
    assert_eq!(stage.gateway.get_as("nobody", "/").status, 200);
    assert_eq!(stage.upstream.requests().len(), 2);
    for answer in [stage.gateway.get("/", &[]), stage.gateway.get_as("bad", "/")] {
        check(&answer, 401, "application/json; charset=utf-8", r#"{"message":"Error - Authentication required"}"#);
    }
    assert_eq!(stage.upstream.requests().len(), 2);
}
