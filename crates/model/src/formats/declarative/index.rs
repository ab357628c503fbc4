//! Who is there: entities by id and by key, for references and for uniqueness.

use super::ids;
use super::walk::{Kind, Written};
use crate::check::MUST_BE_NULL;
use crate::entities::Table;
use crate::problem::Problems;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// One index per kind.
#[derive(Debug, Default)]
pub(super) struct Indexes(HashMap<Kind, Index>);

#[derive(Debug, Default)]
struct Index {
    /// In the order of the text, so that children find the parent they are nested in.
    in_order: Vec<Uuid>,
    ids: HashSet<Uuid>,
    by_key: HashMap<String, Uuid>,
    /// Values of the other unique field, where there is one.
    custom_ids: HashSet<String>,
    /// How many entities without a key there have been of each description.
    nameless: HashMap<String, usize>,
}

impl Indexes {
    /// The entity of kind `to` that `given` (an id, a key, or a record with either) or the nesting refers to.
    pub(super) fn resolve(
        &self,
        to: Kind,
        given: &Value,
        written: &Written<'_>,
        problems: &mut Problems,
    ) -> Option<Uuid> {
        let field = to.singular();
        let parent = self.parent(to, written);
        if given.is_null() {
            return parent;
        }
        let text = match given {
            Value::String(text) => Some(text.as_str()),
            Value::Object(map) if map.len() == 1 => ["id", key_field(to)].iter().find_map(|k| map.get(*k)?.as_str()),
            _ => None,
        };
        let Some(text) = text else {
            let message = format!("expected the id or the {} of one of the '{}'", key_field(to), to.name());
            problems.error_hint(written.path.key(field), message, format!("write for example {field}: my-{field}"));
            return None;
        };
        let found = self.0.get(&to).and_then(|index| index.find(text));
        match (found, parent) {
            (None, _) => {
                let message = format!("invalid reference '{field}: {text}' (no such entry in '{}')", to.name());
                let hint = format!("name one of those the file declares, or declare '{text}'");
                problems.error_hint(written.path.key(field), message, hint);
            }
            (Some(id), Some(parent)) if id != parent => {
                let hint = format!("it is nested in another {field} already");
                problems.error_hint(written.path.key(field), MUST_BE_NULL, hint);
            }
            _ => {}
        }
        found
    }

    /// Indexes an entity whose references have been resolved, and gives it its id.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        table: &Table,
        fields: &Map<String, Value>,
        references: &HashMap<&str, Uuid>,
        written: &Written<'_>,
        problems: &mut Problems,
    ) -> Uuid {
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        let index = self.0.entry(kind).or_default();
        let key = text(table.key);
        let given = text("id").and_then(|id| Uuid::try_parse(id).ok());
        let id = given.unwrap_or_else(|| match key {
            Some(key) => ids::of_key(table.name, key),
            None => ids::of_key(table.name, &index.key_of_nameless(kind, &text, references)),
        });
        let mut taken = |field: &str, what: &str, value: &str| {
            let message =
                format!("uniqueness violation: '{}' entity with {what} set to '{value}' already declared", table.name);
            problems.error_hint(written.path.key(field), message, "give each its own");
        };
        let key_is_new = key.is_none_or(|key| index.by_key.insert(key.to_owned(), id).is_none());
        if let Some(key) = key.filter(|_| !key_is_new) {
            taken(table.key, table.key, key);
        }
        let custom_id = text("custom_id").filter(|_| kind == Kind::Consumers);
        if let Some(custom_id) = custom_id.filter(|custom_id| !index.custom_ids.insert((*custom_id).to_owned())) {
            taken("custom_id", "custom_id", custom_id);
        }
        // The same key gives the same id: one word about it is enough.
        if !index.ids.insert(id) && key_is_new {
            taken("id", "primary key", &id.to_string());
        }
        index.in_order.push(id);
        id
    }

    fn parent(&self, kind: Kind, written: &Written<'_>) -> Option<Uuid> {
        let (_, position) = written.parent.filter(|(of, _)| *of == kind)?;
        self.0.get(&kind)?.in_order.get(position).copied()
    }
}

impl Index {
    fn find(&self, text: &str) -> Option<Uuid> {
        let as_id = Uuid::try_parse(text).ok().filter(|id| self.ids.contains(id));
        as_id.or_else(|| self.by_key.get(text).copied())
    }

    fn key_of_nameless<'a>(
        &mut self,
        kind: Kind,
        text: &dyn Fn(&str) -> Option<&'a str>,
        references: &HashMap<&str, Uuid>,
    ) -> String {
        let to = |field| references.get(field).copied();
        let (references, unique): (Vec<_>, _) = match kind {
            Kind::Services => (vec![], None),
            Kind::Routes => (vec![to("service")], None),
            Kind::Consumers => (vec![], text("custom_id")),
            Kind::Plugins => (vec![to("route"), to("service"), to("consumer")], text("name")),
        };
        let first = ids::key_of_nameless(&references, unique, 0);
        let before = self.nameless.entry(first).or_default();
        let ordinal = *before;
        *before += 1;
        ids::key_of_nameless(&references, unique, ordinal)
    }
}

/// Field by which entities of this kind are called.
fn key_field(kind: Kind) -> &'static str {
    match kind {
        Kind::Services | Kind::Routes => "name",
        Kind::Consumers => "username",
        Kind::Plugins => "instance_name",
    }
}
