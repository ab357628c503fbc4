//! The library at its public edge, against a scripted server over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod call;
mod examples;
mod flight;
mod layer;
mod server;
mod speed;
mod tls;
