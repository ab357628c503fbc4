//! An upstream that breaks off in the middle of an answer, or of a request's body.

use super::*;

/// Ten bytes are promised, four come; then what `end` does.
fn broken(end: impl AsyncFn(Party) + Copy + 'static, expected: &str) {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async move |mut up| {
                up.asked().await;
                up.says("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
                at(250).await;
                end(up).await;
            });
            let mut client = gateway.client();
            ask(&mut client).await;
        },
        expected,
    );
}

#[test]
fn closes_in_the_body() {
    broken(
        async |up| up.closes(),
        "
              0 client#1 says GET / HTTP/1.1
              0 gateway opens 10.0.0.1#1
              0 10.0.0.1#1 is asked GET /
              0 10.0.0.1#1 says HTTP/1.1 200 OK
            250 10.0.0.1#1 closes
            250 gateway closes 10.0.0.1#1
            250 gateway closes client#1
            250 client#1 gets 200 half and the end
        ",
    );
}

#[test]
fn resets_in_the_body() {
    broken(
        async |up| up.resets(),
        "
              0 client#1 says GET / HTTP/1.1
              0 gateway opens 10.0.0.1#1
              0 10.0.0.1#1 is asked GET /
              0 10.0.0.1#1 says HTTP/1.1 200 OK
            250 10.0.0.1#1 resets
            250 gateway closes 10.0.0.1#1
            250 gateway closes client#1
            250 client#1 gets 200 half and the end
        ",
    );
}

#[test]
fn stops_in_the_body() {
    broken(
        Party::listens,
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
               0 10.0.0.1#1 says HTTP/1.1 200 OK
            2000 gateway closes 10.0.0.1#1
            2000 gateway closes client#1
            2000 client#1 gets 200 half and the end
        ",
    );
}

/// A chunked answer has an end of its own: one that is cut must not look whole.
#[test]
fn closes_between_chunks() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
                at(250).await;
                up.closes();
            });
            let mut client = gateway.client();
            ask(&mut client).await;
        },
        "
              0 client#1 says GET / HTTP/1.1
              0 gateway opens 10.0.0.1#1
              0 10.0.0.1#1 is asked GET /
              0 10.0.0.1#1 says HTTP/1.1 200 OK
            250 10.0.0.1#1 closes
            250 gateway closes 10.0.0.1#1
            250 gateway closes client#1
            250 client#1 gets 200 4\\r\\nhalf\\r\\n and the end
        ",
    );
}

/// A client of HTTP/1.0 knows no chunks: the end of its answer is the end of its connection, which must not look like it.
#[test]
fn closes_between_chunks_for_an_old_client() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
                at(250).await;
                up.closes();
            });
            let mut client = gateway.client();
            client.says("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
            client.answered().await;
        },
        "
              0 client#1 says GET / HTTP/1.0
              0 gateway opens 10.0.0.1#1
              0 10.0.0.1#1 is asked GET /
              0 10.0.0.1#1 says HTTP/1.1 200 OK
            250 10.0.0.1#1 closes
            250 gateway closes 10.0.0.1#1
            250 gateway resets client#1
            250 client#1 gets 200 half and a reset
        ",
    );
}

/// The upstream takes no more of a request's body than the buffers hold.
#[test]
fn does_not_read_the_request() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                at(9000).await;
                up.listens().await;
            });
            let mut client = gateway.client();
            client.says("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await;
            client.says(vec![b'x'; 120_000]).await;
            client.answered().await;
        },
        "
               0 client#1 says PUT / HTTP/1.1
               0 client#1 says 120000 bytes
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked PUT /
            3000 gateway closes 10.0.0.1#1
            3000 gateway closes client#1
            3000 client#1 gets 504
        ",
    );
}

/// An answer that comes before the request has been read, and then the end.
#[test]
fn answers_early_and_closes() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.says("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
                up.closes();
            });
            let mut client = gateway.client();
            client.says("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").await;
            client.says(vec![b'x'; 40_000]).await;
            client.answered().await;
            client.ends().await;
        },
        "
            0 client#1 says PUT / HTTP/1.1
            0 client#1 says 40000 bytes
            0 gateway opens 10.0.0.1#1
            0 10.0.0.1#1 is asked PUT /
            0 10.0.0.1#1 says HTTP/1.1 413 Too Large
            0 10.0.0.1#1 closes
            0 gateway closes 10.0.0.1#1
            0 gateway closes client#1
            0 client#1 gets 413
            0 client#1 gets the end
        ",
    );
}
