//! The data plane: takes requests, asks the plugins of their route, and passes them on.
//!
//! It runs a compiled [`Plan`](portcullis_model::plan::Plan) and nothing else: it reads no file, knows no language
//! that a configuration is written in, and names neither store nor Admin API. Reading starts in `request`, whose
//! `handle` is one request from head to log line; `decide` is the part of it that every door shares.
//!
//! Each worker is a thread with a runtime of its own: listeners, client connections and upstream pools belong to it
//! and never leave it, so no request takes a lock. What is shared between workers is immutable (the [`snapshot`])
//! or counts.

mod core;
mod data_plane;
pub mod decide;
mod head;
mod headers;
mod ids;
mod listener;
mod net;
pub mod peek;
pub mod render;
mod request;
pub mod router;
mod scope;
mod settings;
#[cfg(test)]
mod simulation;
pub mod snapshot;
mod stream;
pub mod target;
pub mod telemetry;
mod tls;
mod transport;
mod upstream;

pub use data_plane::{DataPlane, Loaded, StartError};
pub use head::{Arrival, Head};
pub use settings::{ClientCertificates, Limits, Listen, Settings, TlsVersion};
