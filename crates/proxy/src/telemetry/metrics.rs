//! Every metric of the gateway: its name, its help text, and where its numbers come from.
//!
//! A core counts in a [`CoreMetrics`] of its own; what it counts by route hangs at the compiled route, a slot per core
//! that is made when it is first needed, so 100,000 routes cost little until requests come. Nothing on the request's
//! path takes a lock or looks anything up. A scrape adds the cores up.
//!
//! Numbers of parts that this crate does not know (the token cache) are asked for at the scrape.

use super::sources::Sources;
use super::tally::{Count, Durations, DurationsSum, Statuses, StatusesSum};
use crate::render::Failure;
use crate::tls::HandshakeFailure;
use portcullis_model::plan::Route;
use portcullis_plugins::Reason;
use portcullis_plugins::reason::TABLE;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// Media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A name and its help text. Counters get `_total` when they are written.
struct Name(&'static str, &'static str);

const BUILD: Name = Name("portcullis_build", "Version of this gateway.");
const REQUESTS: Name =
    Name("portcullis_requests", "Requests answered, by route (empty where none matched) and status of the answer.");
const REQUEST_SECONDS: Name =
    Name("portcullis_request_duration_seconds", "From the head of a request to the end of its answer, by route.");
const REFUSALS: Name = Name("portcullis_refusals", "Requests that a plugin refused, by reason code.");
const FAILURES: Name = Name(
    "portcullis_failures",
    "Requests that the gateway itself could not serve, upstream failures included, by code.",
);
const CONNECTIONS: Name = Name("portcullis_connections_open", "Client connections that are open.");
const HANDSHAKES: Name =
    Name("portcullis_tls_handshake_failures", "TLS handshakes with clients that did not succeed, by reason.");
const CACHE_HITS: Name = Name("portcullis_token_cache_hits", "Tokens answered from the cache as active.");
const CACHE_NEGATIVES: Name = Name("portcullis_token_cache_negatives", "Tokens answered from the cache as not active.");
const CACHE_MISSES: Name =
    Name("portcullis_token_cache_misses", "Tokens that the cache did not know; many may share one flight.");
const CACHE_EVICTIONS: Name =
    Name("portcullis_token_cache_evictions", "Answers that left the cache for want of room, before their time.");
const CACHE_ENTRIES: Name = Name("portcullis_token_cache_entries", "Answers in the cache.");
const CACHE_BYTES: Name = Name("portcullis_token_cache_bytes", "Weight of the answers in the cache.");
const CACHE_FLIGHTS: Name =
    Name("portcullis_token_cache_flights", "Questions to authorization servers that are under way or queued.");
const CALL_SECONDS: Name = Name(
    "portcullis_introspection_duration_seconds",
    "Calls to introspection endpoints, by outcome (active, inactive, or the reason code of the failure).",
);
const REVISION: Name =
    Name("portcullis_configuration_revision", "Revision of the configuration that is live; 0: none.");
const RELOAD_FAILURES: Name =
    Name("portcullis_configuration_reload_failures", "Configurations that were refused; the last good one serves on.");
const TARGET_HEALTH: Name =
    Name("portcullis_upstream_target_health", "Whether an upstream's target gets requests (1) or is unhealthy (0).");
const TARGET_CHANGES: Name =
    Name("portcullis_upstream_target_changes", "How often an upstream's target became healthy or unhealthy.");
const NAME_FAILURES: Name =
    Name("portcullis_name_resolution_failures", "Lookups of upstream names that gave no address.");
const LOG_DROPPED: Name =
    Name("portcullis_access_log_dropped", "Lines of the access log that could not be written in time.");

/// All numbers of one gateway. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<State>);

#[derive(Debug)]
struct State {
    /// How many cores may count; the length of every route's row of slots.
    cores: usize,
    core_counts: Mutex<Vec<Arc<CoreCounts>>>,
    unrouted: RouteMetrics,
    /// By label. Routes that no snapshot has any more are forgotten.
    routes: Mutex<HashMap<Arc<str>, Weak<RouteCounts>>>,
    calls: Mutex<BTreeMap<&'static str, Durations>>,
    caches: Sources<CacheNumbers>,
    log_dropped: Sources<u64>,
    targets: Sources<Vec<TargetNumbers>>,
    name_failures: AtomicU64,
    revision: AtomicU64,
    reload_failures: AtomicU64,
}

