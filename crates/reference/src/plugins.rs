//! `docs/plugins/NAME.md`: what somebody wrote in `docs/plugins/NAME.prose.md`, then the schema, field by field.

use crate::fields::section;
use crate::markdown::GENERATED;
use crate::{Failure, Page, read};
use portcullis_model::catalog::{Catalog, PluginFacts};
use portcullis_plugins::registry::Registry;

pub(crate) fn pages(registry: &Registry) -> Result<Vec<Page>, Failure> {
    registry.all().iter().map(page).collect()
}

fn page(plugin: &PluginFacts) -> Result<Page, Failure> {
    let name = plugin.name;
    let prose = read(&prose_path(name))?;
    let scopes = if plugin.consumer_scope { "global, service, route, consumer" } else { "global, service, route" };
    let mut text = format!("{GENERATED}{}\n## Parameters\n\n", prose.trim_start());
    text += &format!("Scopes: {scopes}. Priority: {} (higher runs first).\n", plugin.priority);
    text += &section(plugin.config, "config");
    Ok(Page { path: format!("docs/plugins/{name}.md"), text })
}

/// Where the written part of a plugin's page stands.
fn prose_path(name: &str) -> String {
    format!("docs/plugins/{name}.prose.md")
}
