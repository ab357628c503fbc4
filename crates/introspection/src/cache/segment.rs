//! Storage: entries by key, bounded by bytes, the least wanted ones given up first.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync};

use crate::answer::Answer;
use crate::request::{Key, TokenDigest};

/// An active answer.
#[derive(Debug, Clone)]
pub(super) struct Positive {
    pub answer: Arc<Answer>,
    /// On the monotonic clock, like every time here.
    pub fetched_at: u64,
    pub profile: u64,
    pub token: TokenDigest,
}

/// That a token was inactive.
#[derive(Debug, Clone)]
pub(super) struct Negative {
    pub fetched_at: u64,
    pub ends_at: u64,
    pub profile: u64,
    pub token: TokenDigest,
}

/// What an entry costs beside its answer: 64 bytes of key and value, about 74 of the storage's own (links, table, keys
/// given up lately), and some reserve.
const SLOT: usize = 160;

/// What both kinds of entries are to the storage.
pub(super) trait Weigh {
    fn weight(&self) -> usize;
}

impl Positive {
    pub(super) fn weight_of(answer: &Answer) -> usize {
        SLOT + answer.weight()
    }
}

impl Weigh for Positive {
    fn weight(&self) -> usize {
        Self::weight_of(&self.answer)
    }
}

impl Negative {
    pub(super) const WEIGHT: usize = SLOT;
}

impl Weigh for Negative {
    fn weight(&self) -> usize {
        Self::WEIGHT
    }
}

/// One byte-bounded segment.
pub(super) struct Segment<V> {
    entries: sync::Cache<Key, V, Bytes, BuildHasherDefault<DigestHasher>, Evictions>,
    evictions: Arc<AtomicU64>,
}

impl<V: Weigh + Clone> Segment<V> {
    /// The budget is split evenly among shards, and an entry that is heavier than one shard is silently not stored:
    /// so as many shards as leave room for sixteen of the largest entries in each, and 64 at most.
    pub(super) fn new(max_bytes: usize, max_entry_bytes: usize) -> Self {
        let shards = (max_bytes / max_entry_bytes.saturating_mul(16).max(1)).clamp(1, 64);
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        let evictions = Arc::new(AtomicU64::new(0));
        let mut options = OptionsBuilder::new();
        // A usual answer weighs 640 bytes; the number sizes the memory of keys that were given up lately.
        options.shards(shards).weight_capacity(max_bytes as u64).estimated_items_capacity(max_bytes / 640);
        #[expect(clippy::expect_used, reason = "both capacities are set on the line above")]
        let options = options.build().expect("complete options");
        let lifecycle = Evictions(Arc::clone(&evictions));
        Self { entries: sync::Cache::with_options(options, Bytes, BuildHasherDefault::default(), lifecycle), evictions }
    }

    pub(super) fn get(&self, key: &Key) -> Option<V> {
        self.entries.get(key)
    }

    pub(super) fn insert(&self, key: Key, value: V) {
        self.entries.insert(key, value);
    }

    pub(super) fn remove_if(&self, key: &Key, condition: impl FnOnce(&V) -> bool) {
        self.entries.remove_if(key, condition);
    }

    /// Removes every entry that matches; returns how many did.
    pub(super) fn remove_all(&self, matches: impl Fn(&V) -> bool) -> u64 {
        let removed = AtomicU64::new(0);
        self.entries.retain(|_, value| {
            let hit = matches(value);
            removed.fetch_add(u64::from(hit), Ordering::Relaxed);
            !hit
        });
        removed.into_inner()
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Bytes;

impl<V: Weigh> Weighter<Key, V> for Bytes {
    fn weight(&self, _: &Key, value: &V) -> u64 {
        value.weight() as u64
    }
}

/// Counts what was given up. The entries themselves are dropped after the shard is unlocked.
#[derive(Clone)]
struct Evictions(Arc<AtomicU64>);

impl<V> Lifecycle<Key, V> for Evictions {
    type RequestState = [Option<V>; 2];

    fn on_evict(&self, state: &mut Self::RequestState, _: Key, value: V) {
        self.0.fetch_add(1, Ordering::Relaxed);
        let place = usize::from(state[0].is_some());
        state[place] = Some(value);
    }
}

/// Keys are digests: their first eight bytes are the hash.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
