//! OAuth 2.0 token introspection (RFC 7662) for resource servers: token in, answer out.
//!
//! An [`Introspector`] asks an authorization server about tokens and remembers what it said. What it remembers is the
//! [`Answer`], never a decision: a [`Requirement`] is checked on every use.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_introspection::{Cache, CacheConfig, ClientAuth, Clients, Config, Introspector, Requirement};
//!
//! let config = Config::new("https://as.example/introspect")?.client_auth(ClientAuth::basic("api", "secret"));
//! let cache = Cache::new(CacheConfig::default());
//! let introspector = Introspector::new(config, &cache, &Clients::new(), None)?;
//!
//! let answer = introspector.introspect("2YotnFZFEjr1zCsicMWpAA").await?;
//! Requirement::default().scopes(["read"]).check(&answer, cache.clock().wall())?;
//! println!("{:?} may read", answer.sub());
//! # Ok(())
//! # }
//! ```
//!
//! What it holds to, so that its users need not:
//! * Only the JSON boolean `true` is active; whatever has the wrong shape is no answer, and an outage of the server is
//!   a [`Failure`], never "inactive" and never stored.
//! * One key serves cache and single flight, and everything that reaches the server is in it: answers obtained with
//!   other credentials, parameters or headers never mix.
//! * Everything is bounded: bytes, depth and members of an answer, bytes of the cache, calls, queued calls, time.
//! * Tokens and secrets are in no log line, no `Debug` and no error.
//!
//! What it does not do: take requests apart beyond [`bearer`], talk HTTP to your clients, or verify JWTs.

mod answer;
pub mod bearer;
mod cache;
mod client_auth;
mod clock;
mod config;
mod counter;
mod encode;
mod error;
mod flight;
mod introspector;
mod json;
#[cfg(feature = "tower")]
pub mod layer;
mod observe;
mod profile;
mod request;
mod requirement;
mod response;
mod sync;
mod transport;

pub use answer::{Answer, NotSendable, Standard, Strings};
pub use cache::{Cache, CacheConfig, CacheStats, Hit, Purge};
pub use client_auth::{BasicEncoding, ClientAuth, Secret};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{Config, is_reserved_header, is_reserved_parameter};
pub use error::{Blame, ConfigError, Failure, FailureKind};
pub use introspector::{Introspector, Lookup, Miss};
pub use observe::{FinishedCall, Observer, Outcome};
pub use request::{Call, Fingerprint, TokenDigest};
pub use requirement::{Requirement, Unmet};
pub use transport::Clients;
