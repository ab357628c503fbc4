//! Bodies pass in both directions, at their own pace.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use portcullis_testkit::{DEADLINE, Reply};
use serde_json::json;

use crate::stage::Stage;

const LARGE: usize = 16 * 1024 * 1024;

#[test]
fn bodies_arrive_whole() {
    let stage = Stage::new();
    stage.grant("t", json!({}));
    let body: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut client = stage.gateway.client();
    let sent = client.post("/", &[("Authorization", "Bearer t")], &body);
    assert_eq!((sent.status, &sent.json()["body_length"]), (200, &body.len().into()));
    assert_eq!(stage.upstream.requests()[0].body, body);
    // The same connection goes on, chunks this time, with a method that is no guess.
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().json()["body_length"], 5);
    stage.upstream.on("/zeros", Reply::zeros(LARGE as u64));
    assert_eq!(client.get("/zeros", &[("Authorization", "Bearer t")]).body.len(), LARGE);
}

#[test]
fn an_answer_that_begins_early_does_not_stop_the_upload() {
    let stage = Stage::new();
    stage.grant("t", json!({}));
    stage.upstream.on("/early", Reply::zeros(LARGE as u64).early());
    // S-67: the client reads only after it has sent everything.
    let mut stream = TcpStream::connect(stage.gateway.addr()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "POST /early HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\nContent-Length: {LARGE}\r\n\r\n")
        .unwrap();
    stream.write_all(&vec![b'x'; LARGE]).expect("the upload goes on");
    let mut received = 0;
    let mut block = vec![0; 256 * 1024];
    while received < LARGE {
        let read = stream.read(&mut block).expect("the answer goes on");
        assert!(read > 0, "the answer ended after {received} bytes");
        received += read;
    }
}

#[test]
fn an_upload_that_finds_its_connection_closed_takes_another() {
    let mut stage = Stage::new();
    stage.grant("t", json!({}));
    let mut client = stage.gateway.client();
    // Often enough that an upload comes before the pool has noticed.
    for _ in 0..20 {
        assert_eq!(client.get("/", &[("Authorization", "Bearer t")]).status, 200);
        stage.upstream.kill();
        stage.upstream.restart();
        let status = client.post("/", &[("Authorization", "Bearer t")], b"body").status;
        // The upstream may have gone just after a first byte was sent: then nobody knows whether it has acted on it.
        assert!([200, 502].contains(&status), "{status}");
    }
}

#[test]
fn an_answer_streams() {
    let stage = Stage::new();
    stage.grant("t", json!({}));
    let slow = Reply::bytes("text/plain", "abcdef").drip(1, Duration::from_millis(20));
    stage.upstream.on("/slow", slow);
    assert_eq!(stage.gateway.get_as("t", "/slow").text(), "abcdef");
}
