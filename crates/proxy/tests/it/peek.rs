//! Bodies that steps look at: who waits for them, who does not, and what goes on afterwards.

use crate::gateway::{plan, quick, route, service, start, start_with};
use crate::wire::{Message, PATIENCE, Upstream, Wire};
use portcullis_model::plan::{Plan, Service};
use portcullis_proxy::{Limits, Settings};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;

const SHORT: Duration = Duration::from_millis(100);
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn post(headers: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
}

fn with_length(headers: &str, body: &str) -> String {
    post(&format!("{headers}Content-Length: {}\r\n", body.len()), body)
}

/// What the fake saw of the body, and what arrived.
async fn check(request: &str, seen: &str, arrived: &str) -> Message {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &["read"]));
    let mut wire = Wire::connect(address).await;
    let answer = wire.ask(request).await;
    assert_eq!(answer.status(), 200, "{request}");
    let echoed = answer.seen();
    assert_eq!(echoed.one("x-body"), Some(seen), "{request}");
    assert!(echoed.head.ends_with(&format!("\r\n\r\n{arrived}")), "{request}:\n{}", echoed.head);
    // The connection is where it should be.
    assert_eq!(wire.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
    echoed
}

// I-57: read where its kind is read, up to the limit (64 bytes here), and passed on as it came.
#[tokio::test]
async fn bodies_are_seen_and_arrive() {
    let (fits, long) = ("x".repeat(64), "x".repeat(65));
    for (body, seen) in [("a=1", "a=1"), (&fits, &fits), (&long, "none")] {
        let echoed = check(&with_length(FORM, body), seen, body).await;
        assert_eq!(echoed.one("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(echoed.one("transfer-encoding"), None);
        let chunks: String = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
        let chunks = format!("{chunks}0\r\nX-Trailer: dropped\r\n\r\n");
        let echoed = check(&post(&format!("{FORM}{CHUNKED}"), &chunks), seen, body).await;
        assert_eq!((echoed.one("content-length"), echoed.one("transfer-encoding")), (None, Some("chunked")));
    }
    check(&with_length("Content-Type: application/json\r\n", "{}"), "{}", "{}").await;
    check(&with_length("Content-Type: text/plain\r\n", "a=1"), "none", "a=1").await;
    check(&with_length("", "a=1"), "none", "a=1").await;
    check(&with_length(FORM, ""), "none", "").await;
    check(&format!("GET / HTTP/1.1\r\nHost: a\r\n{FORM}Content-Length: 3\r\n\r\na=1"), "none", "a=1").await;
}

#[tokio::test]
async fn nobody_else_waits_for_a_body() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &["read", "answer"]));
    let unread = ["Content-Type: text/plain\r\n".to_owned(), format!("{FORM}Content-Encoding: gzip\r\n")];
    for headers in unread {
        let mut wire = Wire::connect(address).await;
        let answer = wire.ask(post(&format!("{headers}Content-Length: 10\r\n"), "half")).await;
        assert_eq!(answer.text(), "from a step", "{headers}");
    }
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(post(&format!("{FORM}Content-Length: 65\r\n"), "half")).await.text(), "from a step");
    // Where it is looked at, it is waited for.
    let mut wire = Wire::connect(address).await;
    wire.send(post(&format!("{FORM}Content-Length: 4\r\n"), "ha")).await;
    assert!(tokio::time::timeout(SHORT, wire.io.readable()).await.is_err(), "no answer before its end");
    wire.send("lf").await;
    assert_eq!(wire.answer().await.text(), "from a step");
    assert_eq!(upstream.connections(), 0);
}

// S-43: what stops making sense is the client's fault, and goes nowhere.
#[tokio::test]
async fn broken_bodies() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &["read"]));
    for junk in ["x\r\nabc\r\n0\r\n\r\n", "-1\r\n", "3\r\nabcd\r\n0\r\n\r\n", "11111111111111111\r\n"] {
        let mut wire = Wire::connect(address).await;
        assert_eq!(wire.ask(post(&format!("{FORM}{CHUNKED}"), junk)).await.status(), 400, "{junk}");
        assert!(wire.is_closed().await, "{junk}");
    }
    assert_eq!(upstream.connections(), 0);
}

// S-46: one that stops is a 408; one that has come is not late while the step still waits for something else.
#[tokio::test]
async fn late_bodies() {
    let upstream = Upstream::echo().await;
    let limits = || Settings { limits: Limits { body_idle: SHORT, ..quick() }, ..Settings::default() };
    let (_gateway, address) = start_with(limits(), plan(upstream.address, &["read"]));
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(post(&format!("{FORM}Content-Length: 10\r\n"), "half")).await.status(), 408);
    assert!(wire.is_closed().await);
    assert_eq!(upstream.connections(), 0);

    let (_gateway, address) = start_with(limits(), plan(upstream.address, &["read", "linger"]));
    for request in [with_length(FORM, "a=1"), post(&format!("{FORM}{CHUNKED}"), "3\r\na=1\r\n0\r\n\r\n")] {
        let answer = Wire::connect(address).await.ask(request).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
}

// A client that asks first is told to go on when its body is looked at, and only then.
#[tokio::test]
async fn expectations() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &["read"]));
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(post(&format!("{FORM}Expect: 100-continue\r\nContent-Length: 3\r\n"), "")).await.status(), 100);
    let echoed = wire.ask("a=1").await.seen();
    assert_eq!((echoed.one("x-body"), echoed.one("expect")), (Some("a=1"), None));

    let (_refusing, address) = start(plan(upstream.address, &["read", "refuse"]));
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(post(&format!("{FORM}Expect: 100-continue\r\nContent-Length: 3\r\n"), "")).await.status(), 100);
    assert_eq!(wire.ask("a=1").await.status(), 401);
    // All of it was read: the connection goes on.
    assert_eq!(wire.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 401);
}

// I-62: another body has its own length, whatever the client said of its own.
#[tokio::test]
async fn a_body_is_replaced() {
    let upstream = Upstream::echo().await;
    for (plugin, left) in [("rewrite", "new"), ("empty", "")] {
        let (_gateway, address) = start(plan(upstream.address, &[plugin]));
        let mut wire = Wire::connect(address).await;
        for request in [with_length(FORM, "old=1"), post(&format!("{FORM}{CHUNKED}"), "5\r\nold=1\r\n0\r\n\r\n")] {
            let echoed = wire.ask(request).await.seen();
            assert_eq!(echoed.one("content-length"), Some(left.len().to_string().as_str()), "{}", echoed.head);
            assert_eq!(echoed.one("transfer-encoding"), None);
            assert!(echoed.head.ends_with(&format!("\r\n\r\n{left}")), "{}", echoed.head);
        }
    }
}

// The upstream's time counts once it was told everything, also where all of it was read before.
#[tokio::test]
async fn a_silent_upstream_is_noticed() {
    let silent = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        let _ = wire.io.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let quick_service = |address: SocketAddr| Service { read_timeout: SHORT, ..service(address) };
    for plugin in ["read", "rewrite", "empty"] {
        let endpoint = crate::gateway::endpoint("/", route(Some(quick_service(silent.address)), &[plugin]));
        let (_gateway, address) = start(Plan { endpoints: vec![endpoint], ..Plan::default() });
        for request in [with_length(FORM, "a=1"), post(&format!("{FORM}{CHUNKED}"), "3\r\na=1\r\n0\r\n\r\n")] {
            let asked = tokio::time::timeout(PATIENCE, Wire::connect(address).await.ask(request)).await;
            assert_eq!(asked.expect("an answer").status(), 504, "{plugin}");
        }
    }
}
