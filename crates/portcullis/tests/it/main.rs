//! The built binary end to end: real sockets, a scripted authorization server, an echo upstream.
//!
//! Nothing here names a crate of the gateway: these tests would survive a rewrite of all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails loudly")]

mod anonymous;
mod answers;
mod body;
mod cache;
mod challenges;
mod command_line;
mod demo;
mod errors;
mod flights;
mod identity;
mod matrix;
mod memory;
mod oidc_provider;
mod options;
mod outage;
mod reload;
mod requests;
mod routing;
mod scopes;
mod secrets;
mod shapes;
mod shutdown;
mod stage;
mod streaming;
mod termination;
mod tokens;
