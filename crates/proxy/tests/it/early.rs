//! Requests that are answered before their end: what is left of them becomes no request, on either side.

use crate::gateway::{endpoint, plan, quick, route, service, start, start_with};
use crate::wire::{PATIENCE, Upstream, Wire, answer};
use portcullis_model::plan::{Plan, Protocols, Route};
use portcullis_plugins::reason::TABLE;
use portcullis_proxy::{Limits, Settings};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

/// Looks like a request; stands in bodies.
const INNER: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Every way to end early, each below a path of its own.
fn early_exits(upstream: SocketAddr) -> Plan {
    let mut secure = route(Some(service(upstream)), &[]);
    secure.protocols = Protocols { http: false, https: true };
    let mut moved = secure.clone();
    moved.https_redirect_status = 302;
    let plain = |plugins: &[&str]| route(Some(service(upstream)), plugins);
    let gone = service("127.0.0.1:1".parse().unwrap());
    Plan {
        endpoints: vec![
            endpoint("/refused", plain(&["refuse"])),
            endpoint("/forbidden", plain(&["refuse insufficient_scope"])),
            endpoint("/outage", plain(&["refuse as_timeout"])),
            endpoint("/late", plain(&["wait", "refuse"])),
            endpoint("/answered", plain(&["answer"])),
            endpoint("/panic", plain(&["panic"])),
            endpoint("/secure", secure),
            endpoint("/moved", moved),
            endpoint("/lonely", route(None, &[])),
            endpoint("/gone", route(Some(gone), &[])),
        ],
        ..Plan::default()
    }
}

const EXITS: [(&str, u16); 11] = [
    ("/refused", 401),
    ("/forbidden", 403),
    ("/outage", 503),
    ("/late", 401),
    ("/answered", 200),
    ("/panic", 500),
    ("/secure", 426),
    ("/moved", 302),
    ("/lonely", 503),
    ("/gone", 502),
    ("/nowhere", 404),
];

// S-41: whatever ends a request, however its body is framed: it is read over, and the next answer is the next
// request's.
#[tokio::test]
async fn a_body_that_nobody_read_is_no_request() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(early_exits(upstream.address));
    let next = "GET /refused/next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let length = format!("Content-Length: {}\r\n\r\n{INNER}", INNER.len());
    let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{INNER}\r\n0\r\n\r\n", INNER.len());
    for (path, status) in EXITS {
        for body in [&length, &chunks] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n");
            // In one piece, and the body behind the answer.
            let mut wire = Wire::connect(address).await;
            assert_eq!(wire.ask(format!("{head}{body}{next}")).await.status(), status, "{path}");
            if !wire.is_closed().await {
                assert_eq!(wire.answer().await.status(), 401, "{path}: the next request");
                assert!(wire.is_closed().await, "{path}: and no other");
            }
            let (fields, inner) = body.split_once("\r\n\r\n").unwrap();
            let mut wire = Wire::connect(address).await;
            wire.send(format!("{head}{fields}\r\n\r\n")).await;
            if path != "/gone" {
                assert_eq!(wire.answer().await.status(), status, "{path}");
                // A gateway that closes instead is as good.
                let _ = wire.io.write_all(format!("{inner}{next}").as_bytes()).await;
                if !wire.is_closed().await {
                    assert_eq!(wire.answer().await.status(), 401, "{path}: the next request");
                    assert!(wire.is_closed().await, "{path}: and no other");
                }
            }
        }
    }
    assert_eq!(upstream.connections(), 0);
}

