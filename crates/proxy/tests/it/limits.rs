//! Time limits, size limits, and the end of a gateway.

use crate::gateway::{endpoint, plan, plan_with, quick, route, service, start, start_with};
use crate::wire::{PATIENCE, Upstream, Wire, answer};
use portcullis_model::plan::{Plan, Route, Service};
use portcullis_proxy::{DataPlane, Limits, Settings, StartError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SHORT: Duration = Duration::from_millis(100);

fn limited(limits: Limits) -> Settings {
    Settings { limits, ..Settings::default() }
}

// S-46: a head that never ends, a connection that says nothing, one that rests too long.
#[tokio::test]
async fn slow_heads_and_idle_connections() {
    let upstream = Upstream::echo().await;
    let limits = Limits { header_timeout: SHORT, keep_alive_idle: SHORT, ..quick() };
    let (_gateway, address) = start_with(limited(limits), plan(upstream.address, &[]));
    let mut silent = Wire::connect(address).await;
    let mut slow = Wire::connect(address).await;
    slow.send("GET / HTTP/1.1\r\nHost: ").await;
    let mut rested = Wire::connect(address).await;
    assert_eq!(rested.ask(GET).await.status(), 200);
    for wire in [&mut silent, &mut slow, &mut rested] {
        assert!(wire.is_closed().await);
    }
    // A head of which a byte comes now and then has no more time than any other.
    let mut drip = Wire::connect(address).await;
    let began = Instant::now();
    let mut dripped = 0;
    while drip.io.write_all(b"G").await.is_ok() && began.elapsed() < PATIENCE {
        dripped += 1;
        tokio::time::sleep(SHORT / 10).await;
    }
    assert!(dripped < 100, "the connection was closed while it dripped");
}

// S-46: a body that stops is a 408, and not the upstream's fault.
#[tokio::test]
async fn a_body_that_stops() {
    let upstream = Upstream::echo().await;
    let limits = Limits { body_idle: SHORT, ..quick() };
    let (_gateway, address) = start_with(limited(limits), plan(upstream.address, &[]));
    for part in ["hello", ""] {
        let mut wire = Wire::connect(address).await;
        let answer = wire.ask(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{part}")).await;
        assert_eq!(answer.status(), 408, "{part:?}: {}", answer.text());
        assert!(wire.is_closed().await);
    }
}

// S-46: a client that does not read is let go, and its upstream with it.
#[tokio::test]
async fn a_client_that_does_not_read() {
    let gone = Arc::new(Notify::new());
    let noticed = gone.clone();
    let upstream = Upstream::start(move |_, mut wire| {
        let gone = gone.clone();
        async move {
            wire.request().await;
            let _ = wire.io.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while wire.io.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
            gone.notify_one();
        }
    })
    .await;
    let limits = Limits { client_read_idle: SHORT, ..quick() };
    let (_gateway, address) = start_with(limited(limits), plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    wire.send(GET).await;
    timeout(PATIENCE, noticed.notified()).await.expect("the upstream's connection ends");
}

// kong.md 3.10: an upstream that is silent, and one that stops in the middle.
#[tokio::test]
async fn slow_upstreams() {
    let silent = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        let mut rest = Vec::new();
        let _ = wire.io.read_to_end(&mut rest).await;
    })
    .await;
    let quick_service = |address| Service { read_timeout: SHORT, ..service(address) };
    let (_gateway, address) = start(plan_with(quick_service(silent.address)));
    for request in [GET, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"] {
        let answer = Wire::connect(address).await.ask(request).await;
        assert_eq!(answer.status(), 504);
        assert!(answer.text().contains("The upstream server is timing out"));
    }
    let stopping = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        wire.io.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await.unwrap();
        let mut rest = Vec::new();
        let _ = wire.io.read_to_end(&mut rest).await;
    })
    .await;
    let (_gateway, address) = start(plan_with(quick_service(stopping.address)));
    let mut wire = Wire::connect(address).await;
    wire.send(GET).await;
    let mut got = Vec::new();
    let _ = timeout(PATIENCE, wire.io.read_to_end(&mut got)).await.expect("the answer breaks off");
    assert!(got.ends_with(b"hello"));
}

