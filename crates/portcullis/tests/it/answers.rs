//! What an answer of the authorization server becomes: the rows of the error contract, over HTTP/1.

use std::time::{Duration, Instant};

use portcullis_testkit::{Reply, Response, until};
use serde_json::json;

use crate::stage::{Stage, now};

/// What must have happened to the answer.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    /// The next request makes a new call, and is served as soon as the answer is good.
    No,
    /// The next request makes no call.
    Yes,
}

/// One row: a server that answers `reply` gives the client `status`; then the server is well, and a second request
/// shows whether the first answer was kept.
fn check(stage: &Stage, row: &str, reply: Reply, status: u16, kept: Kept) -> Response {
    let token = format!("row-{}", row.replace(' ', "-"));
    let forwarded = stage.upstream.requests().len();
    stage.server.on(&token, reply);
    let first = stage.gateway.get_as(&token, "/x");
    assert_eq!(first.status, status, "{row}: {}", first.text());
    assert_eq!(stage.upstream.requests().len() - forwarded, usize::from(status == 200), "{row}: requests forwarded");

    // A connection that was closed on it may have been tried twice (I-10), any other answer is asked for once.
    let calls = stage.server.calls_for(&token);
    assert!(calls == 1 || row == "reset" && calls == 2, "{row}: {calls} calls");

    stage.grant(&token, json!({}));
    let second = stage.gateway.get_as(&token, "/x");
    let expected = match kept {
        Kept::No => (200, 1),
        Kept::Yes => (status, 0),
    };
    let again = (second.status, stage.server.calls_for(&token) - calls);
    assert_eq!(again, expected, "{row}: status and calls, again");
    first
}

/// A 503 that says when to come back, and nothing about the token.
fn check_unavailable(stage: &Stage, row: &str, reply: Reply, retry_after: &str) {
    let answer = check(stage, row, reply, 503, Kept::No);
    check_says_unavailable(&answer, row, retry_after);
}

fn check_says_unavailable(answer: &Response, row: &str, retry_after: &str) {
    assert_eq!(answer.header("retry-after"), Some(retry_after), "{row}");
    assert_eq!(answer.header("www-authenticate"), None, "{row}");
    assert_eq!(answer.json()["error"], "temporarily_unavailable", "{row}");
}

fn json_bytes(body: impl Into<Vec<u8>>) -> Reply {
    Reply::bytes("application/json", body.into())
}

