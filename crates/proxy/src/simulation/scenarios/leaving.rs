//! A client that leaves.

use super::client::limits;
use super::*;

/// In the middle of a request whose answer nobody has: the upstream is let go of at once.
#[test]
fn before_the_answer() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, never);
            let mut client = gateway.client();
            client.says(GET).await;
            at(330).await;
            client.closes();
            at(400).await;
            let left = gateway.metric(r#"portcullis_requests_total{route="all",status="499"}"#);
            note(format_args!("left: {left}"));
        },
        "
              0 client#1 says GET / HTTP/1.1
              0 gateway opens 10.0.0.1#1
              0 10.0.0.1#1 is asked GET /
            330 client#1 closes
            330 gateway closes client#1
            330 gateway closes 10.0.0.1#1
            400 left: 1
        ",
    );
}

#[test]
fn inside_the_answer() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                while up.says("1\r\nx\r\n").await {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
            let mut client = gateway.client();
            client.says(GET).await;
            at(150).await;
            client.resets();
            at(2000).await;
        },
        "
              0 client#1 says GET / HTTP/1.1
              0 gateway opens 10.0.0.1#1
              0 10.0.0.1#1 is asked GET /
              0 10.0.0.1#1 says HTTP/1.1 200 OK
              0 10.0.0.1#1 says 1
            100 10.0.0.1#1 says 1
            150 client#1 resets
            150 gateway closes client#1
            150 gateway closes 10.0.0.1#1
            200 10.0.0.1#1 says 1
            300 10.0.0.1#1 says 1
            300 10.0.0.1#1 is not heard
        ",
    );
}

#[test]
fn inside_its_body() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.gets(9).await;
                up.listens().await;
            });
            let mut client = gateway.client();
            client.says("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
            at(500).await;
            client.closes();
            at(600).await;
        },
        "
              0 client#1 says POST / HTTP/1.1
              0 gateway opens 10.0.0.1#1
              0 10.0.0.1#1 is asked POST /
              0 10.0.0.1#1 gets 4\\r\\nhalf\\r\\n
            500 client#1 closes
            500 gateway closes 10.0.0.1#1
            500 gateway closes client#1
        ",
    );
}

/// While a plugin waits for something: its answer goes nowhere, and the upstream is never asked.
#[test]
fn before_the_decision() {
    let plan = plan("http://10.0.0.1") + "  plugins:\n  - name: hesitate\n    config: { millis: 1000 }\n";
    simulate_with(
        limits(),
        &plan,
        async |gateway| {
            serve(UP, well);
            let mut client = gateway.client();
            client.says(GET).await;
            at(400).await;
            client.closes();
            at(3000).await;
        },
        "
              0 client#1 says GET / HTTP/1.1
            400 client#1 closes
            400 gateway closes client#1
        ",
    );
}
