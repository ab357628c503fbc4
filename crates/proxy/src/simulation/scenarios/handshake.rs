//! TLS that does not come about, with an upstream or with a client.

use super::*;

/// A certificate is never shown: connecting takes too long, and nothing of the request was sent.
#[test]
fn stops() {
    simulate(
        &plan("https://10.0.0.1"),
        async |gateway| {
            serve(UP, Party::listens);
            let mut client = gateway.client();
            ask(&mut client).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
            1000 gateway closes 10.0.0.1#1
            1000 client#1 gets 504
        ",
    );
}

#[test]
fn closes() {
    simulate(
        &plan("https://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.gets(1).await;
                up.closes();
            });
            let mut client = gateway.client();
            ask(&mut client).await;
        },
        "
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.1#1
            0 10.0.0.1#1 gets \\u{16}
            0 10.0.0.1#1 closes
            0 gateway closes 10.0.0.1#1
            0 client#1 gets 502
        ",
    );
}

/// A drain does not wait for a handshake.
#[test]
fn a_client_stops() {
    simulate_with(
        super::client::limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            let mut silent = gateway.tls_client();
            // The beginning of a record.
            silent.says([22, 3, 1]).await;
            silent.ends().await;
            let mut late = gateway.tls_client();
            at(6000).await;
            gateway.drain(Duration::from_secs(10));
            late.ends().await;
        },
        "
               0 client#1 says \\u{16}\\u{3}\\u{1}
            5000 gateway closes client#1
            5000 client#1 gets the end
            6000 gateway drains
            6000 gateway closes client#2
            6000 gateway has ended
            6000 client#2 gets the end
        ",
    );
}

#[test]
fn a_client_speaks_something_else() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            let mut client = gateway.tls_client();
            client.says(GET).await;
            client.ends().await;
            let failed = gateway.metric(r#"portcullis_tls_handshake_failures_total{reason="garbage"}"#);
            note(format_args!("failed: {failed}"));
        },
        "
            0 client#1 says GET / HTTP/1.1
            0 gateway closes client#1
            0 client#1 gets the end
            0 failed: 1
        ",
    );
}
