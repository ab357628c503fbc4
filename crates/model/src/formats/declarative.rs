//! Kong's declarative format, version 3.0: YAML or JSON text into entities.
//!
//! Entities stand in lists at the top or nested in each other, and refer to each other by id or by name. Everything that is wrong is reported at once, each with its line and column; a file with
//! a single error gives no entities at all.

mod ids;
mod index;
mod report;
mod walk;

use crate::catalog::Catalog;
use crate::check::{MUST_BE_NULL, REQUIRED, complete, hint_for_unknown};
use crate::entities::{Entities, Plugin, Route, Service, ca_certificate, service, target, upstream};
use crate::plan::Protocols;
use crate::problem::{Path, Place, Problems};
use crate::schema;
use crate::yaml::{self, Content, Node};
use index::Indexes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;
use walk::{Document, Kind, Written};

/// What came of reading a file.
#[derive(Debug)]
pub struct Loaded {
    /// Nothing if `problems` has errors.
    pub entities: Option<Entities>,
    /// In the order of the text, each with its place.
    pub problems: Problems,
    document: Node,
}

impl Loaded {
    /// Adds places to problems that were found later, when plugins were built, and puts them into the text's order.
    /// Their paths begin at the document's root:
    /// `problems.extend_below(&Path::parse(&config.origin).key("config"), found)`.
    pub fn locate(&self, problems: Problems) -> Problems {
        report::finish(problems, &self.document)
    }
}

/// Reads a whole file.
pub fn read(text: &str, catalog: &dyn Catalog) -> Loaded {
    let document = match yaml::parse(text) {
        Ok(document) => document,
        Err(problem) => {
            let document = Node { place: Place { line: 1, column: 1 }, value: Content::Null };
            return Loaded { entities: None, problems: Problems(vec![problem]), document };
        }
    };
    let mut reader = Reader { catalog, problems: Problems::new(), indexes: Indexes::default() };
    let entities = reader.document(&document);
    let problems = report::finish(reader.problems, &document);
    Loaded { entities: Some(entities).filter(|_| !problems.has_errors()), problems, document }
}

struct Reader<'c> {
    catalog: &'c dyn Catalog,
    problems: Problems,
    indexes: Indexes,
}

