//! What happened to calls: outcomes counted, a hook for histograms, and one log line when an outage begins or ends.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::answer::Answer;
use crate::error::{Failure, FailureKind};
use crate::request::Fingerprint;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Active,
    Inactive,
    Failed(FailureKind),
}

impl Outcome {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Active, Self::Inactive].into_iter().chain(FailureKind::ALL.into_iter().map(Self::Failed))
    }

    /// `active`, `inactive` or the failure's code: a metric label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Failed(kind) => kind.code(),
        }
    }

    pub(crate) fn of<F: AsRef<Failure>>(result: &Result<impl AsRef<Answer>, F>) -> Self {
        match result {
            Ok(answer) if answer.as_ref().active() => Self::Active,
            Ok(_) => Self::Inactive,
            Err(failure) => Self::Failed(failure.as_ref().kind()),
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Active => 0,
            Self::Inactive => 1,
            Self::Failed(kind) => 2 + kind as usize,
        }
    }
}

/// A call that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct FinishedCall<'a> {
    /// Host of the endpoint.
    pub host: &'a str,
    pub profile: Fingerprint,
    pub outcome: Outcome,
    /// From the first byte sent to the verdict; the time in the queue is not in it.
    pub took: Duration,
}

/// Told of every call when it ends. Called from the runtime of the calls: it must not block.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    fn call_finished(&self, call: &FinishedCall<'_>);
}

/// Calls by outcome.
#[derive(Debug, Default)]
pub(crate) struct Outcomes([AtomicU64; 2 + FailureKind::COUNT]);

impl Outcomes {
    pub(crate) fn raise(&self, outcome: Outcome) {
        self.0[outcome.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::all().map(|outcome| (outcome, self.0[outcome.index()].load(Ordering::Relaxed)))
    }
}

/// This many 400 in a row, without any 200, and we suspect ourselves: wrong Basic encoding looks like that.
const SUSPICIOUS_RUN: u32 = 10;

/// Whether an authorization server works, as live traffic sees it. Logs changes, not requests (I-109).
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    down: Option<FailureKind>,
    refused_in_a_row: u32,
}

/// What is worth a log line.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Down,
    Recovered,
    Suspected,
}

impl Health {
    pub(crate) fn note(&self, host: &str, result: Result<(), &Failure>) {
        let change = self.state.lock().unwrap_or_else(PoisonError::into_inner).note(result);
        match (change, result) {
            (Some(Change::Down), Err(failure)) => {
                let cause = std::error::Error::source(failure).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(host, code = failure.code(), cause, "introspection fails: {failure}");
            }
            (Some(Change::Recovered), _) => tracing::info!(host, "introspection works again"),
            (Some(Change::Suspected), _) => tracing::warn!(
                host,
                "every introspection call is answered 400: suspect the client credentials, or how they are encoded"
            ),
            _ => {}
        }
    }
}

impl State {
    fn note(&mut self, result: Result<(), &Failure>) -> Option<Change> {
        let answered = match result {
            Ok(()) => {
                self.refused_in_a_row = 0;
                true
            }
            Err(failure) if failure.kind() == FailureKind::RefusedToken => {
                self.refused_in_a_row = self.refused_in_a_row.saturating_add(1);
                true
            }
            Err(failure) if failure.is_outage() => {
                let changed = self.down != Some(failure.kind());
                self.down = Some(failure.kind());
                return changed.then_some(Change::Down);
            }
            // About this one call: says nothing of the server.
            Err(_) => false,
        };
        if answered && self.down.take().is_some() {
            return Some(Change::Recovered);
        }
        (answered && self.refused_in_a_row == SUSPICIOUS_RUN).then_some(Change::Suspected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // I-109, A-16
    #[test]
    fn changes_are_noted_once() {
        let mut state = State::default();
        let failed = |kind| Failure::new(kind, None);
        let mut step = |kind: Option<FailureKind>| match kind {
            Some(kind) => state.note(Err(&failed(kind))),
            None => state.note(Ok(())),
        };
        assert_eq!(step(None), None);
        assert_eq!(step(Some(FailureKind::Unreachable)), Some(Change::Down));
        assert_eq!(step(Some(FailureKind::Unreachable)), None);
        assert_eq!(step(Some(FailureKind::Timeout)), Some(Change::Down));
        assert_eq!(step(Some(FailureKind::Internal)), None);
        assert_eq!(step(None), Some(Change::Recovered));
        assert_eq!(step(None), None);
        for call in 1..30 {
            let expected = (call == SUSPICIOUS_RUN).then_some(Change::Suspected);
            assert_eq!(step(Some(FailureKind::RefusedToken)), expected, "call {call}");
        }
    }
}
