//! Shapes of members that real servers send: dates, lists, sizes. What is accepted, what is a fault of the server.

use portcullis_testkit::{Gateway, Reply};
use serde_json::{Value, json};

use crate::stage::{BINARY, Stage, guarded, now};

/// Asks with an answer that is active and has these members, as text since JSON values would be normalised.
fn status(stage: &Stage, members: &str) -> u16 {
    let token = format!("t{}", stage.server.calls().len());
    stage.server.on(&token, Reply::bytes("application/json", format!(r#"{{"active":true,{members}}}"#)));
    stage.gateway.get_as(&token, "/").status
}

#[test]
fn dates() {
    let stage = Stage::new();
    let later = now() + 600;
    // I-20, I-147
    for (members, expected) in [
        (format!(r#""exp":{later}"#), 200),
        (format!(r#""exp":{later}.5"#), 200),
        (format!(r#""exp":{}e-1"#, later * 10), 200),
        (r#""exp":null"#.to_owned(), 200),
        (r#""exp":0"#.to_owned(), 401),
        (r#""exp":1.7e9"#.to_owned(), 401),
        (format!(r#""exp":"{later}""#), 503),
        (format!(r#""exp":{later}000"#), 503),
        (r#""exp":-1"#.to_owned(), 503),
        (r#""exp":1e400"#.to_owned(), 503),
        (r#""exp":true"#.to_owned(), 503),
        (r#""exp":[1]"#.to_owned(), 503),
        (r#""nbf":"soon""#.to_owned(), 503),
    ] {
        assert_eq!(status(&stage, &members), expected, "{members}");
    }
}

#[test]
fn far_dates_are_far() {
    let stage = Stage::with(json!({"ttl": 0}));
    // I-148, S-9
    for (token, exp) in [("a", "9007199254740992"), ("b", "1e18"), ("c", "1000000000000000000"), ("d", "1e300")] {
        stage.server.on(token, Reply::bytes("application/json", format!(r#"{{"active":true,"exp":{exp}}}"#)));
        for _ in 0..3 {
            assert_eq!(stage.gateway.get_as(token, "/").status, 200, "{exp}");
        }
        assert_eq!(stage.server.calls_for(token), 1, "{exp}");
    }
}

#[test]
fn an_answer_that_is_over_already_is_not_kept() {
    let stage = Stage::with(json!({"ttl": 600}));
    // I-84, S-8
    stage.grant("t", json!({"exp": now() - 1}));
    assert_eq!(stage.gateway.get_as("t", "/").status, 401);
    stage.grant("t", json!({"exp": now() + 600}));
    assert_eq!((stage.gateway.get_as("t", "/").status, stage.server.calls_for("t")), (200, 2));
}

#[test]
fn lists() {
    let stage = Stage::new();
    let sent = |members: Value, header: &str| {
        let token = format!("t{}", stage.server.calls().len());
        stage.grant(&token, members);
        match stage.gateway.get_as(&token, "/").status {
            200 => stage.upstream.requests().pop().unwrap().header(header).map(str::to_owned).unwrap_or_default(),
            status => status.to_string(),
        }
    };
    // I-18, S-26
    assert_eq!(sent(json!({"scope": "read write"}), "x-credential-scope"), "read write");
    assert_eq!(sent(json!({"scope": ["read", "write"]}), "x-credential-scope"), "read write");
    assert_eq!(sent(json!({"scope": ["read write"]}), "x-credential-scope"), "503");
    // I-19
    assert_eq!(sent(json!({"aud": "a b"}), "x-credential-aud"), "a b");
    assert_eq!(sent(json!({"aud": ["a", "b"]}), "x-credential-aud"), r#"["a","b"]"#);
    // I-22
    assert_eq!(sent(json!({"token_type": "access_token"}), "x-credential-token-type"), "access_token");
}

#[test]
fn large_and_foreign_values() {
    let stage = Stage::with(json!({"custom_claims_forward": ["big"]}));
    let names: Vec<String> = (0..10_000).map(|n| format!("role-{n}")).collect();
    // S-25, I-156: too large for a header means no header, never half of one.
    for (token, big) in [("a", json!("x".repeat(100_000))), ("b", json!(names))] {
        stage.grant(token, json!({"big": big, "sub": "Zoë 🦀"}));
        assert_eq!(stage.gateway.get_as(token, "/").status, 200);
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!((seen.header("x-credential-big"), seen.header("x-credential-sub")), (None, Some("Zoë 🦀")));
    }
}

#[test]
fn issuers_and_audiences() {
    let stage = Stage::new();
    let gateway = |more: &str| {
        let settings = format!("authorization_servers:\n- endpoint: {}\n{more}", stage.server.url());
        let file = guarded(&stage.upstream, &stage.server, json!({}), json!([]));
        Gateway::builder(BINARY, &file).settings(&settings).start()
    };
    let rows = [
        ("none", json!({})),
        ("right", json!({"iss": "https://as", "aud": ["x", "api"]})),
        ("other", json!({"iss": "https://as/", "aud": "API"})),
        ("list", json!({"aud": "api other"})),
    ];
    for (token, members) in rows {
        stage.grant(token, members);
    }
    for (settings, expected) in [
        // I-25
        ("  issuers: [\"https://as\"]\n", [200, 200, 401, 200]),
        ("  issuers: [\"https://as\"]\n  issuer_required: true\n", [401, 200, 401, 401]),
        // I-19, I-26: an `aud` string is never split.
        ("  audiences: [api, second]\n", [401, 200, 401, 401]),
    ] {
        let gateway = gateway(settings);
        let statuses = ["none", "right", "other", "list"].map(|token| gateway.get_as(token, "/").status);
        assert_eq!(statuses, expected, "{settings}");
    }
}
