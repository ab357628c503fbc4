//! A connection that is no HTTP any more, and one of its ends.

use super::*;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// How it comes about.
const FIRST: &str = "
    0 client#1 says GET /chat HTTP/1.1
    0 gateway opens 10.0.0.1#1
    0 10.0.0.1#1 is asked GET /chat
    0 10.0.0.1#1 says HTTP/1.1 101 Switching Protocols
    0 client#1 gets 101
    0 client#1 says ping
    0 10.0.0.1#1 gets ping
    0 10.0.0.1#1 says pong
    0 client#1 gets pong
";

/// Half a second after both have said something, `upstream` and `client` do what they do.
fn talk(upstream: impl AsyncFn(Party) + Copy + 'static, client: impl AsyncFn(Party) + Copy + 'static, expected: &str) {
    simulate(
        &plan("http://10.0.0.1"),
        async |gateway| {
            serve(UP, async move |mut up| {
                up.asked().await;
                up.says(SWITCHES).await;
                up.gets(4).await;
                up.says("pong").await;
                at(500).await;
                upstream(up).await;
            });
            let mut caller = gateway.client();
            caller.says(UPGRADE).await;
            caller.answered().await;
            caller.says("ping").await;
            caller.gets(4).await;
            at(500).await;
            client(caller).await;
            at(5000).await;
        },
        &format!("{FIRST}{expected}"),
    );
}

#[test]
fn nobody_says_anything() {
    talk(
        Party::listens,
        async |mut client| client.ends().await,
        "
            2000 gateway closes 10.0.0.1#1
            2000 gateway closes client#1
            2000 client#1 gets the end
        ",
    );
}

#[test]
fn the_upstream_closes() {
    talk(
        async |up| up.closes(),
        async |mut client| client.ends().await,
        "
            500 10.0.0.1#1 closes
            500 client#1 gets the end
            500 gateway closes 10.0.0.1#1
            500 gateway closes client#1
        ",
    );
}

#[test]
fn the_upstream_resets() {
    talk(
        async |up| up.resets(),
        async |mut client| client.ends().await,
        "
            500 10.0.0.1#1 resets
            500 gateway closes 10.0.0.1#1
            500 gateway closes client#1
            500 client#1 gets the end
        ",
    );
}

#[test]
fn the_client_resets() {
    talk(
        async |mut up| up.ends().await,
        async |client| client.resets(),
        "
            500 client#1 resets
            500 gateway closes 10.0.0.1#1
            500 gateway closes client#1
            500 10.0.0.1#1 gets the end
        ",
    );
}
