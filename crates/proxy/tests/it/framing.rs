//! Messages that two servers could read differently.

use crate::gateway::{plan, start};
use crate::wire::{Upstream, Wire};

/// What comes back, status by status, until the gateway closes or `requests` answers have come; and what the upstream
/// was asked for.
async fn check(name: &str, request: &[u8], expected: u16, closes: bool) {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    let answer = wire.ask(request).await;
    assert_eq!(answer.status(), expected, "{name}: {}{}", answer.head, answer.text());
    if closes {
        assert!(wire.is_closed().await, "{name}: the connection stays open: {}", answer.head);
    }
    if expected != 200 {
        assert_eq!(upstream.connections(), 0, "{name}: nothing reaches the upstream");
    }
}

// S-43, S-34, S-35, S-38
#[tokio::test]
async fn heads() {
    for (name, request, expected, closes) in [
        ("fine", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, false),
        ("no host", "GET / HTTP/1.1\r\n\r\n", 400, true),
        ("no host on 1.0", "GET / HTTP/1.0\r\n\r\n", 200, true),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, true),
        ("list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, true),
        ("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, true),
        ("absolute form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 200, false),
        ("absolute form, another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, true),
        ("absolute form with user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, true),
        ("asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400, true),
        ("double slash", "GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n", 200, false),
        ("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, true),
        ("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, true),
        (
            "list ending in chunked",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            400,
            true,
        ),
        (
            "empty element, chunked",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n0\r\n\r\n",
            400,
            true,
        ),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            true,
        ),
        ("not chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400, true),
        ("chunked on 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, true),
        ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, true),
        ("list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na", 400, true),
        ("signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400, true),
        ("obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400, true),
        ("space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, true),
        ("NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400, true),
        ("bare CR", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n", 400, true),
        ("backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400, true),
        ("hidden NUL", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, true),
        ("hidden dots", "GET /..;/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, true),
        ("unknown version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400, true),
    ] {
        check(name, request.as_bytes(), expected, closes).await;
    }
}

// S-43: bodies that stop making sense are the client's fault.
#[tokio::test]
async fn chunks() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for junk in
        ["x\r\nabc\r\n0\r\n\r\n", "-1\r\n", "3\r\nabcd\r\n0\r\n\r\n", "11111111111111111\r\n", "3\nabc\r\n0\r\n\r\n"]
    {
        let upstream = Upstream::echo().await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let mut wire = Wire::connect(address).await;
        let answer = wire.ask(format!("{head}{junk}")).await;
        assert_eq!(answer.status(), 400, "{junk:?}: {}", answer.head);
    }
}

// S-43: read by Transfer-Encoding alone, the length never goes on, and the connection ends with the answer.
#[tokio::test]
async fn length_and_chunked() {
    for order in
        ["Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"]
    {
        let upstream = Upstream::echo().await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let mut wire = Wire::connect(address).await;
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{order}\r\n5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = wire.ask(request).await;
        let seen = answer.seen();
        assert_eq!(
            (seen.one("content-length"), seen.one("transfer-encoding")),
            (None, Some("chunked")),
            "{}",
            seen.head
        );
        assert!(seen.head.ends_with("hello"), "{}", seen.head);
        assert!(wire.is_closed().await);
    }
}

// S-43: bare LF is read, and written anew as CRLF.
#[tokio::test]
async fn bare_line_feeds_are_written_anew() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let answer = Wire::connect(address).await.ask("GET / HTTP/1.1\nHost: a\nX-Fine: yes\n\n").await;
    let seen = answer.seen();
    assert_eq!(seen.one("x-fine"), Some("yes"));
    assert!(!seen.head.replace("\r\n", "").contains('\n'), "{:?}", seen.head);
}

// S-35: a fragment is cut off before matching, and never forwarded.
#[tokio::test]
async fn fragments_are_cut_off() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let answer = Wire::connect(address).await.ask("GET /a#/b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.text().starts_with("GET /a HTTP/1.1\r\n"), "{}", answer.text());
}

// A GET with a chunked body keeps it.
#[tokio::test]
async fn a_get_keeps_its_body() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let request = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert!(Wire::connect(address).await.ask(request).await.text().ends_with("hello"));
}

// S-41: a refused request's body does not become a request, whether it is short (and skipped) or long (and the
// connection ends).
#[tokio::test]
async fn an_unread_body_is_no_request() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &["refuse"]));
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut wire = Wire::connect(address).await;
    let first = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", inner.len());
    assert_eq!(wire.ask(&first).await.status(), 401);
    // The rest of the body comes after the answer; then another request, whose answer is the next and only one.
    let answer = wire.ask(format!("{inner}PUT /second HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(answer.status(), 401);
    let mut rest = Wire::connect(address).await;
    let whole = format!("{first}{inner}GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((rest.ask(whole).await.status(), rest.answer().await.status()), (401, 401));
    assert!(rest.is_closed().await);

    let mut long = Wire::connect(address).await;
    let answer = long.ask(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n{inner}")).await;
    assert_eq!(answer.status(), 401);
    let part = inner.repeat(10_000);
    while tokio::io::AsyncWriteExt::write_all(&mut long.io, part.as_bytes()).await.is_ok() {}
    assert!(long.is_closed().await);
    assert_eq!(upstream.connections(), 0);
}

// Answers with two ways to tell where they end leave with one.
#[tokio::test]
async fn upstream_lengths() {
    for (answer, status, body) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello"[..], 200, "hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "hello",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 502, ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 502, ""),
        (b"nonsense\r\n\r\n", 502, ""),
        (b"", 502, ""),
    ] {
        let upstream = Upstream::once(answer).await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let got = Wire::connect(address).await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let shown = String::from_utf8_lossy(answer);
        assert_eq!(got.status(), status, "{shown:?}: {}", got.head);
        assert!(got.all("content-length").len() + got.all("transfer-encoding").len() == 1, "{shown:?}: {}", got.head);
        if status == 200 {
            assert_eq!(got.text(), body, "{shown:?}");
        }
    }
}
