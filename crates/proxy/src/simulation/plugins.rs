//! The one plugin of a simulation: `hesitate` lets a request pass, some time after it has come.

use portcullis_model::catalog::{Catalog, PluginFacts};
use portcullis_model::plan::PluginConfig;
use portcullis_model::problem::{Path, Problems};
use portcullis_model::schema::Field;
use portcullis_plugins::registry::Build;
use portcullis_plugins::{Context, Flow, Plugin, Seen, Value};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Plugins;

const HESITATE: PluginFacts = PluginFacts {
    name: "hesitate",
    priority: 1,
    config: &[Field::integer("millis").required()],
    consumer_scope: false,
};

impl Catalog for Plugins {
    fn find(&self, name: &str) -> Option<&PluginFacts> {
        self.all().iter().find(|facts| facts.name == name)
    }

    fn all(&self) -> &[PluginFacts] {
        &[HESITATE]
    }

    fn check(&self, _: &PluginFacts, _: &serde_json::Value) -> Problems {
        Problems::new()
    }
}

impl Build for Plugins {
    /// Longer than an hour cannot be built, though the format has it: a load that fails late.
    fn build(&self, config: &PluginConfig) -> Result<Arc<dyn Plugin>, Problems> {
        let length = Duration::from_millis(config.config["millis"].as_u64().unwrap());
        if length > Duration::from_secs(3600) {
            let mut problems = Problems::new();
            problems.error(Path::root().key("millis"), "too long");
            return Err(problems);
        }
        Ok(Arc::new(Hesitate(length)))
    }
}

#[derive(Debug)]
struct Hesitate(Duration);

impl Plugin for Hesitate {
    fn step(&self, _: &Seen<'_>, _: &mut Context) -> Flow {
        let length = self.0;
        Flow::Wait(Box::pin(async move {
            tokio::time::sleep(length).await;
            Box::new(()) as Value
        }))
    }

    fn resume(&self, _: &Seen<'_>, _: Value, _: &mut Context) -> Flow {
        Flow::Continue
    }
}
