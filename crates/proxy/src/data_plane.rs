//! The handle that the binary holds.

use crate::core::{Core, Shared};
use crate::listener::{self, Stop};
use crate::settings::{Listen, Settings};
use crate::snapshot::{self, Changes, Snapshot};
use crate::telemetry::{AccessLog, Metrics};
use crate::tls::Certificates;
use crate::upstream::upkeep::Upkeep;
use portcullis_model::plan::{KeyPair, Plan};
use portcullis_model::problem::Problems;
use portcullis_plugins::registry::Build;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};
use tokio::sync::watch;

/// A running data plane. Dropping it stops it without waiting for requests; [`DataPlane::drain`] waits.
pub struct DataPlane {
    shared: Arc<Shared>,
    build: Arc<dyn Build>,
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<Stop>,
    /// Ends with the handle.
    _upkeep: Upkeep,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// Taken for the time of a load, so that two loads follow one another.
    loading: Mutex<mpsc::Sender<Arc<Snapshot>>>,
}

/// What a successful load did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Counts loads from 1.
    pub revision: u64,
    pub changes: Changes,
}

/// Why a data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Most likely another process listens there, or the port needs a privilege.
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    /// Most likely the system is out of threads or file descriptors.
    #[error("cannot start a worker thread")]
    Worker(#[source] io::Error),
    /// The TLS library refused its own defaults, or the system has no randomness.
    #[error("cannot prepare TLS")]
    Tls(#[source] rustls::Error),
}

impl DataPlane {
    /// Binds every address of `listen`, once per worker, and starts the workers. Serves at once: until the first
    /// [`DataPlane::load`], no route matches.
    pub fn start(
        settings: Settings,
        listen: &[Listen],
        build: Arc<dyn Build>,
        access_log: Option<AccessLog>,
    ) -> Result<DataPlane, StartError> {
        let workers = settings.workers.max(1);
        let mut addresses = Vec::with_capacity(listen.len());
        let mut sockets: Vec<Vec<(Listen, TcpListener)>> = (0..workers).map(|_| Vec::new()).collect();
        for listener in listen {
            let address = listener.address;
            let bound = listener::bind(address, workers).map_err(|source| StartError::Listen { address, source })?;
            addresses.push(bound.address);
            for (worker, socket) in sockets.iter_mut().zip(bound.sockets) {
                worker.push((*listener, socket));
            }
        }
        let upkeep = Upkeep::start().map_err(StartError::Worker)?;
        let shared = Arc::new(Shared::new(settings, access_log, upkeep.handle.clone()).map_err(StartError::Tls)?);
        let (stop, stopped) = watch::channel(Stop::Not);
        let threads = sockets
            .into_iter()
            .enumerate()
            .map(|(number, listeners)| spawn_worker(number, listeners, shared.clone(), stopped.clone()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::Worker)?;
        let (retired, old) = mpsc::channel();
        thread::Builder::new()
            .name("retire".into())
            .spawn(move || free_when_unused(&old))
            .map_err(StartError::Worker)?;
        Ok(DataPlane {
            shared,
            build,
            addresses,
            stop,
            _upkeep: upkeep,
            workers: Mutex::new(threads),
            loading: Mutex::new(retired),
        })
    }

    /// The addresses it listens on, in the order of `listen`, with real ports in place of 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Compiles `plan` and puts it in place of the one that serves. On problems nothing changes. Requests that have
    /// begun end under the configuration they began with.
    pub fn load(&self, plan: Plan) -> Result<Loaded, Problems> {
        let retired = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = self.shared.current();
        let compiled = snapshot::compile(plan, &*self.build, &previous, &self.shared)?;
        let (revision, changes) = (compiled.revision, compiled.changes_since(&previous));
        self.shared.publish(Arc::new(compiled));
        // A send fails only when the freeing thread is gone; then the last user frees it, slower but right.
        let _ = retired.send(previous);
        Ok(Loaded { revision, changes })
    }

    /// Shows these certificates to clients that ask for a name in them, beside those of the plan; the first of them
    /// also to everybody whose name has none. Each is a key pair, and perhaps the same with another type of key. On
    /// problems (`certificates[0].key: …`) nothing changes. Connections that are open go on.
    pub fn show_certificates(&self, files: &[Vec<Arc<KeyPair>>]) -> Result<(), Problems> {
        // One load at a time.
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = &self.shared.certificates.files;
        shown.store(Arc::new(Certificates::of_files(files, &shown.load())?));
        Ok(())
    }

    /// Revision of the live configuration; 0 before the first load.
    pub fn revision(&self) -> u64 {
        self.shared.revision()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The log it was started with, to be opened anew when somebody moves the file.
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.shared.access_log.as_ref()
    }

    /// Takes no more connections, closes idle ones, lets requests in flight end, for at most `limit`; then stops the
    /// workers. Returns when they have ended. A second call returns at once.
    pub async fn drain(&self, limit: Duration) {
        self.stop.send_replace(Stop::Drain(limit));
        // Every worker holds a receiver until its end.
        self.stop.closed().await;
        let threads = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
        if let Some(log) = &self.shared.access_log {
            log.flush();
        }
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        if !matches!(*self.stop.borrow(), Stop::Drain(_)) {
            self.stop.send_replace(Stop::Drain(Duration::ZERO));
        }
    }
}

impl fmt::Debug for DataPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPlane")
            .field("addresses", &self.addresses)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

fn spawn_worker(
    number: usize,
    listeners: Vec<(Listen, TcpListener)>,
    shared: Arc<Shared>,
    stopped: watch::Receiver<Stop>,
) -> io::Result<JoinHandle<()>> {
    let (ready, started) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
        // The runtime is bound to the thread that made it, so it is made here.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        match runtime {
            Ok(runtime) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(listener::run(Core::new(shared, number), listeners, stopped));
                // What is still open is dropped; a name that is being resolved is not waited for.
                runtime.shutdown_background();
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    })?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended before it began")))?;
    Ok(thread)
}

/// Frees old snapshots here, and never on a worker: freeing 500,000 consumers stops the thread that does it for
/// more than a second (S-68). A snapshot is free when nobody else holds it; the workers let go of it at their next
/// request or tick, requests that began with it when they have their answer's head.
fn free_when_unused(old: &mpsc::Receiver<Arc<Snapshot>>) {
    const LOOK_AGAIN: Duration = Duration::from_millis(100);
    let mut held: Vec<Arc<Snapshot>> = Vec::new();
    loop {
        let received = if held.is_empty() {
            old.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
        } else {
            old.recv_timeout(LOOK_AGAIN)
        };
        match received {
            Ok(snapshot) => held.push(snapshot),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        held.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}
