//! Plugins that exist only here, with one field of each sort.

use portcullis_model::catalog::{Catalog, PluginFacts};
use portcullis_model::formats::declarative::{self, Loaded};
use portcullis_model::problem::{Path, Problems};
use portcullis_model::schema::{Default, Element, Field, Rule};
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Fakes;

const FACTS: [PluginFacts; 3] = [
    PluginFacts { name: "stamp", priority: 2000, config: &[], consumer_scope: true },
    PluginFacts { name: "guard", priority: 1700, config: GUARD, consumer_scope: false },
    PluginFacts {
        name: "limit",
        priority: 900,
        config: &[Field::integer("minute").required().rules(&[Rule::Between(1.0, 1_000_000.0)])],
        consumer_scope: true,
    },
];

const GUARD: &[Field] = &[
    Field::string("url").required(),
    Field::string("authorization").required().secret().rules(&[Rule::MinLength(3)]),
    Field::map("headers").secret().default(Default::EmptyMap),
    Field::number("ttl").default(Default::Int(60)).rules(&[Rule::Between(0.0, 86_400.0)]),
    Field::integer("timeout").default(Default::Int(10_000)),
    Field::string("by").default(Default::Str("username")).rules(&[Rule::OneOf(&["username", "client_id"])]),
    Field::set("claims", Element::STRING.rules(&[Rule::MinLength(1)])).default(Default::EmptyList),
    Field::boolean("preflight").default(Default::Bool(true)).not_built("preflight: false is not built yet"),
    Field::integer("keepalive").default(Default::Int(60_000)).ignored("keepalive has no effect"),
    Field::record("inner", &[Field::integer("depth").required().default(Default::Int(1)), Field::string("word")]),
];

impl Catalog for Fakes {
    fn find(&self, name: &str) -> Option<&PluginFacts> {
        FACTS.iter().find(|facts| facts.name == name)
    }

    fn all(&self) -> &[PluginFacts] {
        &FACTS
    }

    fn check(&self, _: &PluginFacts, config: &Value) -> Problems {
        let mut problems = Problems::new();
        if config["ttl"] == 0 {
            problems.warn(Path::root().key("ttl"), "answers are kept until the token expires");
        }
        if config["by"] == "client_id" && config["claims"] == Value::Array(vec![]) {
            problems.error(Path::root().key("claims"), "client_id needs claims");
        }
        problems
    }
}

pub(crate) fn read(text: &str) -> Loaded {
    declarative::read(text, &Fakes)
}

/// Every problem of `text`, a line each.
pub(crate) fn problems_of(text: &str) -> String {
    read(text).problems.iter().map(|problem| format!("{problem}\n")).collect()
}
