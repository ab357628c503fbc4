//! Connections that were kept alive and are closed when the next request is on its way: what is sent again.

use super::kept::FIRST;
use super::*;

/// The second request on a connection is read, or not, and never answered.
fn closed_at_request(request: &'static str, end: impl Fn(Party) + Copy + 'static, expected: &str) {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async move |mut up| {
                up.answers().await;
                up.asked().await;
                end(up);
            });
            let mut client = gateway.client();
            ask(&mut client).await;
            at(1000).await;
            client.says(request).await;
            client.answered().await;
        },
        &format!("{FIRST}{expected}"),
    );
}

/// The upstream may have acted on it: only what may be repeated is, once, over a new connection.
#[test]
fn closed_on_a_get() {
    closed_at_request(
        GET,
        Party::closes,
        "
            1000 client#1 says GET / HTTP/1.1
            1000 10.0.0.1#1 is asked GET /
            1000 10.0.0.1#1 closes
            1000 gateway closes 10.0.0.1#1
            1000 gateway opens 10.0.0.1#2
            1000 10.0.0.1#2 answers GET /
            1000 client#1 gets 200 ok
                 kept: 10.0.0.1
        ",
    );
}

/// As a system does for a server that has closed and not read the request.
#[test]
fn reset_on_a_get() {
    closed_at_request(
        GET,
        Party::resets,
        "
            1000 client#1 says GET / HTTP/1.1
            1000 10.0.0.1#1 is asked GET /
            1000 10.0.0.1#1 resets
            1000 gateway closes 10.0.0.1#1
            1000 gateway opens 10.0.0.1#2
            1000 10.0.0.1#2 answers GET /
            1000 client#1 gets 200 ok
                 kept: 10.0.0.1
        ",
    );
}

#[test]
fn closed_on_a_post() {
    closed_at_request(
        POST,
        Party::closes,
        "
            1000 client#1 says POST / HTTP/1.1
            1000 10.0.0.1#1 is asked POST /
            1000 10.0.0.1#1 closes
            1000 gateway closes 10.0.0.1#1
            1000 client#1 gets 502
        ",
    );
}

#[test]
fn reset_on_a_post() {
    closed_at_request(
        POST,
        Party::resets,
        "
            1000 client#1 says POST / HTTP/1.1
            1000 10.0.0.1#1 is asked POST /
            1000 10.0.0.1#1 resets
            1000 gateway closes 10.0.0.1#1
            1000 client#1 gets 502
        ",
    );
}

/// Some of the answer has come.
#[test]
fn reset_inside_the_head() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.answers().await;
                up.asked().await;
                up.says("HTTP/1.1 200 OK\r\n").await;
                at(1300).await;
                up.resets();
            });
            let mut client = gateway.client();
            ask(&mut client).await;
            at(1000).await;
            ask(&mut client).await;
        },
        &format!(
            "{FIRST}
            1000 client#1 says GET / HTTP/1.1
            1000 10.0.0.1#1 is asked GET /
            1000 10.0.0.1#1 says HTTP/1.1 200 OK
            1300 10.0.0.1#1 resets
            1300 gateway closes 10.0.0.1#1
            1300 client#1 gets 502
        "
        ),
    );
}

#[test]
fn closed_on_a_post_without_a_body() {
    closed_at_request(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        Party::closes,
        "
            1000 client#1 says POST / HTTP/1.1
            1000 10.0.0.1#1 is asked POST /
            1000 10.0.0.1#1 closes
            1000 gateway closes 10.0.0.1#1
            1000 client#1 gets 502
        ",
    );
}

/// Once: the new connection is closed in the same way.
#[test]
fn closed_again_and_again() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                if up.number() > 1 {
                    return up.closes();
                }
                up.says(OK).await;
                up.asked().await;
                up.closes();
            });
            let mut client = gateway.client();
            for _ in 0..2 {
                client.says(GET).await;
                client.answered().await;
            }
        },
        "
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.1#1
            0 10.0.0.1#1 is asked GET /
            0 10.0.0.1#1 says HTTP/1.1 200 OK
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.1#1 is asked GET /
            0 10.0.0.1#1 closes
            0 gateway closes 10.0.0.1#1
            0 gateway opens 10.0.0.1#2
            0 10.0.0.1#2 is asked GET /
            0 10.0.0.1#2 closes
            0 gateway closes 10.0.0.1#2
            0 client#1 gets 502
        ",
    );
}
