//! Requests and answers on their way through.

use crate::gateway::{config, endpoint, plan, plan_with, quick, route, service, start, start_with};
use crate::wire::{PATIENCE, Upstream, Wire, answer};
use portcullis_model::plan::{Candidate, Condition, Consumer, Consumers, Plan, Protocol, Protocols, Service, Step};
use portcullis_proxy::{Limits, Settings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

// K-130, K-131, K-132, K-133
#[tokio::test]
async fn forwarded_headers() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(Plan {
        endpoints: vec![endpoint("/api", route(Some(service(upstream.address)), &[]))],
        ..Plan::default()
    });
    let spoofed = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
                   X-Forwarded-Path: /evil\r\nX-Forwarded-Prefix: /evil\r\nX-Real-IP: 10.0.0.1\r\nX-Kong-Request-Id: evil\r\n\
                   Via: 1.1 first\r\nProxy: evil\r\nProxy-Connection: close\r\n";
    let request = format!("GET /api/b?c=d HTTP/1.1\r\nHost: A.example:8000\r\n{spoofed}\r\n");
    let answer = Wire::connect(address).await.ask(request).await;
    let seen = answer.seen();
    let port = address.port().to_string();
    assert!(seen.head.starts_with("GET /b?c=d HTTP/1.1\r\n"), "{}", seen.head);
    for (name, value) in [
        ("host", &*upstream.address.to_string()),
        ("x-forwarded-for", "10.0.0.1, 127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "A.example"),
        ("x-forwarded-port", &port),
        ("x-forwarded-path", "/api/b"),
        ("x-forwarded-prefix", "/api"),
    ] {
        assert_eq!(seen.one(name), Some(value), "{name}");
    }
    assert_eq!(seen.all("via"), ["1.1 first", "1.1 portcullis/0.0.0"]);
    assert_eq!((seen.one("proxy"), seen.one("proxy-connection")), (None, None));
    let id = seen.one("x-kong-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(answer.one("x-kong-request-id"), Some(id));
    assert_eq!(answer.one("via"), Some("1.1 portcullis/0.0.0"));
    assert_eq!(answer.one("server"), Some("portcullis/0.0.0"));
    assert!(answer.one("x-kong-proxy-latency").is_some() && answer.one("x-kong-upstream-latency").is_some());
    assert!(answer.one("date").is_some());
}

// K-133: the client's host, where the route keeps it.
#[tokio::test]
async fn preserved_host() {
    let upstream = Upstream::echo().await;
    let mut kept = route(Some(service(upstream.address)), &[]);
    kept.preserve_host = true;
    let (_gateway, address) = start(Plan { endpoints: vec![endpoint("/", kept)], ..Plan::default() });
    assert_eq!(Wire::connect(address).await.ask(GET).await.seen().one("host"), Some("a.example"));
}

// K-129: what is matched is what is forwarded; a bare question mark stays.
#[tokio::test]
async fn targets() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    for (target, forwarded) in
        [("//a/../b%7e", "/b~"), ("/a?", "/a?"), ("/a?b=%2e", "/a?b=%2e"), ("http://a.example", "/"), ("/%2f", "/%2F")]
    {
        let seen = wire.ask(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await.text();
        assert!(seen.starts_with(&format!("GET {forwarded} HTTP/1.1\r\n")), "{target}: {seen}");
    }
}

#[tokio::test]
async fn a_hundred_requests_over_one_connection() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    for number in 0..50 {
        let seen = wire.ask(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).await.text();
        assert!(seen.starts_with(&format!("GET /{number} ")), "{seen}");
        // A request with a body takes the connection with it, and brings it back.
        let seen =
            wire.ask(format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")).await.text();
        assert!(seen.starts_with(&format!("POST /{number} ")) && seen.ends_with("hello"), "{seen}");
    }
    assert_eq!(upstream.connections(), 1);
}

// A connection that gives up its buffers whenever it rests serves like any other, and loses no byte: of a head that
// has come in part, of pipelined requests, of a body that a refusal left unread.
#[tokio::test]
async fn a_connection_that_sleeps_loses_nothing() {
    let upstream = Upstream::echo().await;
    let limits = Limits { awake: Duration::ZERO, ..quick() };
    let (_gateway, address) = start_with(
        Settings { limits, ..Settings::default() },
        Plan {
            endpoints: vec![
                endpoint("/refused", route(None, &["refuse"])),
                endpoint("/", route(Some(service(upstream.address)), &[])),
            ],
            ..Plan::default()
        },
    );
    let mut wire = Wire::connect(address).await;
    for round in 0..20 {
        let request = format!("GET /{round} HTTP/1.1\r\nHost: a\r\n\r\n");
        let (begin, end) = request.split_at(round);
        let upload = "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        // One whole request, and the beginning of the next one behind it.
        let first = wire.ask(format!("{upload}{begin}")).await;
        assert!(first.text().ends_with("hello"));
        let second = wire.ask(format!("{end}POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nun")).await;
        assert!(second.text().starts_with(&format!("GET /{round} ")), "{}", second.text());
        assert_eq!(wire.answer().await.status(), 401);
        let third = wire.ask(format!("touched{GET}")).await;
        assert!(third.text().starts_with("GET / "), "{}{}", third.head, third.text());
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn chunked_and_empty_answers_bring_the_connection_back() {
    let upstream = Upstream::start(|_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let answer: &[u8] = match &*request.head {
                head if head.starts_with("HEAD") => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                head if head.starts_with("GET /none") => b"HTTP/1.1 204 No Content\r\n\r\n",
                head if head.starts_with("GET /same") => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            };
            wire.io.write_all(answer).await.unwrap();
        }
    })
    .await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    for _ in 0..10 {
        assert_eq!(wire.ask(GET).await.text(), "hello");
        for request in [
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /same HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            wire.send(request).await;
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                head.push(timeout(PATIENCE, wire.io.read_u8()).await.unwrap().unwrap() as char);
            }
            if request.starts_with("HEAD") {
                assert!(head.to_ascii_lowercase().contains("content-length: 1000"), "{head}");
            }
        }
    }
    assert_eq!(upstream.connections(), 1);
}

// A connection that the upstream has closed meanwhile: nothing was sent, so the request goes over another.
#[tokio::test]
async fn a_stale_connection_is_replaced() {
    let upstream = Upstream::start(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.io.write_all(&answer(200, b"once")).await.unwrap();
        }
    })
    .await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    for round in 1..=5 {
        let request = if round % 2 == 0 { GET } else { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab" };
        assert_eq!(wire.ask(request).await.status(), 200);
        assert_eq!(upstream.connections(), round);
        // The upstream's end of the connection has come once ours has been swept out of the pool, or at the next
        // request; either way it is noticed before anything is sent.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

// S-67: upload and answer move independently of each other.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_megabytes_each_way() {
    const SIZE: usize = 16 << 20;
    let upstream = Upstream::start(|_, wire| async move {
        let (mut from, mut to) = wire.io.into_split();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        // Answers once the request has begun, while most of it is still to come.
        let mut buffer = vec![0; 64 * 1024];
        let mut read = from.read(&mut buffer).await.unwrap();
        let reading = tokio::spawn(async move {
            while read < SIZE {
                read += from.read(&mut buffer).await.unwrap();
            }
        });
        to.write_all(head.as_bytes()).await.unwrap();
        to.write_all(&vec![b'x'; SIZE]).await.unwrap();
        reading.await.unwrap();
    })
    .await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    let began = Instant::now();
    wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    // The client reads only after it has sent everything. What the sockets buffer is far less than 16 MB, so this
    // goes on only because the gateway takes the upload while nobody takes its answer.
    timeout(PATIENCE, wire.io.write_all(&vec![b'y'; SIZE])).await.expect("the upload goes on").unwrap();
    let answer = wire.answer().await;
    assert_eq!((answer.status(), answer.body.len()), (200, SIZE));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn expect_continue() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    let mut wire = Wire::connect(address).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(wire.ask(head).await.status(), 100);
    let answer = wire.ask("hello").await;
    assert!(answer.text().ends_with("hello"));
    assert_eq!(answer.seen().one("expect"), None);

    let (_refusing, address) = start(plan(upstream.address, &["refuse"]));
    assert_eq!(Wire::connect(address).await.ask(head).await.status(), 401, "no 100 before a refusal");
}

// kong.md 3.10: what is wrong with an upstream, and what its client sees.
#[tokio::test]
async fn unreachable_upstreams() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let named = |host: &str| Service { host: host.into(), ..service(closed) };
    for (service, status, message) in [
        (named("127.0.0.1"), 502, "An invalid response was received from the upstream server"),
        (named("no-such-host.invalid"), 503, "name resolution failed"),
    ] {
        let (_gateway, address) = start(plan_with(service));
        let answer = Wire::connect(address).await.ask(GET).await;
        assert_eq!(answer.status(), status);
        assert!(answer.text().contains(message), "{}", answer.text());
        assert_eq!(answer.one("via").is_some(), status == 502);
    }
}

