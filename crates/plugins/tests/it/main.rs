//! Plugins at their edge: built by the registry, run in a row as the data plane runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod several;
