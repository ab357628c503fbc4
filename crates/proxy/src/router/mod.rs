//! Which endpoint takes a request.
//!
//! The plan's order is total and decides: [`Router::find`] gives the smallest index whose matcher agrees wholly, and
//! nothing else. What is here only makes that quick, for one endpoint as for 100,000:
//!
//! ```text
//! host ── exact ───┐
//!       ├ suffix ──┤   each host name leads to a trie over the bytes of the path; where a
//!       ├ prefix ──┼─> configured prefix ends hangs a bucket of the endpoints that have it,
//!       └ any ─────┘   in the order of the plan, to be asked for method, headers and SNI.
//! ```
//! A regular expression hangs in the same trie, at the literal text that all its matches begin with. It is tried only
//! when no endpoint before it in the plan has agreed; where many hang at one place, only when a text that its matches
//! contain is in the path.
//!
//! What it is not: it knows no precedence between routes (`portcullis_model` lowers that into the order), and looks at
//! no protocol. A look-up allocates nothing but for requests that meet dozens of regular expressions.

mod bucket;
mod hosts;
mod pattern;
mod texts;
mod trie;

use bucket::{Bucket, Place, Request};
use hosts::Hosts;
use http::{HeaderMap, HeaderName, Method};
use pattern::{Pattern, Patterns};
use portcullis_model::plan::{Endpoint, HeaderMatch, PathMatch, Route};
use portcullis_model::problem::{Path, Problems};
use smallvec::SmallVec;
use trie::Tries;

/// All endpoints of a plan, ready to be found.
#[derive(Debug)]
pub struct Router {
    hosts: Hosts,
    tries: Tries,
    /// What hangs in the tries; they know each by its index.
    buckets: Vec<Bucket>,
    patterns: Patterns,
    /// By the index of the endpoint; asked only where an entry says that there is more to ask.
    conditions: Vec<Conditions>,
}

/// What is looked at in a request.
#[derive(Debug, Clone, Copy)]
pub struct Criteria<'a> {
    /// Without port and without brackets, in any case.
    pub host: &'a str,
    /// What endpoints compare whose host names a port.
    pub port: u16,
    /// Normalised: see [`crate::target::normalise`].
    pub path: &'a str,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    /// As in [`crate::head::Arrival`].
    pub sni: Option<&'a str>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Index in the list that the router was compiled from.
    pub endpoint: usize,
    /// Bytes of the path that `strip_path` takes off: the length of the prefix, or of what the regular expression
    /// matched; 0 for an endpoint without paths. Of several paths that agree, the first in the endpoint's list.
    pub matched: usize,
}

/// What an endpoint demands beyond host and path, as far as the bits of its entries cannot say.
#[derive(Debug, Default)]
struct Conditions {
    /// Methods that have no bit of their own.
    methods: Box<[Method]>,
    headers: Box<[HeaderCondition]>,
    snis: Box<[Box<str>]>,
}

#[derive(Debug)]
struct HeaderCondition {
    name: HeaderName,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// In lower case.
    OneOf(Box<[Box<str>]>),
    Pattern(Pattern),
}

impl Router {
    /// Prepares the endpoints, in the order of the plan.
    ///
    /// Fails with everything that cannot be compiled: regular expressions (look-around and back references do not
    /// exist here), header names. Problems are at the route's name or id: `routes.orders.paths`.
    pub fn compile(endpoints: &[Endpoint]) -> Result<Self, Problems> {
        Self::compile_after(endpoints, &Self::empty())
    }

