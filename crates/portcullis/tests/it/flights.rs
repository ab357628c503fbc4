//! Many requests for one unknown token make one call.

use std::net::Shutdown;
use std::thread;

use portcullis_testkit::{Client, DEADLINE, Reply, until};
use serde_json::json;

use crate::stage::Stage;

/// Sends requests for `token` on connections of their own and returns once all are written.
fn ask(stage: &Stage, token: &str, times: usize) -> Vec<Client> {
    let send = |_| {
        let mut client = stage.gateway.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"));
        client
    };
    (0..times).map(send).collect()
}

#[test]
fn first_uses_share_one_call() {
    let stage = Stage::new();
    stage.grant("t", json!({}));
    stage.server.hold();
    // K-153, I-89, S-12
    let clients = ask(&stage, "t", 20);
    stage.server.wait_for_calls(1, DEADLINE);
    stage.server.release();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(stage.server.calls_for("t"), 1);
}

#[test]
fn a_failure_is_shared_and_forgotten() {
    let stage = Stage::with(json!({"timeout": 20_000}));
    stage.server.on("t", Reply::status(500));
    stage.server.hold();
    // I-89, S-12, K-41
    let mut clients = ask(&stage, "t", 20);
    stage.server.wait_for_calls(1, DEADLINE);
    // A failure is not stored, so a request that is read only after the flight has landed makes one of its own: few
    // calls, not exactly one.
    stage.server.release();
    for client in &mut clients {
        assert_eq!(client.response().status, 503);
    }
    let failed = stage.server.calls_for("t");
    assert!(failed <= 5, "{failed} calls for 20 requests");
    stage.grant("t", json!({}));
    assert_eq!(stage.gateway.get_as("t", "/").status, 200);
    assert_eq!(stage.server.calls_for("t"), failed + 1);
}

#[test]
fn a_leader_that_leaves_takes_nobody_along() {
    let stage = Stage::new();
    stage.grant("t", json!({}));
    stage.server.hold();
    // I-89, S-12
    let leader = ask(&stage, "t", 1);
    stage.server.wait_for_calls(1, DEADLINE);
    let others = ask(&stage, "t", 5);
    drop(leader);
    stage.server.release();
    for mut client in others {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(stage.server.calls_for("t"), 1);
}

#[test]
fn each_waiter_obeys_its_own_routes_limit() {
    let stage = Stage::new();
    let route = |name: &str, timeout: u64| {
        let path = format!("/{name}");
        let plugin = crate::stage::plugin(&stage.server.url(), json!({"timeout": timeout}));
        json!({"name": name, "url": stage.upstream.url(), "routes": [{"name": name, "paths": [path]}], "plugins": [plugin]})
    };
    let file = crate::stage::declarative(json!([route("patient", 20_000), route("hasty", 200)]), json!([]));
    stage.gateway.reload(&file);
    stage.grant("t", json!({}));
    stage.server.hold();
    // I-90
    thread::scope(|scope| {
        let patient = scope.spawn(|| stage.gateway.get_as("t", "/patient").status);
        stage.server.wait_for_calls(1, DEADLINE);
        assert_eq!(stage.gateway.get_as("t", "/hasty").status, 503);
        stage.server.release();
        assert_eq!(patient.join().unwrap(), 200);
    });
    assert_eq!(stage.server.calls_for("t"), 1);
}

#[test]
fn flights_that_nobody_waits_for_end_without_a_call() {
    let stage = Stage::new();
    let file = crate::stage::guarded(&stage.upstream, &stage.server, json!({"timeout": 20_000}), json!([]));
    let settings = "introspection:\n  concurrent_calls: 4\n";
    let gateway = portcullis_testkit::Gateway::builder(crate::stage::BINARY, &file).settings(settings).start();
    stage.server.hold();
    // S-69, I-90: 200 clients with fresh tokens leave while the server hangs.
    let mut streams = Vec::new();
    for n in 0..200 {
        let stream = std::net::TcpStream::connect(gateway.addr()).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer fresh{n}\r\n\r\n");
        std::io::Write::write_all(&mut &stream, head.as_bytes()).unwrap();
        streams.push(stream);
    }
    stage.server.wait_for_calls(4, DEADLINE);
    for stream in &streams {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    drop(streams);
    stage.server.release();
    // Another token is served as soon as the four have their answers; by then the queue has been passed.
    stage.grant("good", json!({}));
    until("a served request", || (gateway.get_as("good", "/").status == 200).then_some(()));
    let calls = stage.server.calls().len();
    assert!(calls < 60, "{calls} calls for 200 clients that had left");
}