impl Reader<'_> {
    fn document(&mut self, root: &Node) -> Entities {
        match root.value {
            Content::Map(_) => {}
            Content::Null => {
                self.problems.error_hint(
                    Path::root(),
                    "expected a declarative configuration",
                    "begin with: _format_version: \"3.0\"",
                );
                return Entities::default();
            }
            _ => {
                self.problems.error_hint(Path::root(), "expected a record", "begin with: _format_version: \"3.0\"");
                return Entities::default();
            }
        }
        header(root, &mut self.problems);
        let document = Document::walk(root, &mut self.problems);
        // In this order, since references go only to what comes before.
        let ca_certificates = self.list(&document, Kind::CaCertificates);
        let certificates = self.list(&document, Kind::Certificates);
        let snis = self.list(&document, Kind::Snis);
        let upstreams = self.list(&document, Kind::Upstreams);
        let targets = self.list(&document, Kind::Targets);
        let services = document.of(Kind::Services).iter().filter_map(|written| self.service(written)).collect();
        let mut routes: Vec<Route> = self.list(&document, Kind::Routes);
        // Those that are wrong leave no gap that anybody could see: the file is refused as a whole.
        routes.iter_mut().enumerate().for_each(|(i, route)| route.ordinal = i);
        let consumers = self.list(&document, Kind::Consumers);
        let plugins = self.plugins(document.of(Kind::Plugins), &routes);
        Entities { ca_certificates, certificates, snis, upstreams, targets, services, routes, consumers, plugins }
    }

    fn list<T: DeserializeOwned>(&mut self, document: &Document<'_>, kind: Kind) -> Vec<T> {
        document.of(kind).iter().filter_map(|written| self.entity(kind, written)).collect()
    }

    fn entity<T: DeserializeOwned>(&mut self, kind: Kind, written: &Written<'_>) -> Option<T> {
        let mut fields = fields_of(kind, written);
        let since = self.problems.0.len();
        match kind {
            Kind::CaCertificates => {
                if let Err(message) = ca_certificate::add_digest(&mut fields) {
                    self.problems.error_hint(written.path.key("cert_digest"), message, "leave it out");
                }
            }
            Kind::Upstreams => upstream::settle_algorithm(&mut fields),
            Kind::Targets => target::append_port(&mut fields),
            _ => {}
        }
        self.identify(kind, &mut fields, written);
        let mut completed = self.complete(kind, fields, written, since)?;
        if matches!(kind, Kind::CaCertificates | Kind::Certificates) {
            completed.insert("origin".to_owned(), written.path.to_string().into());
        }
        self.typed(completed, written)
    }

    fn service(&mut self, written: &Written<'_>) -> Option<Service> {
        let mut fields = fields_of(Kind::Services, written);
        let since = self.problems.0.len();
        let had_url = service::expand_url(&mut fields, &written.path, &mut self.problems);
        self.identify(Kind::Services, &mut fields, written);
        let completed = self.complete(Kind::Services, fields, written, since);
        if had_url {
            service::blame_url(&written.path, &mut self.problems, since);
        }
        let completed = completed?;
        let ids = completed.get("ca_certificates").unwrap_or(&Value::Null);
        self.indexes.resolve_ids(Kind::CaCertificates, "ca_certificates", ids, &written.path, &mut self.problems);
        self.typed(completed, written)
    }

    fn plugins(&mut self, all: &[Written<'_>], routes: &[Route]) -> Vec<Plugin> {
        let protocols = routes.iter().map(|route| (route.id, Protocols::from_names(&route.protocols))).collect();
        let mut bound = HashSet::new();
        all.iter().filter_map(|written| self.plugin(written, &protocols, &mut bound)).collect()
    }

    fn plugin(
        &mut self,
        written: &Written<'_>,
        protocols_of_routes: &HashMap<Uuid, Protocols>,
        bound: &mut HashSet<(String, [Option<Uuid>; 3])>,
    ) -> Option<Plugin> {
        let mut fields = fields_of(Kind::Plugins, written);
        let since = self.problems.0.len();
        let config = fields.shift_remove("config").unwrap_or_default();
        let references = self.identify(Kind::Plugins, &mut fields, written);
        let config = self.config(&fields, &config, &references, &written.path);
        let mut completed = self.complete(Kind::Plugins, fields, written, since)?;
        completed.insert("config".to_owned(), config);
        completed.insert("origin".to_owned(), written.path.to_string().into());
        let plugin: Plugin = self.typed(completed, written)?;

        let key = (plugin.name.clone(), [plugin.route, plugin.service, plugin.consumer].map(|r| r.map(|r| r.id)));
        if !bound.insert(key) {
            let message =
                format!("uniqueness violation: 'plugins' entity with name set to '{}' already declared", plugin.name);
            let hint = "one instance per route, service and consumer; two would each claim to be the one that runs";
            self.problems.error_hint(written.path.key("name"), message, hint);
        }
        if let Some(of_route) = plugin.route.and_then(|route| protocols_of_routes.get(&route.id)) {
            let own = Protocols::from_names(&plugin.protocols);
            if !(own.http && of_route.http || own.https && of_route.https) {
                let path = written.path.key("protocols");
                let hint = "let the two have a protocol in common";
                self.problems.error_hint(path, "must match the associated route's protocols", hint);
            }
        }
        Some(plugin)
    }

    /// The plugin's own fields, checked by its table and then by itself.
    fn config(
        &mut self,
        fields: &Map<String, Value>,
        config: &Value,
        references: &HashMap<&str, Uuid>,
        path: &Path,
    ) -> Value {
        // A name that is absent or no text is reported by the table of plugins.
        let Some(name) = fields.get("name").and_then(Value::as_str) else { return Value::Null };
        let Some(facts) = self.catalog.find(name) else {
            let known = self.catalog.all().iter().map(|facts| facts.name);
            let message = format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property");
            self.problems.error_hint(path.key("name"), message, hint_for_unknown(name, known));
            return Value::Null;
        };
        if !facts.consumer_scope && references.contains_key("consumer") {
            let hint = format!("{name} cannot be bound to a consumer: it is what finds the consumer");
            self.problems.error_hint(path.key("consumer"), MUST_BE_NULL, hint);
        }
        let path = path.key("config");
        let mut found = Problems::new();
        let completed = Value::Object(complete(facts.config, config, &path, &mut found));
        if !found.has_errors() {
            found.extend_below(&path, self.catalog.check(facts, &completed));
        }
        self.problems.extend(found);
        completed
    }

    /// Resolves the references of an entity, gives it an id, and indexes it under its id and its key. An entity
    /// that is wrong elsewhere is indexed too, or each reference to it would be one more error.
    fn identify(
        &mut self,
        kind: Kind,
        fields: &mut Map<String, Value>,
        written: &Written<'_>,
    ) -> HashMap<&'static str, Uuid> {
        let mut references = HashMap::new();
        for field in kind.table().fields {
            let schema::Kind::Foreign(entities) = field.kind else { continue };
            let Some(to) = Kind::of_name(entities) else { continue };
            let given = fields.shift_remove(field.name).unwrap_or_default();
            match self.indexes.resolve(to, field.name, &given, written, &mut self.problems) {
                Some(id) => {
                    fields.insert(field.name.to_owned(), serde_json::json!({ "id": id }));
                    references.insert(field.name, id);
                }
                // What leads nowhere has been reported, and is not missing besides.
                None if !given.is_null() => drop(fields.insert(field.name.to_owned(), serde_json::json!({}))),
                None => {}
            }
        }
        let id = self.indexes.add(kind, fields, &references, written, &mut self.problems);
        if fields.get("id").is_none_or(Value::is_null) {
            fields.insert("id".to_owned(), id.to_string().into());
        }
        references
    }

    fn complete(
        &mut self,
        kind: Kind,
        fields: Map<String, Value>,
        written: &Written<'_>,
        since: usize,
    ) -> Option<Map<String, Value>> {
        let table = kind.table();
        let completed = complete(table.fields, &Value::Object(fields), &written.path, &mut self.problems);
        if self.errors_since(since) {
            return None;
        }
        (table.check)(&completed, &written.path, &mut self.problems);
        (!self.errors_since(since)).then_some(completed)
    }

    fn typed<T: DeserializeOwned>(&mut self, completed: Map<String, Value>, written: &Written<'_>) -> Option<T> {
        // What passed the table fits the type; if the two ever disagree, the file is refused and not half read.
        serde_json::from_value(Value::Object(completed))
            .map_err(|error| self.problems.error(written.path.clone(), error.to_string()))
            .ok()
    }

    fn errors_since(&self, since: usize) -> bool {
        self.problems.0[since..].iter().any(|problem| problem.severity == crate::problem::Severity::Error)
    }
}

