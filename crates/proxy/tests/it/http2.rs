//! HTTP/2, by the client of its library; what that would not send stands in `frames.rs`.

use crate::frames::{Frames, PING};
use crate::gateway::{endpoint, fakes, plan, quick, route, service};
use crate::tls::{Secure, ecdsa, start_secured};
use crate::wire::{PATIENCE, Upstream, Wire, answer};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, StatusCode};
use portcullis_model::plan::Plan;
use portcullis_proxy::{DataPlane, Limits, Listen, Settings};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(200);

/// A gateway whose one listener takes both versions.
pub(crate) fn start(limits: Limits, plan: Plan) -> (DataPlane, SocketAddr) {
    let listen = Listen { http2: true, ..SocketAddr::from(([127, 0, 0, 1], 0)).into() };
    let gateway = DataPlane::start(Settings { limits, ..Settings::default() }, &[listen], fakes(), None).unwrap();
    gateway.load(plan).unwrap();
    let address = gateway.addresses()[0];
    (gateway, address)
}

type Ended = JoinHandle<Result<(), h2::Error>>;

/// An upstream that answers when it is let, with what tells that it is asked, and what lets it.
pub(crate) async fn late() -> (Upstream, Arc<Notify>, Arc<Notify>) {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (asked.clone(), go.clone());
    let upstream = Upstream::start(move |_, mut wire| {
        let (asked, go) = (asked.clone(), go.clone());
        async move {
            while wire.request().await.is_some() {
                asked.notify_one();
                go.notified().await;
                wire.io.write_all(&answer(200, b"late")).await.unwrap();
            }
        }
    })
    .await;
    (upstream, told, wait)
}

async fn speak(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> (SendRequest<Bytes>, Ended) {
    // Room for a stream that nobody reads, and the others beside it.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20).max_send_buffer_size(1 << 20);
    let (sender, connection) = builder.handshake(io).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn connect(address: SocketAddr) -> (SendRequest<Bytes>, Ended) {
    speak(TcpStream::connect(address).await.unwrap()).await
}

fn get(target: &str) -> Request<()> {
    Request::get(target).body(()).unwrap()
}

/// Sends a request and reads its answer whole.
async fn ask(sender: &SendRequest<Bytes>, request: Request<()>, body: &[u8]) -> Result<Response<String>, h2::Error> {
    let asking = async {
        let mut sender = sender.clone().ready().await?;
        let (answer, mut stream) = sender.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body), true)?;
        }
        let (parts, mut body) = answer.await?.into_parts();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            text.extend_from_slice(&data);
        }
        Ok(Response::from_parts(parts, String::from_utf8_lossy(&text).into_owned()))
    };
    timeout(PATIENCE, asking).await.expect("an answer in time")
}

