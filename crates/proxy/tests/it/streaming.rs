//! Bodies that come in pieces, stop, break off or should not be there.

use crate::gateway::{endpoint, plan, plan_with, route, service, start};
use crate::wire::{PATIENCE, Upstream, Wire, answer};
use portcullis_model::plan::{Plan, Route, Service};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A plan whose route reads small bodies first, or does not.
fn buffering(upstream: SocketAddr, request_buffering: bool) -> Plan {
    let route = Route { request_buffering, ..route(Some(service(upstream)), &[]) };
    Plan { endpoints: vec![endpoint("/", route)], ..Plan::default() }
}

/// Reads up to the end of `text`.
async fn until(wire: &mut Wire<TcpStream>, text: &str) {
    while !String::from_utf8_lossy(&wire.buffer).ends_with(text) {
        let byte = timeout(PATIENCE, wire.io.read_u8()).await;
        wire.buffer.push(byte.expect("in time").unwrap_or_else(|_| panic!("{:?}", wire.buffer)));
    }
}

/// Everything up to the end of the connection.
async fn rest(wire: &mut Wire<TcpStream>) -> String {
    let mut bytes = std::mem::take(&mut wire.buffer);
    let _ = timeout(PATIENCE, wire.io.read_to_end(&mut bytes)).await.expect("an end in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

// Each event reaches the client before the next one exists, whatever response_buffering says; and when the client
// leaves, the upstream hears of it.
#[tokio::test]
async fn events() {
    for response_buffering in [true, false] {
        let (next, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (go, noticed) = (next.clone(), gone.clone());
        let upstream = Upstream::start(move |_, mut wire| {
            let (next, gone) = (next.clone(), gone.clone());
            async move {
                wire.request().await;
                wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await;
                for event in 1..=3 {
                    wire.send(format!("9\r\ndata: {event}\n\n\r\n")).await;
                    next.notified().await;
                }
                assert!(wire.is_closed().await);
                gone.notify_one();
            }
        })
        .await;
        let streaming = Route { response_buffering, ..route(Some(service(upstream.address)), &[]) };
        let (_gateway, address) = start(Plan { endpoints: vec![endpoint("/", streaming)], ..Plan::default() });
        let mut wire = Wire::connect(address).await;
        wire.send(GET).await;
        for event in 1..=3 {
            until(&mut wire, &format!("data: {event}\n\n\r\n")).await;
            go.notify_one();
        }
        drop(wire);
        timeout(PATIENCE, noticed.notified()).await.expect("the upstream's connection ends");
    }
}

// request_buffering: a small body of known length is whole before the upstream is connected to; large ones, those of
// unknown length, and all where it is off, stream.
#[tokio::test]
async fn small_bodies_are_read_first() {
    for (name, buffered, head, waits) in [
        ("small", true, "Content-Length: 10", true),
        ("small, off", false, "Content-Length: 10", false),
        ("large", true, "Content-Length: 16385", false),
        ("unknown", true, "Transfer-Encoding: chunked", false),
    ] {
        let seen = Arc::new(Notify::new());
        let told = seen.clone();
        let upstream = Upstream::start(move |_, mut wire| {
            let seen = seen.clone();
            async move {
                let mut byte = [0];
                let _ = wire.io.read(&mut byte).await;
                seen.notify_one();
                let mut rest = Vec::new();
                let _ = wire.io.read_to_end(&mut rest).await;
            }
        })
        .await;
        let (_gateway, address) = start(buffering(upstream.address, buffered));
        let mut wire = Wire::connect(address).await;
        wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n")).await;
        if waits {
            wire.send("hello").await;
            assert!(timeout(Duration::from_millis(100), told.notified()).await.is_err(), "{name}: too early");
            assert_eq!(upstream.connections(), 0, "{name}");
            wire.send("hello").await;
        }
        timeout(PATIENCE, told.notified()).await.unwrap_or_else(|_| panic!("{name}: the upstream hears of it"));
    }
}

// A client that leaves in the middle of its body: the upstream sees it broken, never whole.
#[tokio::test]
async fn an_upload_that_breaks_off() {
    for head in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let broken = Arc::new(Notify::new());
        let noticed = broken.clone();
        let upstream = Upstream::start(move |_, mut wire| {
            let broken = broken.clone();
            async move {
                assert!(wire.request().await.is_none(), "the body looks complete");
                broken.notify_one();
            }
        })
        .await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let mut wire = Wire::connect(address).await;
        wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n5\r\nhello\r\n")).await;
        drop(wire);
        timeout(PATIENCE, noticed.notified()).await.expect("the upstream's connection ends");
    }
}

// S-67: an answer that comes while the client is still sending arrives, whole, and the connection serves no request
// that was inside of the body.
#[tokio::test]
async fn an_answer_before_the_body() {
    let upstream = Upstream::start(|_, mut wire| async move {
        let mut some = [0; 16];
        wire.io.read_exact(&mut some).await.unwrap();
        wire.send(answer(413, b"too much")).await;
        let mut rest = Vec::new();
        let _ = wire.io.read_to_end(&mut rest).await;
    })
    .await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    let early = wire.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nGET /1 HTTP/1.1\r\n").await;
    assert_eq!((early.status(), early.text().as_str()), (413, "too much"));
    // The rest of the body goes on its way, and then the next request is the client's own.
    wire.send(vec![b'\n'; 1_000_000 - 17]).await;
    let next = wire.ask(GET).await;
    assert_eq!((next.status(), upstream.connections()), (413, 2));
}

// What breaks off on its way is never whole at the client's: no last chunk, no last byte.
#[tokio::test]
async fn answers_that_break_off() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
    ] {
        let upstream = Upstream::once(bytes).await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let mut wire = Wire::connect(address).await;
        wire.send(GET).await;
        let got = rest(&mut wire).await;
        assert!(!got.ends_with("0\r\n\r\n") && !got.contains("world"), "{:?}: {got}", String::from_utf8_lossy(bytes));
        assert!(got.is_empty() || got.starts_with("HTTP/1.1 200"), "{got}");
    }
}

