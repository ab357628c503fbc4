//! What hangs where a prefix ends: the endpoints that have it, to be asked for method and headers.

use super::pattern::Patterns;
use super::texts::Texts;
use super::{Conditions, Criteria, Values};
use foldhash::fast::RandomState;
use http::{HeaderMap, HeaderName, Method};
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};

/// One path of one endpoint. Its order is that of the plan, then that of the endpoint's own list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    endpoint: u32,
    position: u32,
    /// Regular expression to be tested, or [`NO_PATTERN`].
    pattern: u32,
    methods: Methods,
    /// The bits do not say all: one of the methods is an uncommon one.
    other_methods: bool,
    /// There are headers or server names to be asked for.
    asks: bool,
}

const NO_PATTERN: u32 = u32::MAX;

/// A bit for each method of [`COMMON`], and one for all others.
type Methods = u16;

const COMMON: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::OPTIONS,
    Method::PATCH,
    Method::TRACE,
    Method::CONNECT,
];
const OTHER: Methods = 1 << COMMON.len();
const EVERY: Methods = OTHER | (OTHER - 1);

/// The bits of these methods, and those that have none. No method at all means every method.
pub(super) fn methods(written: &[String]) -> (Methods, Box<[Method]>) {
    if written.is_empty() {
        return (EVERY, Box::default());
    }
    // A name that is no method is one that no request has.
    let methods = written.iter().filter_map(|name| name.parse().ok());
    let (common, other): (Vec<Method>, Vec<Method>) = methods.partition(|method| bit(method) != OTHER);
    let bits = common.iter().map(bit).fold(if other.is_empty() { 0 } else { OTHER }, |bits, bit| bits | bit);
    (bits, other.into())
}

fn bit(method: &Method) -> Methods {
    COMMON.iter().position(|common| common == method).map_or(OTHER, |at| 1 << at)
}

impl Place {
    /// Behind every place that there is.
    pub(super) const LAST: Place = Place {
        endpoint: u32::MAX,
        position: u32::MAX,
        pattern: NO_PATTERN,
        methods: 0,
        other_methods: false,
        asks: false,
    };

    pub(super) fn new(endpoint: usize, methods: Methods, conditions: &Conditions) -> Self {
        Self {
            endpoint: endpoint as u32,
            position: 0,
            pattern: NO_PATTERN,
            methods,
            other_methods: !conditions.methods.is_empty(),
            asks: !conditions.headers.is_empty() || !conditions.snis.is_empty(),
        }
    }

    pub(super) fn at(self, position: usize) -> Self {
        Self { position: position as u32, ..self }
    }

    pub(super) fn tested_by(self, pattern: usize) -> Self {
        Self { pattern: pattern as u32, ..self }
    }

    pub(super) fn endpoint(self) -> usize {
        self.endpoint as usize
    }

    pub(super) fn pattern(self) -> Option<usize> {
        (self.pattern != NO_PATTERN).then_some(self.pattern as usize)
    }

    fn takes(&self, request: &Request<'_>, conditions: &[Conditions]) -> bool {
        if self.methods & request.bit == 0 {
            return false;
        }
        let by_name = self.other_methods && request.bit == OTHER;
        if !by_name && !self.asks {
            return true;
        }
        let conditions = &conditions[self.endpoint()];
        (!by_name || conditions.methods.contains(request.method))
            && conditions.takes_sni(request.sni)
            && conditions.headers.iter().all(|header| header.values.agree(&header.name, request.headers))
    }
}

/// What places are asked for.
pub(super) struct Request<'a> {
    bit: Methods,
    method: &'a Method,
    headers: &'a HeaderMap,
    sni: Option<&'a str>,
    path: &'a str,
}

impl<'a> Request<'a> {
    pub(super) fn new(criteria: &Criteria<'a>) -> Self {
        let Criteria { method, headers, sni, path, .. } = *criteria;
        Self { bit: bit(method), method, headers, sni, path }
    }
}

/// The places at one node of a trie, in the order of the plan.
#[derive(Debug)]
pub(super) enum Bucket {
    One(Place),
    Few(Box<[Place]>),
    Grouped(Box<Grouped>),
}

/// Many routes at one place: those that differ by the value of a header (one per tenant, say) are looked up by that
/// value, regular expressions by a text in the path.
#[derive(Debug)]
pub(super) struct Grouped {
    by_header: Vec<(HeaderName, ByValue)>,
    by_text: Option<Texts>,
    rest: Vec<Place>,
}

/// Keys in lower case.
type ByValue = HashMap<Box<str>, Vec<Place>, RandomState>;

/// Up to so many places are asked one after the other.
const FEW: usize = 16;
/// The same for places with a regular expression: each costs a pass over the path.
const FEW_PATTERNS: usize = 6;

