//! A plan, compiled: what the workers run. Immutable; a change makes a new one, which takes over what did not change.

use crate::core::Shared;
use crate::router::Router;
use crate::telemetry::RouteMetrics;
use crate::tls::Certificates;
use crate::upstream::balancer::Balancer;
use crate::upstream::destination::{Balanced, Destination};
use crate::upstream::origin::BadOrigin;
pub(crate) use crate::upstream::origin::Origins;
use crate::upstream::probe;
use portcullis_model::plan::{Candidate, Consumers, Matcher, Plan, PluginConfig, Protocol, Route, Service, Upstream};
use portcullis_model::problem::{Path, Problems, Segment};
use portcullis_plugins::registry::Build;
use portcullis_plugins::{Plugin, fold};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};
use uuid::Uuid;

/// One configuration, ready to run.
#[derive(Debug)]
pub struct Snapshot {
    pub revision: u64,
    /// `None` before the first configuration.
    pub router: Option<Router>,
    /// By place in the plan's endpoints, which is what the router finds.
    pub lanes: Vec<Arc<Lane>>,
    pub consumers: Arc<Consumers>,
    pub(crate) certificates: Arc<Certificates>,
    /// Of the upstreams that services name.
    pub(crate) balancers: HashMap<Uuid, Arc<Balancer>>,
    instances: HashMap<Uuid, Arc<Instance>>,
    /// Per endpoint a fingerprint of its matcher, so that a load can say which routes match otherwise than before.
    matchers: Vec<u64>,
}

/// A route with what is needed to run it. Endpoints of one route share it.
#[derive(Debug)]
pub struct Lane {
    pub route: Arc<Route>,
    pub steps: Vec<Step>,
    /// Where the route's service is; `None` without a service.
    pub destination: Option<Destination>,
    /// Whether headers that override the method are removed.
    pub removes_overrides: bool,
    /// Whether the fixed reserved names are removed (D17: not where no plugin guards the route and the settings let
    /// them pass).
    pub removes_reserved: bool,
    /// Folded names beyond the fixed ones that the plugins of this route set.
    pub owned: Vec<Box<str>>,
    /// The largest body that a step of this route looks at; `None`: no request of it waits for its body.
    pub body_limit: Option<usize>,
    pub metrics: RouteMetrics,
}

/// One step of a route.
#[derive(Debug)]
pub struct Step {
    pub candidates: Vec<Options>,
}

/// Where a step's configuration may come from.
#[derive(Debug)]
pub enum Options {
    Any(Arc<Instance>),
    ByConsumer(Arc<ByConsumer>),
}

/// One instance per consumer, shared by all routes that it counts for.
#[derive(Debug)]
pub struct ByConsumer {
    pub of: HashMap<Uuid, Arc<Instance>>,
    owned: HashSet<Box<str>>,
    body_limit: Option<usize>,
}

/// A plugin that has been built from its configuration.
#[derive(Debug)]
pub struct Instance {
    pub config: Arc<PluginConfig>,
    pub plugin: Arc<dyn Plugin>,
    /// Folded, without the fixed reserved names.
    owned: Vec<Box<str>>,
}

/// What one load changed, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    pub services: Change,
    pub routes: Change,
    pub consumers: Change,
    pub plugins: Change,
}

/// How many of one kind came, changed and went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    pub added: usize,
    pub changed: usize,
    pub removed: usize,
}

impl Snapshot {
    /// What serves before the first configuration: nothing matches.
    pub(crate) fn empty() -> Self {
        Self {
            revision: 0,
            router: None,
            lanes: Vec::new(),
            consumers: Arc::default(),
            certificates: Arc::default(),
            balancers: HashMap::new(),
            instances: HashMap::new(),
            matchers: Vec::new(),
        }
    }

    /// What is different from `previous`. Consumers are compared by their number alone when they differ: a million
    /// of them are held once, without a second copy to compare with one by one.
    pub fn changes_since(&self, previous: &Snapshot) -> Changes {
        Changes {
            services: compare(&services(self), &services(previous), |a, b| a == b),
            routes: compare(&routes(self), &routes(previous), |a, b| a == b),
            consumers: compare_consumers(&self.consumers, &previous.consumers),
            // One that means what it meant has been taken over.
            plugins: compare(&self.instances, &previous.instances, Arc::ptr_eq),
        }
    }
}

