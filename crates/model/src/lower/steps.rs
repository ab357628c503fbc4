//! Which plugin instances count for a route, in which order plugins run, and which instance goes before which.

use crate::catalog::Catalog;
use crate::entities::Plugin;
use crate::plan::{Candidate, Condition, PluginConfig, Protocols, Step};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// Every enabled instance, by what it is bound to.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Names in the order in which plugins run.
    names: Vec<Arc<str>>,
    by_scope: HashMap<Scope, BTreeMap<Position, Instances>>,
}

/// Position of a plugin in [`Steps::names`].
type Position = usize;

/// The route and the service that instances are bound to; consumers are told apart inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Scope {
    route: Option<Uuid>,
    service: Option<Uuid>,
}

/// The instances of one plugin in one scope.
#[derive(Debug, Default)]
struct Instances {
    for_all: Option<Arc<PluginConfig>>,
    by_consumer: Option<Arc<BTreeMap<Uuid, Arc<PluginConfig>>>>,
}

impl Steps {
    pub(super) fn new(plugins: &[Plugin], catalog: &dyn Catalog) -> Self {
        let mut facts: Vec<_> = catalog.all().iter().collect();
        facts.sort_by_key(|facts| Reverse(facts.priority));
        let positions: HashMap<&str, Position> = facts.iter().enumerate().map(|(i, facts)| (facts.name, i)).collect();
        let names = facts.iter().map(|facts| Arc::from(facts.name)).collect();
        let mut steps = Self { names, by_scope: HashMap::new() };

        let mut by_consumer: HashMap<(Scope, Position), BTreeMap<Uuid, Arc<PluginConfig>>> = HashMap::new();
        for plugin in plugins.iter().filter(|plugin| plugin.enabled) {
            let Some(position) = positions.get(plugin.name.as_str()).copied() else { continue };
            let Some(when) = condition(plugin) else { continue };
            let config = Arc::new(instance(plugin, when, steps.names[position].clone()));
            let scope = Scope { route: plugin.route.map(|to| to.id), service: plugin.service.map(|to| to.id) };
            match plugin.consumer {
                Some(consumer) => drop(by_consumer.entry((scope, position)).or_default().insert(consumer.id, config)),
                None => steps.instances(scope, position).for_all = Some(config),
            }
        }
        for ((scope, position), map) in by_consumer {
            steps.instances(scope, position).by_consumer = Some(Arc::new(map));
        }
        steps
    }

    /// The steps of a route of this service.
    pub(super) fn of_route(&self, route: Uuid, service: Option<Uuid>) -> Vec<Step> {
        let at = |route, service| self.by_scope.get(&Scope { route, service });
        let both = service.and_then(|_| at(Some(route), service));
        let of_route = at(Some(route), None);
        let of_service = service.and_then(|_| at(None, service));
        let global = at(None, None);
        let scopes = [both, of_route, of_service, global];

        let mut positions: Vec<Position> = scopes.iter().flatten().flat_map(|scope| scope.keys().copied()).collect();
        positions.sort_unstable();
        positions.dedup();
        let step = |position| {
            let [both, of_route, of_service, global] = scopes.map(|scope| scope.and_then(|s| s.get(&position)));
            let for_all = |instances: Option<&Instances>| instances?.for_all.clone().map(Candidate::Any);
            let of_consumer = |instances: Option<&Instances>| instances?.by_consumer.clone().map(Candidate::ByConsumer);
            let precedence = [
                of_consumer(both),
                of_consumer(of_route),
                of_consumer(of_service),
                for_all(both),
                of_consumer(global),
                for_all(of_route),
                for_all(of_service),
                for_all(global),
            ];
            Step { plugin: self.names[position].clone(), candidates: precedence.into_iter().flatten().collect() }
        };
        positions.into_iter().map(step).collect()
    }

    fn instances(&mut self, scope: Scope, position: Position) -> &mut Instances {
        self.by_scope.entry(scope).or_default().entry(position).or_default()
    }
}

/// Nothing if the instance can never count: a request comes by HTTP or HTTPS.
fn condition(plugin: &Plugin) -> Option<Condition> {
    match Protocols::from_names(&plugin.protocols) {
        Protocols::ALL => Some(Condition::Always),
        Protocols { http: false, https: false } => None,
        some => Some(Condition::Protocols(some)),
    }
}

fn instance(plugin: &Plugin, when: Condition, name: Arc<str>) -> PluginConfig {
    PluginConfig { id: plugin.id, plugin: name, when, config: plugin.config.clone(), origin: plugin.origin.clone() }
}
