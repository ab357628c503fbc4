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
//! With the feature `tower` it guards whole services: module `layer`.
//!
//! # What it holds to
//!
//! * Only the JSON boolean `true` is active; whatever has the wrong shape is no answer, and an outage of the server is
//!   a [`Failure`], never "inactive" and never stored.
//! * One key serves cache and single flight, and everything that reaches the server is in it: answers obtained with
//!   other credentials, parameters or headers never mix.
//! * Everything is bounded: bytes, depth and members of an answer, bytes of the cache, calls, queued calls, time.
//! * Tokens and secrets are in no log line, no `Debug` and no error.
//!
//! # The cache
//!
//! A [`Cache`] serves all introspectors of a process, and outlives each of them: make it once. Introspectors whose
//! [`Config`]s ask the same server in the same way share answers and flights ([`Introspector::fingerprint`]); a
//! reloaded configuration finds what the one before it stored, and a changed one finds nothing.
//!
//! An answer may be used as long as all of these hold, each checked on every use:
//!
//! | limit | set by | default | why |
//! |---|---|---|---|
//! | `exp` of the answer | the server | | nothing is used at or after it, leeway or not |
//! | ttl of who asks | [`Config::ttl`] | 60 s | the longest for which a revoked token still passes |
//! | lifetime without `exp` | [`CacheConfig::max_lifetime`] | 24 h | bounds `ttl` zero, which has no limit of its own |
//! | lifetime of inactive answers | [`CacheConfig::negative_ttl`] | 5 s | made-up tokens cost one call, late ones wait little |
//!
//! [`Cache::purge`] ends the use of answers at once: by token, subject, client, session, or all. A call that was under
//! way serves those who already wait for it and is not stored. Ages run on a clock that never steps back, `exp` on the
//! wall clock ([`Clock`]).
//!
//! Bytes are bounded ([`CacheConfig::max_bytes`], 64 MiB), the least wanted answers give way first, and inactive ones
//! have a segment of their own, so that a flood of made-up tokens drives no real one out.
//!
//! # When the server fails
//!
//! A [`Failure`] says what broke ([`Failure::kind`], one stable code each), whose fault it is ([`Failure::blame`]), and
//! when asking again makes sense ([`Failure::retry_after`]). It never admits anybody: there is no switch for that.
//! Answers in the cache are used on as long as they may be.
//!
//! | what the server does | what comes of it | status for your client |
//! |---|---|---|
//! | 200 with `active: true` or `false` | an [`Answer`] | by your [`Requirement`] |
//! | 400 with an OAuth error | [`FailureKind::RefusedToken`], blame [`Blame::Client`] | 401 |
//! | 401, 403: it refuses *our* credentials | [`FailureKind::RefusedClient`] | 503 |
//! | 429 | [`FailureKind::Throttled`] | 503, after the server's time |
//! | 3xx, 5xx, no answer in time, no TLS, nonsense | one kind each | 503 |
//!
//! # Limits of the calls
//!
//! | limit | default | why |
//! |---|---|---|
//! | [`Config::timeout`] | 10 s | what an interactive client bears at most |
//! | [`Config::connect_timeout`] | 5 s | bears one lost SYN and leaves half of the whole for the answer |
//! | [`Config::keep_alive`] | 50 s | under the 60 s after which common servers close |
//! | [`Config::concurrent_calls`] | 64 | at 10 ms a call 6,400 new tokens a second, which any server bears |
//! | [`Config::queued_calls`] | 10,000 | beyond it a miss fails at once instead of in vain later |
//! | [`Config::max_answer_bytes`] | 256 KiB | far above any answer, far below what hurts |
//!
//! Calls run on the runtime that [`Introspector::new`] was given and outlive who asked. Concurrent misses of one token
//! share a call, and its failure. Cached tokens wait behind no call: they share neither queue nor limit with them.
//!
//! # What it does not do
//!
//! Take requests apart beyond [`bearer`], verify JWTs, or verify that who presents a token bound to a key (`cnf`) holds
//! it: such tokens are refused unless [`Requirement::refuse_bound`] says that you do.

mod address;
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