// A slow client is not the upstream's fault: its silence counts only once it has been told everything.
#[tokio::test]
async fn a_slow_upload_does_not_blame_the_upstream() {
    let upstream = Upstream::echo().await;
    let impatient = Service { read_timeout: SHORT, ..service(upstream.address) };
    let streaming = Route { request_buffering: false, ..route(Some(impatient), &[]) };
    let (_gateway, address) = start(Plan { endpoints: vec![endpoint("/", streaming)], ..Plan::default() });
    let mut wire = Wire::connect(address).await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").await;
    for byte in ["a", "b", "c", "d"] {
        tokio::time::sleep(SHORT * 2).await;
        wire.send(byte).await;
    }
    let answer = wire.answer().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(answer.text().ends_with("abcd"));
}

// S-47, S-48: one cap for the whole head, whatever fills it.
#[tokio::test]
async fn huge_heads() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let many = (0..200).map(|n| format!("x-{n}: {n}\r\n")).collect::<String>();
    for (name, head) in [
        ("value", format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n", "x".repeat(100_000))),
        ("name", format!("GET / HTTP/1.1\r\nHost: a\r\n{}: x\r\n\r\n", "x".repeat(100_000))),
        ("values", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", format!("x: {}\r\n", "x".repeat(5_000)).repeat(20))),
        ("many", format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
    ] {
        assert_eq!(Wire::connect(address).await.ask(&head).await.status(), 431, "{name}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
    assert!(matches!(Wire::connect(address).await.ask(&long).await.status(), 414 | 431));
    assert_eq!(upstream.connections(), 0);
    // A big token fits.
    let fits = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", "x".repeat(32_000));
    assert_eq!(Wire::connect(address).await.ask(&fits).await.status(), 200);
}

#[tokio::test]
async fn too_many_connections() {
    let upstream = Upstream::echo().await;
    let limits = Limits { max_connections: 2, ..quick() };
    let (_gateway, address) = start_with(limited(limits), plan(upstream.address, &[]));
    let mut seated = [Wire::connect(address).await, Wire::connect(address).await];
    for wire in &mut seated {
        assert_eq!(wire.ask(GET).await.status(), 200);
    }
    assert!(Wire::connect(address).await.is_closed().await);
    assert_eq!(seated[0].ask(GET).await.status(), 200);
}

// What is in flight ends; what is idle is closed; nothing new comes in.
#[tokio::test]
async fn drain() {
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
    let (gateway, address) = start(plan(upstream.address, &[]));
    let mut idle = Wire::connect(address).await;
    idle.send("GET /none HTTP/1.1\r\n\r\n").await;
    let mut fresh = Wire::connect(address).await;
    let mut busy = Wire::connect(address).await;
    busy.send(GET).await;
    told.notified().await;
    let draining = tokio::spawn(async move { gateway.drain(PATIENCE).await });
    assert!(fresh.is_closed().await);
    assert_eq!(idle.answer().await.status(), 400);
    assert!(idle.is_closed().await);
    assert!(!draining.is_finished());
    wait.notify_one();
    let answer = busy.answer().await;
    assert_eq!((answer.text().as_str(), answer.one("connection")), ("late", Some("close")));
    assert!(busy.is_closed().await);
    timeout(PATIENCE, draining).await.expect("the drain ends").unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let upstream = Upstream::start(|_, mut wire| async move {
        wire.request().await;
        let mut rest = Vec::new();
        let _ = wire.io.read_to_end(&mut rest).await;
    })
    .await;
    let (gateway, address) = start(plan(upstream.address, &[]));
    let mut stuck = Wire::connect(address).await;
    stuck.send(GET).await;
    timeout(PATIENCE, gateway.drain(SHORT)).await.expect("the drain ends");
    assert!(stuck.is_closed().await);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let (gateway, address) = start(plan("127.0.0.1:1".parse().unwrap(), &[]));
    #[derive(Debug)]
    struct Nothing;
    impl portcullis_plugins::registry::Build for Nothing {
        fn build(
            &self,
            _: &portcullis_model::plan::PluginConfig,
        ) -> Result<Arc<dyn portcullis_plugins::Plugin>, portcullis_model::problem::Problems> {
            Err(Default::default())
        }
    }
    let error = DataPlane::start(Settings::default(), &[address.into()], Arc::new(Nothing), None).unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }));
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
    drop(gateway);
}
