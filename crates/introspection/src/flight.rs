//! Single flight: one call per key at a time, however many wait for it (I-89, I-90).
//!
//! A flight is queued until one of its profile's permits is free, then it calls. It belongs to nobody: a leader that
//! goes away leaves it running, and it lands even if its task panics or its runtime ends. Only a queued one that
//! everybody has left disappears without a call. Three time limits meet here and are never mixed: connecting (in the
//! transport), the call ([`Board::timeout`]), and each waiter's own ([`Seat::wait`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::answer::Answer;
use crate::cache::Fill;
use crate::config::Limits;
use crate::error::{Cause, Failure, FailureKind};
use crate::observe::Outcome;
use crate::profile::Profile;
use crate::request::{Asked, Key, TokenDigest};
use crate::response;
use crate::sync::{self, MutexGuard};
use crate::transport::Transport;

/// What everybody who waits for a flight gets.
pub(crate) type Landed = Result<Arc<Answer>, Arc<Failure>>;

/// A call to be made.
pub(crate) struct Plan {
    pub key: Key,
    pub token: TokenDigest,
    pub asked: Arc<Asked>,
    pub transport: Arc<Transport>,
    pub runtime: Handle,
}

/// All flights of a profile. Numbers are dealt in ascending order, so the lowest queued one is next.
pub(crate) struct Board {
    by_key: HashMap<Key, u64>,
    flights: HashMap<u64, Flight>,
    queue: BTreeSet<u64>,
    calling: usize,
    next: u64,
    /// The call's own time limit.
    timeout: Duration,
    concurrent_calls: usize,
    queued_calls: usize,
}

struct Flight {
    plan: Arc<Plan>,
    phase: Phase,
    waiters: usize,
    /// The cache's generation when it began.
    generation: u64,
    landed: watch::Sender<Option<Landed>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Queued,
    Calling,
}

impl Default for Board {
    fn default() -> Self {
        let Limits { timeout, concurrent_calls, queued_calls, .. } = Limits::default();
        Self {
            by_key: HashMap::new(),
            flights: HashMap::new(),
            queue: BTreeSet::new(),
            calling: 0,
            next: 0,
            timeout,
            concurrent_calls,
            queued_calls,
        }
    }
}

impl Board {
    pub(crate) fn limit(&mut self, limits: &Limits) {
        self.timeout = limits.timeout;
        self.concurrent_calls = limits.concurrent_calls;
        self.queued_calls = limits.queued_calls;
    }

    /// Takes a seat in the flight for this key, if one began after the last purge.
    fn board(&mut self, key: &Key, generation: u64) -> Option<(u64, watch::Receiver<Option<Landed>>)> {
        let number = *self.by_key.get(key)?;
        let flight = self.flights.get_mut(&number).filter(|flight| flight.generation == generation)?;
        flight.waiters += 1;
        Some((number, flight.landed.subscribe()))
    }

    fn schedule(&mut self, plan: Plan, generation: u64) -> (u64, watch::Receiver<Option<Landed>>) {
        let number = self.next;
        self.next += 1;
        let (landed, seat) = watch::channel(None);
        self.by_key.insert(plan.key, number);
        let flight = Flight { plan: Arc::new(plan), phase: Phase::Queued, waiters: 1, generation, landed };
        self.flights.insert(number, flight);
        self.queue.insert(number);
        (number, seat)
    }

    /// Flights whose turn has come, oldest first.
    fn clear_for_takeoff(&mut self, profile: &Arc<Profile>) -> Vec<Flying> {
        let mut cleared = Vec::new();
        while self.calling < self.concurrent_calls {
            let Some(number) = self.queue.pop_first() else { break };
            let Some(flight) = self.flights.get_mut(&number) else { continue };
            flight.phase = Phase::Calling;
            self.calling += 1;
            cleared.push(Flying {
                profile: Arc::clone(profile),
                number,
                plan: Arc::clone(&flight.plan),
                generation: flight.generation,
                timeout: self.timeout,
                landed: None,
            });
        }
        cleared
    }

    /// What a waiter whose time is up has waited for. A call that its last waiter has seen to its own limit is about to
    /// fail: nobody joins it any more, so that the next request asks anew instead of sharing that failure.
    fn give_up(&mut self, number: u64, waited: Duration) -> FailureKind {
        let Some(flight) = self.flights.get(&number) else { return FailureKind::Timeout };
        if flight.phase == Phase::Queued {
            return FailureKind::Busy;
        }
        if flight.waiters == 1 && waited >= self.timeout && self.by_key.get(&flight.plan.key) == Some(&number) {
            self.by_key.remove(&flight.plan.key);
        }
        FailureKind::Timeout
    }

