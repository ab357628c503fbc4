//! Time, as this library reads it: ages on a clock that never steps, expiry on the wall clock (I-93).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from. [`SystemClock`] unless a test sets another.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since an arbitrary moment; never goes back. Ages of cache entries are differences of it.
    fn monotonic(&self) -> u64;

    /// Milliseconds since the Unix epoch; may step either way. `exp` and `nbf` are compared with it.
    fn wall(&self) -> u64;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> u64 {
        millis(self.start.elapsed())
    }

    fn wall(&self) -> u64 {
        // A clock set before 1970 reads as 1970: tokens look valid for long then, never unbounded (ttl still holds).
        millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// A clock that stands still until it is told otherwise: for tests, of this crate and of its users.
#[derive(Debug)]
pub struct ManualClock {
    monotonic: AtomicU64,
    wall: AtomicU64,
}

impl ManualClock {
    /// `wall` is in milliseconds since the Unix epoch.
    pub fn at(wall: u64) -> Self {
        Self { monotonic: AtomicU64::new(0), wall: AtomicU64::new(wall) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.monotonic.fetch_add(millis(by), Ordering::Relaxed);
        self.wall.fetch_add(millis(by), Ordering::Relaxed);
    }

    /// Steps the wall clock alone, as an administrator or NTP does.
    pub fn set_wall(&self, wall: u64) {
        self.wall.store(wall, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> u64 {
        self.monotonic.load(Ordering::Relaxed)
    }

    fn wall(&self) -> u64 {
        self.wall.load(Ordering::Relaxed)
    }
}

/// A duration in milliseconds; what does not fit is "for ever", never a wrapped small number.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
