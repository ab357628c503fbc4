//! Single flight, its limits, and purges that race with it.

use std::sync::Arc;
use std::time::Duration;

use portcullis_introspection::{
    Answer, Cache, CacheConfig, Call, Clients, Failure, Introspector, Lookup, Miss, Outcome, Purge,
};

use crate::server::{Act, Server, introspector, json, reply, until};

const ACTIVE: &str = r#"{"active":true,"sub":"s"}"#;
const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(60);

type Landed = Result<Arc<Answer>, Arc<Failure>>;

fn miss(introspector: &Introspector, token: &str) -> Miss {
    match introspector.lookup(&Call::new(token), MINUTE) {
        Lookup::Miss(miss) => miss,
        Lookup::Hit(hit) => panic!("{hit:?}"),
    }
}

fn ask(introspector: &Introspector, token: &str, wait: Duration) -> tokio::task::JoinHandle<Landed> {
    tokio::spawn(introspector.fetch(miss(introspector, token), MINUTE, wait))
}

fn code(landed: Landed) -> &'static str {
    landed.map_or_else(|failure| failure.code(), |_| "answered")
}

async fn holding() -> Server {
    Server::start(|_, _, _| Act::Hold(json(ACTIVE))).await
}

// I-89, S-12
#[tokio::test]
async fn parallel_misses_make_one_call() {
    for misses in [20, 1000] {
        let server = holding().await;
        let introspector = server.introspector();
        let waiting: Vec<_> = (0..misses).map(|_| ask(&introspector, "t", MINUTE)).collect();
        server.called(1).await;
        server.release(misses);
        for waiter in waiting {
            assert!(waiter.await.unwrap().unwrap().active());
        }
        assert_eq!(server.calls(), 1, "{misses}");
        assert!(introspector.introspect("t").await.unwrap().active());
        assert_eq!((server.calls(), introspector.cache().stats().flights), (1, 0));
    }
}

// I-89, S-12
#[tokio::test]
async fn a_flight_outlives_its_leader() {
    let server = holding().await;
    let introspector = server.introspector();
    let leader = ask(&introspector, "t", MINUTE);
    let other = ask(&introspector, "t", MINUTE);
    server.called(1).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    server.release(1);
    assert!(other.await.unwrap().unwrap().active());

    // Even if nobody is left: the answer is stored.
    let alone = ask(&introspector, "u", MINUTE);
    server.called(2).await;
    alone.abort();
    server.release(1);
    until(|| introspector.cache().stats().positive_entries == 2).await;
    assert_eq!(server.calls(), 2);
}

// I-89, S-11, S-12
#[tokio::test]
async fn failures_are_shared_and_not_stored() {
    let server = Server::start(|number, _, _| match number {
        0 => Act::Hold(reply("500 Oops", "", b"")),
        _ => Act::Say(json(ACTIVE)),
    })
    .await;
    let introspector = server.introspector();
    let waiting: Vec<_> = (0..20).map(|_| ask(&introspector, "t", MINUTE)).collect();
    server.called(1).await;
    server.release(1);
    for waiter in waiting {
        assert_eq!(code(waiter.await.unwrap()), "as_status");
    }
    assert_eq!(server.calls(), 1);
    assert!(introspector.introspect("t").await.unwrap().active());
    let calls: Vec<_> = introspector.calls().filter(|(_, count)| *count > 0).collect();
    assert_eq!(
        calls.iter().map(|(outcome, count)| (outcome.code(), *count)).collect::<Vec<_>>(),
        [("active", 1), ("as_status", 1)]
    );
    assert_eq!(calls, introspector.cache().calls().filter(|(_, count)| *count > 0).collect::<Vec<_>>());
    assert_eq!(Outcome::Inactive.code(), "inactive");
}

// I-91, S-13
#[tokio::test]
async fn a_purge_parts_what_came_before_from_what_comes_after() {
    let server = holding().await;
    let introspector = server.introspector();
    let before = ask(&introspector, "t", MINUTE);
    server.called(1).await;
    introspector.cache().purge(&Purge::All);
    let after = ask(&introspector, "t", MINUTE);
    server.called(2).await; // it did not join
    server.release(2);
    assert!(before.await.unwrap().unwrap().active());
    assert!(after.await.unwrap().unwrap().active());
    assert!(introspector.introspect("t").await.unwrap().active());
    assert_eq!(server.calls(), 2);

    let before = ask(&introspector, "u", MINUTE);
    server.called(3).await;
    introspector.cache().purge(&Purge::Token("another"));
    server.release(2);
    assert!(before.await.unwrap().unwrap().active());
    assert!(introspector.introspect("u").await.unwrap().active());
    assert_eq!(server.calls(), 4);
}

