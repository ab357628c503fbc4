//! A worker's time, in milliseconds.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// A moment that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// The worker's coarse clock: milliseconds since the worker began, read often and set by whoever has just asked the
/// system.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    now: Cell<u64>,
}

impl Clock {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { began: Instant::now(), now: Cell::new(0) })
    }

    /// Asks the system, and keeps the answer for [`Clock::millis`].
    pub(crate) fn read(&self) -> Instant {
        let now = Instant::now();
        self.now.set(millis(now.saturating_duration_since(self.began)));
        now
    }

    /// The last answer of [`Clock::read`], at most a tick old.
    pub(crate) fn coarse(&self) -> Instant {
        self.began + Duration::from_millis(self.now.get())
    }

    pub(super) fn millis(&self) -> u64 {
        self.now.get()
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER)
}