/// Compiles `plan`. Everything that is wrong is said at once, and nothing of it runs then.
pub(crate) fn compile(
    plan: Plan,
    build: &dyn Build,
    previous: &Snapshot,
    shared: &Shared,
) -> Result<Snapshot, Problems> {
    let mut problems = Problems::new();
    let compiled = match &previous.router {
        Some(previous) => Router::compile_after(&plan.endpoints, previous),
        None => Router::compile(&plan.endpoints),
    };
    let router = match compiled {
        Ok(router) => Some(router),
        Err(found) => {
            problems.0.extend(found.0);
            None
        }
    };
    let certificates = match Certificates::of_plan(&plan.certificates, &previous.certificates) {
        Ok(certificates) => Some(Arc::new(certificates)),
        Err(found) => {
            problems.0.extend(found.0);
            None
        }
    };
    let mut compiler = Compiler {
        build,
        previous,
        shared,
        problems,
        instances: HashMap::new(),
        by_consumer: HashMap::new(),
        lanes: HashMap::new(),
        unverified: BTreeSet::new(),
        balancers: HashMap::new(),
    };
    let lanes = plan.endpoints.iter().map(|endpoint| compiler.lane(&endpoint.route)).collect();
    let matchers = plan.endpoints.iter().map(|endpoint| fingerprint(&endpoint.matcher)).collect();
    let Compiler { problems, instances, unverified, balancers, .. } = compiler;
    if !problems.has_errors() && !unverified.is_empty() {
        tracing::warn!(services = ?unverified, "tls_verify is false: anybody can answer in place of these services");
    }
    match (router, certificates) {
        (Some(router), Some(certificates)) if !problems.has_errors() => Ok(Snapshot {
            revision: previous.revision + 1,
            router: Some(router),
            lanes,
            consumers: plan.consumers,
            certificates,
            balancers,
            instances: instances.into_iter().filter_map(|(id, instance)| Some((id, instance?))).collect(),
            matchers,
        }),
        _ => Err(problems),
    }
}

struct Compiler<'a> {
    build: &'a dyn Build,
    previous: &'a Snapshot,
    shared: &'a Shared,
    problems: Problems,
    /// `None`: it could not be built, which has been said.
    instances: HashMap<Uuid, Option<Arc<Instance>>>,
    /// By address of the plan's map.
    by_consumer: HashMap<*const BTreeMap<Uuid, Arc<PluginConfig>>, Arc<ByConsumer>>,
    /// By address of the plan's route.
    lanes: HashMap<*const Route, Arc<Lane>>,
    /// Services whose certificate is not verified.
    unverified: BTreeSet<String>,
    balancers: HashMap<Uuid, Arc<Balancer>>,
}

