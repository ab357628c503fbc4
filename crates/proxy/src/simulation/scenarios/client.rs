//! A client that is slow, or silent.

use super::*;

pub(super) fn limits() -> Limits {
    Limits {
        header_timeout: Duration::from_secs(5),
        body_idle: Duration::from_secs(3),
        client_read_idle: Duration::from_secs(4),
        keep_alive_idle: Duration::from_secs(10),
        ..Limits::default()
    }
}

#[test]
fn says_nothing() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| gateway.client().ends().await,
        "
            5000 gateway closes client#1
            5000 client#1 gets the end
        ",
    );
}

// S-46
#[test]
fn stops_inside_the_head() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            let mut client = gateway.client();
            for (moment, part) in [(0, "GET / HT"), (2000, "TP/1.1\r\nhost: a\r\n"), (4900, "x-slow: 1\r\n")] {
                at(moment).await;
                client.says(part).await;
            }
            client.ends().await;
        },
        "
               0 client#1 says GET / HT
            2000 client#1 says TP/1.1
            4900 client#1 says x-slow: 1
            5000 gateway closes client#1
            5000 client#1 gets the end
        ",
    );
}

#[test]
fn rests_between_requests() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, well);
            let mut client = gateway.client();
            ask(&mut client).await;
            // Within its time, and after its buffers have gone.
            at(9950).await;
            ask(&mut client).await;
            client.ends().await;
        },
        "
                0 client#1 says GET / HTTP/1.1
                0 gateway opens 10.0.0.1#1
                0 10.0.0.1#1 answers GET /
                0 client#1 gets 200 ok
             9950 client#1 says GET / HTTP/1.1
             9950 10.0.0.1#1 answers GET /
             9950 client#1 gets 200 ok
            20000 gateway closes client#1
            20000 client#1 gets the end
                  kept: 10.0.0.1
        ",
    );
}

/// Its length fits into memory: nobody is asked before it is there.
// S-46
#[test]
fn stops_inside_a_small_body() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, well);
            let mut client = gateway.client();
            client.says("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbo").await;
            client.answered().await;
            client.ends().await;
        },
        "
               0 client#1 says POST / HTTP/1.1
            3000 gateway closes client#1
            3000 client#1 gets 408
            3000 client#1 gets the end
        ",
    );
}

/// Nobody has its length: it streams, and the upstream has a part of it.
// S-46
#[test]
fn stops_inside_a_streamed_body() {
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
            client.answered().await;
            client.ends().await;
        },
        "
               0 client#1 says POST / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked POST /
               0 10.0.0.1#1 gets 4\\r\\nhalf\\r\\n
            3000 gateway closes 10.0.0.1#1
            3000 gateway closes client#1
            3000 client#1 gets 408
            3000 client#1 gets the end
        ",
    );
}

/// A body that comes slowly takes its time, and the upstream's read limit does not count meanwhile.
#[test]
fn sends_slowly_within_the_limits() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.gets(17).await;
                up.says(OK).await;
                up.listens().await;
            });
            let mut client = gateway.client();
            client.says("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
            for (moment, part) in [(2800, "2\r\nsl\r\n"), (5600, "2\r\now\r\n"), (8400, "0\r\n\r\n")] {
                at(moment).await;
                client.says(part).await;
            }
            client.answered().await;
        },
        "
               0 client#1 says POST / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked POST /
            2800 client#1 says 2
            5600 client#1 says 2
            8400 client#1 says 0
            8400 10.0.0.1#1 gets 2\\r\\nsl\\r\\n2\\r\\now\\r\\n0\\r\\n
            8400 10.0.0.1#1 says HTTP/1.1 200 OK
            8400 client#1 gets 200 ok
                 kept: 10.0.0.1
        ",
    );
}

// S-46
#[test]
fn does_not_read_its_answer() {
    simulate_with(
        limits(),
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.says("HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n").await;
                up.says(vec![b'x'; 10_000_000]).await;
            });
            let mut client = gateway.client();
            client.says(GET).await;
            at(20_000).await;
            client.answered().await;
        },
        "
                0 client#1 says GET / HTTP/1.1
                0 gateway opens 10.0.0.1#1
                0 10.0.0.1#1 is asked GET /
                0 10.0.0.1#1 says HTTP/1.1 200 OK
                0 10.0.0.1#1 says 10000000 bytes
             4000 gateway closes client#1
             4000 gateway resets 10.0.0.1#1
             4000 10.0.0.1#1 is not heard
            20000 client#1 gets 200 65295 bytes and the end
        ",
    );
}
