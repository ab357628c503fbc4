//! Who is there: entities by id and by key, for references and for uniqueness.

use super::ids;
use super::walk::{Kind, Written};
use crate::check::MUST_BE_NULL;
use crate::problem::{Path, Problems};
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
    /// Targets, each unique in its upstream.
    targets: HashSet<(Uuid, String)>,
    /// How many entities without a key there have been of each description.
    nameless: HashMap<String, usize>,
}

impl Indexes {
    /// The entity of kind `to` that `given` (an id, a key, or a record with either) or the nesting refers to, in the
    /// member `field`.
    pub(super) fn resolve(
        &self,
        to: Kind,
        field: &str,
        given: &Value,
        written: &Written<'_>,
        problems: &mut Problems,
    ) -> Option<Uuid> {
        let parent = self.parent(to, written);
        if given.is_null() {
            return parent;
        }
        let key = to.table().key;
        let text = match given {
            Value::String(text) => Some(text.as_str()),
            Value::Object(map) if map.len() == 1 => ["id", key].iter().find_map(|k| map.get(*k)?.as_str()),
            _ => None,
        };
        let path = || written.path.key(field);
        let Some(text) = text else {
            let called = if key == "id" { "the id".to_owned() } else { format!("the id or the {key}") };
            let message = format!("expected {called} of one of the '{}'", to.name());
            problems.error_hint(path(), message, format!("write for example {field}: my-{field}"));
            return None;
        };
        let found = self.find(to, text);
        match (found, parent) {
            (None, _) => no_such(field, to, text, &path(), problems),
            (Some(id), Some(parent)) if id != parent => {
                let hint = format!("it is nested in another {field} already");
                problems.error_hint(path(), MUST_BE_NULL, hint);
            }
            _ => {}
        }
        found
    }

    /// Refuses ids in the list `field` that no entity of kind `to` has.
    pub(super) fn resolve_ids(&self, to: Kind, field: &str, ids: &Value, path: &Path, problems: &mut Problems) {
        for (i, id) in ids.as_array().into_iter().flatten().filter_map(Value::as_str).enumerate() {
            if self.find(to, id).is_none() {
                no_such(field, to, id, &path.key(field).index(i), problems);
            }
        }
    }

    fn find(&self, kind: Kind, text: &str) -> Option<Uuid> {
        self.0.get(&kind)?.find(text)
    }

    /// Indexes an entity whose references have been resolved, and gives it its id.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        fields: &Map<String, Value>,
        references: &HashMap<&str, Uuid>,
        written: &Written<'_>,
        problems: &mut Problems,
    ) -> Uuid {
        let table = kind.table();
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        let index = self.0.entry(kind).or_default();
        let key = text(table.key).filter(|key| table.key != "id" && !key.is_empty());
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
        if let (Kind::Targets, Some(target), Some(upstream)) = (kind, text("target"), references.get("upstream"))
            && !index.targets.insert((*upstream, target.to_owned()))
        {
            taken("target", "target", target);
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
            Kind::Services | Kind::Snis | Kind::Upstreams => (vec![], None),
            Kind::CaCertificates | Kind::Certificates => (vec![], text("cert")),
            Kind::Targets => (vec![to("upstream")], text("target")),
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

fn no_such(field: &str, to: Kind, text: &str, path: &Path, problems: &mut Problems) {
    let message = format!("invalid reference '{field}: {text}' (no such entry in '{}')", to.name());
    let hint = format!("name one of those the file declares, or declare '{text}'");
    problems.error_hint(path.clone(), message, hint);
}
