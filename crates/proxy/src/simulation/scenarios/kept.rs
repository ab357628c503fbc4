//! Connections that were kept alive and are closed while they rest.

use super::*;

/// How the connection comes to be kept.
pub(super) const FIRST: &str = "
    0 client#1 says GET / HTTP/1.1
    0 gateway opens 10.0.0.1#1
    0 10.0.0.1#1 answers GET /
    0 client#1 gets 200 ok
";

/// Closed while they rest, after this many milliseconds; the next request comes after as many.
fn closed_at_rest(closed: u64, request: &'static str, asked: u64, expected: &str) {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async move |mut up| {
                if up.number() > 1 {
                    return well(up).await;
                }
                up.answers().await;
                at(closed).await;
                up.closes();
            });
            let mut client = gateway.client();
            ask(&mut client).await;
            at(asked).await;
            client.says(request).await;
            client.answered().await;
        },
        &format!("{FIRST}{expected}"),
    );
}

/// A tick notices.
#[test]
fn closed_long_before_the_next_request() {
    closed_at_rest(
        130,
        POST,
        1000,
        "
             130 10.0.0.1#1 closes
             200 gateway closes 10.0.0.1#1
            1000 client#1 says POST / HTTP/1.1
            1000 gateway opens 10.0.0.1#2
            1000 10.0.0.1#2 answers POST / body
            1000 client#1 gets 200 ok
                 kept: 10.0.0.1
        ",
    );
}

/// The worker has not looked at it since: what was about to go over it goes over another one, whatever its method.
#[test]
fn closed_just_before_the_next_request() {
    closed_at_rest(
        1010,
        POST,
        1020,
        "
            1010 10.0.0.1#1 closes
            1020 client#1 says POST / HTTP/1.1
            1020 gateway closes 10.0.0.1#1
            1020 gateway opens 10.0.0.1#2
            1020 10.0.0.1#2 answers POST / body
            1020 client#1 gets 200 ok
                 kept: 10.0.0.1
        ",
    );
}

#[test]
fn closed_in_the_moment_of_the_next_request() {
    closed_at_rest(
        1010,
        GET,
        1010,
        "
            1010 client#1 says GET / HTTP/1.1
            1010 10.0.0.1#1 closes
            1010 gateway closes 10.0.0.1#1
            1010 gateway opens 10.0.0.1#2
            1010 10.0.0.1#2 answers GET /
            1010 client#1 gets 200 ok
                 kept: 10.0.0.1
        ",
    );
}

/// Kept for 60 s, closed by the tick after.
#[test]
fn nobody_asks_again() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, well);
            let mut client = gateway.client();
            ask(&mut client).await;
            client.closes();
            at(70_000).await;
        },
        "
                0 client#1 says GET / HTTP/1.1
                0 gateway opens 10.0.0.1#1
                0 10.0.0.1#1 answers GET /
                0 client#1 gets 200 ok
                0 client#1 closes
                0 gateway closes client#1
            60000 gateway closes 10.0.0.1#1
        ",
    );
}
