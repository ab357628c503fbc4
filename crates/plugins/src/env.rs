//! What plugins get from outside, and what must outlive a reload.
//!
//! Instances are cheap and are built anew with every configuration; token caches, HTTP clients and counters are
//! not. They live here, keyed by a fingerprint of what they depend on.

/// Shared by all plugin instances of a gateway, over all its configurations.
#[derive(Debug, Default)]
pub struct Env {}
