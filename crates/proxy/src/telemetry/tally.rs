//! Counts that one core writes and a scrape adds up: atomics for the reader's sake, without a lock and without a
//! locked instruction.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A count with one writer.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// To be called by its one writer: of two at the same time, one addition may be lost.
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the buckets, in nanoseconds: a cached token takes tens of microseconds, a cold one milliseconds.
const BOUNDS: [u64; 17] = {
    let microseconds = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000, 10_000_000, 60_000_000,
    ];
    let mut bounds = [0; 17];
    let mut i = 0;
    while i < bounds.len() {
        bounds[i] = microseconds[i] * 1_000;
        i += 1;
    }
    bounds
};

/// How long something took, how often.
#[derive(Debug, Default)]
pub(super) struct Durations {
    buckets: [Count; BOUNDS.len() + 1],
    nanoseconds: Count,
}

impl Durations {
    /// To be called by its one writer.
    pub(super) fn add(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.nanoseconds.add(nanoseconds);
    }
}

/// Sum of several [`Durations`], as an encoder wants it.
#[derive(Debug, Clone, Default)]
pub(super) struct DurationsSum {
    counts: [u64; BOUNDS.len() + 1],
    nanoseconds: u64,
}

impl DurationsSum {
    pub(super) fn take(&mut self, one: &Durations) {
        for (sum, count) in self.counts.iter_mut().zip(&one.buckets) {
            *sum += count.read();
        }
        self.nanoseconds = self.nanoseconds.wrapping_add(one.nanoseconds.read());
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }

    /// Upper bound in seconds and count of each bucket, not accumulated.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e9).chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }
}

/// Statuses that are counted one by one; others by their class.
const USUAL: [u16; 30] = [
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 426,
    429, 431, 499, 500, 502, 503, 504,
];
const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];
const SLOTS: usize = USUAL.len() + CLASSES.len();

/// Place in [`Statuses`] of every status below 600.
const SLOT_OF: [u8; 600] = {
    let mut slots = [0; 600];
    let mut status = 0;
    while status < 600 {
        slots[status] = (USUAL.len() + status / 100) as u8;
        status += 1;
    }
    let mut i = 0;
    while i < USUAL.len() {
        slots[USUAL[i] as usize] = i as u8;
        i += 1;
    }
    slots
};

/// How often each status was answered.
#[derive(Debug)]
pub(super) struct Statuses([Count; SLOTS]);

impl Default for Statuses {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl Statuses {
    /// To be called by its one writer.
    pub(super) fn add(&self, status: u16) {
        let slot = SLOT_OF.get(usize::from(status)).map_or(USUAL.len(), |slot| usize::from(*slot));
        self.0[slot].add(1);
    }
}

/// Sum of several [`Statuses`].
#[derive(Debug, Clone)]
pub(super) struct StatusesSum([u64; SLOTS]);

impl Default for StatusesSum {
    fn default() -> Self {
        Self([0; SLOTS])
    }
}

impl StatusesSum {
    pub(super) fn take(&mut self, one: &Statuses) {
        for (sum, count) in self.0.iter_mut().zip(&one.0) {
            *sum += count.read();
        }
    }

    /// Label (`200`, or `2xx` for one that is counted by class) and count of each status that was seen.
    pub(super) fn seen(&self) -> impl Iterator<Item = (String, u64)> {
        let labels = USUAL.iter().map(u16::to_string).chain(CLASSES.map(str::to_owned));
        labels.zip(self.0).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        for (micros, bound) in [
            (0, 0.0001),
            (100, 0.0001),
            (101, 0.00025),
            (1_000, 0.001),
            (60_000_000, 60.0),
            (60_000_001, f64::INFINITY),
        ] {
            let one = Durations::default();
            one.add(Duration::from_micros(micros));
            let mut sum = DurationsSum::default();
            sum.take(&one);
            sum.take(&Durations::default());
            let filled: Vec<_> = sum.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(filled, [(bound, 1)], "{micros}");
            assert_eq!((sum.count(), sum.seconds()), (1, micros as f64 / 1e6));
        }
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn statuses_are_counted_by_code_or_by_class() {
        for (status, label) in [
            (200, "200"),
            (499, "499"),
            (504, "504"),
            (100, "1xx"),
            (226, "2xx"),
            (418, "4xx"),
            (599, "5xx"),
            (99, "other"),
            (600, "other"),
            (999, "other"),
            (u16::MAX, "other"),
        ] {
            let one = Statuses::default();
            one.add(status);
            one.add(status);
            let mut sum = StatusesSum::default();
            sum.take(&one);
            assert_eq!(sum.seen().collect::<Vec<_>>(), [(label.to_owned(), 2)]);
        }
    }
}
