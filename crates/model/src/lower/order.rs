//! Kong's precedence between routes, as an order that can be sorted by.

use crate::entities::Route;
use crate::plan::PathMatch;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Where an endpoint stands among all: smaller is tried earlier. The fields are compared from the top down.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// How many kinds of attributes are set.
    attributes: Reverse<usize>,
    /// Whether there are hosts, and none with a wildcard.
    plain_hosts: Reverse<bool>,
    header_names: Reverse<usize>,
    regex_path: Reverse<bool>,
    /// Of regular expressions alone.
    regex_priority: Reverse<i64>,
    prefix_length: Reverse<usize>,
    /// An entity of a file has no time of its own: it came with the file, after all that has one.
    created_at: i64,
    ordinal: usize,
    id: Uuid,
}

impl Rank {
    /// The rank of the endpoint that `route` has for `paths`, one of its [`split_paths`].
    pub(super) fn of(route: &Route, paths: &[PathMatch]) -> Self {
        let hosts = route.hosts.as_deref().unwrap_or_default();
        let header_names = route.headers.as_ref().map_or(0, BTreeMap::len);
        let methods = route.methods.as_deref().unwrap_or_default();
        let has_snis = route.snis.as_ref().is_some_and(|snis| !snis.is_empty());
        let set = [!hosts.is_empty(), header_names > 0, !methods.is_empty(), !paths.is_empty(), has_snis];
        let (regex_path, prefix_length) = match paths.first() {
            Some(PathMatch::Regex(_)) => (true, 0),
            Some(PathMatch::Prefix(prefix)) => (false, prefix.len()),
            None => (false, 0),
        };
        Self {
            attributes: Reverse(set.into_iter().filter(|is_set| *is_set).count()),
            plain_hosts: Reverse(!hosts.is_empty() && hosts.iter().all(|host| !host.contains('*'))),
            header_names: Reverse(header_names.min(255)),
            regex_path: Reverse(regex_path),
            regex_priority: Reverse(if regex_path { route.regex_priority } else { 0 }),
            prefix_length: Reverse(prefix_length),
            created_at: route.created_at.unwrap_or(i64::MAX),
            ordinal: route.ordinal,
            id: route.id,
        }
    }
}

/// The paths of a route, in the groups that count as routes of their own: one per length of prefix, and one for
/// its regular expressions. A route without paths is one group without any.
pub(super) fn split_paths(route: &Route) -> Vec<Vec<PathMatch>> {
    let mut prefixes: BTreeMap<usize, Vec<PathMatch>> = BTreeMap::new();
    let mut regexes = Vec::new();
    for path in route.paths.iter().flatten() {
        match path.strip_prefix('~') {
            Some(pattern) => regexes.push(PathMatch::Regex(pattern.to_owned())),
            None => prefixes.entry(path.len()).or_default().push(PathMatch::Prefix(path.clone())),
        }
    }
    let mut groups: Vec<_> = prefixes.into_values().collect();
    if !regexes.is_empty() || groups.is_empty() {
        groups.push(regexes);
    }
    groups
}
