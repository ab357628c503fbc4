//! The plugin's fields in a declarative file: what is asked for, what is refused, and in which words.

use portcullis_testkit::{Gateway, Scratch};
use serde_json::{Value, json};

use crate::stage::{BINARY, Stage};

/// What `check` says of a file whose top level has these members.
fn check(members: Value) -> (Option<i32>, String) {
    let scratch = Scratch::new();
    let mut file = json!({"_format_version": "3.0"});
    file.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    scratch.write("kong.yaml", &file.to_string());
    let ended = Gateway::run(BINARY, &["check", "kong.yaml"], scratch.path());
    (ended.status.code(), ended.stderr)
}

// K-1: here in the order of the reference; the sorted answer is the Admin API's.
#[test]
fn both_required_fields_are_asked_for() {
    for plugin in [json!({"name": "oauth2-introspection"}), json!({"name": "oauth2-introspection", "config": {}})] {
        let (status, said) = check(json!({"plugins": [plugin]}));
        assert_eq!(status, Some(1), "{said}");
        for field in ["authorization_value", "introspection_url"] {
            assert!(said.contains(&format!("plugins[0].config.{field}: required field missing")), "{field}: {said}");
        }
        assert!(said.contains("2 errors"), "{said}");
    }
}

// K-47
#[test]
fn no_consumer_may_have_it() {
    let plugin = json!({
        "name": "oauth2-introspection",
        "config": {"introspection_url": "https://as.example.com/", "authorization_value": "Basic eA=="},
    });
    let mut referring = plugin.clone();
    referring["consumer"] = json!("alice");
    for file in [
        json!({"consumers": [{"username": "alice", "plugins": [plugin]}]}),
        json!({"consumers": [{"username": "alice"}], "plugins": [referring]}),
    ] {
        let (status, said) = check(file);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("consumer: value must be null"), "{said}");
    }
}

// K-9, I-4
#[test]
fn the_request_is_described_when_asked_for() {
    let stage = Stage::with(json!({"introspect_request": true}));
    stage.grant("t", json!({}));
    let forged = [("Authorization", "Bearer t"), ("X-Request-Path", "/forged"), ("X-Request-Http-Method", "GET")];
    for (method, target) in
        [("PUT", "/a%20b/c?access=1&x=2"), ("GET", "/a%20b/c"), ("GET", "/other?"), ("GET", "/other")]
    {
        assert_eq!(stage.gateway.client().request(method, target, &forged).status, 200, "{method} {target}");
    }
    let calls = stage.server.calls();
    let described: Vec<_> =
        calls.iter().map(|call| (call.header("x-request-http-method"), call.header("x-request-path"))).collect();
    // What reaches the server is part of the key: another path is another question, another query is not.
    assert_eq!(
        described,
        [(Some("PUT"), Some("/a%20b/c")), (Some("GET"), Some("/a%20b/c")), (Some("GET"), Some("/other"))]
    );

    let stage = Stage::new();
    stage.gateway.get("/a", &forged);
    let call = &stage.server.calls()[0];
    assert_eq!((call.header("x-request-http-method"), call.header("x-request-path")), (None, None));
}

// S-39, I-6, S-57
#[test]
fn no_made_up_token_passes() {
    let stage = Stage::new();
    let mut state: u64 = 6750;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % below as u64).unwrap()
    };
    let legal = b"ABCxyz019-._~+/";
    let any = b"Aa0-._~+/=%&;,:@!$'()*\"\\ \t<>[]{}|^`#?\x80\xff";
    for length in (0..=64).chain(0..=64) {
        for alphabet in [&legal[..], &any[..]] {
            let token: Vec<u8> = (0..length).map(|_| alphabet[random(alphabet.len())]).collect();
            let mut client = stage.gateway.client();
            client.send([b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ", &token[..], b"\r\n\r\n"].concat());
            let status = client.response().status;
            assert!([400, 401].contains(&status), "{status}: {token:?}");
            let query: String = token.iter().map(|byte| format!("%{byte:02x}")).collect();
            let status = stage.gateway.get(&format!("/?access_token={query}"), &[]).status;
            assert!([400, 401].contains(&status), "{status}: {token:?} in the query");
        }
    }
    assert!(stage.upstream.requests().is_empty());
    for call in stage.server.calls() {
        assert_eq!((call.form.len(), call.count("token")), (1, 1), "{call:?}");
    }
}
