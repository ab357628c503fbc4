//! SIGTERM: no new connections, running requests end, status 0.

use std::net::TcpStream;

use portcullis_testkit::{DEADLINE, until};
use serde_json::json;

use crate::stage::Stage;

#[test]
fn a_running_request_is_finished() {
    let Stage { server, upstream, gateway } = Stage::new();
    server.on("t", portcullis_testkit::Reply::active(json!({})));
    server.hold();
    let addr = gateway.addr();
    let mut client = gateway.client();
    client.send("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\n\r\n");
    let idle = gateway.client();
    server.wait_for_calls(1, DEADLINE);
    gateway.signal("TERM");
    until("the listener to close", || TcpStream::connect(addr).is_err().then_some(()));
    server.release();
    assert_eq!(client.response().status, 200);
    assert!(client.is_closed(), "the connection is not kept");
    let ended = gateway.wait();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(upstream.requests().len(), 1);
    drop(idle);
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let stage = Stage::new();
    let idle = stage.gateway.client();
    let ended = stage.gateway.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    drop(idle);
}
