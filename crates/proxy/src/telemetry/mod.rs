//! What the data plane tells its operators: numbers on `/metrics`, and one line per request.
//!
//! lines to a thread of its own and drops them, counted, when that cannot keep up.

pub mod metrics;
mod tally;

pub use metrics::{CacheNumbers, CoreMetrics, Metrics, RouteMetrics};
