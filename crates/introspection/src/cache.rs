//! Answers, kept for a while. Never a decision, never a token (I-79, I-81).
//!
//! One cache serves every profile of a process; its keys keep them apart. Lifetimes are judged when an entry is read,
//! by the ttl of whoever reads (I-86), and bytes are bounded when one is written. Inactive answers have a segment of
//! their own, so that a flood of made-up tokens cannot drive real ones out (I-87).

mod purge;
mod segment;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};

pub use purge::Purge;

use crate::answer::Answer;
use crate::clock::{Clock, SystemClock, millis};
use crate::counter::Counter;
use crate::observe::{Observer, Outcome, Outcomes};
use crate::profile::Profile;
use crate::request::{Fingerprint, Inputs, Key, TokenDigest};
use crate::sync::{Mutex, RwLock};
use segment::{Negative, Positive, Segment};

/// Bounds of a [`Cache`], and what it gets from outside.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// Bytes of all active answers together, bookkeeping included. Default 64 MiB: some 100,000 usual tokens.
    pub max_bytes: usize,
    /// Bytes of one answer; over it the answer serves its request and is not stored. Default 64 KiB, so that no token
    /// takes the room of more than a few hundred others.
    pub max_entry_bytes: usize,
    /// How long an answer without `exp` is kept at most, whatever the ttl says. Default 24 h.
    pub max_lifetime: Duration,
    /// Bytes of all inactive answers together. Default 4 MiB: some 25,000 tokens.
    pub negative_bytes: usize,
    /// How long an inactive answer is kept at most; zero: not at all. Default 5 s.
    pub negative_ttl: Duration,
    /// Default: the system's.
    pub clock: Arc<dyn Clock>,
    /// Told of every finished call. Default none.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024 * 1024,
            max_entry_bytes: 64 * 1024,
            max_lifetime: Duration::from_secs(24 * 60 * 60),
            negative_bytes: 4 * 1024 * 1024,
            negative_ttl: Duration::from_secs(5),
            clock: Arc::new(SystemClock::new()),
            observer: None,
        }
    }
}

/// A negative entry of a JWT that is younger than this lives for [`FRESH_TTL`] alone: it may not have reached the
/// replica that was asked.
const FRESH_AGE: u64 = 10_000;
const FRESH_TTL: u64 = 1_000;

/// The cache, and the state of every profile that uses it. Shared as `Arc<Cache>`.
pub struct Cache {
    positive: Segment<Positive>,
    negative: Segment<Negative>,
    max_entry_bytes: usize,
    max_lifetime: u64,
    negative_ttl: u64,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn Observer>>,
    /// Digests profiles; never leaves the process.
    process_key: hmac::Key,
    /// Digests tokens for logs and purges.
    token_key: hmac::Key,
    /// Raised by every purge, under the write lock; a store holds the read lock from checking it to having stored.
    generation: RwLock<u64>,
    profiles: Mutex<HashMap<Fingerprint, Weak<Profile>>>,
    outcomes: Outcomes,
    hits: Counter,
    negative_hits: Counter,
    misses: Counter,
    flights: AtomicU64,
}

/// An answer from the cache.
#[derive(Debug)]
pub struct Hit {
    pub answer: Arc<Answer>,
    /// It came from the segment of inactive answers.
    pub negative: bool,
    pub token: TokenDigest,
}

/// Size and use of a cache at one moment. Counts of events run since its construction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    pub hits: u64,
    pub negative_hits: u64,
    pub misses: u64,
    pub positive_entries: u64,
    pub positive_bytes: u64,
    pub negative_entries: u64,
    pub negative_bytes: u64,
    /// Entries that gave way to others for want of room, in both segments.
    pub evictions: u64,
    /// Flights under way or queued now.
    pub flights: u64,
    /// Purges so far.
    pub generation: u64,
}

/// How a freshly fetched answer is stored.
pub(crate) struct Fill<'a> {
    pub key: Key,
    pub profile: Fingerprint,
    pub token: &'a str,
    pub digest: TokenDigest,
    /// The generation when its flight began.
    pub generation: u64,
}

impl Cache {
    pub fn new(config: CacheConfig) -> Arc<Self> {
        let CacheConfig { max_bytes, max_entry_bytes, max_lifetime, negative_bytes, negative_ttl, clock, observer } =
            config;
        Arc::new(Self {
            positive: Segment::new(max_bytes, max_entry_bytes),
            negative: Segment::new(negative_bytes, Negative::WEIGHT),
            max_entry_bytes,
            max_lifetime: millis(max_lifetime),
            negative_ttl: millis(negative_ttl),
            clock,
            observer,
            process_key: random_key(),
            token_key: random_key(),
            generation: RwLock::new(0),
            profiles: Mutex::default(),
            outcomes: Outcomes::default(),
            hits: Counter::default(),
            negative_hits: Counter::default(),
            misses: Counter::default(),
            flights: AtomicU64::new(0),
        })
    }

