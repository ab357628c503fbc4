//! What a worker owns, and what all workers share.

use crate::ids::Ids;
use crate::settings::{Limits, Settings};
use crate::snapshot::{Origins, Snapshot};
use crate::stream::{Clock, Watches};
use crate::telemetry::{AccessLog, CoreMetrics, Metrics, RouteMetrics};
use crate::tls::{self, Resolver};
use crate::upstream::pool::Pools;
use crate::upstream::resolve::Names;
use crate::upstream::upkeep::Balancers;
use arc_swap::ArcSwap;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Shared by all workers and the handle.
pub(crate) struct Shared {
    current: ArcSwap<Snapshot>,
    /// Revision of `current`: what a worker compares, one load, before it looks at `current` itself.
    revision: AtomicU64,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: Option<AccessLog>,
    /// How clients are met on listeners that speak TLS.
    pub(crate) client_tls: Arc<rustls::ServerConfig>,
    pub(crate) certificates: Arc<Resolver>,
    /// Open client connections.
    pub(crate) connections: AtomicUsize,
    pub(crate) origins: Mutex<Origins>,
    pub(crate) names: Names,
    pub(crate) balancers: Arc<Balancers>,
}

impl Shared {
    pub(crate) fn new(
        settings: Settings,
        access_log: Option<AccessLog>,
        upkeep: Handle,
    ) -> Result<Self, rustls::Error> {
        let certificates = Arc::<Resolver>::default();
        let metrics = Metrics::new(settings.workers.max(1));
        if let Some(log) = &access_log {
            metrics.register_log(log.dropped_source());
        }
        let names = Names::new(settings.name_servers.clone(), upkeep.clone(), metrics.clone());
        let balancers = Arc::new(Balancers::new(upkeep));
        // Weak: what is counted must not keep alive who counts it.
        let live = Arc::downgrade(&balancers);
        metrics.register_targets(move || live.upgrade().map(|live| live.numbers()).unwrap_or_default());
        Ok(Self {
            current: ArcSwap::from_pointee(Snapshot::empty()),
            revision: AtomicU64::new(0),
            metrics,
            client_tls: tls::server_config(&settings, certificates.clone())?,
            certificates,
            settings,
            access_log,
            connections: AtomicUsize::new(0),
            origins: Mutex::new(Origins::default()),
            names,
            balancers,
        })
    }

    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Makes `snapshot` the one that new requests see.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        let revision = snapshot.revision;
        self.certificates.plan.store(snapshot.certificates.clone());
        self.balancers.publish(&snapshot.balancers);
        self.current.store(snapshot);
        self.revision.store(revision, Ordering::Release);
        self.metrics.live(revision);
    }
}

/// One worker's hold on a snapshot. Requests share it without touching the count that all workers share.
pub(crate) struct View {
    snapshot: Arc<Snapshot>,
    /// By endpoint, filled when first needed: what outlives a request's hold on the snapshot, shared without touching
    /// a count of all workers either.
    metrics: RefCell<Vec<Option<Rc<RouteMetrics>>>>,
}

impl View {
    fn new(snapshot: Arc<Snapshot>) -> Rc<Self> {
        Rc::new(Self { snapshot, metrics: RefCell::default() })
    }

    /// Where requests of this endpoint are counted.
    pub(crate) fn metrics(&self, endpoint: usize) -> Option<Rc<RouteMetrics>> {
        let lane = self.lanes.get(endpoint)?;
        let mut metrics = self.metrics.borrow_mut();
        if metrics.len() <= endpoint {
            metrics.resize(endpoint + 1, None);
        }
        Some(metrics[endpoint].get_or_insert_with(|| Rc::new(lane.metrics.clone())).clone())
    }
}

impl Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// One worker: everything in here stays on its thread.
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Rc<Clock>,
    pub(crate) watches: Watches,
    pub(crate) pools: Pools,
    pub(crate) ids: Ids,
    pub(crate) metrics: CoreMetrics,
    /// Set once the data plane takes no more connections.
    pub(crate) draining: Cell<bool>,
    /// Says that `draining` has been set.
    pub(crate) drain_began: Notify,
    /// This worker's open client connections.
    pub(crate) connections: Cell<usize>,
    pub(crate) connection_closed: Notify,
    view: RefCell<Rc<View>>,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Rc<Self> {
        let clock = Clock::new();
        Rc::new(Self {
            watches: Watches::new(clock.clone()),
            pools: Pools::new(&shared.settings.limits, clock.clone()),
            ids: Ids::new(),
            metrics: shared.metrics.core(number),
            draining: Cell::new(false),
            drain_began: Notify::new(),
            connections: Cell::new(0),
            connection_closed: Notify::new(),
            view: RefCell::new(View::new(shared.current())),
            clock,
            shared,
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.settings.limits
    }

    /// The configuration for a request that begins now.
    pub(crate) fn snapshot(&self) -> Rc<View> {
        let mut view = self.view.borrow_mut();
        if view.revision != self.shared.revision() {
            *view = View::new(self.shared.current());
        }
        view.clone()
    }

    /// Returns once every client connection has ended.
    pub(crate) async fn no_connections(&self) {
        while self.connections.get() > 0 {
            self.connection_closed.notified().await;
        }
    }

    /// What has to be looked at now and then: time limits, unused upstream connections, a new configuration (an idle
    /// worker would keep the old one alive).
    pub(crate) fn tick(&self) {
        self.clock.read();
        self.watches.sweep();
        self.pools.sweep();
        drop(self.snapshot());
    }
}