/// What a token cache counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheNumbers {
    pub hits: u64,
    /// Hits of stored inactive answers.
    pub negatives: u64,
    pub misses: u64,
    pub evictions: u64,
    /// Now in the cache.
    pub entries: u64,
    pub bytes: u64,
    /// Now under way or queued.
    pub flights: u64,
}

/// One address of an upstream's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetNumbers {
    pub upstream: String,
    /// `host:port`, as it was configured.
    pub target: String,
    pub address: String,
    pub healthy: bool,
    pub changes: u64,
}

/// What one core counts. Belongs to that core: it can move to its thread, but not be shared.
#[derive(Debug)]
pub struct CoreMetrics {
    core: usize,
    cores: usize,
    counts: Arc<CoreCounts>,
    unrouted: RouteMetrics,
    _one_writer: PhantomData<Cell<()>>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct CoreCounts {
    refusals: [Count; TABLE.len()],
    failures: [Count; Failure::COUNT],
    opened: Count,
    closed: Count,
    handshakes: [Count; HandshakeFailure::CODES.len()],
}

/// The slots of one route, kept by the compiled route. Clones share them; a route of the same name or id gets the same
/// ones from [`Metrics::route`] as long as any clone lives, so counts survive a reload.
#[derive(Debug, Clone)]
pub struct RouteMetrics(Arc<RouteCounts>);

#[derive(Debug)]
struct RouteCounts {
    label: Arc<str>,
    /// By core, made when the route gets its first request, and each on its core's first one.
    slots: OnceLock<Box<[OnceLock<Box<RouteSlot>>]>>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct RouteSlot {
    statuses: Statuses,
    durations: Durations,
}

impl Metrics {
    /// For a gateway with so many cores.
    pub fn new(cores: usize) -> Self {
        Self(Arc::new(State {
            cores,
            core_counts: Mutex::default(),
            unrouted: RouteMetrics::new("".into()),
            routes: Mutex::default(),
            calls: Mutex::default(),
            caches: Sources::default(),
            log_dropped: Sources::default(),
            targets: Sources::default(),
            name_failures: AtomicU64::new(0),
            revision: AtomicU64::new(0),
            reload_failures: AtomicU64::new(0),
        }))
    }

    /// The counts of core `number`, counted from 0. To be asked for once per core.
    ///
    /// # Panics
    /// When there are not so many cores.
    pub fn core(&self, number: usize) -> CoreMetrics {
        let cores = self.0.cores;
        assert!(number < cores, "core {number} of {cores}");
        let counts = Arc::<CoreCounts>::default();
        lock(&self.0.core_counts).push(counts.clone());
        CoreMetrics { core: number, cores, counts, unrouted: self.0.unrouted.clone(), _one_writer: PhantomData }
    }

    /// The slots of a route, by its name, or its id where it has none. Called when a snapshot is compiled.
    pub fn route(&self, route: &Route) -> RouteMetrics {
        let label: Arc<str> = route.name.clone().unwrap_or_else(|| route.id.to_string()).into();
        let mut routes = lock(&self.0.routes);
        if let Some(counts) = routes.get(&label).and_then(Weak::upgrade) {
            return RouteMetrics(counts);
        }
        let metrics = RouteMetrics::new(label.clone());
        routes.insert(label, Arc::downgrade(&metrics.0));
        metrics
    }

    /// Adds a token cache, to be asked at each scrape; of several the sum is shown.
    pub fn register_cache(&self, numbers: impl Fn() -> CacheNumbers + Send + Sync + 'static) {
        self.0.caches.add(numbers);
    }

    /// Adds a log that may drop lines, to be asked at each scrape.
    pub fn register_log(&self, dropped: impl Fn() -> u64 + Send + Sync + 'static) {
        self.0.log_dropped.add(dropped);
    }

    /// Adds targets of upstreams, to be asked for at each scrape.
    pub(crate) fn register_targets(&self, targets: impl Fn() -> Vec<TargetNumbers> + Send + Sync + 'static) {
        self.0.targets.add(targets);
    }

    /// A lookup of an upstream's name has failed.
    pub(crate) fn name_not_resolved(&self) {
        self.0.name_failures.fetch_add(1, Relaxed);
    }

