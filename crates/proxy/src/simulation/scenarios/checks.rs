//! Checks of our own: a target that fails while nobody asks for anything.

use super::targets::targets;
use super::*;

const CHECKS: &str = "healthchecks: { active: { timeout: 1, http_path: /health, healthy: { interval: 5, successes: 1 }, \
                      unhealthy: { interval: 2, tcp_failures: 1, timeouts: 1 } } }";

/// Answers one check, which wants no more.
async fn checked(mut up: Party) {
    up.answers().await;
}

/// Healthy ones are looked at every 5 s, others every 2 s: it is dead from 5 s to 8 s.
#[test]
fn a_dead_target_is_noticed_and_brought_back() {
    simulate(
        &targets(CHECKS),
        async |gateway| {
            for up in [UP, "10.0.0.2", "10.0.0.3"] {
                serve(up, checked);
            }
            at(4500).await;
            gone(UP);
            at(5500).await;
            note(format_args!("unhealthy: {:?}", gateway.unhealthy()));
            ask(&mut gateway.client()).await;
            at(7000).await;
            serve(UP, checked);
            at(8500).await;
            note(format_args!("unhealthy: {:?}", gateway.unhealthy()));
        },
        "
               0 gateway opens 10.0.0.1#1
               0 gateway opens 10.0.0.2#1
               0 gateway opens 10.0.0.3#1
               0 10.0.0.1#1 answers GET /health
               0 10.0.0.2#1 answers GET /health
               0 10.0.0.3#1 answers GET /health
               0 gateway closes 10.0.0.1#1
               0 gateway closes 10.0.0.2#1
               0 gateway closes 10.0.0.3#1
            5000 10.0.0.1 refuses
            5000 gateway opens 10.0.0.2#2
            5000 gateway opens 10.0.0.3#2
            5000 10.0.0.2#2 answers GET /health
            5000 10.0.0.3#2 answers GET /health
            5000 gateway closes 10.0.0.2#2
            5000 gateway closes 10.0.0.3#2
            5500 unhealthy: [\"10.0.0.1\"]
            5500 client#1 says GET / HTTP/1.1
            5500 gateway opens 10.0.0.2#3
            5500 10.0.0.2#3 answers GET /
            5500 gateway closes 10.0.0.2#3
            5500 client#1 gets 200 ok
            5500 gateway closes client#1
            6000 10.0.0.1 refuses
            8000 gateway opens 10.0.0.1#2
            8000 10.0.0.1#2 answers GET /health
            8000 gateway closes 10.0.0.1#2
            8500 unhealthy: []
        ",
    );
}

/// A check has a second; meanwhile the others have been answered.
#[test]
fn a_silent_target_is_noticed() {
    simulate(
        &targets(CHECKS),
        async |gateway| {
            serve(UP, never);
            for up in ["10.0.0.2", "10.0.0.3"] {
                serve(up, checked);
            }
            at(999).await;
            note(format_args!("unhealthy: {:?}", gateway.unhealthy()));
            at(1500).await;
            note(format_args!("unhealthy: {:?}", gateway.unhealthy()));
        },
        "
               0 gateway opens 10.0.0.1#1
               0 gateway opens 10.0.0.2#1
               0 gateway opens 10.0.0.3#1
               0 10.0.0.1#1 is asked GET /health
               0 10.0.0.2#1 answers GET /health
               0 10.0.0.3#1 answers GET /health
               0 gateway closes 10.0.0.2#1
               0 gateway closes 10.0.0.3#1
             999 unhealthy: []
            1000 gateway closes 10.0.0.1#1
            1500 unhealthy: [\"10.0.0.1\"]
                 unhealthy: 10.0.0.1
        ",
    );
}