    /// The clock everything here runs on.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The digest that stands for a token in logs.
    pub fn token_digest(&self, token: &str) -> TokenDigest {
        TokenDigest::of(token, &self.token_key)
    }

    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.total(),
            negative_hits: self.negative_hits.total(),
            misses: self.misses.total(),
            positive_entries: self.positive.entries(),
            positive_bytes: self.positive.bytes(),
            negative_entries: self.negative.entries(),
            negative_bytes: self.negative.bytes(),
            evictions: self.positive.evictions() + self.negative.evictions(),
            flights: self.flights.load(Ordering::Relaxed),
            generation: self.generation(),
        }
    }

    /// Calls of all profiles since the construction, by outcome.
    pub fn calls(&self) -> impl Iterator<Item = (Outcome, u64)> {
        self.outcomes.read()
    }

    /// An answer that a reader with this ttl may use (zero: no limit of its own), counted as hit or miss.
    pub(crate) fn lookup(&self, key: &Key, ttl: Duration) -> Option<Hit> {
        let found = self.find(key, ttl);
        match &found {
            Some(hit) if hit.negative => self.negative_hits.raise(),
            Some(_) => self.hits.raise(),
            None => self.misses.raise(),
        }
        found
    }

    /// The same, not counted: a request that missed looks again before it takes off.
    pub(crate) fn find(&self, key: &Key, ttl: Duration) -> Option<Hit> {
        let now = self.clock.monotonic();
        let ttl = if ttl.is_zero() { u64::MAX } else { millis(ttl) };
        if let Some(entry) = self.positive.get(key) {
            if entry.answer.expires() <= self.clock.wall() {
                self.positive.remove_if(key, |other| Arc::ptr_eq(&other.answer, &entry.answer));
            } else {
                let limit = if entry.answer.expires() == u64::MAX { ttl.min(self.max_lifetime) } else { ttl };
                if now.saturating_sub(entry.fetched_at) <= limit {
                    return Some(Hit { answer: entry.answer, negative: false, token: entry.token });
                }
            }
        }
        let entry = self.negative.get(key)?;
        let usable = now < entry.ends_at && now.saturating_sub(entry.fetched_at) <= ttl;
        usable.then(|| Hit { answer: Answer::inactive(), negative: true, token: entry.token })
    }

    /// Stores what a flight brought, as far as it may be stored.
    pub(crate) fn store(&self, fill: &Fill<'_>, answer: &Arc<Answer>) {
        let usable = answer.active() && answer.expires() > self.clock.wall();
        let fits = Positive::weight_of(answer) <= self.max_entry_bytes;
        if !usable || !fits {
            // Whatever the generation: nothing is admitted on an earlier answer after this one (I-88, I-102).
            self.positive.remove_if(&fill.key, |_| true);
        }
        let generation = self.generation.read().unwrap_or_else(PoisonError::into_inner);
        if *generation != fill.generation {
            return; // I-91
        }
        let fetched_at = self.clock.monotonic();
        let profile = fill.profile.short();
        if usable && fits {
            self.positive
                .insert(fill.key, Positive { answer: Arc::clone(answer), fetched_at, profile, token: fill.digest });
            self.negative.remove_if(&fill.key, |_| true);
        } else if !answer.active() && self.negative_ttl > 0 {
            let fresh = crate::bearer::jwt_issued_at(fill.token)
                .is_some_and(|issued| self.clock.wall().saturating_sub(issued) < FRESH_AGE);
            let ttl = if fresh { self.negative_ttl.min(FRESH_TTL) } else { self.negative_ttl };
            let ends_at = fetched_at.saturating_add(ttl);
            self.negative.insert(fill.key, Negative { fetched_at, ends_at, profile, token: fill.digest });
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        *self.generation.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a profile, shared by every introspector whose inputs are equal.
    pub(crate) fn profile(self: &Arc<Self>, inputs: Inputs) -> Arc<Profile> {
        let fingerprint = Fingerprint::of(&inputs, &self.process_key);
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(profile) = profiles.get(&fingerprint).and_then(Weak::upgrade) {
            return profile;
        }
        let key = fingerprint.derive(&self.process_key);
        let profile = Arc::new(Profile::new(Arc::clone(self), fingerprint, key, inputs));
        profiles.insert(fingerprint, Arc::downgrade(&profile));
        profile
    }

    /// Called when the last introspector of a profile has gone.
    pub(crate) fn forget(&self, fingerprint: &Fingerprint) {
        let mut profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        if profiles.get(fingerprint).is_some_and(|profile| profile.strong_count() == 0) {
            profiles.remove(fingerprint);
        }
    }

    pub(crate) fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        self.observer.as_deref()
    }

    pub(crate) fn flight_began(&self) {
        self.flights.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn flight_ended(&self) {
        self.flights.fetch_sub(1, Ordering::Relaxed);
    }
}

#[expect(
    clippy::expect_used,
    reason = "aws-lc aborts rather than return without randomness; without it nothing is safe"
)]
fn random_key() -> hmac::Key {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut()).expect("randomness");
    hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref())
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod tests;
