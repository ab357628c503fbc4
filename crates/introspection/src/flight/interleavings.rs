//! Joining, waiting, leaving, landing, purging and changes of limits, in every order that the locks allow.
//!
//! A model is a handful of actors. Each of its executions ends with nobody left waiting (shuttle would say
//! "deadlock"), no call too many, and every book empty.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::CONTENT_TYPE;
use shuttle::future::{block_on, yield_now};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

use super::*;
use crate::cache::{Cache, CacheConfig, Purge};
use crate::profile::Lease;
use crate::request::{Attempt, Call, Inputs};
use crate::sync::modelled;
use crate::transport::Sent;
use crate::{ClientAuth, ManualClock};

const MINUTE: Duration = Duration::from_secs(60);

/// What one actor does.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Asks about a token and waits for the answer.
    Wait(&'static str),
    /// Asks and leaves after so many chances for the others.
    Leave(&'static str, usize),
    /// Asks, and its time is up after a while.
    GiveUp(&'static str),
    Purge,
    /// Another introspector that allows more comes, and goes.
    Widen,
}

struct Model {
    parts: &'static [Part],
    concurrent_calls: usize,
    queued_calls: usize,
    /// Calls that the parts may make at most.
    most_calls: usize,
    /// Whether somebody may be told that the queue is full.
    busy: bool,
}

/// What the scripted server saw.
#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    now: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Model {
    fn inputs() -> (Inputs, Limits) {
        let config = crate::Config::new("https://as.example/").unwrap().client_auth(ClientAuth::none("id"));
        config.into_inputs().unwrap()
    }

    fn execute(&self, client: &reqwest::Client, runtime: &Handle) {
        let (inputs, limits) = Self::inputs();
        let limits = Limits { concurrent_calls: self.concurrent_calls, queued_calls: self.queued_calls, ..limits };
        let cache = Cache::new(CacheConfig {
            max_bytes: 64 * 1024,
            negative_bytes: 4096,
            clock: Arc::new(ManualClock::at(1_700_000_000_000)),
            ..CacheConfig::default()
        });
        let lease = Lease::take(cache.profile(inputs), limits);
        let seen = Arc::new(Seen::default());
        let transport = server(client, &cache, &seen);
        let actors: Vec<_> = self
            .parts
            .iter()
            .map(|part| {
                let profile = Arc::clone(&lease.profile);
                let (transport, runtime, busy) = (Arc::clone(&transport), runtime.clone(), self.busy);
                shuttle::future::spawn(play(*part, profile, transport, runtime, limits, busy))
            })
            .collect();
        for actor in actors {
            block_on(actor).unwrap();
        }
        modelled::finish();

        let board = lock(&lease.profile);
        assert!(board.by_key.is_empty() && board.flights.is_empty() && board.queue.is_empty());
        assert_eq!(board.calling, 0);
        drop(board);
        assert_eq!(cache.stats().flights, 0);
        assert_eq!(seen.now.load(Ordering::SeqCst), 0);
        let calls = seen.calls.load(Ordering::SeqCst);
        assert!(calls <= self.most_calls, "{calls} calls");
        let widened = self.parts.iter().filter(|part| matches!(part, Part::Widen)).count();
        assert!(seen.most_at_once.load(Ordering::SeqCst) <= self.concurrent_calls + widened);
    }

    fn check(&'static self, scheduler: impl Scheduler + 'static) -> usize {
        // Its clock and its timers stand still: nobody drives it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let handle = runtime.handle().clone();
        let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let mut config = Config::new();
        config.stack_size = 256 * 1024;
        Runner::new(scheduler, config).run(move || modelled::run(|| self.execute(&client, &handle)))
    }
}

/// Answers each call after the others had a chance, and says which generation it was asked in.
fn server(client: &reqwest::Client, cache: &Arc<Cache>, seen: &Arc<Seen>) -> Arc<Transport> {
    let (cache, seen) = (Arc::clone(cache), Arc::clone(seen));
    let script = move |_: Attempt| -> std::pin::Pin<Box<dyn Future<Output = Sent> + Send>> {
        let (generation, seen) = (cache.generation(), Arc::clone(&seen));
        Box::pin(async move {
            seen.calls.fetch_add(1, Ordering::SeqCst);
            let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most_at_once.fetch_max(now, Ordering::SeqCst);
            yield_now().await;
            seen.now.fetch_sub(1, Ordering::SeqCst);
            let body = format!(r#"{{"active":true,"jti":"{generation}"}}"#);
            Ok(http::Response::builder().header(CONTENT_TYPE, "application/json").body(body).unwrap().into())
        })
    };
    Transport::scripted(client.clone(), Box::new(script))
}

async fn play(
    part: Part,
    profile: Arc<Profile>,
    transport: Arc<Transport>,
    runtime: Handle,
    limits: Limits,
    busy: bool,
) {
    let token = match part {
        Part::Wait(token) | Part::Leave(token, _) | Part::GiveUp(token) => token,
        Part::Purge => {
            profile.cache.purge(&Purge::All);
            return;
        }
        Part::Widen => {
            let wider = Limits { concurrent_calls: limits.concurrent_calls + 1, ..limits };
            let lease = Lease::take(profile, wider);
            yield_now().await;
            return drop(lease);
        }
    };
    let call = Call::new(token);
    let plan = Plan {
        key: profile.key_of(&call),
        token: profile.cache.token_digest(token),
        asked: Arc::new(call.to_asked()),
        transport,
        runtime,
    };
    let generation = profile.cache.generation();
    let answer = match (join(&profile, plan, MINUTE), part) {
        (Joined::Found(answer), _) => answer,
        (Joined::Waiting(seat), Part::Wait(_)) => seat.wait(MINUTE).await.expect("an answer"),
        (Joined::Waiting(seat), Part::Leave(_, chances)) => {
            for _ in 0..chances {
                yield_now().await;
            }
            return drop(seat);
        }
        (Joined::Waiting(seat), _) => {
            yield_now().await;
            lock(&seat.profile).give_up(seat.number, MINUTE);
            return drop(seat);
        }
        (Joined::Busy, _) => return assert!(busy, "the queue has room for all"),
    };
    // I-91: what was asked before a purge serves nobody who came after it.
    let asked_in: u64 = answer.jti().unwrap().parse().unwrap();
    assert!(asked_in >= generation, "asked in {asked_in}, wanted in {generation}");
}

// I-89, I-91
#[test]
fn a_flight_and_a_purge_hold_in_every_order() {
    static PURGED: Model = Model {
        parts: &[Part::Wait("a"), Part::Purge],
        concurrent_calls: 1,
        queued_calls: 1,
        most_calls: 1,
        busy: false,
    };
    let most = 50_000;
    let executions = PURGED.check(DfsScheduler::new(Some(most), false));
    assert!(executions < most, "not every order was seen");
}

// I-89, I-90, I-91
#[test]
fn crowds_hold_in_many_orders() {
    static CROWD: Model = Model {
        parts: &[Part::Wait("a"), Part::Wait("a"), Part::Leave("a", 1), Part::Wait("a"), Part::Leave("a", 0)],
        concurrent_calls: 1,
        queued_calls: 1,
        most_calls: 1,
        busy: false,
    };
    static PURGES: Model = Model {
        parts: &[Part::Wait("a"), Part::Wait("a"), Part::Purge, Part::Wait("a"), Part::Purge],
        concurrent_calls: 3,
        queued_calls: 1,
        most_calls: 3,
        busy: false,
    };
    static FULL: Model = Model {
        parts: &[
            Part::Wait("a"),
            Part::Wait("b"),
            Part::Leave("b", 1),
            Part::Wait("c"),
            Part::GiveUp("a"),
            Part::Widen,
        ],
        concurrent_calls: 1,
        queued_calls: 1,
        most_calls: 5,
        busy: true,
    };
    static ALL: Model = Model {
        parts: &[
            Part::Wait("a"),
            Part::Wait("b"),
            Part::Leave("b", 1),
            Part::Purge,
            Part::Wait("b"),
            Part::Widen,
            Part::GiveUp("a"),
        ],
        concurrent_calls: 1,
        queued_calls: 4,
        most_calls: 6,
        busy: false,
    };
    for model in [&CROWD, &PURGES, &FULL, &ALL] {
        model.check(RandomScheduler::new_from_seed(7, 1000));
        model.check(PctScheduler::new_from_seed(7, 3, 1000));
    }
}