#[tokio::test]
async fn one_listener_takes_both_versions() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(quick(), plan(upstream.address, &[]));
    let (sender, _ended) = connect(address).await;
    for _ in 0..3 {
        let answer = ask(&sender, get("http://a.example/x?y=z"), b"").await.unwrap();
        assert_eq!(answer.status(), 200);
        let seen = answer.body();
        assert!(seen.starts_with("GET /x?y=z HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains("x-forwarded-host: a.example\r\n") && seen.contains("x-forwarded-proto: http\r\n"));
        assert!(seen.contains("via: 2 portcullis/"), "{seen}");
        assert!(answer.headers()["via"].to_str().unwrap().starts_with("2 portcullis/"));
    }
    // Its body goes on as it came.
    let post = Request::post("http://a.example/").body(()).unwrap();
    assert!(ask(&sender, post, b"hello").await.unwrap().body().ends_with("hello"));
    // HTTP/1 beside it, also by a method that begins as the preface does, in pieces.
    let mut wire = Wire::connect(address).await;
    wire.send("P").await;
    wire.send("RI").await;
    let answer = wire.ask(" / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.text().starts_with("PRI / HTTP/1.1"), "{}", answer.text());
    assert!(wire.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.text().contains("via: 1.1 portcullis/"));
}

#[tokio::test]
async fn over_tls_by_alpn() {
    let upstream = Upstream::echo().await;
    let settings = Settings { limits: quick(), ..Settings::default() };
    let (gateway, address) = start_secured(settings, plan(upstream.address, &[]));
    gateway.show_certificates(&[vec![ecdsa(&["a.example"])]]).unwrap();
    let wire = Secure::speaking(&["h2"]).connect(address, Some("a.example")).await.unwrap();
    let (sender, _ended) = speak(wire.io).await;
    let answer = ask(&sender, get("https://a.example/"), b"").await.unwrap();
    assert!(answer.body().contains("x-forwarded-proto: https\r\n"), "{}", answer.body());
    // A listener without the word takes the preface for what it is to HTTP/1.
    let (_gateway, plain) = crate::gateway::start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(plain).await;
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(wire.is_closed().await || !wire.buffer.is_empty());
}

// S-44: the host, cookies, lengths.
#[tokio::test]
async fn heads_in_the_words_of_http1() {
    let upstream = Upstream::echo().await;
    let mut keeping = route(Some(service(upstream.address)), &[]);
    keeping.preserve_host = true;
    let (_gateway, address) = start(quick(), Plan { endpoints: vec![endpoint("/", keeping)], ..Plan::default() });
    let (sender, _ended) = connect(address).await;
    // Target, headers, status, what the upstream saw.
    type Row = (&'static str, &'static [(&'static str, &'static str)], u16, &'static str);
    let rows: [Row; 10] = [
        ("http://a.example:8000/", &[], 200, "\r\nhost: a.example:8000\r\n"),
        ("http://a.example/", &[("host", "a.example")], 200, "\r\nhost: a.example\r\n"),
        ("http://a.example/", &[("host", "A.example:80")], 200, "\r\nhost: A.example:80\r\n"),
        ("http://a.example/", &[("host", "b.example")], 400, ""),
        ("http://a.example/", &[("host", "a.example"), ("host", "a.example")], 400, ""),
        ("http://u@a.example/", &[], 400, ""),
        ("ftp://a.example/", &[], 400, ""),
        ("http://a/", &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")], 200, "\r\ncookie: a=1; b=2; c=3\r\n"),
        ("http://a/", &[("content-length", "0"), ("content-length", "0")], 400, ""),
        ("http://a/..;/x", &[], 400, ""),
    ];
    for (target, headers, status, seen) in rows {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = ask(&sender, request.body(()).unwrap(), b"").await.unwrap();
        assert_eq!(answer.status(), status, "{target} {headers:?}");
        assert!(answer.body().contains(seen), "{target} {headers:?}: {}", answer.body());
    }
    // The connection goes on after each of them, and these never come this far.
    let answer = ask(&sender, Request::builder().method("TRACE").uri("http://a/").body(()).unwrap(), b"").await;
    assert_eq!(answer.unwrap().status(), 405);
}

#[tokio::test]
async fn answers_say_nothing_of_connections() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
        Proxy-Connection: close\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\nX-Stays: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let upstream = Upstream::once(ANSWER).await;
    let mut https = route(Some(service(upstream.address)), &[]);
    https.protocols.http = false;
    let endpoints = vec![endpoint("/https", https), endpoint("/", route(Some(service(upstream.address)), &[]))];
    let (_gateway, address) = start(quick(), Plan { endpoints, ..Plan::default() });
    let (sender, _ended) = connect(address).await;
    let bare = |headers: &HeaderMap| {
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "x-hop"] {
            assert!(!headers.contains_key(name), "{headers:?}");
        }
    };
    let answer = ask(&sender, get("http://a/"), b"").await.unwrap();
    bare(answer.headers());
    assert_eq!((answer.body().as_str(), answer.headers().contains_key("x-stays")), ("ok", true));
    for (target, status) in [("http://a/https", 426), ("http://a/..;/", 400)] {
        let answer = ask(&sender, get(target), b"").await.unwrap();
        assert_eq!(answer.status(), status);
        bare(answer.headers());
    }
}

// S-46: a stream whose body pauses is refused; the others of its connection go on meanwhile and after.
#[tokio::test]
async fn a_slow_body_is_its_own_streams_trouble() {
    let upstream = Upstream::echo().await;
    let limits = Limits { body_idle: SHORT, ..quick() };
    let (_gateway, address) = start(limits, plan(upstream.address, &[]));
    let (sender, _ended) = connect(address).await;
    let post = Request::post("http://a/").body(()).unwrap();
    let (slow, mut body) = sender.clone().ready().await.unwrap().send_request(post, false).unwrap();
    body.send_data("a".into(), false).unwrap();
    let waiting = timeout(PATIENCE, slow);
    let others = async {
        for _ in 0..20 {
            assert_eq!(ask(&sender, get("http://a/"), b"").await.unwrap().status(), 200);
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let (slow, ()) = tokio::join!(waiting, others);
    assert_eq!(slow.expect("an answer in time").unwrap().status(), 408);
    assert_eq!(ask(&sender, get("http://a/"), b"").await.unwrap().status(), 200);
    // Slow but steady is fine.
    let post = Request::post("http://a/").body(()).unwrap();
    let (steady, mut body) = sender.clone().ready().await.unwrap().send_request(post, false).unwrap();
    for _ in 0..6 {
        tokio::time::sleep(SHORT / 2).await;
        body.send_data("a".into(), false).unwrap();
    }
    body.send_data("".into(), true).unwrap();
    assert_eq!(timeout(PATIENCE, steady).await.expect("an answer in time").unwrap().status(), 200);
}

// S-46: an answer that nobody reads ends, and its upstream with it; the others go on.
#[tokio::test]
async fn an_unread_answer_is_its_own_streams_trouble() {
    let gone = Arc::new(Notify::new());
    let noticed = gone.clone();
    let upstream = Upstream::start(move |_, mut wire| {
        let gone = gone.clone();
        async move {
            while let Some(request) = wire.request().await {
                if !request.head.starts_with("GET /much") {
                    wire.io.write_all(&answer(200, b"small")).await.unwrap();
                    continue;
                }
                let _ = wire.io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while wire.io.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
                gone.notify_one();
                return;
            }
        }
    })
    .await;
    let limits = Limits { client_read_idle: SHORT, ..quick() };
    let (_gateway, address) = start(limits, plan(upstream.address, &[]));
    let (sender, _ended) = connect(address).await;
    let mut ready = sender.clone().ready().await.unwrap();
    let (much, _) = ready.send_request(get("http://a/much"), true).unwrap();
    let mut much = timeout(PATIENCE, much).await.expect("a head in time").unwrap().into_body();
    let others = async {
        for _ in 0..20 {
            assert_eq!(ask(&sender, get("http://a/"), b"").await.unwrap().body(), "small");
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let ended = timeout(PATIENCE, noticed.notified());
    tokio::join!(others, async { ended.await.expect("the upstream's connection ends") });
    let reset = async { while much.data().await.is_some_and(|data| data.is_ok()) {} };
    timeout(PATIENCE, reset).await.expect("the stream is reset");
    assert_eq!(ask(&sender, get("http://a/"), b"").await.unwrap().body(), "small");
}

// S-67
#[tokio::test]
async fn an_early_answer_does_not_stop_the_upload() {
    const LENGTH: usize = 16 << 20;
    let upstream = Upstream::start(|_, mut wire| async move {
        let head = wire.request_head().await;
        assert!(head.contains("content-length"), "{head}");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        wire.io.write_all(head.as_bytes()).await.unwrap();
        let mut left = LENGTH - wire.buffer.len();
        wire.io.write_all(&wire.buffer).await.unwrap();
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let read = wire.io.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0);
            left -= read;
            wire.io.write_all(&buffer[..read]).await.unwrap();
        }
    })
    .await;
    let (_gateway, address) = start(quick(), plan(upstream.address, &[]));
    let (sender, _ended) = connect(address).await;
    let post = Request::post("http://a/").header("content-length", LENGTH).body(()).unwrap();
    let (answer, mut up) = sender.clone().ready().await.unwrap().send_request(post, false).unwrap();
    let sending = async {
        let mut left = LENGTH;
        while left > 0 {
            up.reserve_capacity(left.min(64 * 1024));
            let room = std::future::poll_fn(|cx| up.poll_capacity(cx)).await.unwrap().unwrap();
            left -= room;
            up.send_data(vec![b'x'; room].into(), left == 0).unwrap();
        }
    };
    let reading = async {
        let mut down = answer.await.unwrap().into_body();
        let mut read = 0;
        while let Some(data) = down.data().await {
            let data = data.unwrap();
            read += data.len();
            down.flow_control().release_capacity(data.len()).unwrap();
        }
        read
    };
    let ((), read) = timeout(PATIENCE, async { tokio::join!(sending, reading) }).await.expect("both ways in time");
    assert_eq!(read, LENGTH);
}

// What is in flight ends, and the client is told to begin nothing new.
#[tokio::test]
async fn drain() {
    let (upstream, told, wait) = late().await;
    let (gateway, address) = start(quick(), plan(upstream.address, &[]));
    let (busy, ended) = connect(address).await;
    let (_idle, idle_ended) = connect(address).await;
    let asking = tokio::spawn(async move { ask(&busy, get("http://a/"), b"").await });
    told.notified().await;
    let draining = tokio::spawn(async move { gateway.drain(PATIENCE).await });
    let _ = timeout(PATIENCE, idle_ended).await.expect("the idle one is closed").unwrap();
    assert!(!draining.is_finished());
    wait.notify_one();
    assert_eq!(asking.await.unwrap().unwrap().body(), "late");
    let _ = timeout(PATIENCE, ended).await.expect("the busy one is closed").unwrap();
    timeout(PATIENCE, draining).await.expect("the drain ends").unwrap();
}

// S-46: connections without requests end, whatever else is said on them.
#[tokio::test]
async fn idle_connections_end() {
    let upstream = Upstream::echo().await;
    let limits = Limits { keep_alive_idle: SHORT, client_read_idle: SHORT, ..quick() };
    let (_gateway, address) = start(limits.clone(), plan(upstream.address, &[]));
    let (sender, ended) = connect(address).await;
    ask(&sender, get("http://a/"), b"").await.unwrap();
    let _ = timeout(PATIENCE, ended).await.expect("an end in time").unwrap();
    // One that answers nothing but goes on with pings.
    let mut frames = Frames::connect(address).await;
    let pings = async {
        while frames.try_send(PING, 0, 0, &[0; 8]).await {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(PATIENCE, pings).await.expect("an end in time");
    // One that never says anything at all, and one that says half of the preface.
    let limits = Limits { header_timeout: SHORT, ..limits };
    let (_gateway, address) = start(limits, plan(upstream.address, &[]));
    for half in ["", "PRI * HT"] {
        let mut wire = Wire::connect(address).await;
        wire.send(half).await;
        assert!(wire.is_closed().await, "{half}");
    }
}

// S-48, S-47: one cap for the whole head.
#[tokio::test]
async fn huge_heads() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(quick(), plan(upstream.address, &[]));
    let (sender, _ended) = connect(address).await;
    let one = |name: String, value: String| Request::get("http://a/").header(name, value).body(()).unwrap();
    let mut many = get("http://a/");
    for n in 0..3_000 {
        many.headers_mut().append("x", n.into());
    }
    for (kind, request) in [
        ("value", one("authorization".into(), "x".repeat(100_000))),
        ("path", get(&format!("http://a/{}", "x".repeat(60_000)))),
        ("many", many),
    ] {
        let status = ask(&sender, request, b"").await.map(|answer| answer.status());
        let refused = match &status {
            Ok(status) => matches!(status.as_u16(), 414 | 431),
            // The engine resets what it has refused.
            Err(error) => error.is_reset() || error.is_go_away(),
        };
        assert!(refused || (kind == "path" && status.is_ok()), "{kind}: {status:?}");
    }
    let fits = one("authorization".into(), "x".repeat(32_000));
    assert_eq!(ask(&sender, fits, b"").await.unwrap().status(), StatusCode::OK);
}