    /// The same, with the regular expressions that `previous` has compiled already.
    pub fn compile_after(endpoints: &[Endpoint], previous: &Router) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut patterns = Patterns::default();
        let mut hosts = Hosts::default();
        let mut places = Vec::with_capacity(endpoints.len());
        let mut conditions = Vec::with_capacity(endpoints.len());
        for (index, endpoint) in endpoints.iter().enumerate() {
            let matcher = &endpoint.matcher;
            let (methods, other_methods) = bucket::methods(&matcher.methods);
            let headers = header_conditions(&matcher.headers, &endpoint.route, &mut problems);
            let snis = matcher.snis.iter().map(|sni| sni.as_str().into()).collect();
            let asked = Conditions { methods: other_methods, headers, snis };
            let place = Place::new(index, methods, &asked);
            conditions.push(asked);
            let tables = hosts.tables(&matcher.hosts);
            if matcher.paths.is_empty() {
                places.extend(tables.iter().map(|table| (*table, "".into(), place)));
            }
            for (position, path) in matcher.paths.iter().enumerate() {
                let (prefix, place) = match path {
                    PathMatch::Prefix(prefix) => (prefix.as_str().into(), place.at(position)),
                    PathMatch::Regex(regex) => match patterns.path(regex, &previous.patterns) {
                        Ok((pattern, literal)) => (literal, place.at(position).tested_by(pattern)),
                        Err(error) => {
                            problems.error(place_of(&endpoint.route).key("paths"), error.to_string());
                            continue;
                        }
                    },
                };
                places.extend(tables.iter().map(|table| (*table, prefix.clone(), place)));
            }
        }
        if problems.has_errors() {
            return Err(problems);
        }
        let mut buckets = Vec::new();
        let tries = Tries::build(places, hosts.len(), |places| {
            buckets.push(Bucket::new(places, &conditions, &patterns));
            buckets.len() - 1
        });
        hosts.finish();
        Ok(Self { hosts, tries, buckets, patterns, conditions })
    }

    /// The router of no endpoints: nothing is found.
    pub fn empty() -> Self {
        let tries = Tries::build(Vec::new(), Hosts::default().len(), |_| 0);
        Self {
            hosts: Hosts::default(),
            tries,
            buckets: Vec::new(),
            patterns: Patterns::default(),
            conditions: Vec::new(),
        }
    }

    /// The first endpoint of the plan that takes this request.
    pub fn find(&self, criteria: &Criteria<'_>) -> Option<Found> {
        let request = Request::new(criteria);
        let mut best: Option<(Place, usize)> = None;
        let mut to_test: SmallVec<[Place; 16]> = SmallVec::new();
        self.hosts.each(criteria.host, criteria.port, |table| {
            self.tries.walk(table, criteria.path.as_bytes(), |bucket, depth| {
                let bucket = &self.buckets[bucket];
                let limit = best.map_or(Place::LAST, |(place, _)| place);
                if let Some(place) = bucket.first(&request, &self.conditions, limit, &mut to_test) {
                    best = Some((place, depth));
                }
            });
        });
        self.test_patterns(criteria.path, to_test, best.map(|(place, _)| place))
            .or(best)
            .map(|(place, matched)| Found { endpoint: place.endpoint(), matched })
    }

    /// The first of `places` whose regular expression agrees and that stands before `limit`.
    fn test_patterns(
        &self,
        path: &str,
        mut places: SmallVec<[Place; 16]>,
        limit: Option<Place>,
    ) -> Option<(Place, usize)> {
        places.sort_unstable();
        places.dedup();
        let earlier = places.into_iter().take_while(|place| limit.is_none_or(|limit| *place < limit));
        earlier.filter_map(|place| Some((place, self.patterns.get(place.pattern()?).match_start(path)?))).next()
    }
}

fn header_conditions(written: &[HeaderMatch], route: &Route, problems: &mut Problems) -> Box<[HeaderCondition]> {
    let mut conditions = Vec::with_capacity(written.len());
    for header in written {
        let at = || place_of(route).key("headers").key(&header.name);
        let values = match &header.regex {
            None => Ok(Values::OneOf(header.values.iter().map(|value| value.to_ascii_lowercase().into()).collect())),
            Some(regex) => Pattern::anywhere(regex).map(Values::Pattern),
        };
        match (header.name.parse(), values) {
            (Ok(name), Ok(values)) => conditions.push(HeaderCondition { name, values }),
            (Err(_), _) => problems.error(at(), "invalid header name"),
            (_, Err(error)) => problems.error(at(), error.to_string()),
        }
    }
    conditions.into()
}

fn place_of(route: &Route) -> Path {
    Path::root().key("routes").key(route.name.clone().unwrap_or_else(|| route.id.to_string()))
}

#[cfg(test)]
mod tests;
