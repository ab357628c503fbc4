//! The way to the upstream: addresses, connections and their pools, and the exchange of one request for one answer.
//!
//! There is no client library between this and a connection: a pool is a list that belongs to a worker, found by
//! the number of the address, and a request moves into its connection without a copy.

pub(crate) mod balancer;
mod body;
mod connect;
pub(crate) mod destination;
mod health;
mod link;
pub(crate) mod origin;
pub(crate) mod pool;
pub(crate) mod probe;
mod relay;
pub(crate) mod resolve;
mod send;
pub(crate) mod tls;
pub(crate) mod trailers;
mod tunnel;
pub(crate) mod upkeep;

pub(crate) use balancer::Shown;
pub(crate) use body::{Outbound, Upload};
pub(crate) use relay::Relay;
pub(crate) use send::{Way, send};
pub(crate) use tunnel::Tunnel;
