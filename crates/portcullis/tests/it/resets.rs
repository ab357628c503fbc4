//! Clients of HTTP/2 that take their requests back, by hand-made frames.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, ScopedJoinHandle};

use portcullis_testkit::{AuthServer, DEADLINE, Gateway, Upstream, until};
use serde_json::json;

use crate::stage::{BINARY, Stage, guarded};

const CALLS: usize = 4;
const QUEUE: usize = 20;
const STORMS: usize = 8;

/// A connection that has said its preface and empty settings.
fn connect(address: SocketAddr) -> TcpStream {
    let mut wire = TcpStream::connect(address).unwrap();
    wire.set_read_timeout(Some(DEADLINE)).unwrap();
    wire.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    wire
}

/// A request for `/` with this token, as one frame that ends its stream.
fn request(stream: u32, token: &str) -> Vec<u8> {
    let value = format!("Bearer {token}");
    // GET, http and / from the static table; :authority (1) and authorization (23) with values of their own.
    let mut block = vec![0x82, 0x86, 0x84, 0x01, 1, b'a', 0x0f, 23 - 15, u8::try_from(value.len()).unwrap()];
    block.extend_from_slice(value.as_bytes());
    let mut frame = vec![0, 0, u8::try_from(block.len()).unwrap(), 0x01, 0x05];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend(block);
    frame
}

/// RST_STREAM with CANCEL.
fn reset(stream: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 4, 0x03, 0];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(&8_u32.to_be_bytes());
    frame
}

/// Reads until the connection ends.
fn is_ended(wire: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match wire.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Five thousand requests over one connection, each taken back at once; whether that ends the connection.
fn blow(storm: usize, address: SocketAddr) -> bool {
    let mut wire = connect(address);
    for n in 0..5_000_u32 {
        let stream = 2 * n + 1;
        let both = [request(stream, &format!("storm-{storm}-{n}")), reset(stream)].concat();
        if wire.write_all(&both).is_err() {
            break;
        }
    }
    is_ended(&mut wire)
}

// S-45: a storm of requests, each taken back at once, while the authorization server is slow: the connection ends, the
// server gets no more calls than it is allowed, none of them is held up afterwards, nothing reaches the upstream, and
// memory stays within bounds all the while.
#[test]
fn a_storm_of_resets_costs_few_calls() {
    let (server, upstream) = (AuthServer::start(), Upstream::start());
    let file = guarded(&upstream, &server, json!({"timeout": 60_000}), json!([]));
    let settings = format!("introspection: {{concurrent_calls: {CALLS}, queued_calls: {QUEUE}}}\n");
    let gateway = Gateway::builder(BINARY, &file).listen("127.0.0.1:0 http2").settings(&settings).start();
    let stage = Stage { server, upstream, gateway };
    stage.server.hold();
    let flights = || stage.gateway.metric("portcullis_token_cache_flights", "");
    // As many as are called and queued, taken back once they are.
    let mut patient = connect(stage.gateway.addr());
    let streams: Vec<u32> = (0..CALLS + QUEUE).map(|n| 2 * u32::try_from(n).unwrap() + 1).collect();
    for stream in &streams {
        patient.write_all(&request(*stream, &format!("patient-{stream}"))).unwrap();
    }
    stage.server.wait_for_calls(CALLS, DEADLINE);
    until("a full queue", || (flights() == streams.len() as f64).then_some(()));
    for stream in &streams {
        patient.write_all(&reset(*stream)).unwrap();
    }
    // A reset stream leaves no slot behind: what is queued goes with its last waiter.
    until("an empty queue", || (flights() == CALLS as f64).then_some(()));
    let before = stage.gateway.resident_bytes();
    let most = thread::scope(|scope| {
        let address = stage.gateway.addr();
        let storms: Vec<_> = (0..STORMS).map(|storm| scope.spawn(move || blow(storm, address))).collect();
        let mut most = before;
        until("the end of the storms", || {
            most = most.max(stage.gateway.resident_bytes());
            storms.iter().all(ScopedJoinHandle::is_finished).then_some(())
        });
        for (number, storm) in storms.into_iter().enumerate() {
            assert!(storm.join().unwrap(), "storm {number}: the connection ends");
        }
        most
    });
    let grown = most - before;
    assert!(grown < 4 << 20, "grown by {grown} bytes");
    until("an empty queue", || (flights() == CALLS as f64).then_some(()));
    stage.server.release();
    until("no flights", || (flights() == 0.0).then_some(()));
    assert_eq!(stage.server.calls().len(), CALLS);
    assert_eq!(stage.upstream.requests().len(), 0);
    stage.grant("t", json!({}));
    assert_eq!(stage.gateway.get_as("t", "/").status, 200);
}
