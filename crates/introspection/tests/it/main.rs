//! The library at its public edge, against a scripted server over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod call;
mod flight;
mod server;
mod speed;
mod tls;