// Informational answers end here; the answer is the one that follows.
#[tokio::test]
async fn informational_answers() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            wire.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Early: yes\r\n\r\n")
                .await;
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            wire.send(answer(200, request.head.as_bytes())).await;
        }
    })
    .await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    for request in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", GET] {
        let answer = wire.ask(request).await;
        assert_eq!((answer.status(), answer.one("x-early"), answer.one("link")), (200, None, None));
    }
    assert_eq!(upstream.connections(), 1);
}

// Bytes behind an answer that has no body are nobody's answer.
#[tokio::test]
async fn bodies_that_should_not_be_there() {
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    for (request, head) in [
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 47\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, "HTTP/1.1 204 No Content\r\nContent-Length: 47\r\n\r\n"),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 47\r\n\r\n"),
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let upstream = Upstream::start(move |number, mut wire| async move {
            while wire.request().await.is_some() {
                match number {
                    0 => wire.send(format!("{head}{smuggled}")).await,
                    _ => wire.send(answer(200, b"genuine")).await,
                }
            }
        })
        .await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let mut wire = Wire::connect(address).await;
        wire.send(request).await;
        until(&mut wire, "\r\n\r\n").await;
        wire.buffer.clear();
        let next = wire.ask(GET).await;
        assert_eq!((next.status(), next.text().as_str()), (200, "genuine"), "{head}");
    }
}

// Whatever an upstream says that is no HTTP answer is a 502.
#[tokio::test]
async fn garbage() {
    for bytes in [
        &b"HTTP/1.1 99 Low\r\n\r\n"[..],
        b"HTTP/1.1 1000 High\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nX",
    ] {
        let upstream = Upstream::once(bytes).await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let answer = Wire::connect(address).await.ask(GET).await;
        assert_eq!(answer.status(), 502, "{:?}: {}", String::from_utf8_lossy(bytes), answer.head);
    }
}

// S-41: who waits to be asked for its body and is refused is never asked; the connection ends, since nobody could
// tell whether the body comes nevertheless.
#[tokio::test]
async fn a_refusal_asks_for_no_body() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &["refuse"]));
    let mut wire = Wire::connect(address).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(wire.ask(head).await.status(), 401);
    assert!(wire.is_closed().await);
    // An upstream that cannot be reached is not worth a long body either.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = Service { retries: 0, ..service(closed) };
    let (_gateway, address) = start(plan_with(unreachable));
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(head.replace(": 5\r\n", ": 50000\r\n")).await.status(), 502);
}
