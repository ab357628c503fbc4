//! What the data plane tells its operators: numbers on `/metrics`, and one line per request.
//!
//! Neither holds a request up. [`metrics`] counts in memory that only the counting core writes; [`access_log`] hands
//! lines to a thread of its own and drops them, counted, when that cannot keep up.

pub mod access_log;
pub mod metrics;
mod sources;
mod tally;

pub use access_log::{AccessLog, Entry};
pub use metrics::{CacheNumbers, CoreMetrics, Metrics, RouteMetrics, TargetNumbers};