impl Bucket {
    /// `places` stand in the order of the plan.
    pub(super) fn new(mut places: Vec<Place>, conditions: &[Conditions], patterns: &Patterns) -> Self {
        // Behind a place that takes a method without asking further, none gets a request with that method.
        let mut taken: Methods = 0;
        places.retain(|place| {
            let open = place.methods & !taken != 0;
            if place.pattern == NO_PATTERN && !place.asks {
                taken |= if place.other_methods { place.methods & !OTHER } else { place.methods };
            }
            open
        });
        let tested = places.iter().filter(|place| place.pattern != NO_PATTERN).count();
        match &places[..] {
            [place] => Bucket::One(*place),
            places if places.len() <= FEW && tested <= FEW_PATTERNS => Bucket::Few(places.into()),
            _ => Bucket::Grouped(Box::new(Grouped::new(places, conditions, patterns))),
        }
    }

    /// The first place before `limit` that takes the request without a test of the path. Those before it that have a
    /// regular expression, and agree otherwise, are added to `to_test`.
    pub(super) fn first(
        &self,
        request: &Request<'_>,
        conditions: &[Conditions],
        limit: Place,
        to_test: &mut SmallVec<[Place; 16]>,
    ) -> Option<Place> {
        match self {
            Bucket::One(place) => first(std::slice::from_ref(place), request, conditions, limit, to_test),
            Bucket::Few(places) => first(places, request, conditions, limit, to_test),
            Bucket::Grouped(grouped) => {
                let mut best = first(&grouped.rest, request, conditions, limit, to_test);
                for (name, by_value) in &grouped.by_header {
                    for value in request.headers.get_all(name) {
                        let value = lower_case(value.as_bytes());
                        let places = std::str::from_utf8(&value).ok().and_then(|value| by_value.get(value));
                        let places = places.map_or(&[][..], Vec::as_slice);
                        best = first(places, request, conditions, best.unwrap_or(limit), to_test).or(best);
                    }
                }
                if let Some(by_text) = &grouped.by_text {
                    // All of them have an expression, so none is certain.
                    by_text.each(request.path, |places| {
                        first(places, request, conditions, best.unwrap_or(limit), to_test);
                    });
                }
                best
            }
        }
    }
}

fn first(
    places: &[Place],
    request: &Request<'_>,
    conditions: &[Conditions],
    limit: Place,
    to_test: &mut SmallVec<[Place; 16]>,
) -> Option<Place> {
    for place in places.iter().take_while(|place| **place < limit) {
        if place.takes(request, conditions) {
            if place.pattern == NO_PATTERN {
                return Some(*place);
            }
            to_test.push(*place);
        }
    }
    None
}

impl Grouped {
    fn new(places: Vec<Place>, conditions: &[Conditions], patterns: &Patterns) -> Self {
        // The name with the most distinct values parts the places best.
        let mut distinct: HashMap<&HeaderName, HashSet<&str>> = HashMap::new();
        for (name, values) in places.iter().flat_map(|place| conditions[place.endpoint()].listed()) {
            distinct.entry(name).or_default().extend(values.iter().map(|value| &**value));
        }
        let mut by_name: HashMap<&HeaderName, ByValue> = HashMap::new();
        let mut rest = Vec::new();
        for place in &places {
            let headers = conditions[place.endpoint()].listed();
            match headers.max_by_key(|(name, _)| distinct.get(name).map_or(0, HashSet::len)) {
                None => rest.push(*place),
                Some((name, values)) => {
                    let by_value = by_name.entry(name).or_default();
                    for value in values {
                        let places = by_value.entry(value.clone()).or_default();
                        if places.last() != Some(place) {
                            places.push(*place);
                        }
                    }
                }
            }
        }
        let by_header = by_name.into_iter().map(|(name, by_value)| (name.clone(), by_value)).collect();
        let by_text = Texts::take_from(&mut rest, |place| place.pattern().map_or(&[], |number| patterns.needs(number)));
        Self { by_header, by_text, rest }
    }

    /// How many are asked one after the other.
    #[cfg(test)]
    pub(super) fn rest_len(&self) -> usize {
        self.rest.len()
    }
}

impl Conditions {
    /// A plain connection has named nobody, and agrees (K-135).
    fn takes_sni(&self, sni: Option<&str>) -> bool {
        self.snis.is_empty() || sni.is_none_or(|sni| self.snis.iter().any(|wanted| **wanted == *sni))
    }

    /// The conditions that list values.
    fn listed(&self) -> impl Iterator<Item = (&HeaderName, &[Box<str>])> {
        self.headers.iter().filter_map(|header| match &header.values {
            Values::OneOf(values) => Some((&header.name, &**values)),
            Values::Pattern(_) => None,
        })
    }
}

impl Values {
    /// Whether one of the request's values for this name is one of these, without regard to case (K-136).
    fn agree(&self, name: &HeaderName, headers: &HeaderMap) -> bool {
        headers.get_all(name).iter().any(|value| match self {
            Values::OneOf(values) => {
                values.iter().any(|wanted| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
            }
            Values::Pattern(pattern) => pattern.is_in(&lower_case(value.as_bytes())),
        })
    }
}

fn lower_case(value: &[u8]) -> SmallVec<[u8; 128]> {
    let mut lower = SmallVec::from_slice(value);
    lower.make_ascii_lowercase();
    lower
}
