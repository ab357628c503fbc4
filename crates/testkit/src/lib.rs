//! Test equipment: scripted authorization server, echo upstream. Shares no code with what it tests.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test equipment fails loudly")]
