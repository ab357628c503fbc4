//! An upstream that fails before a request could be sent: nothing of it is lost.

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