// S-41: where no connection could be made the body has gone nowhere: it is read over, and the client's connection
// serves on.
#[tokio::test]
async fn a_body_that_found_no_upstream_is_read_over() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(early_exits(upstream.address));
    let body = "x".repeat(100 * 1024);
    let mut wire = Wire::connect(address).await;
    for _ in 0..3 {
        let head = format!("POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        assert_eq!(wire.ask(format!("{head}{body}")).await.status(), 502);
    }
    assert_eq!(wire.ask("GET /answered HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
}

// S-41: a body that is longer than what is read over ends the connection, and the answer says so.
#[tokio::test]
async fn a_connection_that_will_not_serve_on_says_so() {
    let upstream = Upstream::echo().await;
    let limits = Limits { drain_body_bytes: 1000, ..quick() };
    let (_gateway, address) = start_with(Settings { limits, ..Settings::default() }, early_exits(upstream.address));
    for (length, expects, closes) in [(1000, "", false), (1001, "", true), (10, "Expect: 100-continue\r\n", true)] {
        let mut wire = Wire::connect(address).await;
        let head = format!("POST /refused HTTP/1.1\r\nHost: a\r\n{expects}Content-Length: {length}\r\n\r\n");
        wire.send(head).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.one("connection") == Some("close"), closes, "{length} {expects}");
    }
}

// S-41: a client that asked first may send its body after a refusal or not; nobody can tell, so the connection ends.
#[tokio::test]
async fn a_refused_expectation_ends_the_connection() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(early_exits(upstream.address));
    let expect = format!("Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", INNER.len());
    for (path, status) in EXITS.into_iter().filter(|(path, _)| *path != "/gone") {
        let mut wire = Wire::connect(address).await;
        assert_eq!(wire.ask(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{expect}")).await.status(), status, "{path}");
        let _ = wire.io.write_all(format!("{INNER}{INNER}").as_bytes()).await;
        assert!(wire.is_closed().await, "{path}");
    }
    assert_eq!(upstream.connections(), 0);
}

// S-40: every refusal and every failure, with and without a body: the same head, its challenge among it, and never
// to be stored. There are no internal redirects: what is decided is decided once.
#[tokio::test]
async fn every_early_answer_is_marked() {
    let upstream = Upstream::echo().await;
    let mut plan = early_exits(upstream.address);
    let row_path = |code: &str| format!("/row/{code}/");
    let of_row = |code: &str| endpoint(&row_path(code), route(None, &[&format!("refuse {code}")]));
    plan.endpoints.extend(TABLE.iter().map(|row| of_row(row.code)));
    let (_gateway, address) = start(plan);
    let exits = EXITS.iter().filter(|(path, _)| *path != "/answered").map(|(path, status)| {
        let challenge = match *path {
            "/refused" | "/late" => Some("Bearer"),
            "/forbidden" => TABLE.iter().find(|row| row.code == "insufficient_scope").unwrap().challenge,
            _ => None,
        };
        ((*path).to_owned(), *status, challenge)
    });
    let rows = TABLE.iter().map(|row| (row_path(row.code), row.status.as_u16(), row.challenge));
    for (path, status, challenge) in exits.chain(rows) {
        let mut lengths = Vec::new();
        for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
            let mut wire = Wire::connect(address).await;
            wire.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
            let mut bytes = Vec::new();
            timeout(PATIENCE, wire.io.read_to_end(&mut bytes)).await.expect("an answer in time").unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let got = crate::wire::Message { head: head.to_owned(), body: Vec::new() };
            assert_eq!(got.status(), status, "{method} {path}");
            assert_eq!(got.one("www-authenticate"), challenge, "{method} {path}");
            assert_eq!(got.one("cache-control"), Some("no-store"), "{method} {path}");
            assert!(got.one("x-kong-request-id").is_some(), "{method} {path}");
            lengths.push(got.one("content-length").unwrap().to_owned());
            assert_eq!(body.len().to_string(), if method == "HEAD" { "0" } else { &lengths[0] }, "{method} {path}");
        }
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{path}: {lengths:?}");
    }
    // A head that is refused, and a body that breaks off.
    let limits = Limits { body_idle: Duration::from_millis(100), ..quick() };
    let settings = Settings { limits, ..Settings::default() };
    let (_gateway, address) = start_with(settings, crate::gateway::plan(upstream.address, &[]));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /..;/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", 408),
    ] {
        let answer = Wire::connect(address).await.ask(request).await;
        assert_eq!((answer.status(), answer.one("cache-control")), (status, Some("no-store")), "{request:?}");
    }
}

