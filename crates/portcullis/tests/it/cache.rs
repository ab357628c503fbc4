//! How long an answer is used, and by whom.

use std::time::{Duration, Instant};

use portcullis_testkit::{Gateway, Reply, until};
use serde_json::{Value, json};

use crate::stage::{BINARY, CREDENTIAL, Stage, declarative, guarded, now, plugin};

/// What a coarse clock may add to a lifetime.
const SLACK: Duration = Duration::from_millis(300);

#[test]
fn an_answer_is_used_for_its_ttl() {
    let stage = Stage::with(json!({"ttl": 1}));
    stage.grant("t", json!({}));
    // K-35, I-82
    let before = Instant::now();
    assert_eq!(stage.gateway.get_as("t", "/").status, 200);
    let fetched = Instant::now();
    until("a second call", || {
        let asked = Instant::now();
        assert_eq!(stage.gateway.get_as("t", "/").status, 200);
        let calls = stage.server.calls_for("t");
        assert!(calls == 2 || asked < fetched + Duration::from_secs(1) + SLACK, "used for longer than its ttl");
        (calls == 2).then_some(())
    });
    assert!(before.elapsed() >= Duration::from_secs(1) - SLACK, "a call before the ttl had passed");
}

#[test]
fn a_revoked_token_ends_within_the_ttl() {
    let stage = Stage::with(json!({"ttl": 1}));
    stage.grant("t", json!({}));
    assert_eq!(stage.gateway.get_as("t", "/").status, 200);
    let fetched = Instant::now();
    stage.server.on("t", Reply::inactive());
    // K-38
    until("the 401", || {
        let asked = Instant::now();
        let status = stage.gateway.get_as("t", "/").status;
        assert!(status == 401 || asked < fetched + Duration::from_secs(1) + SLACK, "admitted after the ttl");
        (status == 401).then_some(())
    });
    // I-88: the inactive answer has replaced the active one.
    assert_eq!((stage.gateway.get_as("t", "/").status, stage.server.calls_for("t")), (401, 2));
}

#[test]
fn a_cached_token_ends_with_its_exp() {
    for ttl in [0, 600] {
        let stage = Stage::with(json!({"ttl": ttl}));
        let exp = now() + 2;
        stage.grant("t", json!({"exp": exp}));
        assert_eq!(stage.gateway.get_as("t", "/").status, 200);
        // K-36, K-37, I-24, I-82, S-7
        until("the 401", || {
            let asked = now();
            let status = stage.gateway.get_as("t", "/").status;
            assert!(status == 401 || asked <= exp, "ttl {ttl}: admitted after exp");
            assert!(status == 200 || now() >= exp, "ttl {ttl}: refused before exp");
            assert!(status == 401 || stage.server.calls_for("t") == 1, "ttl {ttl}: one call until exp");
            (status == 401).then_some(())
        });
    }
}

#[test]
fn without_ttl_and_exp_the_ceiling_counts() {
    let stage = Stage::new();
    let file = guarded(&stage.upstream, &stage.server, json!({"ttl": 0}), json!([]));
    let settings = "introspection:\n  cache:\n    max_lifetime: 1\n";
    let gateway = Gateway::builder(BINARY, &file).settings(settings).start();
    stage.grant("t", json!({}));
    let before = Instant::now();
    // K-36, I-82, I-83, S-7
    until("a second call", || {
        assert_eq!(gateway.get_as("t", "/").status, 200);
        (stage.server.calls_for("t") == 2).then_some(())
    });
    assert!(before.elapsed() >= Duration::from_secs(1) - SLACK);
    // K-157, I-83: said once per load, the file here being loaded once.
    let said = gateway.output();
    let warnings = said.lines().filter(|line| line.contains("WARN") && line.contains("ttl")).count();
    assert_eq!(warnings, 1, "{said}");
}

#[test]
fn an_inactive_answer_is_kept_for_a_while() {
    let stage = Stage::new();
    // K-39, I-32, I-87
    let before = Instant::now();
    for _ in 0..20 {
        assert_eq!(stage.gateway.get_as("bad", "/").status, 401);
    }
    assert_eq!(stage.server.calls_for("bad"), 1);
    until("a second call", || {
        assert_eq!(stage.gateway.get_as("bad", "/").status, 401);
        (stage.server.calls_for("bad") == 2).then_some(())
    });
    assert!(before.elapsed() >= Duration::from_secs(5) - SLACK);
}

