//! `introspection:`, the token cache and the calls of the whole gateway. Defaults and reasons are the library's.

use super::section::Section;
use portcullis_introspection::{CacheConfig, Observer};
use std::sync::Arc;
use std::time::Duration;

/// What counts for every profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Introspection {
    /// Bytes of all active answers together.
    cache_bytes: usize,
    max_entry_bytes: usize,
    max_lifetime: Duration,
    /// Bytes of all inactive answers together.
    negative_bytes: usize,
    negative_lifetime: Duration,
    /// `None`: the library's default.
    pub concurrent_calls: Option<usize>,
    pub queued_calls: Option<usize>,
    /// Whether tokens are looked for in bodies.
    pub body_tokens: bool,
}

impl Default for Introspection {
    fn default() -> Self {
        let cache = CacheConfig::default();
        Self {
            cache_bytes: cache.max_bytes,
            max_entry_bytes: cache.max_entry_bytes,
            max_lifetime: cache.max_lifetime,
            negative_bytes: cache.negative_bytes,
            negative_lifetime: cache.negative_ttl,
            concurrent_calls: None,
            queued_calls: None,
            // The documents of Kong's dialects name that source (D7).
            body_tokens: true,
        }
    }
}

impl Introspection {
    /// The cache's configuration, `observer` told of every call.
    pub(crate) fn cache(&self, observer: Arc<dyn Observer>) -> CacheConfig {
        CacheConfig {
            max_bytes: self.cache_bytes,
            max_entry_bytes: self.max_entry_bytes,
            max_lifetime: self.max_lifetime,
            negative_bytes: self.negative_bytes,
            negative_ttl: self.negative_lifetime,
            observer: Some(observer),
            ..CacheConfig::default()
        }
    }
}

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// Seconds.
const YEAR: f64 = 365.0 * 86_400.0;

pub(crate) fn read(section: &mut Section<'_>) -> Introspection {
    let default = Introspection::default();
    let (concurrent_calls, queued_calls) = calls(section);
    let body_tokens = section.word("body_tokens", &[("on", true), ("off", false)]).unwrap_or(default.body_tokens);
    section.section("cache", |cache| Introspection {
        cache_bytes: cache.size("bytes", MIB..=TIB).unwrap_or(default.cache_bytes),
        max_entry_bytes: cache.size("max_entry_bytes", 1024..=16 * MIB).unwrap_or(default.max_entry_bytes),
        max_lifetime: cache.seconds("max_lifetime", 1.0..=YEAR).unwrap_or(default.max_lifetime),
        negative_bytes: cache.size("negative_bytes", 64 * 1024..=TIB).unwrap_or(default.negative_bytes),
        negative_lifetime: cache.seconds("negative_lifetime", 0.0..=3600.0).unwrap_or(default.negative_lifetime),
        concurrent_calls,
        queued_calls,
        body_tokens,
    })
}

/// Calls at once and calls that wait: here for all, in an entry of `authorization_servers:` for one.
pub(super) fn calls(section: &mut Section<'_>) -> (Option<usize>, Option<usize>) {
    (section.size("concurrent_calls", 1..=100_000), section.size("queued_calls", 0..=100_000))
}