    fn cancel_queue(&mut self) -> Vec<Flight> {
        let queue = std::mem::take(&mut self.queue);
        queue.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    fn remove(&mut self, number: u64) -> Option<Flight> {
        let flight = self.flights.remove(&number)?;
        if self.by_key.get(&flight.plan.key) == Some(&number) {
            self.by_key.remove(&flight.plan.key);
        }
        Some(flight)
    }
}

/// What came of a miss.
pub(crate) enum Joined {
    /// The cache had it by now.
    Found(Arc<Answer>),
    Waiting(Seat),
    /// The queue is full.
    Busy,
}

/// Joins the flight for `plan.key` or starts it. `ttl` is the caller's, for the last look into the cache.
pub(crate) fn join(profile: &Arc<Profile>, plan: Plan, ttl: Duration) -> Joined {
    let mut board = lock(profile);
    // Under the lock that a landing takes after it has stored: whoever finds neither entry nor flight is the first.
    if let Some(hit) = profile.cache.find(&plan.key, ttl) {
        return Joined::Found(hit.answer);
    }
    let generation = profile.cache.generation();
    let (number, landed) = match board.board(&plan.key, generation) {
        Some(seat) => seat,
        None if board.calling >= board.concurrent_calls && board.queue.len() >= board.queued_calls => {
            return Joined::Busy;
        }
        None => {
            profile.cache.flight_began();
            board.schedule(plan, generation)
        }
    };
    let seat = Seat { profile: Arc::clone(profile), number, landed };
    let cleared = board.clear_for_takeoff(profile);
    drop(board);
    take_off(cleared);
    Joined::Waiting(seat)
}

/// Never with the board locked: on a runtime that has ended, spawning lands the flight at once.
fn take_off(cleared: Vec<Flying>) {
    for flying in cleared {
        let runtime = flying.plan.runtime.clone();
        sync::spawn(&runtime, flying.fly());
    }
}

fn lock(profile: &Profile) -> MutexGuard<'_, Board> {
    profile.board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A waiter's place. Dropping it is leaving.
pub(crate) struct Seat {
    profile: Arc<Profile>,
    number: u64,
    landed: watch::Receiver<Option<Landed>>,
}

impl Seat {
    /// Waits no longer than `limit`, the time in the queue included.
    pub(crate) async fn wait(mut self, limit: Duration) -> Landed {
        let landed =
            tokio::time::timeout(limit, self.landed.wait_for(Option::is_some)).await.map(|landed| match landed {
                Ok(landed) => landed.clone().unwrap_or_else(broken_off),
                Err(_) => broken_off(),
            });
        landed.unwrap_or_else(|_| {
            let kind = lock(&self.profile).give_up(self.number, limit);
            Err(Arc::new(Failure::new(kind, Cause::Elapsed(limit))))
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut board = lock(&self.profile);
        let Some(flight) = board.flights.get_mut(&self.number) else { return };
        flight.waiters -= 1;
        if flight.waiters == 0 && flight.phase == Phase::Queued {
            board.queue.remove(&self.number);
            board.remove(self.number);
            self.profile.cache.flight_ended();
        }
    }
}

fn broken_off() -> Landed {
    Err(Arc::new(Failure::new(FailureKind::Internal, None)))
}

/// A flight in the air. Dropping it is landing, whatever became of it.
struct Flying {
    profile: Arc<Profile>,
    number: u64,
    plan: Arc<Plan>,
    generation: u64,
    timeout: Duration,
    landed: Option<Landed>,
}

impl Flying {
    async fn fly(mut self) {
        let clock = self.profile.cache.clock();
        let began = clock.monotonic();
        let result = self.call().await.map_err(Arc::new);
        let took = Duration::from_millis(clock.monotonic().saturating_sub(began));
        self.profile.finished(Outcome::of(&result), result.as_ref().err().map(Arc::as_ref), took);
        if let Ok(answer) = &result {
            let Plan { key, token, asked, .. } = self.plan.as_ref();
            let fill = Fill {
                key: *key,
                profile: self.profile.fingerprint,
                token: &asked.token,
                digest: *token,
                generation: self.generation,
            };
            self.profile.cache.store(&fill, answer);
        }
        self.landed = Some(result);
    }

    async fn call(&self) -> Result<Arc<Answer>, Failure> {
        let inputs = &self.profile.inputs;
        let exchange = self.plan.transport.exchange(inputs, &self.plan.asked);
        let reply = tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| Failure::new(FailureKind::Timeout, Cause::Elapsed(self.timeout)))??;
        response::judge(&reply, &inputs.reading, self.profile.cache.clock().wall())
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        let grounded = self.landed.is_none() && !std::thread::panicking();
        let landed = self.landed.take().unwrap_or_else(|| {
            let failure = Failure::new(FailureKind::Internal, None);
            self.profile.finished(Outcome::Failed(failure.kind()), Some(&failure), Duration::ZERO);
            Err(Arc::new(failure))
        });
        let mut board = lock(&self.profile);
        let mut ended: Vec<Flight> = board.remove(self.number).into_iter().collect();
        board.calling -= 1;
        let cleared = if grounded {
            // Dropped by a runtime that ends: nothing takes off from it any more, so nobody may go on waiting.
            ended.extend(board.cancel_queue());
            Vec::new()
        } else {
            board.clear_for_takeoff(&self.profile)
        };
        drop(board);
        for flight in ended {
            self.profile.cache.flight_ended();
            flight.landed.send_replace(Some(landed.clone()));
        }
        take_off(cleared);
    }
}

#[cfg(test)]
mod interleavings;
