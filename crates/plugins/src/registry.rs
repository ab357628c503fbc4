//! The plugins there are, in execution order.

use crate::introspection::dialects::oauth2_introspection;
use crate::{Built, Env, request_termination};
use portcullis_model::catalog::{Catalog, PluginFacts};
use portcullis_model::plan::PluginConfig;
use portcullis_model::problem::{Path, Problems};
use portcullis_model::secret;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Makes plugins from configurations. [`Registry`] is the real one; tests of the data plane make their own.
pub trait Build: Send + Sync + fmt::Debug {
    /// Builds one instance.
    fn build(&self, config: &PluginConfig) -> Built;
}

/// One plugin of this build.
struct Entry {
    facts: PluginFacts,
    /// What the schema cannot say: fields that depend on each other, warnings.
    check: fn(&Value) -> Problems,
    build: fn(&Value, &Env) -> Built,
}

/// Highest priority first, which is the order in which they run.
const ENTRIES: [Entry; 2] = [
    Entry {
        facts: oauth2_introspection::FACTS,
        check: oauth2_introspection::check,
        build: oauth2_introspection::plugin,
    },
    Entry { facts: request_termination::FACTS, check: request_termination::check, build: request_termination::plugin },
];

/// Every plugin of this build, and what they share.
#[derive(Debug)]
pub struct Registry {
    env: Arc<Env>,
    facts: [PluginFacts; ENTRIES.len()],
}

impl Registry {
    pub fn new(env: Arc<Env>) -> Self {
        Self { env, facts: ENTRIES.map(|entry| entry.facts) }
    }

    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }
}

impl Catalog for Registry {
    fn find(&self, name: &str) -> Option<&PluginFacts> {
        self.facts.iter().find(|facts| facts.name == name)
    }

    fn all(&self) -> &[PluginFacts] {
        &self.facts
    }

    fn check(&self, plugin: &PluginFacts, config: &Value) -> Problems {
        entry(plugin.name).map(|entry| (entry.check)(config)).unwrap_or_default()
    }
}

impl Build for Registry {
    fn build(&self, config: &PluginConfig) -> Built {
        match entry(&config.plugin) {
            Some(entry) => {
                let resolved =
                    secret::resolve(entry.facts.config, &config.config, |variable| self.env.variable(variable))?;
                (entry.build)(&resolved, &self.env)
            }
            // The declarative reader refuses such a name; a plan made by hand may still hold one.
            None => {
                let mut problems = Problems::new();
                problems.error(Path::root(), format!("plugin '{}' does not exist in this build", config.plugin));
                Err(problems)
            }
        }
    }
}

fn entry(name: &str) -> Option<Entry> {
    ENTRIES.into_iter().find(|entry| entry.facts.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_in_execution_order() {
        let priorities: Vec<u32> = ENTRIES.iter().map(|entry| entry.facts.priority).collect();
        assert!(priorities.is_sorted_by(|a, b| a > b), "{priorities:?}");
    }
}
