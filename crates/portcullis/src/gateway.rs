//! Puts the parts together: settings -> environment of the plugins -> registry -> data plane.

use crate::failure::{Failure, plain};
use crate::settings::Settings;
use crate::settings::access_log::AccessLogTo;
use portcullis_introspection::{CacheStats, FinishedCall, Observer};
use portcullis_model::catalog::Catalog;
use portcullis_model::plan::{KeyPair, Plan};
use portcullis_model::problem::Problems;
use portcullis_plugins::env::{Env, EnvSettings};
use portcullis_plugins::registry::Registry;
use portcullis_proxy::snapshot::{Change, Changes};
use portcullis_proxy::telemetry::{AccessLog, CacheNumbers, Metrics};
use portcullis_proxy::{DataPlane, Loaded, StartError};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;

/// A gateway that listens. Until the first [`Gateway::load`] it knows no route.
#[derive(Debug)]
pub(crate) struct Gateway {
    registry: Arc<Registry>,
    plane: DataPlane,
}

/// The plugins, and the place where their calls are counted.
#[derive(Debug)]
pub(crate) struct Plugins {
    pub registry: Arc<Registry>,
    calls: Arc<Calls>,
}

impl Plugins {
    /// `runtime` carries the calls to authorization servers, `variables` are those that `{vault://env/…}` may name.
    pub(crate) fn new(settings: &Settings, runtime: Handle, variables: HashMap<String, String>) -> Self {
        let calls = Arc::new(Calls::default());
        let env = Env::new(EnvSettings {
            runtime,
            cache: settings.introspection.cache(calls.clone()),
            concurrent_calls: settings.introspection.concurrent_calls,
            queued_calls: settings.introspection.queued_calls,
            body_tokens: settings.introspection.body_tokens,
            authorization_servers: settings.authorization_servers.clone(),
            variables,
        });
        Self { registry: Arc::new(Registry::new(Arc::new(env))), calls }
    }
}

/// Hands finished calls to the metrics. The data plane owns those, and is made after the plugins that it builds.
#[derive(Debug, Default)]
struct Calls(OnceLock<Metrics>);

impl Observer for Calls {
    fn call_finished(&self, call: &FinishedCall<'_>) {
        if let Some(metrics) = self.0.get() {
            metrics.introspection_call(call.outcome.code(), call.took);
        }
    }
}

impl Gateway {
    /// Binds the proxy listeners and starts the workers. `setting` is what a user changes when a port is taken.
    pub(crate) fn start(settings: &Settings, plugins: Plugins, setting: &'static str) -> Result<Self, Failure> {
        let access_log = match &settings.access_log {
            AccessLogTo::Nowhere => None,
            AccessLogTo::StandardOutput => Some(AccessLog::to_stdout().map_err(Failure::system("start a thread"))?),
            AccessLogTo::File(path) => Some(
                AccessLog::to_file(path)
                    .map_err(|error| Failure::AccessLog { path: path.clone(), why: plain(&error) })?,
            ),
        };
        let Plugins { registry, calls } = plugins;
        let plane = DataPlane::start(settings.proxy.clone(), &settings.proxy_listen, registry.clone(), access_log)
            .map_err(|error| match error {
                StartError::Listen { address, source } => {
                    Failure::Listen { address: address.to_string(), why: plain(&source), setting }
                }
                other => Failure::DataPlane(other),
            })?;
        let (metrics, cache) = (plane.metrics(), registry.env().cache().clone());
        metrics.register_cache(move || numbers(&cache.stats()));
        // Set once: nobody else has this handle.
        let _ = calls.0.set(metrics.clone());
        Ok(Self { registry, plane })
    }

    /// The plugins there are.
    pub(crate) fn catalog(&self) -> &dyn Catalog {
        &*self.registry
    }

    /// Puts a plan in place of the one that is live, or nothing changes.
    pub(crate) fn load(&self, plan: Plan) -> Result<Loaded, Problems> {
        self.plane.load(plan)
    }

    /// Shows these certificates instead of those of before, or nothing changes.
    pub(crate) fn show_certificates(&self, files: &[Vec<Arc<KeyPair>>]) -> Result<(), Problems> {
        self.plane.show_certificates(files)
    }

    /// Counts a configuration that was refused.
    pub(crate) fn refused(&self) {
        self.plane.metrics().reload_failed();
    }

    /// Opens the access log anew, after somebody has moved its file away.
    pub(crate) fn reopen_access_log(&self) {
        if let Some(Err(error)) = self.plane.access_log().map(AccessLog::reopen) {
            tracing::error!("cannot open the access log anew, the old file stays in use: {}", plain(&error));
        }
    }

    /// Revision of the live configuration; 0 before the first.
    pub(crate) fn revision(&self) -> u64 {
        self.plane.revision()
    }

    /// Addresses that are really listened on, in the order of the setting.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.plane.addresses()
    }

    /// All metrics, in Prometheus' text format.
    pub(crate) fn metrics(&self) -> String {
        self.plane.metrics().encode()
    }

    /// Takes no more connections, lets requests end for at most `limit`, stops.
    pub(crate) async fn drain(&self, limit: Duration) {
        self.plane.drain(limit).await;
    }
}

fn numbers(stats: &CacheStats) -> CacheNumbers {
    CacheNumbers {
        hits: stats.hits,
        negatives: stats.negative_hits,
        misses: stats.misses,
        evictions: stats.evictions,
        entries: stats.positive_entries + stats.negative_entries,
        bytes: stats.positive_bytes + stats.negative_bytes,
        flights: stats.flights,
    }
}

/// What a load changed, for people: `1 service added, 2 routes changed`.
pub(crate) fn summary(changes: &Changes) -> String {
    let kinds = [
        ("service", changes.services),
        ("route", changes.routes),
        ("consumer", changes.consumers),
        ("plugin", changes.plugins),
    ];
    let mut parts = Vec::new();
    for (kind, Change { added, changed, removed }) in kinds {
        for (number, done) in [(added, "added"), (changed, "changed"), (removed, "removed")] {
            if number > 0 {
                parts.push(format!("{number} {kind}{} {done}", if number == 1 { "" } else { "s" }));
            }
        }
    }
    if parts.is_empty() { "nothing changed in meaning".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_in_words() {
        let routes = Change { added: 2, changed: 0, removed: 1 };
        let plugins = Change { changed: 1, ..Change::default() };
        let changes = Changes { routes, plugins, services: Change::default(), consumers: Change::default() };
        assert_eq!(summary(&changes), "2 routes added, 1 route removed, 1 plugin changed");
    }
}
