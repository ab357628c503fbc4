//! The built binary end to end: real sockets, a scripted authorization server, an echo upstream.
//!
//! Nothing here names a crate of the gateway: these tests would survive a rewrite of all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails loudly")]

mod anonymous;
mod answers;
mod build;
mod cache;
mod certificates;
mod challenges;
mod command_line;
mod consumers;
mod corpus;
mod crowds;
mod demo;
mod disclosure;
mod errors;
mod fields;
mod flights;
mod http2;
mod http2_clients;
mod identity;
mod limits;
mod matrix;
mod memory;
mod misbehaving;
mod oidc_provider;
mod options;
mod outage;
mod paths;
mod real_upstreams;
mod reasons;
mod reload;
mod requests;
mod resets;
mod routing;
mod scopes;
mod secrets;
mod separation;
mod shapes;
mod shutdown;
mod stage;
mod streaming;
mod termination;
mod tls;
mod tokens;
mod upstreams;
