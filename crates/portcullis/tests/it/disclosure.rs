//! Secrets of the configuration are shown by nothing: no log, check, plan, status, metric or complaint.

use portcullis_testkit::{AuthServer, Gateway, Reply, Scratch, Upstream, until};
use serde_json::{Value, json};

use crate::stage::{BINARY, declarative};

/// A file with a canary in every field that holds a secret, `more` changed in the plugin's configuration.
fn file(upstream: &str, endpoint: &str, more: Value) -> String {
    let mut config = json!({
        "introspection_url": endpoint,
        "authorization_value": "Basic canary-credential",
        "custom_introspection_headers": {"X-Api-Key": "canary-header"},
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let service = json!({
        "name": "echo", "url": upstream, "routes": [{"name": "all", "paths": ["/"]}],
        "plugins": [{"name": "oauth2-introspection", "config": config}],
    });
    declarative(json!([service]), json!([]))
}

fn check(place: &str, text: &str) {
    let line = text.lines().find(|line| line.contains("canary-"));
    assert_eq!(line, None, "a secret stands in {place}");
}

// S-65, S-66, I-16, K-46
#[test]
fn a_running_gateway_shows_no_secret() {
    let (mut server, upstream) = (AuthServer::start(), Upstream::start());
    let good = file(&upstream.url(), &server.url(), json!({}));
    let referred = file(&upstream.url(), &server.url(), json!({"authorization_value": "{vault://env/as-credential}"}));
    let gateway = Gateway::builder(BINARY, &good)
        .env("PORTCULLIS_LOG", "trace")
        .env("AS_CREDENTIAL", "Basic canary-vault")
        .arg("--access-log")
        .arg("-")
        .start();
    server.on("good", Reply::active(json!({})));
    assert_eq!(gateway.get_as("good", "/").status, 200);
    assert_eq!(server.calls()[0].header("authorization"), Some("Basic canary-credential"));
    gateway.reload(&referred);
    assert_eq!(gateway.get_as("good", "/").status, 200);
    assert_eq!(server.calls()[1].header("authorization"), Some("Basic canary-vault"));
    server.on("refused", Reply::json(&json!({"error": "invalid_client"})).with_status(401));
    assert_eq!(gateway.get_as("refused", "/").status, 503);
    server.kill();
    let refused = gateway.get_as("down", "/");
    check("an answer", &format!("{:?} {}", refused.headers, refused.text()));
    for wrong in [json!({"ttl": "canary"}), json!({"authorization_value": 7}), json!({"no_such_key": true})] {
        gateway.write_declarative(&file(&upstream.url(), &server.url(), wrong));
        until("the refusal", || (gateway.ready()["newest_refused"] == true).then_some(()));
        gateway.reload(&good);
    }
    for path in ["/metrics", "/readyz", "/healthz"] {
        check(path, &gateway.status_get(path).text());
    }
    let ended = gateway.stop();
    check("standard output", &ended.stdout);
    check("standard error", &ended.stderr);
}

// S-66, I-16
#[test]
fn checks_and_plans_show_no_secret() {
    let scratch = Scratch::new();
    let endpoint = "https://as.example.com/introspect";
    for (row, more) in [
        ("good", json!({})),
        ("line break", json!({"authorization_value": "Basic canary-1\r\nX: y"})),
        ("no text", json!({"authorization_value": ["canary-2"]})),
        ("a map", json!({"authorization_value": {"canary-3": "canary-4"}})),
        ("unknown neighbour", json!({"client_secret": "canary-5"})),
        ("header with a line break", json!({"custom_introspection_headers": {"X-Key": "canary-6\n"}})),
        ("header that is no text", json!({"custom_introspection_headers": {"X-Key": ["canary-7"]}})),
        ("reserved header", json!({"custom_introspection_headers": {"Authorization": "canary-8"}})),
        ("other dialect's vault", json!({"authorization_value": "{vault://hcv/canary}"})),
        ("missing variable", json!({"authorization_value": "{vault://env/no-such-variable-here}"})),
    ] {
        scratch.write("kong.yaml", &file("http://127.0.0.1:1", endpoint, more));
        for args in [&["check", "kong.yaml"][..], &["check", "--print-plan", "kong.yaml"]] {
            let ended = Gateway::run(BINARY, args, scratch.path());
            let said = format!("{}{}", ended.stdout, ended.stderr);
            check(&format!("{args:?} of {row}"), &said.replace("vault://hcv/canary", ""));
            assert!(!said.contains("panicked"), "{row}: {said}");
        }
    }
}

// K-3, K-4, K-6
#[test]
fn defaults_are_the_documented_ones() {
    let scratch = Scratch::new();
    let config = |more: Value| {
        let text = file("http://127.0.0.1:1", "https://as.example.com/introspect", more);
        scratch.write("kong.yaml", &text);
        let ended = Gateway::run(BINARY, &["check", "--print-plan", "kong.yaml"], scratch.path());
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        let plan: Value = serde_json::from_str(&ended.stdout).unwrap();
        plan["endpoints"][0]["route"]["steps"][0]["candidates"][0]["any"]["config"].clone()
    };
    let written = config(json!({"custom_introspection_headers": {}}));
    for (field, default) in [
        ("ttl", json!(60)),
        ("timeout", json!(10_000)),
        ("keepalive", json!(60_000)),
        ("consumer_by", json!("username")),
        ("run_on_preflight", json!(true)),
        ("introspect_request", json!(false)),
        ("hide_credentials", json!(false)),
        ("anonymous", json!("")),
        ("token_type_hint", Value::Null),
        ("custom_claims_forward", json!([])),
        ("custom_introspection_headers", json!({})),
    ] {
        assert_eq!(written[field], default, "{field}");
    }
    for anonymous in ["", "guest", "11111111-1111-4111-8111-111111111111"] {
        assert_eq!(config(json!({"anonymous": anonymous}))["anonymous"], anonymous);
    }
}

// K-161, I-1, K-2
#[test]
fn a_restriction_that_is_not_built_is_refused_by_name() {
    let scratch = Scratch::new();
    for (field, value) in [
        ("scopes_required", json!(["admin"])),
        ("audience_required", json!(["api"])),
        ("domains", json!(["example.com"])),
        ("max_age", json!(60)),
        ("proof_of_possession_dpop", json!("strict")),
        ("proof_of_possession_mtls", json!("strict")),
        ("issuers_allowed", json!(["https://as"])),
        ("claims_forbidden", json!(["admin"])),
        ("introspection_endpoint", json!("https://as")),
        ("client_id", json!("x")),
    ] {
        let mut more = json!({});
        more[field] = value;
        scratch.write("kong.yaml", &file("http://127.0.0.1:1", "https://as.example.com/introspect", more));
        let ended = Gateway::run(BINARY, &["check", "kong.yaml"], scratch.path());
        assert_eq!(ended.status.code(), Some(1), "{field}");
        assert!(ended.stderr.contains(&format!("config.{field}: unknown field")), "{field}: {}", ended.stderr);
    }
}