/// Two routes, `/a` and `/b`, each with a plugin of its own.
fn two_routes(stage: &Stage, a: Value, b: Value) -> String {
    let service = |name: &str, plugin: Value| {
        let path = format!("/{name}");
        json!({"name": name, "url": stage.upstream.url(), "routes": [{"name": name, "paths": [path]}], "plugins": [plugin]})
    };
    declarative(json!([service("a", a), service("b", b)]), json!([]))
}

#[test]
fn profiles_that_differ_share_nothing() {
    let stage = Stage::new();
    let other_credential = json!({"authorization_value": "Basic b3RoZXI6Y2xpZW50"});
    let url = stage.server.url();
    // K-151, I-80, I-94, S-4
    for (row, other) in [
        ("url", plugin(&format!("{url}?tenant=b"), json!({}))),
        ("credential", plugin(&url, other_credential)),
        ("header", plugin(&url, json!({"custom_introspection_headers": {"X-Tenant": "b"}}))),
        ("hint", plugin(&url, json!({"token_type_hint": "access_token"}))),
    ] {
        stage.gateway.reload(&two_routes(&stage, plugin(&url, json!({})), other));
        stage.grant(row, json!({"sub": "first"}));
        assert_eq!(stage.gateway.get_as(row, "/a").status, 200, "{row}");
        stage.server.on(row, Reply::inactive());
        assert_eq!(stage.gateway.get_as(row, "/b").status, 401, "{row}");
        assert_eq!(stage.gateway.get_as(row, "/a").status, 200, "{row}: the first profile's answer stands");
        assert_eq!(stage.server.calls_for(row), 2, "{row}");
    }
}

#[test]
fn equal_profiles_share_their_answers() {
    let stage = Stage::new();
    let url = stage.server.url();
    let strict = json!({"ttl": 1, "consumer_by": "client_id", "timeout": 700, "custom_claims_forward": ["tenant"]});
    stage.gateway.reload(&two_routes(&stage, plugin(&url, json!({"ttl": 600})), plugin(&url, strict)));
    stage.grant("t", json!({"tenant": "blue"}));
    // I-79, I-94: one answer, judged by each route for itself.
    assert_eq!(stage.gateway.get_as("t", "/a").status, 200);
    assert_eq!(stage.gateway.get_as("t", "/b").status, 200);
    assert_eq!(stage.server.calls_for("t"), 1);
    let seen = stage.upstream.requests();
    assert_eq!((seen[0].header("x-credential-tenant"), seen[1].header("x-credential-tenant")), (None, Some("blue")));
    // I-86, S-10: the short ttl counts on its own route, whoever stored the answer.
    until("the call of the route with the short ttl", || {
        assert_eq!(stage.gateway.get_as("t", "/b").status, 200);
        (stage.server.calls_for("t") == 2).then_some(())
    });
    assert_eq!(stage.gateway.get_as("t", "/a").status, 200);
    assert_eq!(stage.server.calls_for("t"), 2);
}

#[test]
fn bad_tokens_do_not_push_out_good_ones() {
    let stage = Stage::with(json!({"ttl": 600}));
    stage.grant("good", json!({}));
    assert_eq!(stage.gateway.get_as("good", "/").status, 200);
    // K-166, I-87
    let mut client = stage.gateway.client();
    for n in 0..5000 {
        assert_eq!(client.get("/", &[("Authorization", &format!("Bearer bad{n}"))]).status, 401);
    }
    assert_eq!(stage.gateway.get_as("good", "/").status, 200);
    assert_eq!(stage.server.calls_for("good"), 1);
}

#[test]
fn the_cache_outlives_a_reload_that_does_not_concern_it() {
    let stage = Stage::with(json!({"ttl": 600}));
    stage.grant("t", json!({}));
    assert_eq!(stage.gateway.get_as("t", "/").status, 200);
    let file = |config: Value| guarded(&stage.upstream, &stage.server, config, json!([{"username": "new"}]));
    stage.gateway.reload(&file(json!({"ttl": 600})));
    assert_eq!((stage.gateway.get_as("t", "/").status, stage.server.calls_for("t")), (200, 1));
    // I-94: what reaches the server has changed, so the old answer is out of reach.
    let changed = json!({"ttl": 600, "authorization_value": format!("{CREDENTIAL}x")});
    stage.gateway.reload(&file(changed));
    assert_eq!((stage.gateway.get_as("t", "/").status, stage.server.calls_for("t")), (200, 2));
}
