//! Whether an address can take requests: what happened in a row, and when that changes sides.

use portcullis_model::plan::{CheckKind, HealthCounts};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a request of a client or one of our own has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Success,
    /// An answer whose status counts as a failure.
    HttpFailure,
    /// No connection, or one that broke before an answer.
    TcpFailure,
    Timeout,
}

/// Health and counters of one address, in one word, so that workers and probes count without a lock. Zero is
/// healthy with nothing to count, as nearly every address is nearly always.
#[derive(Debug, Default)]
pub(crate) struct Health(AtomicU64);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counted {
    down: bool,
    successes: u8,
    http_failures: u8,
    tcp_failures: u8,
    timeouts: u8,
}

impl Health {
    pub(crate) fn is_healthy(&self) -> bool {
        !Counted::unpack(self.0.load(Relaxed)).down
    }

    /// Counts `event`. Says the new side when that changed it.
    pub(crate) fn count(&self, event: Event, counts: &HealthCounts) -> Option<bool> {
        let step = |word| {
            let after = Counted::unpack(word).after(event, counts).pack();
            (after != word).then_some(after)
        };
        let before = Counted::unpack(self.0.fetch_update(Relaxed, Relaxed, step).ok()?);
        let after = before.after(event, counts);
        (before.down != after.down).then_some(!after.down)
    }

    /// Counts the status of an answer.
    pub(crate) fn count_status(&self, status: u16, kind: CheckKind, counts: &HealthCounts) -> Option<bool> {
        if kind == CheckKind::Tcp {
            return None;
        }
        if counts.unhealthy_statuses.contains(&status) {
            return self.count(Event::HttpFailure, counts);
        }
        let nothing_to_reset = self.0.load(Relaxed) == 0;
        (!nothing_to_reset && counts.healthy_statuses.contains(&status)).then(|| self.count(Event::Success, counts))?
    }
}

impl Counted {
    /// A success ends every row of failures, and the other way round, whether its own rule is on or not. What counts
    /// towards the side that it is on already is not counted.
    fn after(mut self, event: Event, counts: &HealthCounts) -> Self {
        let (counter, limit) = match event {
            Event::Success => (&mut self.successes, counts.successes),
            Event::HttpFailure => (&mut self.http_failures, counts.http_failures),
            Event::TcpFailure => (&mut self.tcp_failures, counts.tcp_failures),
            Event::Timeout => (&mut self.timeouts, counts.timeouts),
        };
        let changes_sides = self.down == (event == Event::Success);
        if changes_sides && limit > 0 {
            *counter = counter.saturating_add(1);
            if *counter >= limit {
                return Self { down: !self.down, ..Self::default() };
            }
        }
        match event {
            Event::Success => Self { http_failures: 0, tcp_failures: 0, timeouts: 0, ..self },
            _ => Self { successes: 0, ..self },
        }
    }

    fn pack(self) -> u64 {
        let Self { down, successes, http_failures, tcp_failures, timeouts } = self;
        u64::from_le_bytes([down.into(), successes, http_failures, tcp_failures, timeouts, 0, 0, 0])
    }

    fn unpack(word: u64) -> Self {
        let [down, successes, http_failures, tcp_failures, timeouts, ..] = word.to_le_bytes();
        Self { down: down != 0, successes, http_failures, tcp_failures, timeouts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event::{HttpFailure, Success, TcpFailure, Timeout};

    fn counts(successes: u8, http_failures: u8, tcp_failures: u8, timeouts: u8) -> HealthCounts {
        HealthCounts {
            healthy_statuses: vec![200],
            successes,
            unhealthy_statuses: vec![500],
            http_failures,
            tcp_failures,
            timeouts,
        }
    }

    #[test]
    fn changes_of_sides() {
        for (limits, events, healthy) in [
            (counts(0, 2, 0, 0), &[HttpFailure][..], true),
            (counts(0, 2, 0, 0), &[HttpFailure, HttpFailure], false),
            // In a row: a success between them ends it, even where successes change nothing themselves.
            (counts(0, 2, 0, 0), &[HttpFailure, Success, HttpFailure], true),
            // Each kind has its own counter.
            (counts(0, 2, 2, 2), &[HttpFailure, TcpFailure, Timeout], true),
            (counts(0, 2, 2, 2), &[HttpFailure, TcpFailure, Timeout, TcpFailure], false),
            // Zero switches off.
            (counts(0, 0, 0, 0), &[HttpFailure, TcpFailure, Timeout, HttpFailure, TcpFailure, Timeout], true),
            (counts(2, 1, 0, 0), &[HttpFailure, Success], false),
            (counts(2, 1, 0, 0), &[HttpFailure, Success, Success], true),
            (counts(2, 1, 0, 0), &[HttpFailure, Success, Timeout, Success], false),
            (counts(0, 1, 0, 0), &[HttpFailure, Success, Success, Success], false),
            // On either side a row begins anew.
            (counts(1, 2, 0, 0), &[HttpFailure, HttpFailure, Success, HttpFailure], true),
        ] {
            let health = Health::default();
            for event in events {
                health.count(*event, &limits);
            }
            assert_eq!(health.is_healthy(), healthy, "{limits:?} {events:?}");
        }
    }

    #[test]
    fn a_change_is_said_once() {
        let (health, limits) = (Health::default(), counts(1, 1, 0, 0));
        let said: Vec<_> = [500, 500, 418, 200, 200].map(|s| health.count_status(s, CheckKind::Http, &limits)).into();
        assert_eq!(said, [Some(false), None, None, Some(true), None]);
        assert_eq!(health.count_status(500, CheckKind::Tcp, &limits), None);
    }
}
