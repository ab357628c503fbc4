//! From a nested document to flat lists of entities, each with its path and the parents it is nested in.

use crate::check::{UNKNOWN_FIELD, hint_for_unknown};
use crate::entities::{Table, ca_certificate, certificate, consumer, plugin, route, service, sni, target, upstream};
use crate::problem::{Path, Problems};
use crate::yaml::{Content, Member, Node};
use std::collections::HashMap;

/// Kinds that this build has, in the order in which they refer to each other: only to earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    CaCertificates,
    Certificates,
    Snis,
    Upstreams,
    Targets,
    Services,
    Routes,
    Consumers,
    Plugins,
}

/// One entity as it is written.
#[derive(Debug)]
pub(super) struct Written<'n> {
    pub(super) path: Path,
    pub(super) node: &'n Node,
    /// The entity around it, as an index into the list of its kind.
    pub(super) parent: Option<(Kind, usize)>,
}

/// All entities of a document, each list in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Document<'n>(HashMap<Kind, Vec<Written<'n>>>);

/// Lists of the format that this build has no use for yet. An empty one asks for nothing.
const NOT_BUILT: &[&str] = &[
    "acls",
    "basicauth_credentials",
    "consumer_groups",
    "filter_chains",
    "hmacauth_secrets",
    "jwt_secrets",
    "key_sets",
    "keyauth_credentials",
    "keys",
    "oauth2_credentials",
    "oauth2_tokens",
    "vaults",
];

/// Lists of credentials and the like that consumers may carry.
const OF_CONSUMERS_NOT_BUILT: &[&str] = &[
    "acls",
    "basicauth_credentials",
    "groups",
    "hmacauth_secrets",
    "jwt_secrets",
    "keyauth_credentials",
    "oauth2_credentials",
];

/// Keys that stand beside the fields of every entity and mean nothing to us.
fn is_remark(key: &str) -> bool {
    key == "_comment" || key == "_ignore"
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::CaCertificates,
        Kind::Certificates,
        Kind::Snis,
        Kind::Upstreams,
        Kind::Targets,
        Kind::Services,
        Kind::Routes,
        Kind::Consumers,
        Kind::Plugins,
    ];

    pub(super) fn name(self) -> &'static str {
        self.table().name
    }

    pub(super) fn of_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(super) fn table(self) -> &'static Table {
        match self {
            Kind::CaCertificates => &ca_certificate::TABLE,
            Kind::Certificates => &certificate::TABLE,
            Kind::Snis => &sni::TABLE,
            Kind::Upstreams => &upstream::TABLE,
            Kind::Targets => &target::TABLE,
            Kind::Services => &service::TABLE,
            Kind::Routes => &route::TABLE,
            Kind::Consumers => &consumer::TABLE,
            Kind::Plugins => &plugin::TABLE,
        }
    }

    fn may_hold(self, child: Kind) -> bool {
        match self {
            Kind::Certificates => child == Kind::Snis,
            Kind::Upstreams => child == Kind::Targets,
            Kind::Services => matches!(child, Kind::Routes | Kind::Plugins),
            Kind::Routes | Kind::Consumers => child == Kind::Plugins,
            Kind::CaCertificates | Kind::Snis | Kind::Targets | Kind::Plugins => false,
        }
    }
}

impl<'n> Document<'n> {
    /// Walks the whole document, in the order of its text.
    pub(super) fn walk(root: &'n Node, problems: &mut Problems) -> Self {
        let mut document = Self::default();
        for member in root.members() {
            let path = Path::root().key(member.key.as_str());
            match Kind::of_name(&member.key) {
                Some(kind) => document.list(kind, &member.node, &path, None, problems),
                None => top_level(member, path, problems),
            }
        }
        document
    }

    fn list(
        &mut self,
        kind: Kind,
        node: &'n Node,
        path: &Path,
        parent: Option<(Kind, usize)>,
        problems: &mut Problems,
    ) {
        let elements = match &node.value {
            Content::Null => return,
            Content::List(elements) => elements,
            _ => return problems.error_hint(path.clone(), "expected an array", "begin each element with a dash"),
        };
        for (i, element) in elements.iter().enumerate() {
            self.entity(kind, element, path.index(i), parent, problems);
        }
    }

    fn entity(
        &mut self,
        kind: Kind,
        node: &'n Node,
        path: Path,
        parent: Option<(Kind, usize)>,
        problems: &mut Problems,
    ) {
        if !matches!(node.value, Content::Map(_)) {
            return problems.error_hint(path, "expected a record", "write a map of its fields");
        }
        let list = self.0.entry(kind).or_default();
        let index = list.len();
        list.push(Written { path: path.clone(), node, parent });
        for member in node.members() {
            if kind == Kind::Consumers && OF_CONSUMERS_NOT_BUILT.contains(&member.key.as_str()) {
                not_built(member, path.key(member.key.as_str()), problems);
            } else if let Some(child) = nested(kind, &member.key) {
                self.list(child, &member.node, &path.key(member.key.as_str()), Some((kind, index)), problems);
            }
        }
    }

    pub(super) fn of(&self, kind: Kind) -> &[Written<'n>] {
        self.0.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Whether a member of an entity is no field of it, but a list of other entities (or a remark).
pub(super) fn is_no_field(kind: Kind, key: &str) -> bool {
    is_remark(key) || nested(kind, key).is_some() || (kind == Kind::Consumers && OF_CONSUMERS_NOT_BUILT.contains(&key))
}

fn nested(kind: Kind, key: &str) -> Option<Kind> {
    Kind::of_name(key).filter(|child| kind.may_hold(*child))
}

/// A top-level member that is no list of ours.
fn top_level(member: &Member, path: Path, problems: &mut Problems) {
    match member.key.as_str() {
        // Checked by themselves, or remarks.
        "_format_version" | "_transform" | "_comment" | "_ignore" => {}
        key if NOT_BUILT.contains(&key) => not_built(member, path, problems),
        key if key.starts_with('_') => {
            problems.error_hint(path, UNKNOWN_FIELD, "decK writes it for itself; leave it out");
        }
        key => {
            let known = Kind::ALL.into_iter().map(Kind::name).chain(["_format_version", "_transform", "_comment"]);
            problems.error_hint(path, UNKNOWN_FIELD, hint_for_unknown(key, known));
        }
    }
}

fn not_built(member: &Member, path: Path, problems: &mut Problems) {
    let asks_for_nothing = match &member.node.value {
        Content::Null => true,
        Content::List(list) => list.is_empty(),
        _ => false,
    };
    if !asks_for_nothing {
        problems.error_hint(path, format!("'{}' are not built yet", member.key), "leave them out");
    }
}
