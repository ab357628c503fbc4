//! Limits as the settings say them: heads that are too large, clients that are too slow, bodies that wait.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use portcullis_testkit::{DEADLINE, Gateway, Reply, until};
use serde_json::json;

use crate::stage::{BINARY, Stage, guarded};

/// A gateway before the servers of `stage`, with these settings.
fn gateway(stage: &Stage, settings: &str) -> Gateway {
    let file = guarded(&stage.upstream, &stage.server, json!({}), json!([]));
    Gateway::builder(BINARY, &file).settings(settings).start()
}

/// Sends all that the gateway takes, and returns the status of what it says.
fn status_of(gateway: &Gateway, request: &str) -> u16 {
    let mut stream = TcpStream::connect(gateway.addr()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may close before it has read everything.
    drop(stream.write_all(request.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {text:?}"))
}

// S-47: refused before the plugin looks at it.
#[test]
fn huge_heads_cost_no_call() {
    let stage = Stage::new();
    let token = "x".repeat(1 << 20);
    let fields: String = (0..10_000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    for (name, field) in [
        ("1 MB of Authorization", format!("Authorization: Bearer {token}\r\n")),
        ("10,000 fields", format!("Authorization: Bearer good\r\n{fields}")),
        ("1 MB of a name", format!("{token}: x\r\nAuthorization: Bearer good\r\n")),
        ("200 fields of one name", format!("Authorization: Bearer good\r\n{}", "X: x\r\n".repeat(200))),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n");
        assert_eq!(status_of(&stage.gateway, &request), 431, "{name}");
    }
    assert!(stage.server.calls().is_empty() && stage.upstream.requests().is_empty());
}

// S-48: it is one cap, whatever fills it; each part alone would fit.
#[test]
fn one_cap_for_the_whole_head() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    let gateway = gateway(&stage, "limits: {max_head_bytes: 8192}\n");
    let request = |path: usize, names: usize, values: usize, small: usize| {
        let x = |times: usize| "x".repeat(times);
        let small = format!("X-Small: {}\r\n", x(80)).repeat(small);
        format!(
            "GET /{}?{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer good\r\n{}: x\r\nX: {}\r\n{small}\r\n",
            x(path / 2 + 1),
            x(path / 2),
            x(names + 1),
            x(values),
        )
    };
    for (path, names, values, small) in [(5000, 0, 0, 0), (0, 5000, 0, 0), (0, 0, 5000, 0), (0, 0, 0, 50)] {
        let request = request(path, names, values, small);
        assert_eq!(status_of(&gateway, &request), 200, "{path} {names} {values} {small}");
    }
    let reached = stage.upstream.requests().len();
    for (path, names, values, small) in [
        (5000, 5000, 0, 0),
        (5000, 0, 5000, 0),
        (0, 5000, 5000, 0),
        (5000, 0, 0, 50),
        (0, 5000, 0, 50),
        (0, 0, 5000, 50),
        (0, 0, 0, 90),
        (2500, 2500, 2500, 25),
        (9000, 0, 0, 0),
    ] {
        let status = status_of(&gateway, &request(path, names, values, small));
        assert!(matches!(status, 414 | 431), "{path} {names} {values} {small}: {status}");
    }
    assert_eq!(stage.upstream.requests().len(), reached);
}

// S-46: each of them ends by the limit of its own; a client that keeps its pace does not.
#[test]
fn slow_clients_are_let_go() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    stage.upstream.on("/large", Reply::bytes("text/plain", vec![b'x'; 32 << 20]));
    let limits = "limits: {header_timeout: 0.5, body_idle: 0.5, client_read_idle: 0.5, keep_alive_idle: 0.5}\n";
    let gateway = gateway(&stage, limits);
    let open = || gateway.metric("portcullis_connections_open", "");
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\n";

    // Says nothing; stops in its head; stops in its body; does not read. All of them stay connected.
    let mut silent = gateway.client();
    let mut half = gateway.client();
    half.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    let mut body = gateway.client();
    body.send(format!("{head}Content-Length: 100\r\n\r\nhalf"));
    let mut deaf = gateway.client();
    deaf.send("GET /large HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\n\r\n");
    assert_eq!(body.response().status, 408);
    for client in [&mut silent, &mut half, &mut body] {
        assert!(client.is_closed());
    }
    until("the end of all connections", || (open() == 0.0).then_some(()));
    drop(deaf);

    // A head that drips has no more time than any other.
    let mut drip = TcpStream::connect(gateway.addr()).unwrap();
    let began = Instant::now();
    while drip.write_all(b"G").is_ok() && began.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() < DEADLINE / 2, "{:?}", began.elapsed());

    // A body that comes slowly, but comes, is forwarded whole.
    let mut slow = gateway.client();
    slow.send(format!("{head}Content-Length: 10\r\nConnection: close\r\n\r\n"));
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        slow.send("x");
    }
    let answer = slow.response();
    assert_eq!((answer.status, &answer.json()["body_length"]), (200, &json!(10)));
}

// S-46: while the authorization server thinks, a body stays where it is, with its client; of one that is looked at,
// only what the inspection may read is taken.
#[test]
fn no_body_is_held_while_the_server_thinks() {
    const CLIENTS: usize = 8;
    const BODY: usize = 16 << 20;
    let stage = Stage::with(json!({"timeout": 60_000}));
    for (kind, tokens) in [("text/plain", "plain"), ("application/x-www-form-urlencoded", "form")] {
        // What a process keeps for good once it has served as many.
        let warm: Vec<_> = (0..CLIENTS).map(|_| stage.gateway.get("/", &[]).status).collect();
        assert_eq!(warm, [401; CLIENTS]);
        stage.server.hold();
        let calls = stage.server.calls().len();
        let before = stage.gateway.resident_bytes();
        let clients: Vec<TcpStream> = (0..CLIENTS)
            .map(|n| {
                let mut stream = TcpStream::connect(stage.gateway.addr()).unwrap();
                stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
                let head = format!(
                    "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {tokens}-{n}\r\nContent-Type: {kind}\r\n\
                     Content-Length: {BODY}\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream
            })
            .collect();
        stage.server.wait_for_calls(calls + CLIENTS, DEADLINE);
        let piece = vec![b'x'; 64 * 1024];
        let mut held = 0;
        for mut client in &clients {
            let mut sent = 0;
            // Until nobody takes more: not the gateway, and the system's own buffers are full.
            while let Ok(written) = client.write(&piece) {
                sent += written;
                if sent >= BODY {
                    break;
                }
            }
            held += sent;
            assert!(sent < BODY, "{kind}: all of it was taken");
        }
        let grown = stage.gateway.resident_bytes().saturating_sub(before);
        assert!(grown < 4 << 20, "{kind}: {grown} bytes more while {held} bytes of bodies wait");
        drop(clients);
        stage.server.release();
        until("closed connections", || (stage.gateway.metric("portcullis_connections_open", "") == 0.0).then_some(()));
    }
}
