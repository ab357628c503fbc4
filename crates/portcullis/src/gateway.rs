//! Puts the parts together: settings -> environment of the plugins -> registry -> data plane.

use crate::failure::{Failure, plain};
use crate::settings::Settings;
use crate::settings::access_log::AccessLogTo;
use portcullis_model::catalog::Catalog;
use portcullis_model::plan::Plan;
use portcullis_model::problem::Problems;
use portcullis_plugins::env::{Env, EnvSettings};
use portcullis_plugins::registry::Registry;
use portcullis_proxy::telemetry::AccessLog;
use portcullis_proxy::{DataPlane, Loaded, StartError};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// A gateway that listens. Until the first [`Gateway::load`] it knows no route.
#[derive(Debug)]
pub(crate) struct Gateway {
    registry: Arc<Registry>,
    plane: DataPlane,
}

/// Every plugin, with what plugins get from outside. `runtime` carries the calls to authorization servers,
/// `variables` are those that `{vault://env/…}` may name.
pub(crate) fn registry(settings: &Settings, runtime: Handle, variables: HashMap<String, String>) -> Arc<Registry> {
    let env = Env::new(EnvSettings {
        runtime,
        cache: settings.introspection.cache.clone(),
        concurrent_calls: settings.introspection.concurrent_calls,
        queued_calls: settings.introspection.queued_calls,
        authorization_servers: settings.authorization_servers.clone(),
        variables,
    });
    Arc::new(Registry::new(Arc::new(env)))
}

impl Gateway {
    /// Binds the proxy listeners and starts the workers. `setting` is what a user changes when a port is taken.
    pub(crate) fn start(settings: &Settings, registry: Arc<Registry>, setting: &'static str) -> Result<Self, Failure> {
        let access_log = match &settings.access_log {
            AccessLogTo::Nowhere => None,
            AccessLogTo::StandardOutput => Some(AccessLog::to_stdout()),
            AccessLogTo::File(path) => Some(
                AccessLog::to_file(path)
                    .map_err(|error| Failure::AccessLog { path: path.clone(), why: plain(&error) })?,
            ),
        };
        let plane = DataPlane::start(settings.proxy.clone(), &settings.proxy_listen, registry.clone(), access_log)
            .map_err(|error| match error {
                StartError::Listen { address, source } => {
                    Failure::Listen { address: address.to_string(), why: plain(&source), setting }
                }
                other => Failure::DataPlane(other),
            })?;
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
