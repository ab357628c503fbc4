//! The data plane at its edge: real sockets on loopback, raw bytes in and out, fake plugins.

mod forged;
mod framing;
mod gateway;
mod limits;
mod relay;
mod reload;
mod wire;
