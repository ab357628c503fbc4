//! The way to the upstream: addresses, connections and their pools, and the exchange of one request for one answer.
//!
//! There is no client library between this and a connection: a pool is a list that belongs to a worker, found by
//! the number of the address, and a request moves into its connection without a copy.

mod body;
mod connect;
pub(crate) mod destination;
mod link;
pub(crate) mod origin;
pub(crate) mod pool;
mod relay;
mod send;
pub(crate) mod tls;
pub(crate) mod trailers;
mod tunnel;

pub(crate) use body::{Outbound, Upload};
pub(crate) use relay::Relay;
pub(crate) use send::send;
pub(crate) use tunnel::Tunnel;
