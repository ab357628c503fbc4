//! The whole time of a request, whoever it waits for.

use crate::gateway::{anywhere, endpoint, fakes, quick, route, service, start_with};
use crate::wire::{PATIENCE, Upstream, Wire, answer};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use portcullis_model::plan::{Plan, Route};
use portcullis_proxy::{DataPlane, Limits, Listen, Settings};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

const TOTAL: Duration = Duration::from_millis(300);

/// An upstream that answers `/silent` never, `/drip` without an end, `/flood` faster than anybody reads, `/chat` by
/// what is no HTTP, and all else at once; and what says that a connection to it has ended.
async fn moody() -> (Upstream, Arc<Semaphore>) {
    let gone = Arc::new(Semaphore::new(0));
    let noticed = gone.clone();
    let upstream = Upstream::start(move |_, mut wire| {
        let gone = gone.clone();
        async move {
            while let Some(request) = wire.request().await {
                let path = request.head.split(' ').nth(1).unwrap_or_default().to_owned();
                let (pause, part) = match &*path {
                    "/silent" => break,
                    "/drip" => (Duration::from_millis(20), b"1\r\nx\r\n".to_vec()),
                    "/flood" => (Duration::ZERO, [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat()),
                    "/chat" => {
                        let agreed = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                        wire.send(agreed).await;
                        break;
                    }
                    _ => {
                        wire.send(answer(200, b"fine")).await;
                        continue;
                    }
                };
                wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                while wire.io.write_all(&part).await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
                gone.add_permits(1);
                return;
            }
            let mut rest = Vec::new();
            let _ = wire.io.read_to_end(&mut rest).await;
            gone.add_permits(1);
        }
    });
    (upstream.await, noticed)
}

fn limited() -> Settings {
    Settings { limits: Limits { request_total: Some(TOTAL), ..quick() }, ..Settings::default() }
}

/// Everything to one upstream; below `/streams` a body is passed on as it comes, below `/lingers` a step takes long.
fn plan(upstream: SocketAddr) -> Plan {
    let to = |plugins| Route { strip_path: false, ..route(Some(service(upstream)), plugins) };
    let streams = Route { request_buffering: false, strip_path: true, ..to(&[]) };
    let endpoints = vec![endpoint("/lingers", to(&["linger"])), endpoint("/streams", streams), endpoint("/", to(&[]))];
    Plan { endpoints, ..Plan::default() }
}

async fn ended(gone: &Semaphore) {
    timeout(PATIENCE, gone.acquire()).await.expect("the upstream's connection ends").unwrap().forget();
}

#[tokio::test]
async fn before_the_answer() {
    let (upstream, gone) = moody().await;
    let (_gateway, address) = start_with(limited(), plan(upstream.address));
    let head = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n");
    for (request, drips, status) in [
        ("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), false, 504),
        // It has the client's body, whole.
        (format!("{}Content-Length: 2\r\n\r\nab", head("/silent")), false, 504),
        (format!("{}Content-Length: 2\r\n\r\nab", head("/streams/silent")), false, 504),
        // A step, too, waits for somebody who is not the client.
        ("GET /lingers HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), false, 504),
        // The client does not pause for long, and is not done either.
        (format!("{}Content-Length: 9999\r\n\r\n", head("/")), true, 408),
        (format!("{}Transfer-Encoding: chunked\r\n\r\n", head("/streams/silent")), true, 408),
    ] {
        let mut wire = Wire::connect(address).await;
        let began = Instant::now();
        wire.send(&request).await;
        let part = if request.contains("chunked") { "1\r\nx\r\n" } else { "x" };
        while drips && began.elapsed() < PATIENCE && !comes(&wire).await {
            wire.send(part).await;
        }
        let answer = wire.answer().await;
        assert_eq!((answer.status(), answer.one("connection")), (status, Some("close")), "{request}");
        assert!(began.elapsed() >= TOTAL - Duration::from_millis(20), "{request}: {:?}", began.elapsed());
        assert!(wire.is_closed().await, "{request}");
    }
    ended(&gone).await;
}

/// Whether something comes within a short pause.
async fn comes(wire: &Wire<TcpStream>) -> bool {
    timeout(Duration::from_millis(20), wire.io.readable()).await.is_ok()
}

// An answer that has begun cannot become another one, and must not look whole.
#[tokio::test]
async fn within_the_answer() {
    let (upstream, gone) = moody().await;
    let (_gateway, address) = start_with(limited(), plan(upstream.address));
    // Also with another request behind it, which is never answered.
    for behind in ["", "GET /fine HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut wire = Wire::connect(address).await;
        wire.send(format!("GET /drip HTTP/1.1\r\nHost: a\r\n\r\n{behind}")).await;
        let mut got = Vec::new();
        let _ = timeout(PATIENCE, wire.io.read_to_end(&mut got)).await.expect("the answer breaks off");
        let got = String::from_utf8_lossy(&got);
        assert!(got.starts_with("HTTP/1.1 200") && got.contains("1\r\nx\r\n"), "{got}");
        assert!(!got.contains("0\r\n\r\n") && !got.contains("fine"), "{got}");
        ended(&gone).await;
    }
    // One whose end is the connection's.
    let mut old = Wire::connect(address).await;
    old.send("GET /drip HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let outcome = timeout(PATIENCE, old.io.read_to_end(&mut Vec::new())).await.expect("the answer breaks off");
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    ended(&gone).await;
    // One that is not read.
    let mut deaf = Wire::connect(address).await;
    deaf.send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n").await;
    ended(&gone).await;
    // What is no HTTP any more.
    let mut chat = Wire::connect(address).await;
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    chat.send(format!("GET /chat HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).await;
    assert!(chat.request_head().await.starts_with("HTTP/1.1 101"));
    assert!(chat.is_closed().await);
    ended(&gone).await;
}

#[tokio::test]
async fn each_request_has_its_own_time() {
    let (upstream, _) = moody().await;
    let (_gateway, address) = start_with(limited(), plan(upstream.address));
    let mut wire = Wire::connect(address).await;
    let began = Instant::now();
    while began.elapsed() < TOTAL * 2 {
        assert_eq!(wire.ask("GET /fine HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "fine");
        tokio::time::sleep(TOTAL / 10).await;
    }
    // A rest between two requests is nobody's time.
    tokio::time::sleep(TOTAL * 2).await;
    assert_eq!(wire.ask("GET /fine HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "fine");
}

/// The status of a request over HTTP/2, and whether its answer came to its end.
async fn ask(sender: &SendRequest<Bytes>, path: &str) -> (u16, bool) {
    let asking = async {
        let request = Request::get(format!("http://a{path}")).body(()).unwrap();
        let (answer, _) = sender.clone().ready().await.unwrap().send_request(request, true).unwrap();
        let (head, mut body) = answer.await.unwrap().into_parts();
        while let Some(data) = body.data().await {
            let Ok(data) = data else { return (head.status.as_u16(), false) };
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        (head.status.as_u16(), true)
    };
    timeout(PATIENCE, asking).await.expect("an end in time")
}

// Of HTTP/2 a stream alone ends; those beside it go on.
#[tokio::test]
async fn on_a_stream() {
    let (upstream, gone) = moody().await;
    let listen = Listen { http2: true, ..anywhere() };
    let gateway = DataPlane::start(limited(), &[listen], fakes(), None).unwrap();
    gateway.load(plan(upstream.address)).unwrap();
    let io = TcpStream::connect(gateway.addresses()[0]).await.unwrap();
    let (sender, connection) = h2::client::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let others = async {
        for _ in 0..20 {
            assert_eq!(ask(&sender, "/fine").await, (200, true));
            tokio::time::sleep(TOTAL / 10).await;
        }
    };
    let (silent, lingers, drips, ()) =
        tokio::join!(ask(&sender, "/silent"), ask(&sender, "/lingers"), ask(&sender, "/drip"), others);
    assert_eq!((silent, lingers, drips), ((504, true), (504, true), (200, false)));
    for _ in 0..2 {
        ended(&gone).await;
    }
}
