//! An upstream that cannot be reached, says nothing, or says what is no answer.

use super::*;

#[test]
fn refuses() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            let mut client = gateway.client();
            ask(&mut client).await;
            at(500).await;
            serve(UP, well);
            ask(&mut client).await;
        },
        "
              0 client#1 says GET / HTTP/1.1
              0 10.0.0.1 refuses
              0 client#1 gets 502
            500 client#1 says GET / HTTP/1.1
            500 gateway opens 10.0.0.1#1
            500 10.0.0.1#1 answers GET /
            500 client#1 gets 200 ok
                kept: 10.0.0.1
        ",
    );
}

#[test]
fn is_not_reached_within_the_connect_limit() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            silent(UP);
            let mut client = gateway.client();
            ask(&mut client).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 10.0.0.1 is not reached
            1000 client#1 gets 504
        ",
    );
}

#[test]
fn accepts_and_says_nothing() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, never);
            let mut client = gateway.client();
            // Between two ticks: limits are as exact as those.
            at(130).await;
            ask(&mut client).await;
        },
        "
             130 client#1 says GET / HTTP/1.1
             130 gateway opens 10.0.0.1#1
             130 10.0.0.1#1 is asked GET /
            2200 gateway closes 10.0.0.1#1
            2200 client#1 gets 504
        ",
    );
}

/// Nothing is sent again: the connection was new, so it has not been closed for having rested.
#[test]
fn closes_instead_of_answering() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                at(700).await;
                up.closes();
            });
            let mut client = gateway.client();
            ask(&mut client).await;
        },
        "
              0 client#1 says GET / HTTP/1.1
              0 gateway opens 10.0.0.1#1
              0 10.0.0.1#1 is asked GET /
            700 10.0.0.1#1 closes
            700 gateway closes 10.0.0.1#1
            700 client#1 gets 502
        ",
    );
}

#[test]
fn resets_instead_of_answering() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |up| up.resets());
            let mut client = gateway.client();
            client.says(POST).await;
            client.answered().await;
        },
        "
            0 client#1 says POST / HTTP/1.1
            0 gateway opens 10.0.0.1#1
            0 10.0.0.1#1 resets
            0 gateway closes 10.0.0.1#1
            0 client#1 gets 502
        ",
    );
}

#[test]
fn closes_inside_the_head() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.says("HTTP/1.1 200 OK\r\ncontent-le").await;
                at(300).await;
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
            300 10.0.0.1#1 closes
            300 gateway closes 10.0.0.1#1
            300 client#1 gets 502
        ",
    );
}

#[test]
fn stops_inside_the_head() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                at(1500).await;
                up.says("HTTP/1.1 200 OK\r\n").await;
                up.listens().await;
            });
            let mut client = gateway.client();
            ask(&mut client).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
            1500 10.0.0.1#1 says HTTP/1.1 200 OK
            3500 gateway closes 10.0.0.1#1
            3500 client#1 gets 504
        ",
    );
}

#[test]
fn speaks_something_else() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                let garbage = ["220 smtp.example ESMTP\r\n", "HTTP/1.1 200 OK\r\ncontent-length: banana\r\n\r\n"];
                up.says(garbage[up.number() - 1]).await;
                up.listens().await;
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
            0 10.0.0.1#1 says 220 smtp.example ESMTP
            0 gateway closes 10.0.0.1#1
            0 client#1 gets 502
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.1#2
            0 10.0.0.1#2 is asked GET /
            0 10.0.0.1#2 says HTTP/1.1 200 OK
            0 gateway closes 10.0.0.1#2
            0 client#1 gets 502
        ",
    );
}

/// Every pause is shorter than the read limit, all of them together are longer.
#[test]
fn is_slow_within_the_limits() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                for (moment, part) in [(1800, "HTTP/1.1 200 OK\r\n"), (3600, "content-length: 4\r\n\r\n"), (5400, "sl")]
                {
                    at(moment).await;
                    up.says(part).await;
                }
                at(7200).await;
                up.says("ow").await;
                up.listens().await;
            });
            let mut client = gateway.client();
            ask(&mut client).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
            1800 10.0.0.1#1 says HTTP/1.1 200 OK
            3600 10.0.0.1#1 says content-length: 4
            5400 10.0.0.1#1 says sl
            7200 10.0.0.1#1 says ow
            7200 client#1 gets 200 slow
                 kept: 10.0.0.1
        ",
    );
}