    /// One call to an introspection endpoint has ended. For the control plane: takes a lock.
    pub fn introspection_call(&self, outcome: &'static str, duration: Duration) {
        // The lock makes it the one writer.
        lock(&self.0.calls).entry(outcome).or_default().add(duration);
    }

    /// A configuration went live.
    pub fn live(&self, revision: u64) {
        self.0.revision.store(revision, Relaxed);
    }

    /// A configuration was refused.
    pub fn reload_failed(&self) {
        self.0.reload_failures.fetch_add(1, Relaxed);
    }

    /// Everything, as [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.0.clone()));
        let mut text = String::new();
        match text::encode(&mut text, &registry) {
            Ok(()) => text,
            // A `String` takes all that is written to it.
            Err(fmt::Error) => String::new(),
        }
    }
}

impl CoreMetrics {
    /// A request has ended: on this route, or on none.
    pub fn answered(&self, route: Option<&RouteMetrics>, status: http::StatusCode, duration: Duration) {
        let slot = route.unwrap_or(&self.unrouted).slot(self.core, self.cores);
        slot.statuses.add(status.as_u16());
        slot.durations.add(duration);
    }

    /// A plugin has refused a request.
    pub fn refused(&self, reason: Reason) {
        self.counts.refusals[reason as usize].add(1);
    }

    /// The gateway could not serve a request.
    pub fn failed(&self, failure: &Failure) {
        self.counts.failures[failure.index()].add(1);
    }

    /// A client did not get as far as a request.
    pub(crate) fn handshake_failed(&self, failure: &HandshakeFailure) {
        self.counts.handshakes[failure.index()].add(1);
    }

    pub fn connection_opened(&self) {
        self.counts.opened.add(1);
    }

    pub fn connection_closed(&self) {
        self.counts.closed.add(1);
    }
}

impl RouteMetrics {
    fn new(label: Arc<str>) -> Self {
        Self(Arc::new(RouteCounts { label, slots: OnceLock::new() }))
    }

    fn slot(&self, core: usize, cores: usize) -> &RouteSlot {
        self.0.slots.get_or_init(|| (0..cores).map(|_| OnceLock::new()).collect())[core].get_or_init(Box::default)
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        BUILD.family(to, MetricType::Info)?.encode_info(&version)?;
        self.encode_requests(to)?;
        self.encode_cores(to)?;
        self.encode_caches(to)?;
        self.encode_calls(to)?;
        REVISION.family(to, MetricType::Gauge)?.encode_gauge(&self.revision.load(Relaxed))?;
        count(&mut RELOAD_FAILURES.family(to, MetricType::Counter)?, self.reload_failures.load(Relaxed))?;
        self.encode_targets(to)?;
        count(&mut NAME_FAILURES.family(to, MetricType::Counter)?, self.name_failures.load(Relaxed))?;
        count(&mut LOG_DROPPED.family(to, MetricType::Counter)?, self.log_dropped.ask().sum())
    }
}

impl State {
    fn encode_requests(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let routes = self.sum_routes();
        let mut family = REQUESTS.family(to, MetricType::Counter)?;
        for (label, (statuses, _)) in &routes {
            for (status, seen) in statuses.seen() {
                count(&mut family.encode_family(&[("route", &**label), ("status", &*status)])?, seen)?;
            }
        }
        let mut family = REQUEST_SECONDS.family(to, MetricType::Histogram)?;
        for (label, (_, durations)) in &routes {
            histogram(&mut family.encode_family(&[("route", &**label)])?, durations)?;
        }
        Ok(())
    }

    /// Each route that was asked for, its cores added up; in the order of the labels, so that scrapes compare.
    fn sum_routes(&self) -> BTreeMap<Arc<str>, (StatusesSum, DurationsSum)> {
        let mut counted: Vec<Arc<RouteCounts>> = Vec::new();
        lock(&self.routes).retain(|_, route| {
            let route = route.upgrade();
            counted.extend(route.iter().filter(|route| route.slots.get().is_some()).cloned());
            route.is_some()
        });
        counted.push(self.unrouted.0.clone());
        let mut sums = BTreeMap::new();
        for route in counted {
            let (mut statuses, mut durations) = (StatusesSum::default(), DurationsSum::default());
            for slot in route.slots.get().into_iter().flatten().filter_map(OnceLock::get) {
                statuses.take(&slot.statuses);
                durations.take(&slot.durations);
            }
            if durations.count() > 0 {
                sums.insert(route.label.clone(), (statuses, durations));
            }
        }
        sums
    }

