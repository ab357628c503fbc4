//! The library at its public edge, against a scripted server over real sockets.

mod call;
mod flight;
mod server;
mod speed;