// I-90
#[tokio::test]
async fn who_waited_in_vain_learns_why() {
    let server = holding().await;
    let introspector = introspector(server.config().concurrent_calls(1));
    let calling = ask(&introspector, "calling", SOON);
    let patient = ask(&introspector, "calling", MINUTE);
    server.called(1).await;
    let queued = ask(&introspector, "queued", SOON);
    assert_eq!(code(queued.await.unwrap()), "as_busy");
    assert_eq!(code(calling.await.unwrap()), "as_timeout");
    server.release(1);
    assert_eq!(code(patient.await.unwrap()), "answered");
    until(|| introspector.cache().stats().flights == 0).await;
    assert_eq!(server.calls(), 1); // the one in the queue was never made
}

// I-90
#[tokio::test]
async fn the_queue_is_capped() {
    let server = holding().await;
    let introspector = introspector(server.config().concurrent_calls(1).queued_calls(2));
    let waiting: Vec<_> = ["a", "b", "c"].map(|token| ask(&introspector, token, MINUTE)).into();
    server.called(1).await;
    until(|| introspector.cache().stats().flights == 3).await;
    assert_eq!(code(ask(&introspector, "d", MINUTE).await.unwrap()), "as_busy");
    let joined = ask(&introspector, "c", MINUTE); // joining needs no place of its own
    server.release(3);
    for waiter in waiting {
        assert_eq!(code(waiter.await.unwrap()), "answered");
    }
    assert_eq!(code(joined.await.unwrap()), "answered");
    assert_eq!(server.calls(), 3);
    let bodies: Vec<_> = server.requests().iter().map(|request| request.contains("token=a")).collect();
    assert_eq!(bodies, [true, false, false]); // first come, first served
}

// I-90, S-69
#[tokio::test]
async fn tokens_nobody_waits_for_make_no_calls() {
    let server = holding().await;
    let introspector = introspector(server.config().concurrent_calls(2));
    let waiting: Vec<_> = (0..500).map(|number| ask(&introspector, &format!("t{number}"), SOON)).collect();
    let mut codes: Vec<_> = Vec::new();
    for waiter in waiting {
        codes.push(code(waiter.await.unwrap()));
    }
    assert_eq!(codes.iter().filter(|code| **code == "as_timeout").count(), 2);
    assert_eq!(codes.iter().filter(|code| **code == "as_busy").count(), 498);
    assert_eq!((server.calls(), introspector.cache().stats().flights), (2, 2));
    server.release(2);
    until(|| introspector.cache().stats().flights == 0).await;
    assert_eq!(server.calls(), 2);
}

// I-90
#[tokio::test]
async fn the_call_lasts_as_long_as_the_most_patient_sharer_allows() {
    let server = holding().await;
    let cache = Cache::new(CacheConfig::default());
    let clients = Clients::new();
    let hasty = Introspector::new(server.config().timeout(SOON), &cache, &clients, None).unwrap();
    let patient = Introspector::new(server.config(), &cache, &clients, None).unwrap();
    assert_eq!(hasty.fingerprint(), patient.fingerprint());
    assert_eq!(code(hasty.introspect("t").await), "as_timeout");
    let waiter = ask(&patient, "t", MINUTE);
    server.release(1);
    assert_eq!(code(waiter.await.unwrap()), "answered");
    assert_eq!(server.calls(), 1);

    drop(patient);
    assert_eq!(code(ask(&hasty, "u", MINUTE).await.unwrap()), "as_timeout"); // now by the call's own limit
    assert_eq!(cache.stats().flights, 0);
}

// I-89
#[test]
fn a_flight_lands_when_its_runtime_ends() {
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = here.block_on(holding());
    let there = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = server.config().concurrent_calls(1);
    let cache = Cache::new(CacheConfig::default());
    let introspector = Introspector::new(config, &cache, &Clients::new(), there.handle().clone()).unwrap();
    here.block_on(async {
        let waiting: Vec<_> = ["a", "b", "c"].map(|token| ask(&introspector, token, MINUTE)).into();
        server.called(1).await;
        until(|| cache.stats().flights == 3).await;
        there.shutdown_background();
        for waiter in waiting {
            assert_eq!(code(waiter.await.unwrap()), "internal");
        }
        assert_eq!(code(introspector.introspect("d").await), "internal");
        assert_eq!(cache.stats().flights, 0);
    });
}
