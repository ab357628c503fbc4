//! The gateway ends: what is under way, and what rests.

use super::*;

async fn takes_a_second(mut up: Party) {
    while up.asked().await {
        tokio::time::sleep(Duration::from_secs(1)).await;
        up.says(OK).await;
    }
}

/// A client that rests, one that has said a part of a head, one that has said nothing.
#[test]
fn nothing_is_under_way() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, well);
            let (mut rests, mut new, mut begun) = (gateway.client(), gateway.client(), gateway.client());
            rests.says(GET).await;
            rests.answered().await;
            begun.says("GET / HT").await;
            at(450).await;
            gateway.drain(Duration::from_secs(10));
            rests.ends().await;
            new.ends().await;
            at(1000).await;
            begun.says("TP/1.1\r\nhost: a\r\n\r\n").await;
            begun.answered().await;
            at(1100).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 answers GET /
               0 client#1 gets 200 ok
               0 client#3 says GET / HT
             450 gateway drains
             450 gateway closes client#1
             450 gateway closes client#2
             450 client#1 gets the end
             450 client#2 gets the end
            1000 client#3 says TP/1.1
            1000 10.0.0.1#1 answers GET /
            1000 gateway closes client#3
            1000 gateway has ended
            1000 client#3 gets 200 ok
                 kept: 10.0.0.1
        ",
    );
}

/// It has its answer, and the connection ends with it.
#[test]
fn a_request_is_under_way() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, takes_a_second);
            let mut client = gateway.client();
            client.says(GET).await;
            at(450).await;
            gateway.drain(Duration::from_secs(10));
            client.answered().await;
            client.ends().await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
             450 gateway drains
            1000 10.0.0.1#1 says HTTP/1.1 200 OK
            1000 gateway closes client#1
            1000 gateway has ended
            1000 client#1 gets 200 ok
            1000 client#1 gets the end
                 kept: 10.0.0.1
        ",
    );
}

/// It takes longer than the drain may: the worker ends without it. (Its thread then drops what is left, which the
/// simulation has none for.)
#[test]
fn a_request_takes_too_long() {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async |mut up| {
                up.asked().await;
                up.says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                while up.says("1\r\nx\r\n").await {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            });
            let mut client = gateway.client();
            client.says(GET).await;
            at(450).await;
            gateway.drain(Duration::from_secs(2));
            at(3000).await;
            client.closes();
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
               0 10.0.0.1#1 says HTTP/1.1 200 OK
               0 10.0.0.1#1 says 1
             450 gateway drains
            1000 10.0.0.1#1 says 1
            2000 10.0.0.1#1 says 1
            2450 gateway has ended
            3000 client#1 closes
        ",
    );
}
