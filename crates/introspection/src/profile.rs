//! What introspectors with equal inputs share: key, flights, permits, counters, health. It outlives a reload, since
//! the next introspector takes hold of it before the last one lets go.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::cache::Cache;
use crate::config::Limits;
use crate::flight::Board;
use crate::observe::{FinishedCall, Health, Outcome, Outcomes};
use crate::request::{Call, Fingerprint, Inputs, Key};
use crate::sync::Mutex;

pub(crate) struct Profile {
    pub cache: Arc<Cache>,
    pub fingerprint: Fingerprint,
    pub inputs: Inputs,
    pub board: Mutex<Board>,
    pub outcomes: Outcomes,
    key: hmac::Key,
    health: Health,
    leases: Mutex<HashMap<Limits, usize>>,
}

impl Profile {
    pub(crate) fn new(cache: Arc<Cache>, fingerprint: Fingerprint, key: hmac::Key, inputs: Inputs) -> Self {
        Self {
            cache,
            fingerprint,
            inputs,
            board: Mutex::default(),
            outcomes: Outcomes::default(),
            key,
            health: Health::default(),
            leases: Mutex::default(),
        }
    }

    pub(crate) fn key_of(&self, call: &Call<'_>) -> Key {
        Key::of(call, &self.key)
    }

    /// Counts, reports and logs a finished call.
    pub(crate) fn finished(&self, outcome: Outcome, failure: Option<&crate::Failure>, took: Duration) {
        let host = self.inputs.endpoint.host_str().unwrap_or_default();
        self.outcomes.raise(outcome);
        self.cache.outcomes().raise(outcome);
        self.health.note(host, failure.map_or(Ok(()), Err));
        if let Some(observer) = self.cache.observer() {
            observer.call_finished(&FinishedCall { host, profile: self.fingerprint, outcome, took });
        }
    }

    /// The limits that hold for the calls of all: the most generous of those who share the profile (I-90).
    fn most_generous(leases: &HashMap<Limits, usize>) -> Option<Limits> {
        leases.keys().copied().reduce(|one, other| Limits {
            timeout: one.timeout.max(other.timeout),
            concurrent_calls: one.concurrent_calls.max(other.concurrent_calls),
            queued_calls: one.queued_calls.max(other.queued_calls),
            ..one
        })
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.cache.forget(&self.fingerprint);
    }
}

/// One introspector's hold on its profile.
pub(crate) struct Lease {
    pub profile: Arc<Profile>,
    limits: Limits,
}

impl Lease {
    pub(crate) fn take(profile: Arc<Profile>, limits: Limits) -> Self {
        let lease = Self { profile, limits };
        lease.change(|leases| *leases.entry(limits).or_insert(0) += 1);
        lease
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<Limits, usize>)) {
        let mut leases = self.profile.leases.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut leases);
        if let Some(limits) = Profile::most_generous(&leases) {
            self.profile.board.lock().unwrap_or_else(PoisonError::into_inner).limit(&limits);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let limits = self.limits;
        self.change(|leases| {
            if let Some(count) = leases.get_mut(&limits) {
                *count -= 1;
                if *count == 0 {
                    leases.remove(&limits);
                }
            }
        });
    }
}
