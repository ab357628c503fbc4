//! What happened in a simulation, and when.

use std::cell::RefCell;
use std::fmt::Display;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// More of the same than this is told once.
const AGAIN_AND_AGAIN: usize = 10;

thread_local! {
    static CHRONICLE: RefCell<Option<Chronicle>> = const { RefCell::new(None) };
}

struct Chronicle {
    began: Instant,
    told: Vec<(u128, String)>,
    /// The story is over.
    sealed: bool,
}

pub(super) fn begin() {
    CHRONICLE.set(Some(Chronicle { began: Instant::now(), told: Vec::new(), sealed: false }));
}

/// Nothing is noted from here on.
pub(super) fn seal() {
    CHRONICLE.with_borrow_mut(|chronicle| chronicle.as_mut().unwrap().sealed = true);
}

/// A line per event; what happens again and again is one.
pub(super) fn end() -> String {
    let told = CHRONICLE.take().unwrap().told;
    let mut lines = String::new();
    for same in told.chunk_by(|(_, one), (_, other)| one == other) {
        match same {
            [(first, what), .., (last, _)] if same.len() > AGAIN_AND_AGAIN => {
                lines.push_str(&format!("{first} to {last} {what} ({} times)\n", same.len()));
            }
            _ => lines.extend(same.iter().map(|(moment, what)| format!("{moment} {what}\n"))),
        }
    }
    lines
}

/// Tells what happens now.
pub(super) fn note(what: impl Display) {
    CHRONICLE.with_borrow_mut(|chronicle| {
        if let Some(chronicle) = chronicle.as_mut().filter(|chronicle| !chronicle.sealed) {
            let now = chronicle.began.elapsed().as_millis();
            chronicle.told.push((now, what.to_string()));
        }
    });
}

/// Waits until so many milliseconds have passed since the beginning.
pub(super) async fn at(millis: u64) {
    let began = CHRONICLE.with_borrow(|chronicle| chronicle.as_ref().unwrap().began);
    sleep_until(began + Duration::from_millis(millis)).await;
}
