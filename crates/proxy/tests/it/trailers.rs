//! Trailers, in both directions.

use crate::gateway::{plan, start};
use crate::wire::{Upstream, Wire, answer};
use tokio::io::AsyncReadExt;

/// An upstream whose answers have trailers, good ones and bad ones, announced and not.
async fn trailing() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                 Trailer: X-Checksum, Content-Length, Set-Cookie, X-Consumer-Id, X-Kong-Request-Id\r\n\r\n\
                 5\r\nhello\r\n0\r\nX-Checksum: abc\r\nX-Unannounced: x\r\nContent-Length: 1\r\nSet-Cookie: a=b\r\n\
                 Transfer-Encoding: gzip\r\nX-Consumer-Id: root\r\nX-Kong-Request-Id: 1\r\nConnection: close\r\n\r\n",
            )
            .await;
        }
    })
    .await
}

// A client that asked for trailers gets those that may come; one that did not gets none. Either way the connection
// goes on, on both sides.
#[tokio::test]
async fn of_answers() {
    let upstream = trailing().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    for _ in 0..3 {
        let asked = wire.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n").await;
        assert_eq!(asked.one("trailer"), Some("x-checksum"));
        assert_eq!(asked.text(), "hellox-checksum: abc");
        let unasked = wire.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((unasked.one("trailer"), unasked.text().as_str()), (None, "hello"));
    }
    assert_eq!(upstream.connections(), 1);
}

// An HTTP/1.0 client knows neither chunks nor trailers.
#[tokio::test]
async fn of_answers_to_old_clients() {
    let upstream = trailing().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    wire.send("GET / HTTP/1.0\r\nHost: a\r\nTE: trailers\r\n\r\n").await;
    let mut got = String::new();
    wire.io.read_to_string(&mut got).await.unwrap();
    assert!(got.ends_with("\r\n\r\nhello") && !got.contains("railer"), "{got}");
}

// S-19: nothing that a client sends behind its body goes up, whether its body was read before or streams.
#[tokio::test]
async fn of_requests() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            wire.send(answer(200, &[request.head.as_bytes(), &request.body].concat())).await;
        }
    })
    .await;
    for plugins in [&["identify"][..], &["identify", "read"]] {
        let (_gateway, address) = start(plan(upstream.address, plugins));
        let mut wire = Wire::connect(address).await;
        for kind in ["application/x-www-form-urlencoded", "application/grpc"] {
            let head = format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nTE: trailers\r\nTrailer: X-Consumer-Id, X-Fine\r\n\
                 Transfer-Encoding: chunked\r\n\r\n"
            );
            let body = "5\r\nhello\r\n0\r\nX-Consumer-Id: forged\r\nx_consumer_id: forged\r\nX-Fine: yes\r\n\r\n";
            let answer = wire.ask(format!("{head}{body}")).await;
            let seen = answer.seen();
            assert_eq!((seen.one("trailer"), seen.one("te")), (None, Some("trailers")));
            assert_eq!(seen.one("x-consumer-id"), Some("ours"));
            assert!(seen.head.ends_with("\r\n\r\nhello") && !seen.head.contains("forged"), "{}", seen.head);
        }
    }
}
