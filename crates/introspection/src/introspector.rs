//! The trunk: a token in, an answer out.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::answer::Answer;
use crate::bearer;
use crate::cache::{Cache, Hit};
use crate::config::{Config, Limits};
use crate::error::{ConfigError, Failure, FailureKind};
use crate::flight::{self, Joined, Plan};
use crate::observe::Outcome;
use crate::profile::Lease;
use crate::request::{Asked, Call, Fingerprint, Key, TokenDigest};
use crate::transport::{Clients, Transport};

/// Asks one authorization server about tokens. Cheap to clone; clones are the same introspector.
#[derive(Clone)]
pub struct Introspector {
    shared: Arc<Shared>,
}

struct Shared {
    lease: Lease,
    limits: Limits,
    transport: Arc<Transport>,
    runtime: Handle,
}

/// What the cache says about a call.
#[derive(Debug)]
pub enum Lookup {
    Hit(Hit),
    Miss(Miss),
}

/// A call that the cache cannot answer: to be given to [`Introspector::fetch`], or dropped.
pub struct Miss {
    key: Key,
    token: TokenDigest,
    asked: Arc<Asked>,
}

impl Miss {
    /// What stands for the token in logs.
    pub fn token(&self) -> TokenDigest {
        self.token
    }
}

impl Introspector {
    /// Builds an introspector. All that can fail about a configuration fails here.
    ///
    /// Calls run on `runtime`, so that they outlive whoever asked; its default is the current one. Pooled connections
    /// are tied to it, so it should live as long as the introspector.
    ///
    /// # Errors
    /// What is wrong with `config`; or there is no runtime.
    pub fn new(
        config: Config,
        cache: &Arc<Cache>,
        clients: &Clients,
        runtime: impl Into<Option<Handle>>,
    ) -> Result<Self, ConfigError> {
        let (inputs, limits) = config.into_inputs()?;
        let transport = clients.transport(&inputs, &limits)?;
        let runtime = match runtime.into() {
            Some(runtime) => runtime,
            None => Handle::try_current().map_err(|_| ConfigError::NoRuntime)?,
        };
        let lease = Lease::take(cache.profile(inputs), limits);
        Ok(Self { shared: Arc::new(Shared { lease, limits, transport, runtime }) })
    }

    /// Asks the cache, then the server, with the ttl and the timeout of the configuration.
    ///
    /// A token that is no `b64token`, or longer than [`bearer::MAX_BYTES`], is inactive without a call (RFC 6750
    /// section 2.1). The answer is the server's word alone: check it with a [`Requirement`](crate::Requirement).
    ///
    /// # Errors
    /// The server refused, failed or could not be asked in time.
    ///
    /// Dropping the future leaves the call running; its answer is stored.
    pub async fn introspect(&self, token: &str) -> Result<Arc<Answer>, Arc<Failure>> {
        if bearer::check(token, bearer::MAX_BYTES).is_err() {
            return Ok(Answer::inactive());
        }
        let Limits { ttl, timeout, .. } = self.shared.limits;
        match self.lookup(&Call::new(token), ttl) {
            Lookup::Hit(hit) => Ok(hit.answer),
            Lookup::Miss(miss) => self.fetch(miss, ttl, timeout).await,
        }
    }

    /// Asks the cache alone: no waiting, and no allocation for a hit. An entry older than `ttl` is no hit (zero: no
    /// limit of its own), whoever stored it.
    pub fn lookup(&self, call: &Call<'_>, ttl: Duration) -> Lookup {
        let profile = &self.shared.lease.profile;
        let key = profile.key_of(call);
        match profile.cache.lookup(&key, ttl) {
            Some(hit) => Lookup::Hit(hit),
            None => Lookup::Miss(Miss { key, token: self.digest(call), asked: Arc::new(call.to_asked()) }),
        }
    }

    /// Asks the server, or joins those who are asking it the same already. Waits no longer than `wait`, queueing
    /// included. Needs a runtime with time where it is polled, which need not be that of the calls.
    ///
    /// # Errors
    /// As for [`introspect`](Self::introspect). Failures are shared with everyone who waited, and not stored.
    ///
    /// Dropping the future leaves the call running, unless it has not begun and nobody else waits for it.
    pub fn fetch(
        &self,
        miss: Miss,
        ttl: Duration,
        wait: Duration,
    ) -> impl Future<Output = Result<Arc<Answer>, Arc<Failure>>> + Send + use<> {
        let Shared { lease, transport, runtime, .. } = self.shared.as_ref();
        let Miss { key, token, asked } = miss;
        let plan = Plan { key, token, asked, transport: Arc::clone(transport), runtime: runtime.clone() };
        let joined = flight::join(&lease.profile, plan, ttl);
        let introspector = self.clone(); // its limits hold for as long as somebody waits
        async move {
            let landed = match joined {
                Joined::Found(answer) => Ok(answer),
                Joined::Waiting(seat) => seat.wait(wait).await,
                Joined::Busy => Err(Arc::new(Failure::new(FailureKind::Busy, None))),
            };
            drop(introspector);
            landed
        }
    }

    /// What stands for a call's token in logs: the same for every profile of one cache.
    pub fn digest(&self, call: &Call<'_>) -> TokenDigest {
        self.shared.lease.profile.cache.token_digest(call.token())
    }

    /// Equal for two introspectors exactly if they ask the same server in the same way, and so share answers.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.lease.profile.fingerprint
    }

    /// Host of the endpoint, for logs and labels.
    pub fn host(&self) -> &str {
        self.shared.lease.profile.inputs.endpoint.host_str().unwrap_or_default()
    }

    /// The ttl of its configuration.
    pub fn ttl(&self) -> Duration {
        self.shared.limits.ttl
    }

    /// The timeout of its configuration.
    pub fn timeout(&self) -> Duration {
        self.shared.limits.timeout
    }

    /// The cache it uses.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.shared.lease.profile.cache
    }

    /// Calls of this profile by outcome, for as long as an introspector has held it.
    pub fn calls(&self) -> impl Iterator<Item = (Outcome, u64)> {
        self.shared.lease.profile.outcomes.read()
    }
}

impl fmt::Debug for Introspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspector")
            .field("endpoint", &self.shared.lease.profile.inputs.endpoint.as_str())
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Miss").field("token", &self.token).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod faults;