#[test]
fn verdicts_on_the_token() {
    let stage = Stage::new();
    // I-31
    check(&stage, "active", Reply::active(json!({})), 200, Kept::Yes);
    check(
        &stage,
        "active as json of a suffix",
        Reply::bytes("application/x+json", r#"{"active":true}"#),
        200,
        Kept::Yes,
    );
    check(
        &stage,
        "active with a charset",
        Reply::bytes("Application/JSON; charset=utf-8", r#"{"active":true}"#),
        200,
        Kept::Yes,
    );
    // I-32, K-15
    let inactive = check(&stage, "inactive", Reply::inactive(), 401, Kept::Yes);
    assert_eq!(inactive.json()["error"], "invalid_token");
    for member in ["message", "error", "error_description", "request_id"] {
        assert!(inactive.json()[member].is_string(), "{member}: {}", inactive.text());
    }
    // I-34, I-41, K-150
    let refused = Reply::json(&json!({"error": "unsupported_token_type"})).with_status(400);
    let refused = check(&stage, "400 with an error", refused, 401, Kept::No);
    assert_eq!(refused.json()["error"], "invalid_token");
}

#[test]
fn our_credentials_refused() {
    let stage = Stage::new();
    // I-35, K-149
    for status in [401, 403] {
        let reply = Reply::json(&json!({"error": "invalid_client"})).with_status(status);
        check_unavailable(&stage, &status.to_string(), reply, "5");
    }
    let said = stage.gateway.output();
    assert!(said.contains("as_refused_client"), "the refusal is logged: {said}");
}

#[test]
fn misconfiguration() {
    let stage = Stage::new();
    // I-36, K-150
    for status in [402, 404, 405, 410, 415, 418] {
        check_unavailable(&stage, &status.to_string(), Reply::inactive().with_status(status), "5");
    }
    check_unavailable(&stage, "400 without json", Reply::bytes("text/html", "<h1>no</h1>").with_status(400), "5");
    check_unavailable(&stage, "400 without error", Reply::json(&json!({"message": "x"})).with_status(400), "5");
    check_unavailable(
        &stage,
        "400 with an error that is no string",
        Reply::json(&json!({"error": 1})).with_status(400),
        "5",
    );
    // I-38, I-7, K-163
    let elsewhere = format!("http://{}/elsewhere", stage.upstream.addr());
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::active(json!({})).with_status(status).header("location", &elsewhere);
        check_unavailable(&stage, &status.to_string(), reply, "5");
    }
    assert!(stage.upstream.requests().iter().all(|seen| seen.target != "/elsewhere"), "no redirect was followed");
}

#[test]
fn throttled() {
    let stage = Stage::new();
    // I-37, I-43
    for (given, expected) in [("7", "7"), ("0", "1"), ("3600", "60"), ("soon", "5"), ("-3", "5")] {
        let reply = Reply::status(429).header("retry-after", given);
        check_unavailable(&stage, &format!("429 {given}"), reply, expected);
    }
    check_unavailable(&stage, "429 without", Reply::status(429), "5");
    // I-43: only a throttling server's own value counts.
    check_unavailable(&stage, "500 with", Reply::status(500).header("retry-after", "9"), "5");
}

#[test]
fn unavailable() {
    let stage = Stage::with(json!({"timeout": 400}));
    // I-39, K-17, S-11
    for status in [500, 502, 503, 504] {
        check_unavailable(&stage, &status.to_string(), Reply::status(status), "5");
    }
    check_unavailable(&stage, "html", Reply::bytes("text/html", "<h1>Welcome</h1>"), "5");
    check_unavailable(&stage, "json called text", Reply::bytes("text/plain", r#"{"active":true}"#), "5");
    check_unavailable(&stage, "no json", json_bytes("active"), "5");
    check_unavailable(&stage, "reset", Reply::reset(), "5");
    check_unavailable(&stage, "cut", json_bytes(r#"{"active":true}"#).cut_after(8), "5");
    // I-42, K-18: the status decides before the body.
    for status in [201, 202, 206, 500] {
        check_unavailable(&stage, &format!("{status} active"), Reply::active(json!({})).with_status(status), "5");
    }
}

#[test]
fn slow_answers_end_in_time() {
    let stage = Stage::with(json!({"timeout": 300}));
    // I-39, I-8, K-17, S-51, S-58
    let rows = [
        ("hang", Reply::hang()),
        ("late", Reply::active(json!({})).delay(Duration::from_secs(60))),
        (
            "drip",
            json_bytes(format!(r#"{{"active":true,"x":"{}"}}"#, "y".repeat(1000))).drip(1, Duration::from_millis(50)),
        ),
        ("endless", Reply::endless()),
    ];
    for (row, reply) in rows {
        stage.server.on(row, reply);
        let start = Instant::now();
        let answer = stage.gateway.get_as(row, "/");
        // The limit is 0.3 s; the rest is for a busy machine.
        assert!(start.elapsed() < Duration::from_secs(5), "{row}: {:?}", start.elapsed());
        assert_eq!(answer.status, 503, "{row}");
        check_says_unavailable(&answer, row, "5");
        // The waiter's limit and the call's are the same here, so a request that comes at once may still share the
        // old call's end.
        stage.grant(row, json!({}));
        until("a good answer", || (stage.gateway.get_as(row, "/").status == 200).then_some(()));
    }
}

#[test]
fn misshapen() {
    let stage = Stage::new();
    let nested = |depth: usize| format!(r#"{{"active":true,"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    // I-40, I-17, K-16
    check_unavailable(&stage, "no active", Reply::json(&json!({"sub": "alice"})), "5");
    check_unavailable(&stage, "text true", Reply::json(&json!({"active": "true"})), "5");
    check_unavailable(&stage, "one", Reply::json(&json!({"active": 1})), "5");
    check_unavailable(&stage, "null", Reply::json(&json!({"active": null})), "5");
    check_unavailable(&stage, "array", Reply::json(&json!([{"active": true}])), "5");
    // I-29, I-149
    check_unavailable(&stage, "twice", json_bytes(r#"{"active":false,"active":true}"#), "5");
    check_unavailable(&stage, "trailing", json_bytes(r#"{"active":true} x"#), "5");
    check_unavailable(&stage, "not utf8", json_bytes(&b"{\"active\":true,\"sub\":\"\xff\"}"[..]), "5");
    // I-8, S-70: the depth counts inside members that nobody reads.
    check_unavailable(&stage, "deep", json_bytes(nested(10_000)), "5");
    check(&stage, "not too deep", json_bytes(nested(20)), 200, Kept::Yes);
    let large = format!(r#"{{"active":true,"x":"{}"}}"#, "y".repeat(300 * 1024));
    check_unavailable(&stage, "large", json_bytes(large), "5");
}

#[test]
fn active_but_not_usable() {
    let stage = Stage::new();
    let rows = [
        // I-24, I-46
        ("expired", json!({"exp": now() - 1})),
        ("expired long ago", json!({"exp": 0})),
        ("not yet valid", json!({"nbf": now() + 600})),
        // I-23, I-46
        ("refresh token", json!({"token_use": "refresh_token"})),
        ("id token", json!({"typ": "ID"})),
    ];
    for (row, members) in rows {
        let token = row.replace(' ', "-");
        stage.grant(&token, members);
        let answer = stage.gateway.get_as(&token, "/");
        assert_eq!((answer.status, &answer.json()["error"]), (401, &"invalid_token".into()), "{row}");
        // I-30: the client does not learn why.
        assert_eq!(answer.json()["error_description"], "The access token is invalid or has expired", "{row}");
    }
    assert!(stage.upstream.requests().is_empty());
}