// S-41, the other way around: an upstream that answers before it has read the body. The rest of that body goes where
// its head went, or nowhere; the next request goes over a connection that is not in the middle of it.
#[tokio::test]
async fn an_upstream_that_answers_early_gets_no_request_into_a_body() {
    let bytes = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
    let kept = bytes.clone();
    let upstream = Upstream::start(move |_, mut wire| {
        let kept = kept.clone();
        async move {
            let mut all = Vec::new();
            let mut done = 0;
            loop {
                let end = loop {
                    if let Some(end) = all[done..].windows(4).position(|four| four == b"\r\n\r\n") {
                        break Some(done + end + 4);
                    }
                    if wire.io.read_buf(&mut all).await.unwrap_or(0) == 0 {
                        break None;
                    }
                };
                let Some(end) = end else { break };
                let body = if all[done..].starts_with(b"POST") { 2 * INNER.len() } else { 0 };
                let _ = wire.io.write_all(&answer(200, b"early")).await;
                while all.len() < end + body && wire.io.read_buf(&mut all).await.unwrap_or(0) > 0 {}
                let next = all.len().min(end + body);
                kept.lock().await.push(all[done..next].to_vec());
                done = next;
            }
        }
    })
    .await;
    // A small body would be read whole before the upstream is asked.
    let streams = Route { request_buffering: false, ..route(Some(service(upstream.address)), &[]) };
    let (gateway, address) = start(Plan { endpoints: vec![endpoint("/", streams)], ..Plan::default() });
    for close in [false, true] {
        let mut wire = Wire::connect(address).await;
        let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 2 * INNER.len());
        let early = wire.ask(format!("{head}{INNER}")).await;
        assert_eq!((early.status(), early.text().as_str()), (200, "early"));
        if !close {
            // The rest of the body, and the next request behind it; or neither, if the gateway has closed.
            let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
            let _ = wire.io.write_all(format!("{INNER}{next}").as_bytes()).await;
            if !wire.is_closed().await {
                assert_eq!(wire.answer().await.text(), "early");
            }
        }
        drop(wire);
        assert_eq!(Wire::connect(address).await.ask("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
    }
    gateway.drain(PATIENCE).await;
    drop(gateway);
    let expected = INNER.repeat(2);
    let all = bytes.lock().await;
    let uploads = all.iter().filter(|one| one.starts_with(b"POST /up "));
    for one in uploads.clone() {
        let text = String::from_utf8_lossy(one);
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(expected.starts_with(body), "nothing but its body is in the place of a body:\n{text}");
    }
    assert_eq!(uploads.count(), 2);
    let ours = [&b"POST /up "[..], b"GET /next ", b"GET /other "];
    assert!(all.iter().all(|one| ours.iter().any(|begin| one.starts_with(begin))), "and no other request");
}

// S-43, S-42: bytes that an upstream sends without having been asked are nobody's answer.
#[tokio::test]
async fn an_answer_that_nobody_asked_for_reaches_nobody() {
    let (rounds, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, told) = (rounds.clone(), go.clone());
    let upstream = Upstream::start(move |_, mut wire| {
        let (rounds, go) = (counted.clone(), told.clone());
        async move {
            while wire.request().await.is_some() {
                let round = rounds.fetch_add(1, Ordering::SeqCst);
                let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
                if round % 2 == 0 {
                    // In the same packet as the answer, and later, while the connection rests.
                    let fine = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
                    wire.io.write_all(format!("{fine}{evil}").as_bytes()).await.unwrap();
                } else {
                    wire.io.write_all(&answer(200, b"fine")).await.unwrap();
                    go.notified().await;
                    let _ = wire.io.write_all(evil.as_bytes()).await;
                    go.notify_waiters();
                }
            }
        }
    })
    .await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    for round in 0..20 {
        let answer = wire.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "fine"), "round {round}");
        go.notify_one();
    }
}
