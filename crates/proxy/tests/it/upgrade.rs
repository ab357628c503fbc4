//! WebSocket: the handshake, the tunnel behind it, and everything that must not become one.

use crate::gateway::{fakes, plan, plan_with, quick, service, start};
use crate::wire::{PATIENCE, Upstream, Wire, answer};
use portcullis_model::plan::Service;
use portcullis_proxy::telemetry::AccessLog;
use portcullis_proxy::{DataPlane, Limits, Settings};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nContent-Length: 0\r\n\r\n";
const SHORT: Duration = Duration::from_millis(100);

/// Agrees to every handshake, shows its head as the first bytes of the tunnel, and then gives everything back.
async fn chat() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            if request.one("upgrade").is_none() {
                wire.send(answer(200, request.head.as_bytes())).await;
                continue;
            }
            // In one write: what follows the head of the answer belongs to the tunnel.
            wire.send(format!("{SWITCH}{}", request.head)).await;
            let rest = std::mem::take(&mut wire.buffer);
            wire.send(rest).await;
            let (mut from, mut to) = wire.io.split();
            let _ = tokio::io::copy(&mut from, &mut to).await;
            return;
        }
    })
    .await
}

/// Reads from a tunnel up to the end of `text`.
async fn until(wire: &mut Wire<TcpStream>, text: &str) -> String {
    let mut seen = String::from_utf8(std::mem::take(&mut wire.buffer)).unwrap();
    while !seen.ends_with(text) {
        let byte = timeout(PATIENCE, wire.io.read_u8()).await.unwrap_or_else(|_| panic!("{seen}"));
        seen.push(byte.unwrap_or_else(|_| panic!("{seen}")) as char);
    }
    seen
}

