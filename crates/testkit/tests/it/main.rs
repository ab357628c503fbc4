//! The test equipment does what it says: a fault that is not one would make other tests pass for nothing.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use portcullis_testkit::{AuthServer, Client, DEADLINE, Reply, Upstream};
use serde_json::json;

fn introspect(server: &AuthServer, token: &str) -> portcullis_testkit::Response {
    Client::connect(server.addr()).form("/introspect", &[("token", token)])
}

/// Everything the server sends until it closes or has been silent for a while.
fn raw(server: &AuthServer, token: &str, silence: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream.set_read_timeout(Some(silence)).unwrap();
    let body = format!("token={token}");
    write!(stream, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut seen = Vec::new();
    let mut block = [0; 64 * 1024];
    while let Ok(n) = stream.read(&mut block) {
        if n == 0 || seen.len() > 1_000_000 {
            break;
        }
        seen.extend_from_slice(&block[..n]);
    }
    seen
}

#[test]
fn scripts_answer_by_token() {
    let server = AuthServer::start();
    server.on("good", Reply::active(json!({"sub": "alice"})).header("x-twice", "1").header("x-twice", "2"));
    server.on("late", Reply::status(429).header("retry-after", "7").delay(Duration::from_millis(50)));

    let good = introspect(&server, "good");
    assert_eq!((good.status, good.json()), (200, json!({"active": true, "sub": "alice"})));
    assert_eq!(good.all("x-twice"), ["1", "2"]);
    assert_eq!(introspect(&server, "unknown").json(), json!({"active": false}));

    let start = Instant::now();
    let late = introspect(&server, "late");
    assert_eq!((late.status, late.header("retry-after")), (429, Some("7")));
    assert!(start.elapsed() >= Duration::from_millis(50));

    let calls = server.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!((calls[0].method.as_str(), calls[0].target.as_str()), ("POST", "/introspect"));
    assert_eq!((calls[0].field("token"), calls[0].count("token")), (Some("good"), 1));
}

#[test]
fn faults_are_faults() {
    let server = AuthServer::start();
    let short = Duration::from_millis(200);
    server.on("reset", Reply::reset());
    assert_eq!(raw(&server, "reset", short), b"");
    server.on("hang", Reply::hang());
    assert_eq!(raw(&server, "hang", short), b"");
    server.on("cut", Reply::bytes("application/json", r#"{"active":true}"#).cut_after(5));
    let cut = String::from_utf8(raw(&server, "cut", short)).unwrap();
    assert!(cut.contains("content-length: 15") && cut.ends_with("{\"act"), "{cut}");
    server.on("endless", Reply::endless());
    assert!(raw(&server, "endless", short).len() > 1_000_000);
    server.on("drip", Reply::bytes("text/plain", "abc").drip(1, Duration::from_millis(30)));
    let start = Instant::now();
    assert_eq!(introspect(&server, "drip").text(), "abc");
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn a_held_server_counts_and_waits() {
    let server = AuthServer::start();
    server.hold();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| introspect(&server, "t").json());
        server.wait_for_calls(1, DEADLINE);
        server.on("t", Reply::active(json!({})));
        server.release();
        assert_eq!(waiting.join().unwrap(), json!({"active": true}), "the script at release counts");
    });
}

#[test]
fn a_killed_server_comes_back_on_its_port() {
    let mut server = AuthServer::start();
    let addr = server.addr();
    let mut kept = Client::connect(addr);
    assert_eq!(kept.form("/", &[("token", "t")]).status, 200);
    server.kill();
    assert!(kept.is_closed());
    assert!(TcpStream::connect(addr).is_err());
    server.restart();
    assert_eq!(introspect(&server, "t").status, 200);
    assert_eq!(server.connections(), 2);
}

#[test]
fn the_upstream_tells_what_it_saw() {
    let upstream = Upstream::start();
    let mut client = Client::connect(upstream.addr());
    let echo = client.post("/a//b?x=%20", &[("X-A", "1"), ("x-a", "2"), ("X_B", "3")], b"hello").json();
    assert_eq!(
        (&echo["method"], &echo["target"], &echo["body_length"]),
        (&"POST".into(), &"/a//b?x=%20".into(), &5.into())
    );
    assert_eq!(echo["body_sha256"], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    let seen = &upstream.wait_for_requests(1)[0];
    assert_eq!((seen.all("x-a"), seen.header("x_b"), &seen.body[..]), (vec!["1", "2"], Some("3"), &b"hello"[..]));

    upstream.on("/t", Reply::bytes("text/plain", "x").trailer("x-end", "yes"));
    let answer = client.get("/t", &[("TE", "trailers")]);
    assert_eq!((answer.text(), answer.trailers), ("x".to_owned(), vec![("x-end".to_owned(), "yes".to_owned())]));
    upstream.on("/z", Reply::zeros(200_000));
    assert_eq!(client.get("/z", &[]).body.len(), 200_000);
    assert_eq!(upstream.connections(), 1);
}