    fn encode_cores(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let cores = lock(&self.core_counts);
        let mut family = REFUSALS.family(to, MetricType::Counter)?;
        for row in &TABLE {
            let seen = cores.iter().map(|core| core.refusals[row.reason as usize].read()).sum();
            count(&mut family.encode_family(&[("reason", row.code)])?, seen)?;
        }
        let mut family = FAILURES.family(to, MetricType::Counter)?;
        for (place, code) in Failure::codes().enumerate() {
            let seen = cores.iter().map(|core| core.failures[place].read()).sum();
            count(&mut family.encode_family(&[("code", code)])?, seen)?;
        }
        let mut family = HANDSHAKES.family(to, MetricType::Counter)?;
        for (place, code) in HandshakeFailure::CODES.into_iter().enumerate() {
            let seen = cores.iter().map(|core| core.handshakes[place].read()).sum();
            count(&mut family.encode_family(&[("reason", code)])?, seen)?;
        }
        // Closed first: what opens meanwhile cannot make the difference negative.
        let closed: u64 = cores.iter().map(|core| core.closed.read()).sum();
        let opened: u64 = cores.iter().map(|core| core.opened.read()).sum();
        CONNECTIONS.family(to, MetricType::Gauge)?.encode_gauge(&opened.saturating_sub(closed))
    }

    fn encode_caches(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.caches.ask().fold(CacheNumbers::default(), |all, one| CacheNumbers {
            hits: all.hits + one.hits,
            negatives: all.negatives + one.negatives,
            misses: all.misses + one.misses,
            evictions: all.evictions + one.evictions,
            entries: all.entries + one.entries,
            bytes: all.bytes + one.bytes,
            flights: all.flights + one.flights,
        });
        for (name, number) in [
            (CACHE_HITS, all.hits),
            (CACHE_NEGATIVES, all.negatives),
            (CACHE_MISSES, all.misses),
            (CACHE_EVICTIONS, all.evictions),
        ] {
            count(&mut name.family(to, MetricType::Counter)?, number)?;
        }
        for (name, number) in [(CACHE_ENTRIES, all.entries), (CACHE_BYTES, all.bytes), (CACHE_FLIGHTS, all.flights)] {
            name.family(to, MetricType::Gauge)?.encode_gauge(&number)?;
        }
        Ok(())
    }

    fn encode_targets(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let targets: Vec<TargetNumbers> = self.targets.ask().flatten().collect();
        let labels = |t: &TargetNumbers| {
            [("upstream", t.upstream.clone()), ("target", t.target.clone()), ("address", t.address.clone())]
        };
        let mut family = TARGET_HEALTH.family(to, MetricType::Gauge)?;
        for target in &targets {
            family.encode_family(&labels(target))?.encode_gauge(&u64::from(target.healthy))?;
        }
        let mut family = TARGET_CHANGES.family(to, MetricType::Counter)?;
        for target in &targets {
            count(&mut family.encode_family(&labels(target))?, target.changes)?;
        }
        Ok(())
    }

    fn encode_calls(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = CALL_SECONDS.family(to, MetricType::Histogram)?;
        for (outcome, durations) in lock(&self.calls).iter() {
            let mut sum = DurationsSum::default();
            sum.take(durations);
            histogram(&mut family.encode_family(&[("outcome", *outcome)])?, &sum)?;
        }
        Ok(())
    }
}

impl Name {
    fn family<'a>(
        &'a self,
        to: &'a mut DescriptorEncoder<'_>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        to.encode_descriptor(self.0, self.1, None, kind)
    }
}

fn count(to: &mut MetricEncoder<'_>, number: u64) -> fmt::Result {
    to.encode_counter::<NoLabelSet, _, u64>(&number, None)
}

fn histogram(to: &mut MetricEncoder<'_>, sum: &DurationsSum) -> fmt::Result {
    to.encode_histogram::<NoLabelSet>(sum.seconds(), sum.count(), &sum.buckets(), None)
}

/// Numbers are whole at any moment, so a panic elsewhere has not broken them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
