//! The plugins there are, in execution order.

use crate::{Env, Plugin};
use portcullis_model::catalog::{Catalog, PluginFacts};
use portcullis_model::plan::PluginConfig;
use portcullis_model::problem::Problems;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Makes plugins from configurations. [`Registry`] is the real one; tests of the data plane make their own.
pub trait Build: Send + Sync + fmt::Debug {
    /// Builds one instance. Problems have paths relative to `config`.
    fn build(&self, config: &PluginConfig) -> Result<Arc<dyn Plugin>, Problems>;
}

/// Every plugin of this build, and what they share.
#[derive(Debug)]
pub struct Registry {
    env: Arc<Env>,
    facts: Vec<PluginFacts>,
}

impl Registry {
    pub fn new(env: Arc<Env>) -> Self {
        Self { env, facts: Vec::new() }
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

    fn check(&self, _plugin: &PluginFacts, _config: &Value) -> Problems {
        Problems::new()
    }
}

impl Build for Registry {
    fn build(&self, config: &PluginConfig) -> Result<Arc<dyn Plugin>, Problems> {
        let mut problems = Problems::new();
        problems.error(Default::default(), format!("plugin '{}' not enabled", config.plugin));
        Err(problems)
    }
}