// K-120, K-123, K-124
#[tokio::test]
async fn nowhere_to_go() {
    let upstream = Upstream::echo().await;
    let mut secure = route(Some(service(upstream.address)), &["panic"]);
    secure.protocols = Protocols { http: false, https: true };
    let mut moved = secure.clone();
    moved.https_redirect_status = 301;
    let (gateway, address) = start(Plan {
        endpoints: vec![
            endpoint("/secure", secure),
            endpoint("/moved", moved),
            endpoint("/empty", route(None, &[])),
            endpoint("/guarded", route(None, &["refuse"])),
            endpoint("/answered", route(None, &["answer"])),
        ],
        ..Plan::default()
    });
    let mut wire = Wire::connect(address).await;
    for (path, status, text) in [
        ("/none", 404, "no Route matched with those values"),
        ("/empty", 503, "no Service found with those values"),
        ("/guarded", 401, "Unauthorized"),
        ("/answered", 200, "from a step"),
        ("/secure", 426, "Please use HTTPS protocol"),
        ("/moved", 301, ""),
    ] {
        let answer = wire.ask(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n")).await;
        assert_eq!(answer.status(), status, "{path}");
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
        assert!(answer.one("x-kong-request-id").is_some());
        if status == 426 {
            assert_eq!(answer.one("connection"), Some("Upgrade"));
        }
        if status == 301 {
            assert_eq!(answer.one("location"), Some("https://a.example/moved"));
        }
    }
    let metrics = gateway.metrics().encode();
    assert!(metrics.contains(r#"portcullis_requests_total{route="/guarded",status="401"} 1"#), "{metrics}");
}

// A step's configuration for the consumer that an earlier step found goes before that for everybody, and both only
// where their conditions hold.
#[tokio::test]
async fn configurations_of_a_consumer() {
    let bob = Consumer { id: uuid::Uuid::from_u128(1), username: Some("bob".into()), custom_id: None };
    let of_bob = Arc::new(BTreeMap::from([(bob.id, config("refuse", Condition::Always))]));
    let https = Condition::Protocols(Protocols { http: false, https: true });
    let candidates = vec![
        Candidate::Any(config("panic", https)),
        Candidate::ByConsumer(of_bob),
        Candidate::Any(config("answer", Condition::Always)),
    ];
    let mut route = route(None, &["consumer"]);
    route.steps.push(Step { plugin: "limit".into(), candidates });
    let (_gateway, address) = start(Plan {
        endpoints: vec![endpoint("/", route)],
        consumers: Arc::new(Consumers::new([bob])),
        ..Plan::default()
    });
    let mut wire = Wire::connect(address).await;
    for (query, status) in [("bob", 401), ("alice", 200)] {
        let answer = wire.ask(format!("GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(answer.status(), status, "{query}");
    }
}

// A server that no public root vouches for gets no request.
#[tokio::test]
async fn upstream_certificates_are_verified() {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let upstream = Upstream::start(move |_, wire| {
        let acceptor = acceptor.clone();
        async move { assert!(acceptor.accept(wire.io).await.is_err(), "the gateway goes on") }
    })
    .await;
    let (_gateway, address) = start(plan_with(Service { protocol: Protocol::Https, ..service(upstream.address) }));
    assert_eq!(Wire::connect(address).await.ask(GET).await.status(), 502);
    assert_eq!(upstream.connections(), 1);
}

// S-36: a step that panics is a 500, and the upstream is not called; the gateway lives on.
#[tokio::test]
async fn a_panic_in_a_step() {
    let upstream = Upstream::echo().await;
    for plugin in ["panic", "panic_late"] {
        let (_gateway, address) = start(plan(upstream.address, &[plugin]));
        let mut wire = Wire::connect(address).await;
        for _ in 0..2 {
            let answer = wire.ask(GET).await;
            assert_eq!(answer.status(), 500, "{plugin}");
            assert!(answer.text().contains("An unexpected error occurred"));
        }
    }
    assert_eq!(upstream.connections(), 0);
}
