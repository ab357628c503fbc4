//! Test equipment on real loopback sockets: a scripted authorization server, an echo upstream, a raw HTTP/1 client, curl,
//! the gateway as a child process, and TLS material.
//!
//! It shares no code with what it tests: an authorization server that parsed and wrote JSON with the library under
//! test would agree with that library on the same mistake. Every call blocks, so that a test is a plain function; the
//! servers run on threads of their own and end when they are dropped. Every wait has a deadline and panics with what
//! it saw instead of hanging.
//!
//! ```
//! use portcullis_testkit::{AuthServer, Client, Reply};
//! use serde_json::json;
//!
//! let server = AuthServer::start();
//! server.on("good", Reply::active(json!({"sub": "alice"})));
//!
//! let answer = Client::connect(server.addr()).form("/introspect", &[("token", "good")]);
//! assert_eq!(answer.json()["sub"], "alice");
//! assert_eq!(server.calls_for("good"), 1);
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test equipment fails loudly")]

mod auth_server;
mod client;
pub mod corpus;
mod curl;
mod gateway;
mod process;
mod reply;
mod server;
mod tls;
mod upstream;
mod wait;

pub use auth_server::{AuthServer, Call};
pub use client::{Client, Response};
pub use curl::Curl;
pub use gateway::{Finished, Gateway, GatewayBuilder, Scratch};
pub use reply::Reply;
pub use tls::Certificates;
pub use upstream::{SeenRequest, Upstream};
pub use wait::{DEADLINE, until};
