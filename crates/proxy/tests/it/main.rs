//! The data plane at its edge: real sockets on loopback, raw bytes in and out, fake plugins.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod balancing;
mod early;
mod forged;
mod frames;
mod framing;
mod gateway;
mod http2;
mod limits;
mod name_server;
mod peek;
mod reasons;
mod relay;
mod reload;
mod resolving;
mod retries;
mod routing;
mod streaming;
mod tls;
mod total;
mod trailers;
mod upgrade;
mod upstream_tls;
mod wire;
