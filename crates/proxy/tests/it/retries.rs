//! What is sent again, and what is not.

use crate::balancing::{Named, at, balanced, deaf, entity};
use crate::gateway::{plan, plan_with, start};
use crate::wire::{Upstream, Wire, answer};
use portcullis_model::plan::{Algorithm, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers the first request of its first connection, reads the second one and leaves; later connections are answered.
/// Counts requests.
async fn leaves(partial: &'static str) -> (Upstream, Arc<AtomicUsize>) {
    let seen = Arc::<AtomicUsize>::default();
    let count = seen.clone();
    let upstream = Upstream::start(move |number, mut wire| {
        let count = count.clone();
        async move {
            while let Some(request) = wire.request().await {
                count.fetch_add(1, Ordering::SeqCst);
                if number == 0 && request.head.contains("/second") {
                    wire.send(partial).await;
                    return;
                }
                let body = [request.head.as_bytes(), &request.body].concat();
                wire.send(answer(200, &body)).await;
            }
        }
    });
    (upstream.await, seen)
}

#[tokio::test]
async fn the_next_target_where_one_cannot_be_reached() {
    let good = Named::start("good").await;
    let dead = [deaf(), deaf()];
    let targets = vec![at(dead[0].1), at(dead[1].1), at(good.address())];
    let up = entity(Algorithm::RoundRobin, targets);
    let (gateway, address) = start(plan_with(balanced(up.clone())));
    let mut wire = Wire::connect(address).await;
    for _ in 0..9 {
        let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(wire.ask(body).await.text(), "good");
    }
    // As often as the service says: the first of three turns finds two dead ends.
    gateway.load(plan_with(Service { retries: 0, ..balanced(up.clone()) })).unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(wire.ask(GET).await.status());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502, 502]);
    // All in vain.
    let dead = entity(Algorithm::RoundRobin, up.targets[..2].to_vec());
    gateway.load(plan_with(balanced(dead))).unwrap();
    assert_eq!(wire.ask(GET).await.status(), 502);
}

#[tokio::test]
async fn a_request_that_may_be_repeated_is_sent_once_more() {
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        let (upstream, seen) = leaves("").await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let mut wire = Wire::connect(address).await;
        assert_eq!(wire.ask(GET).await.status(), 200);
        wire.send(format!("{method} /second?a=b HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\n\r\n")).await;
        if method == "HEAD" {
            wire.send("").await;
            assert_eq!(head_of_answer(&mut wire).await, 200);
        } else {
            let answer = wire.answer().await;
            assert_eq!(answer.status(), 200, "{method}");
            let again = answer.seen();
            assert!(again.head.starts_with(&format!("{method} /second?a=b HTTP/1.1\r\n")), "{}", again.head);
            assert_eq!((again.one("x-own"), again.one("x-real-ip")), (Some("1"), Some("127.0.0.1")));
        }
        assert_eq!((seen.load(Ordering::SeqCst), upstream.connections()), (3, 2), "{method}");
    }
}

/// The status of an answer that has no body whatever its length says.
async fn head_of_answer(wire: &mut Wire<tokio::net::TcpStream>) -> u16 {
    use tokio::io::AsyncReadExt;
    while !wire.buffer.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        let read = tokio::time::timeout(crate::wire::PATIENCE, wire.io.read(&mut chunk)).await.unwrap().unwrap();
        assert!(read > 0);
        wire.buffer.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&wire.buffer).split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_may_have_been_acted_on_is_not() {
    for (request, partial) in [
        ("POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", ""),
        ("POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", ""),
        ("PUT /second HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", ""),
        ("PATCH /second HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        // An answer has begun.
        ("GET /second HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 2"),
        ("GET /second HTTP/1.1\r\nHost: a\r\n\r\n", "garbage\r\n\r\n"),
    ] {
        let (upstream, seen) = leaves(partial).await;
        let (_gateway, address) = start(plan(upstream.address, &[]));
        let mut wire = Wire::connect(address).await;
        assert_eq!(wire.ask(GET).await.status(), 200);
        assert_eq!(wire.ask(request).await.status(), 502, "{request}");
        assert_eq!((seen.load(Ordering::SeqCst), upstream.connections()), (2, 1), "{request}");
    }
}

/// A connection that was not used before proves nothing about an idle one that was closed.
#[tokio::test]
async fn a_new_connection_that_ends_is_an_answer() {
    let upstream = Upstream::once(b"").await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    assert_eq!(Wire::connect(address).await.ask(GET).await.status(), 502);
    assert_eq!(upstream.connections(), 1);
}
