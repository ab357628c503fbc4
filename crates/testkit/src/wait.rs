//! Waiting for a state with a deadline, for what offers no notification: another process.

use std::time::{Duration, Instant};

/// How long any wait of the test equipment lasts before it panics. Generous: on a busy machine a slow step must not
/// fail a test, and a green test never waits that long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks `probe` again and again until it answers, at most [`DEADLINE`].
///
/// # Panics
/// When the deadline passes; `what` says what was waited for.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
