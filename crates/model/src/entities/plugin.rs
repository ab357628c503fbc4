//! Plugins: instances, and what they are bound to.

use super::names::{CREATED_AT, ID, NAME_RULES, TAGS, UPDATED_AT};
use super::{Reference, Table, nothing_more};
use crate::check::MUST_BE_NULL;
use crate::schema::{Default, Element, Field, Rule};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use uuid::Uuid;

pub const TABLE: Table = Table { name: "plugins", key: "instance_name", fields: FIELDS, check: nothing_more };

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name").required().rules(&[Rule::MinLength(1)]).says("Which plugin."),
    Field::string("instance_name").rules(NAME_RULES).says("Unique name of this instance."),
    Field::foreign("route", "routes").says("Runs for requests of this route only."),
    Field::foreign("service", "services").says("Runs for requests of this service's routes only."),
    Field::foreign("consumer", "consumers").says("Runs for requests of this consumer only."),
    Field::foreign("consumer_group", "consumer_groups")
        .not_built(MUST_BE_NULL)
        .says("Groups of consumers are not built."),
    // Checked and completed by the plugin's own table.
    Field::record("config", &[]).says("The plugin's own fields."),
    Field::set("protocols", Element::STRING.rules(&[Rule::OneOf(&["grpc", "grpcs", "http", "https"])]))
        .required()
        .rules(&[Rule::MinLength(1)])
        .default(Default::Strs(&["grpc", "grpcs", "http", "https"]))
        .says("A request that came by another protocol is not seen by this instance."),
    Field::boolean("enabled").default(Default::Bool(true)).says("A disabled instance is as good as none."),
    TAGS,
    Field::record("ordering", &[])
        .not_built("an order of plugins other than by priority is not built")
        .says("Order of execution among plugins."),
];

/// An instance that has passed its table, its configuration completed from the plugin's.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    pub id: Uuid,
    pub name: String,
    pub instance_name: Option<String>,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub route: Option<Reference>,
    pub service: Option<Reference>,
    pub consumer: Option<Reference>,
    pub config: Value,
    pub protocols: Vec<String>,
    pub enabled: bool,
    pub tags: Option<Vec<String>>,
    /// Where it was written: `services[0].plugins[1]`.
    #[serde(default)]
    pub origin: String,
}

impl fmt::Debug for Plugin {
    /// Without the configuration, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Plugin");
        shown.field("id", &self.id).field("name", &self.name).field("origin", &self.origin);
        shown.finish_non_exhaustive()
    }
}