/// The members of an entity that are its fields.
fn fields_of(kind: Kind, written: &Written<'_>) -> Map<String, Value> {
    let fields = written.node.members().iter().filter(|member| !walk::is_no_field(kind, &member.key));
    fields.map(|member| (member.key.clone(), member.node.to_json())).collect()
}

/// The keys that say what the file is.
fn header(root: &Node, problems: &mut Problems) {
    let path = Path::root().key("_format_version");
    match root.get("_format_version").map(|node| &node.value) {
        None | Some(Content::Null) => problems.error_hint(path, REQUIRED, "write: _format_version: \"3.0\""),
        Some(Content::String(version)) => match version.as_str() {
            "3.0" => {}
            "1.1" | "2.1" => {
                problems.error_hint(path, format!("version {version} is not read yet"), "use \"3.0\"");
            }
            _ => problems.error_hint(path, "expected one of: 1.1, 2.1, 3.0", "use \"3.0\""),
        },
        Some(_) => problems.error_hint(path, "expected a string", "write it in quotes: \"3.0\""),
    }
    let transform = root.get("_transform").map(|node| &node.value);
    if !matches!(transform, None | Some(Content::Null | Content::Bool(_))) {
        problems.error_hint(Path::root().key("_transform"), "expected a boolean", "write true or false");
    }
}
