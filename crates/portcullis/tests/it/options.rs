//! What the optional fields of `oauth2-introspection` add to the call and to the upstream's headers.

use portcullis_testkit::Reply;
use serde_json::json;

use crate::stage::Stage;

#[test]
fn the_request_is_described_when_configured() {
    let stage = Stage::with(json!({"introspect_request": true}));
    stage.grant("abc", json!({}));
    let described = |call: &portcullis_testkit::Call| {
        (call.header("x-request-http-method").map(str::to_owned), call.header("x-request-path").map(str::to_owned))
    };
    let some = |method: &str, path: &str| (Some(method.to_owned()), Some(path.to_owned()));
    let mut client = stage.gateway.client();
    let bearer = [("Authorization", "Bearer abc"), ("X-Request-Path", "/forged"), ("X-Request-Http-Method", "FORGED")];
    // K-9, I-4: the path as it came, without the query.
    for (method, target, path) in
        [("GET", "/a%20b/../c?x=1", "/a%20b/../c"), ("POST", "/a%20b/../c", "/a%20b/../c"), ("GET", "/d", "/d")]
    {
        assert_eq!(client.request(method, target, &bearer).status, 200, "{method} {target}");
        assert_eq!(described(stage.server.calls().last().unwrap()), some(method, path));
    }
    // Each of them is asked about once: what reaches the server is part of the question.
    assert_eq!(client.get("/d?again", &bearer).status, 200);
    assert_eq!(stage.server.calls().len(), 3);

    // K-9: false sends neither.
    let stage = Stage::with(json!({"introspect_request": false}));
    stage.gateway.get("/", &bearer);
    assert_eq!(described(&stage.server.calls()[0]), (None, None));
}

#[test]
fn no_hint_unless_configured() {
    let stage = Stage::new();
    stage.gateway.get_as("abc", "/");
    // K-8, I-3
    assert_eq!(stage.server.calls()[0].field("token_type_hint"), None);
}

#[test]
fn values_are_written_as_the_documents_say() {
    let claims =
        ["whole", "large", "exponent", "fraction", "yes", "text", "object", "list", "empty", "urn:x:y", "none"];
    let stage = Stage::with(json!({"custom_claims_forward": claims}));
    // As text: a JSON value would be normalised on its way.
    let answer = r#"{"active": true, "scope": ["read", "write"], "whole": 7, "large": 9007199254740993,
        "exponent": 1.5e3, "fraction": 0.50, "yes": false, "text": "a, \"b\" \u00e9", "object": { "k" : "é", "l": [1, null] },
        "list": ["user,admin", "é"], "empty": [], "urn:x:y": "u", "none": null, "sub": "a\nb", "unlisted": "x"}"#;
    stage.server.on("t", Reply::bytes("application/json", answer));
    assert_eq!(stage.gateway.get_as("t", "/").status, 200);
    let seen = &stage.upstream.requests()[0];
    // K-158, I-156, K-22
    for (name, value) in [
        ("scope", Some("read write")),
        ("whole", Some("7")),
        ("large", Some("9007199254740993")),
        ("exponent", Some("1500")),
        ("fraction", Some("0.50")),
        ("yes", Some("false")),
        ("text", Some("a, \"b\" é")),
        ("object", Some(r#"{"k":"\u00e9","l":[1,null]}"#)),
        ("list", Some(r#"["user,admin","\u00e9"]"#)),
        ("empty", Some("[]")),
        ("urn-x-y", Some("u")),
        ("none", None),
        ("sub", None),
        ("unlisted", None),
    ] {
        assert_eq!(seen.header(&format!("x-credential-{name}")), value, "{name}");
    }
}
