//! Tokens and credentials are nowhere but where they belong, whatever the log's level.

use portcullis_testkit::{AuthServer, Gateway, Reply, Upstream};
use serde_json::json;

use crate::stage::{BINARY, CREDENTIAL, guarded};

/// Parts of tokens and credentials that nothing may show. The encoded and the decoded credential count both.
const CANARIES: [&str; 5] =
    ["canary-header", "canary-query", "canary-inactive", "Z2F0ZXdheTpjYW5hcnktc2VjcmV0", "canary-secret"];

#[test]
fn no_output_shows_them() {
    let (mut server, upstream) = (AuthServer::start(), Upstream::start());
    let file =
        guarded(&upstream, &server, json!({"custom_introspection_headers": {"X-Key": "canary-secret-key"}}), json!([]));
    let gateway =
        Gateway::builder(BINARY, &file).env("PORTCULLIS_LOG", "trace").arg("--access-log").arg("access.log").start();
    server.on("canary-header-1", Reply::active(json!({"sub": "alice"})));
    server.on("canary-query-1", Reply::active(json!({})));
    server.on("canary-header-500", Reply::status(500));
    server.on("canary-header-401", Reply::json(&json!({"error": "canary-secret"})).with_status(401));
    server.on("canary-header-400", Reply::json(&json!({"error": "canary-header"})).with_status(400));
    server.on("canary-header-bad", Reply::bytes("application/json", r#"{"active":"canary-secret"#));

    // K-45, K-46, I-56, S-63
    let mut answers = Vec::new();
    for token in ["canary-header-1", "canary-header-1", "canary-inactive-1", "canary-header-500", "canary-header-401"] {
        answers.push(gateway.get_as(token, "/"));
    }
    for token in ["canary-header-400", "canary-header-bad", "canary-header%malformed", "canary-header two"] {
        answers.push(gateway.get_as(token, "/"));
    }
    gateway.get("/p?a=1&access_token=canary-query-1", &[]);
    answers.push(gateway.get("/p?access%5Ftoken=canary-query-inactive", &[]));
    answers.push(gateway.get("/p?access_token=canary-query-1", &[("Authorization", "Bearer canary-header-1")]));
    server.kill();
    answers.push(gateway.get_as("canary-header-down", "/"));
    let metrics = gateway.status_get("/metrics").text();
    gateway.write_declarative(&file.replace("oauth2-introspection", "no-such-plugin"));
    portcullis_testkit::until("the refusal", || (gateway.ready()["newest_refused"] == true).then_some(()));

    // The upstream's echo aside, no answer shows what the client sent or the server said.
    let refused = answers.iter().filter(|answer| answer.status != 200);
    let shown: String = refused.map(|answer| format!("{:?} {}", answer.headers, answer.text())).collect();
    gateway.signal("TERM");
    portcullis_testkit::until("the access log", || gateway.file("access.log").lines().nth(12).map(drop));
    let access_log = gateway.file("access.log");
    let ended = gateway.wait();
    for canary in CANARIES {
        for (place, text) in [
            ("standard output", &ended.stdout),
            ("standard error", &ended.stderr),
            ("the access log", &access_log),
            ("the metrics", &metrics),
            ("an answer", &shown),
        ] {
            let line = text.lines().find(|line| line.contains(canary));
            assert_eq!(line, None, "{canary} stands in {place}");
        }
    }
    assert!(!ended.stderr.contains(CREDENTIAL));
    // K-45: the reasons are there.
    for reason in ["inactive", "malformed_token", "ambiguous_token", "as_status", "as_refused_client", "as_unreachable"]
    {
        assert!(access_log.contains(reason), "{reason}: {access_log}");
    }
}

#[test]
fn each_request_is_one_line() {
    let (server, upstream) = (AuthServer::start(), Upstream::start());
    let file = guarded(&upstream, &server, json!({}), json!([]));
    let gateway = Gateway::builder(BINARY, &file).arg("--access-log").arg("-").start();
    server.on("good", Reply::active(json!({})));
    gateway.get_as("good", "/one");
    gateway.get_as("good", "/two");
    gateway.get_as("bad", "/three");
    let ended = gateway.stop();
    let lines: Vec<serde_json::Value> =
        ended.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.len(), 3, "{}", ended.stdout);
    let text = |n: usize| lines[n].to_string();
    // I-53
    assert!(text(2).contains("\"inactive\"") && text(2).contains("/three"), "{}", text(2));
    assert!(text(0).contains("miss") && text(1).contains("hit"), "{}\n{}", text(0), text(1));
}