impl Compiler<'_> {
    fn lane(&mut self, route: &Arc<Route>) -> Arc<Lane> {
        if let Some(lane) = self.lanes.get(&Arc::as_ptr(route)) {
            return lane.clone();
        }
        let steps: Vec<Step> = route.steps.iter().map(|step| self.step(&step.candidates)).collect();
        let mut owned: Vec<Box<str>> =
            steps.iter().flat_map(|step| &step.candidates).flat_map(Options::owned).collect();
        owned.sort_unstable();
        owned.dedup();
        let body_limit = steps.iter().flat_map(|step| &step.candidates).filter_map(Options::body_limit).max();
        let lane = Arc::new(Lane {
            destination: route.service.as_ref().and_then(|service| self.destination(service)),
            removes_overrides: self.shared.settings.removes_method_overrides,
            removes_reserved: !steps.is_empty() || !self.shared.settings.unguarded_identity_headers,
            metrics: self.shared.metrics.route(route),
            route: route.clone(),
            steps,
            owned,
            body_limit,
        });
        self.lanes.insert(Arc::as_ptr(route), lane.clone());
        lane
    }

    fn step(&mut self, candidates: &[Candidate]) -> Step {
        let candidates = candidates
            .iter()
            .filter_map(|candidate| match candidate {
                Candidate::Any(config) => self.instance(config).map(Options::Any),
                Candidate::ByConsumer(configs) => Some(Options::ByConsumer(self.by_consumer(configs))),
            })
            .collect();
        Step { candidates }
    }

    fn by_consumer(&mut self, configs: &Arc<BTreeMap<Uuid, Arc<PluginConfig>>>) -> Arc<ByConsumer> {
        if let Some(known) = self.by_consumer.get(&Arc::as_ptr(configs)) {
            return known.clone();
        }
        let of: HashMap<_, _> = configs.iter().filter_map(|(id, config)| Some((*id, self.instance(config)?))).collect();
        let owned = of.values().flat_map(|instance| instance.owned.iter().cloned()).collect();
        let body_limit = of.values().filter_map(|instance| instance.plugin.body_limit()).max();
        let by_consumer = Arc::new(ByConsumer { of, owned, body_limit });
        self.by_consumer.insert(Arc::as_ptr(configs), by_consumer.clone());
        by_consumer
    }

    /// Builds an instance once per configuration, or takes over that of the previous snapshot.
    fn instance(&mut self, config: &Arc<PluginConfig>) -> Option<Arc<Instance>> {
        if let Some(known) = self.instances.get(&config.id) {
            return known.clone();
        }
        let instance = match self.previous.instances.get(&config.id) {
            Some(known) if means_the_same(&known.config, config) => Some(known.clone()),
            _ => match self.build.build(config) {
                Ok(plugin) => Some(Arc::new(Instance::new(config.clone(), plugin))),
                Err(found) => {
                    self.problems.extend_below(&path_of(&config.origin).key("config"), found);
                    None
                }
            },
        };
        self.instances.insert(config.id, instance.clone());
        instance
    }

    fn destination(&mut self, service: &Service) -> Option<Destination> {
        let balancer = match &service.upstream {
            Some(upstream) => Some(self.balancer(upstream)?),
            None => None,
        };
        let (names, mut origins) =
            (&self.shared.names, self.shared.origins.lock().unwrap_or_else(PoisonError::into_inner));
        let destination = match balancer {
            None => {
                let (host, tls) = (&service.host, &service.tls);
                origins.intern(names, service.protocol, host, service.port, host, tls).map(Destination::Host)
            }
            Some(balancer) => {
                let balanced = Balanced::new(balancer, service, &mut origins);
                balanced.map(|balanced| Destination::Balanced(Arc::new(balanced)))
            }
        };
        match destination {
            Ok(destination) => {
                if service.protocol == Protocol::Https && service.tls.verify == Some(false) {
                    self.unverified.insert(name_of(service));
                }
                Some(destination)
            }
            Err(bad) => {
                self.problems
                    .error(place_of(&bad, Path::root().key("services").key(name_of(service))), bad.to_string());
                None
            }
        }
    }

    /// One per upstream, whichever services name it.
    fn balancer(&mut self, upstream: &Arc<Upstream>) -> Option<Arc<Balancer>> {
        if let Some(known) = self.balancers.get(&upstream.id) {
            return Some(known.clone());
        }
        let path = Path::root().key("upstreams").key(upstream.name.clone());
        probe::check(upstream, &path, &mut self.problems);
        let mut origins = self.shared.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let tls = probe::tls(upstream).map(|tls| origins.client_config(&tls)).transpose();
        drop(origins);
        match tls {
            Ok(tls) => {
                let balancer = self.shared.balancers.of(upstream, &self.shared.names, tls);
                self.balancers.insert(upstream.id, balancer.clone());
                Some(balancer)
            }
            Err(bad) => {
                self.problems.error(place_of(&bad, path), bad.to_string());
                None
            }
        }
    }
}

/// Which field of the entity at `path` is at fault.
fn place_of(bad: &BadOrigin, path: Path) -> Path {
    match bad {
        BadOrigin::Host(_) | BadOrigin::TlsName(_) => path.key("host"),
        BadOrigin::Tls(bad) => match bad.index {
            Some(index) => path.key(bad.field).index(index),
            None => path.key(bad.field),
        },
    }
}