// S-42; kong.md 3.9: the handshake goes through with our identity headers, and the bytes behind it unchanged.
#[tokio::test]
async fn a_tunnel() {
    let upstream = chat().await;
    let (gateway, address) = start(plan(upstream.address, &["identify"]));
    let mut wire = Wire::connect(address).await;
    let answer =
        wire.ask(HANDSHAKE.replace("Sec-WebSocket-Version", "X-Consumer-Id: forged\r\nSec-WebSocket-Version")).await;
    assert_eq!(answer.status(), 101);
    assert_eq!((answer.one("connection"), answer.one("upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!(answer.one("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!((answer.one("content-length"), answer.one("via")), (None, Some("1.1 portcullis/0.0.0")));
    let seen = until(&mut wire, "\r\n\r\n").await;
    let seen = crate::wire::Message { head: seen, body: Vec::new() };
    assert_eq!((seen.one("connection"), seen.one("upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!((seen.one("x-consumer-id"), seen.one("x-credential-sub")), (Some("ours"), Some("ours")));
    assert_eq!(seen.one("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    // Requests of HTTP are bytes like any other now.
    for round in 0..20 {
        let text = format!("GET /{round} HTTP/1.1\r\nHost: a\r\n\r\n");
        wire.send(&text).await;
        assert_eq!(until(&mut wire, &text).await, text);
    }
    let large = vec![b'x'; 1 << 20];
    let (mut from, mut to) = wire.io.split();
    let mut back = vec![0; large.len()];
    let (sent, got) = tokio::join!(to.write_all(&large), timeout(PATIENCE, from.read_exact(&mut back)));
    sent.unwrap();
    got.expect("in time").unwrap();
    assert!(back == large);
    // An end goes through, in both directions.
    wire.io.shutdown().await.unwrap();
    assert!(wire.is_closed().await);
    let counted = r#"portcullis_requests_total{route="/",status="101"} 1"#;
    timeout(PATIENCE, async {
        while !gateway.metrics().encode().contains(counted) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the request is counted at the tunnel's end");
    // The connection of the tunnel is in no pool.
    assert_eq!(Wire::connect(address).await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
    assert_eq!(upstream.connections(), 2);
}

// S-42: not a byte behind the handshake goes up before the upstream has agreed.
#[tokio::test]
async fn nothing_goes_up_before_101() {
    let (asked, agree) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, go) = (asked.clone(), agree.clone());
    let upstream = Upstream::start(move |_, mut wire| {
        let (asked, agree) = (asked.clone(), agree.clone());
        async move {
            wire.request().await;
            asked.notify_one();
            agree.notified().await;
            let mut early = [0; 64];
            let read = wire.io.try_read(&mut early).map_or(0, |read| read);
            assert!(wire.buffer.is_empty() && read == 0, "{:?}{:?}", wire.buffer, &early[..read]);
            wire.send(SWITCH).await;
            let mut behind = [0; 5];
            wire.io.read_exact(&mut behind).await.unwrap();
            wire.send(behind).await;
        }
    })
    .await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    wire.send(format!("{HANDSHAKE}hello")).await;
    timeout(PATIENCE, told.notified()).await.expect("the handshake arrives");
    tokio::time::sleep(SHORT).await;
    go.notify_one();
    assert_eq!(wire.answer().await.status(), 101);
    assert_eq!(until(&mut wire, "hello").await, "hello");
}

// S-42: whatever else the upstream says is an ordinary answer, and what follows is the next request.
#[tokio::test]
async fn any_other_answer_stays_http() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    let first = wire.ask(format!("{HANDSHAKE}GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    let second = wire.answer().await;
    assert_eq!((first.status(), first.seen().one("upgrade")), (200, Some("websocket")));
    assert!(second.text().starts_with("GET /2 ") && second.seen().one("upgrade").is_none(), "{}", second.text());
    assert_eq!(upstream.connections(), 1);
}

// S-42: no upgrade is asked for unless a request is one of WebSocket in every respect.
#[tokio::test]
async fn other_upgrades_are_taken_out() {
    let upstream = chat().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    for (name, request) in [
        ("another protocol", HANDSHAKE.replace("WebSocket", "h2c")),
        ("a list", HANDSHAKE.replace("Upgrade: WebSocket", "Upgrade: websocket, h2c")),
        ("twice", HANDSHAKE.replace("Upgrade: WebSocket", "Upgrade: websocket\r\nUpgrade: h2c")),
        ("not in Connection", HANDSHAKE.replace("keep-alive, Upgrade", "keep-alive")),
        ("a list of it", HANDSHAKE.replace("Upgrade: WebSocket", "Upgrade: websocket/13")),
        (
            "a method with a body",
            HANDSHAKE.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nab"),
        ),
        ("a body", HANDSHAKE.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nab")),
        ("HTTP/1.0", HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0")),
    ] {
        let answer = Wire::connect(address).await.ask(request).await;
        let seen = answer.seen();
        assert_eq!((answer.status(), seen.one("upgrade"), seen.one("connection")), (200, None, None), "{name}");
    }
}

// S-42: authentication comes first.
#[tokio::test]
async fn a_refusal_is_no_tunnel() {
    let upstream = chat().await;
    let (_gateway, address) = start(plan(upstream.address, &["refuse"]));
    let mut wire = Wire::connect(address).await;
    let first = wire.ask(format!("{HANDSHAKE}{HANDSHAKE}")).await;
    assert_eq!((first.status(), wire.answer().await.status()), (401, 401));
    assert_eq!(upstream.connections(), 0);
}

// An upstream that switches to what nobody asked for, or without being asked.
#[tokio::test]
async fn switches_that_do_not_fit() {
    let other =
        Upstream::once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nsmuggled").await;
    let bare = Upstream::once(b"HTTP/1.1 101 Switching Protocols\r\n\r\nsmuggled").await;
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (upstream, request) in [(&other, HANDSHAKE), (&bare, HANDSHAKE), (&other, plain)] {
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let answer = Wire::connect(address).await.ask(request).await;
        assert_eq!(answer.status(), 502);
        assert!(!answer.text().contains("smuggled"));
    }
}

// A silent tunnel ends after the service's read timeout; one with bytes in either direction does not.
#[tokio::test]
async fn a_silent_tunnel_ends() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.send(SWITCH).await;
        let mut rest = Vec::new();
        let _ = wire.io.read_to_end(&mut rest).await;
    })
    .await;
    let (_gateway, address) = start(plan_with(Service { read_timeout: SHORT * 3, ..service(upstream.address) }));
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(HANDSHAKE).await.status(), 101);
    // For longer than the limit, though the upstream never says anything.
    for _ in 0..6 {
        tokio::time::sleep(SHORT).await;
        wire.send("x").await;
    }
    let mut byte = [0];
    assert!(wire.io.try_read(&mut byte).is_err(), "still open");
    assert!(wire.is_closed().await);
}

// A drain waits for tunnels as long as its limit says; each has its place among the connections and its log line.
#[tokio::test]
async fn a_drain_ends_tunnels() {
    let upstream = chat().await;
    let folder = std::env::temp_dir().join(format!("portcullis-upgrade-{}", std::process::id()));
    let log = AccessLog::to_file(&folder).unwrap();
    let limits = Limits { max_connections: 1, ..quick() };
    let settings = Settings { limits, ..Settings::default() };
    let gateway = DataPlane::start(settings, &[crate::gateway::anywhere()], fakes(), Some(log)).unwrap();
    gateway.load(plan(upstream.address, &[])).unwrap();
    let address = gateway.addresses()[0];
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(HANDSHAKE).await.status(), 101);
    let seen = until(&mut wire, "\r\n\r\n").await.len();
    assert!(Wire::connect(address).await.is_closed().await, "the tunnel keeps its place");
    let draining = tokio::spawn(async move { gateway.drain(SHORT * 3).await });
    wire.send("still").await;
    assert_eq!(until(&mut wire, "still").await, "still");
    assert!(wire.is_closed().await);
    timeout(PATIENCE, draining).await.expect("the drain ends").unwrap();
    let line = std::fs::read_to_string(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["status"], &line["bytes_sent"]), (&101.into(), &(seen + 5).into()), "{line}");
}
