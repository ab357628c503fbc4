//! Plans and entities as text that may be shown: indented JSON, the same text for the same value, and no secret that
//! was written down in it.

use crate::catalog::Catalog;
use crate::entities::Entities;
use crate::plan::{Candidate, Endpoint, Plan, PluginConfig, Route, Step};
use crate::secret;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// A plan, as the data plane runs it.
pub fn print_plan(plan: &Plan, catalog: &dyn Catalog) -> String {
    let mut masked = Masked { catalog, routes: HashMap::new() };
    let endpoints = plan.endpoints.iter().map(|endpoint| masked.endpoint(endpoint)).collect();
    pretty(&Plan { endpoints, consumers: plan.consumers.clone(), certificates: plan.certificates.clone() })
}

/// Entities, as their users wrote them, completed with what they left out.
pub fn print_entities(entities: &Entities, catalog: &dyn Catalog) -> String {
    let mut entities = entities.clone();
    for plugin in &mut entities.plugins {
        plugin.config = mask(&plugin.name, &plugin.config, catalog);
    }
    for certificate in &mut entities.certificates {
        for key in [Some(&mut certificate.key), certificate.key_alt.as_mut()].into_iter().flatten() {
            if !secret::is_reference(key) {
                *key = secret::MASK.to_owned();
            }
        }
    }
    pretty(&entities)
}

fn pretty(value: &impl Serialize) -> String {
    // A value of our own types has text keys and finite numbers, which is all that could fail.
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}

/// Copies of what is printed, with masks in the place of secrets.
struct Masked<'c> {
    catalog: &'c dyn Catalog,
    /// By id: a route has several endpoints.
    routes: HashMap<uuid::Uuid, Arc<Route>>,
}

impl Masked<'_> {
    fn endpoint(&mut self, endpoint: &Endpoint) -> Endpoint {
        let route = match self.routes.get(&endpoint.route.id) {
            Some(route) => route.clone(),
            None => {
                let route = Arc::new(self.route(&endpoint.route));
                self.routes.insert(route.id, route.clone());
                route
            }
        };
        Endpoint { matcher: endpoint.matcher.clone(), route }
    }

    fn route(&self, route: &Route) -> Route {
        let step = |step: &Step| Step {
            plugin: step.plugin.clone(),
            candidates: step.candidates.iter().map(|candidate| self.candidate(candidate)).collect(),
        };
        Route { steps: route.steps.iter().map(step).collect(), ..route.clone() }
    }

    fn candidate(&self, candidate: &Candidate) -> Candidate {
        match candidate {
            Candidate::Any(config) => Candidate::Any(self.config(config)),
            Candidate::ByConsumer(map) => {
                let masked = map.iter().map(|(consumer, config)| (*consumer, self.config(config)));
                Candidate::ByConsumer(Arc::new(masked.collect()))
            }
        }
    }

    fn config(&self, config: &PluginConfig) -> Arc<PluginConfig> {
        let masked = mask(&config.plugin, &config.config, self.catalog);
        Arc::new(PluginConfig { config: masked, ..config.clone() })
    }
}

fn mask(plugin: &str, config: &Value, catalog: &dyn Catalog) -> Value {
    match catalog.find(plugin) {
        Some(facts) => secret::mask(facts.config, config),
        // Nobody knows which of its fields are secret.
        None => Value::from(secret::MASK),
    }
}
