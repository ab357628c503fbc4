//! `introspection:`, the token cache and the calls of the whole gateway.

use super::section::Section;
use portcullis_introspection::CacheConfig;

/// What counts for every profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Introspection {
    pub cache: CacheConfig,
    /// `None`: the library's default.
    pub concurrent_calls: Option<usize>,
    pub queued_calls: Option<usize>,
}

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// Seconds.
const YEAR: f64 = 365.0 * 86_400.0;

/// Most calls at once, and most that wait, that can be asked for.
pub(super) const CALLS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

pub(crate) fn read(section: &mut Section<'_>) -> Introspection {
    Introspection {
        cache: section.section("cache", cache),
        concurrent_calls: section.size("concurrent_calls", CALLS),
        queued_calls: section.size("queued_calls", CALLS),
    }
}

fn cache(section: &mut Section<'_>) -> CacheConfig {
    let default = CacheConfig::default();
    CacheConfig {
        bytes: section.size("bytes", MIB..=TIB).unwrap_or(default.bytes),
        max_lifetime: section.seconds("max_lifetime", 1.0..=YEAR).unwrap_or(default.max_lifetime),
        max_entry_bytes: section.size("max_entry_bytes", 1024..=MIB * 16).unwrap_or(default.max_entry_bytes),
        negative_bytes: section.size("negative_bytes", 64 * 1024..=TIB).unwrap_or(default.negative_bytes),
        negative_lifetime: section.seconds("negative_lifetime", 0.0..=3600.0).unwrap_or(default.negative_lifetime),
    }
}