impl Instance {
    fn new(config: Arc<PluginConfig>, plugin: Arc<dyn Plugin>) -> Self {
        let names = plugin.owned_headers();
        let owned = names.iter().map(|name| fold::fold(name)).filter(|name| !fold::is_reserved(name));
        let owned = owned.map(Into::into).collect();
        Self { config, plugin, owned }
    }
}

impl Options {
    fn owned(&self) -> Vec<Box<str>> {
        match self {
            Options::Any(instance) => instance.owned.clone(),
            Options::ByConsumer(instances) => instances.owned.iter().cloned().collect(),
        }
    }

    fn body_limit(&self) -> Option<usize> {
        match self {
            Options::Any(instance) => instance.plugin.body_limit(),
            Options::ByConsumer(instances) => instances.body_limit,
        }
    }
}

/// Where a configuration was written does not change what it means.
fn means_the_same(a: &PluginConfig, b: &PluginConfig) -> bool {
    (a.id, &a.plugin, &a.when, &a.config) == (b.id, &b.plugin, &b.when, &b.config)
}

fn name_of(service: &Service) -> String {
    service.name.clone().unwrap_or_else(|| service.id.to_string())
}

/// `services[0].plugins[1]`, taken apart again.
fn path_of(origin: &str) -> Path {
    let mut path = Path::root();
    for part in origin.split('.').filter(|part| !part.is_empty()) {
        let (key, indexes) = part.split_once('[').unwrap_or((part, ""));
        path.0.push(Segment::Key(key.to_owned()));
        let indexes = indexes.split('[').filter_map(|index| index.strip_suffix(']')?.parse().ok());
        path.0.extend(indexes.map(Segment::Index));
    }
    path
}

/// Each route with a fingerprint of how it is reached.
fn routes(snapshot: &Snapshot) -> HashMap<Uuid, (&Arc<Route>, u64)> {
    let mut routes = HashMap::with_capacity(snapshot.lanes.len());
    for (lane, matcher) in snapshot.lanes.iter().zip(&snapshot.matchers) {
        // The order of a route's matchers counts.
        let (_, all) = routes.entry(lane.route.id).or_insert((&lane.route, 0_u64));
        *all = all.rotate_left(1).wrapping_add(*matcher);
    }
    routes
}

/// Equal for equal matchers of one process; nothing but a count of changes hangs on it.
fn fingerprint(matcher: &Matcher) -> u64 {
    let mut hasher = DefaultHasher::new();
    matcher.hash(&mut hasher);
    hasher.finish()
}

fn services(snapshot: &Snapshot) -> HashMap<Uuid, &Service> {
    let services = snapshot.lanes.iter().filter_map(|lane| lane.route.service.as_deref());
    services.map(|service| (service.id, service)).collect()
}

fn compare<T>(new: &HashMap<Uuid, T>, old: &HashMap<Uuid, T>, same: impl Fn(&T, &T) -> bool) -> Change {
    let (mut added, mut changed) = (0, 0);
    for (id, new) in new {
        match old.get(id) {
            None => added += 1,
            Some(old) => changed += usize::from(!same(new, old)),
        }
    }
    Change { added, changed, removed: old.len() + added - new.len() }
}

fn compare_consumers(new: &Arc<Consumers>, old: &Arc<Consumers>) -> Change {
    if Arc::ptr_eq(new, old) || new == old {
        return Change::default();
    }
    let (added, removed) = (new.len().saturating_sub(old.len()), old.len().saturating_sub(new.len()));
    let changed = usize::from(added == 0 && removed == 0);
    Change { added, changed, removed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_becomes_a_path_again() {
        for origin in ["services[0].plugins[1]", "plugins[2]", "services[2].routes[0].plugins[10]"] {
            assert_eq!(path_of(origin).to_string(), origin);
            assert!(path_of(origin).0.iter().any(|segment| matches!(segment, Segment::Index(_))));
        }
    }
}
