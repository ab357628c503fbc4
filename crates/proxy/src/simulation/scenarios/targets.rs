//! Targets that fail, among others that do not; what passes shows which.

use super::*;

/// Three targets, `fields` of their upstream, and at most one retry.
pub(super) fn targets(fields: &str) -> String {
    let plan = plan("http://up");
    format!(
        "{plan}  retries: 1\nupstreams:\n- name: up\n  targets:\n  - {{ target: 10.0.0.1:80 }}\n  - {{ target: 10.0.0.2:80 }}\n  \
         - {{ target: 10.0.0.3:80 }}\n  {fields}\n"
    )
}

const PASSIVE: &str = "healthchecks: { passive: { unhealthy: { tcp_failures: 1, timeouts: 1, http_failures: 2 } } }";

#[test]
fn the_next_target_gets_what_one_refuses() {
    simulate(
        &targets(""),
        async |gateway| {
            serve("10.0.0.2", well);
            serve("10.0.0.3", well);
            let mut client = gateway.client();
            for _ in 0..4 {
                ask(&mut client).await;
            }
        },
        "
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.1 refuses
            0 gateway opens 10.0.0.2#1
            0 10.0.0.2#1 answers GET /
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.3#1
            0 10.0.0.3#1 answers GET /
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.1 refuses
            0 10.0.0.2#1 answers GET /
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.3#1 answers GET /
            0 client#1 gets 200 ok
              kept: 10.0.0.2
              kept: 10.0.0.3
        ",
    );
}

/// One retry: the third target, which is well, is not asked.
#[test]
fn retries_end() {
    simulate(
        &targets(""),
        async |gateway| {
            silent("10.0.0.1");
            serve("10.0.0.3", well);
            ask(&mut gateway.client()).await;
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 10.0.0.1 is not reached
            1000 10.0.0.2 refuses
            1000 client#1 gets 502
        ",
    );
}

/// What a target may have received, no other one gets.
#[test]
fn what_was_sent_is_not_sent_to_another() {
    simulate(
        &targets(""),
        async |gateway| {
            serve("10.0.0.1", async |mut up| {
                up.asked().await;
                up.closes();
            });
            serve("10.0.0.2", well);
            let mut client = gateway.client();
            ask(&mut client).await;
            ask(&mut client).await;
        },
        "
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.1#1
            0 10.0.0.1#1 is asked GET /
            0 10.0.0.1#1 closes
            0 gateway closes 10.0.0.1#1
            0 client#1 gets 502
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.2#1
            0 10.0.0.2#1 answers GET /
            0 client#1 gets 200 ok
              kept: 10.0.0.2
        ",
    );
}

#[test]
fn a_target_that_fails_gets_no_more_requests() {
    simulate(
        &targets(PASSIVE),
        async |gateway| {
            for up in ["10.0.0.2", "10.0.0.3"] {
                serve(up, well);
            }
            serve(UP, never);
            let mut client = gateway.client();
            for _ in 0..4 {
                ask(&mut client).await;
            }
        },
        "
               0 client#1 says GET / HTTP/1.1
               0 gateway opens 10.0.0.1#1
               0 10.0.0.1#1 is asked GET /
            2000 gateway closes 10.0.0.1#1
            2000 client#1 gets 504
            2000 client#1 says GET / HTTP/1.1
            2000 gateway opens 10.0.0.3#1
            2000 10.0.0.3#1 answers GET /
            2000 client#1 gets 200 ok
            2000 client#1 says GET / HTTP/1.1
            2000 gateway opens 10.0.0.2#1
            2000 10.0.0.2#1 answers GET /
            2000 client#1 gets 200 ok
            2000 client#1 says GET / HTTP/1.1
            2000 10.0.0.3#1 answers GET /
            2000 client#1 gets 200 ok
                 kept: 10.0.0.2
                 kept: 10.0.0.3
                 unhealthy: 10.0.0.1
        ",
    );
}

#[test]
fn a_target_with_bad_answers_gets_no_more_requests() {
    simulate(
        &targets(PASSIVE),
        async |gateway| {
            for up in ["10.0.0.2", "10.0.0.3"] {
                serve(up, well);
            }
            serve("10.0.0.1", async |mut up| {
                while up.asked().await {
                    up.says("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await;
                }
            });
            let mut client = gateway.client();
            for _ in 0..7 {
                ask(&mut client).await;
            }
        },
        "
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.1#1
            0 10.0.0.1#1 is asked GET /
            0 10.0.0.1#1 says HTTP/1.1 500 Oops
            0 client#1 gets 500
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.2#1
            0 10.0.0.2#1 answers GET /
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 gateway opens 10.0.0.3#1
            0 10.0.0.3#1 answers GET /
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.1#1 is asked GET /
            0 10.0.0.1#1 says HTTP/1.1 500 Oops
            0 client#1 gets 500
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.2#1 answers GET /
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.3#1 answers GET /
            0 client#1 gets 200 ok
            0 client#1 says GET / HTTP/1.1
            0 10.0.0.2#1 answers GET /
            0 client#1 gets 200 ok
              kept: 10.0.0.1
              kept: 10.0.0.2
              kept: 10.0.0.3
              unhealthy: 10.0.0.1
        ",
    );
}

#[test]
fn all_targets_are_dead() {
    simulate(
        &targets(PASSIVE),
        async |gateway| {
            let mut client = gateway.client();
            for _ in 0..3 {
                ask(&mut client).await;
            }
            // Passive checks alone never bring them back.
            at(60_000).await;
            serve("10.0.0.1", well);
            ask(&mut client).await;
        },
        "
                0 client#1 says GET / HTTP/1.1
                0 10.0.0.1 refuses
                0 10.0.0.2 refuses
                0 client#1 gets 502
                0 client#1 says GET / HTTP/1.1
                0 10.0.0.3 refuses
                0 client#1 gets 502
                0 client#1 says GET / HTTP/1.1
                0 client#1 gets 503
            60000 client#1 says GET / HTTP/1.1
            60000 client#1 gets 503
                  unhealthy: 10.0.0.1
                  unhealthy: 10.0.0.2
                  unhealthy: 10.0.0.3
        ",
    );
}
