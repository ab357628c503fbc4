//! `portcullis serve`: start, run, end.
//!
//! The control plane (this runtime of two threads: introspection calls, status listener, reload) and the data plane
//! (threads of its own, see `portcullis-proxy`) share nothing but handles.

use crate::certificates::Certificates;
use crate::cli::ServeArgs;
use crate::declarative::{self, Compiled};
use crate::failure::{Failure, plain};
use crate::gateway::{Gateway, Plugins, summary};
use crate::log;
use crate::reload::{self, Reloader};
use crate::settings::Settings;
use crate::status::{self, Status};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let settings = Settings::read(args, &|name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned()))?;
    log::start(settings.log_filter(), settings.log_format);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(Failure::system("start threads"))?;
    runtime.block_on(serve(settings))
}

/// Checks first and listens then: a file that does not load takes no port. When the log says `listening`, the first
/// configuration is live.
async fn serve(settings: Settings) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let path = settings.declarative.clone().ok_or(Failure::NothingToServe)?;
    let plugins = Plugins::new(&settings, Handle::current(), variables());
    let registry = plugins.registry.clone();
    let text = declarative::read(&path)?;
    let refused = |problems| declarative::failure(&path.display().to_string(), &text, problems, &*registry);
    let Compiled { plan, warnings } = declarative::compile(&text, &*registry).map_err(refused)?;
    reload::warn(&path, &warnings);

    let status_listeners = bind_status(&settings).await?;
    let gateway = Arc::new(Gateway::start(&settings, plugins, "--proxy-listen")?);
    let certificates = Certificates::show(&settings.certificates, &gateway)?;
    let status = Arc::new(status_of(&gateway));
    tokio::spawn(status::serve(status_listeners.listeners, status.clone()));
    let loaded = gateway.load(plan).map_err(refused)?;

    for address in gateway.addresses() {
        tracing::info!("proxy listening on {address}");
    }
    for address in status_listeners.addresses {
        tracing::info!("status listening on {address}");
    }
    tracing::info!("configuration revision {} live: {}", loaded.revision, summary(&loaded.changes));
    let reloader = Reloader::new(path.clone(), &text, certificates, gateway.clone(), status.clone());
    tokio::spawn(reloader.run(signals.hangup));

    let name = end_asked(&mut signals.terminate, &mut signals.interrupt).await;
    tracing::info!("{name}: no more connections, requests may run for {} s", settings.drain.as_secs_f64());
    status.draining.store(true, Ordering::Relaxed);
    tokio::select! {
        () = gateway.drain(settings.drain) => tracing::info!("ended"),
        name = end_asked(&mut signals.terminate, &mut signals.interrupt) => tracing::warn!("{name} again: ended at once"),
    }
    Ok(())
}

/// Taken over before anything else, so that no signal of the start is lost or ends the process halfway.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let take = |kind| signal(kind).map_err(Failure::system("listen for signals"));
        Ok(Self {
            hangup: take(SignalKind::hangup())?,
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
        })
    }
}

async fn end_asked(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// The status listeners and their real addresses.
struct StatusListeners {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

async fn bind_status(settings: &Settings) -> Result<StatusListeners, Failure> {
    let mut bound = StatusListeners { listeners: Vec::new(), addresses: Vec::new() };
    for address in &settings.status_listen {
        let failed = |error: io::Error| Failure::Listen {
            address: address.to_string(),
            why: plain(&error),
            setting: "--status-listen",
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        bound.addresses.push(listener.local_addr().map_err(failed)?);
        bound.listeners.push(listener);
    }
    Ok(bound)
}

fn status_of(gateway: &Arc<Gateway>) -> Status {
    let (revision, metrics) = (gateway.clone(), gateway.clone());
    Status {
        revision: Box::new(move || revision.revision()),
        metrics: Box::new(move || metrics.metrics()),
        draining: false.into(),
        refused_over: 0.into(),
    }
}

/// The environment, for `{vault://env/…}`.
fn variables() -> HashMap<String, String> {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}
