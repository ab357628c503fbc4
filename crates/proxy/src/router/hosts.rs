//! From a request's host to the tables of endpoints that it may reach.

use foldhash::fast::RandomState;
use portcullis_model::plan::{HostMatch, HostName};
use smallvec::SmallVec;
use std::collections::HashMap;

/// Number of a table: one per distinct host condition, and one for endpoints without any.
pub(super) type Table = u32;

/// The table of endpoints that take any host.
const ANY: Table = 0;

/// Tables by the three kinds of host names.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<str>, Ports, RandomState>,
    suffixes: Wildcards,
    prefixes: Wildcards,
    /// Tables that were numbered, without [`ANY`].
    named: Table,
}

/// Host names of which only one end counts.
#[derive(Debug, Default)]
struct Wildcards {
    by_text: HashMap<Box<str>, Ports, RandomState>,
    /// The distinct lengths of the texts, ascending: so many look-ups does a host cost.
    lengths: Vec<usize>,
}

/// The tables of one host name: for every port, and for some.
#[derive(Debug, Default)]
struct Ports {
    any: Option<Table>,
    some: Vec<(u16, Table)>,
}

impl Hosts {
    /// The tables that an endpoint with these conditions belongs into. Numbers them on first sight.
    pub(super) fn tables(&mut self, conditions: &[HostMatch]) -> SmallVec<[Table; 4]> {
        if conditions.is_empty() {
            return SmallVec::from_slice(&[ANY]);
        }
        let mut tables = SmallVec::new();
        for condition in conditions {
            let (names, text) = match &condition.name {
                HostName::Exact(text) => (&mut self.exact, text),
                HostName::Suffix(text) => (&mut self.suffixes.by_text, text),
                HostName::Prefix(text) => (&mut self.prefixes.by_text, text),
            };
            let ports = names.entry(text.to_ascii_lowercase().into()).or_default();
            let table = ports.table(condition.port, &mut self.named);
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
        tables
    }

    /// How many tables there are.
    pub(super) fn len(&self) -> usize {
        self.named as usize + 1
    }

    /// To be called once all endpoints are in.
    pub(super) fn finish(&mut self) {
        for wildcards in [&mut self.suffixes, &mut self.prefixes] {
            wildcards.lengths = wildcards.by_text.keys().map(|text| text.len()).collect();
            wildcards.lengths.sort_unstable();
            wildcards.lengths.dedup();
        }
    }

    /// Calls `visit` with every table that this host reaches.
    pub(super) fn each(&self, host: &str, port: u16, mut visit: impl FnMut(Table)) {
        if self.named > 0 {
            let mut lower = SmallVec::<[u8; 128]>::new();
            let host = lower_case(host, &mut lower);
            let mut visit = |ports: Option<&Ports>| ports.into_iter().for_each(|ports| ports.each(port, &mut visit));
            visit(self.exact.get(host));
            for ends in self.suffixes.lengths.iter().map_while(|length| host.len().checked_sub(*length)) {
                visit(host.get(ends..).and_then(|end| self.suffixes.by_text.get(end)));
            }
            for length in self.prefixes.lengths.iter().take_while(|length| **length <= host.len()) {
                visit(host.get(..*length).and_then(|start| self.prefixes.by_text.get(start)));
            }
        }
        visit(ANY);
    }
}

impl Ports {
    fn table(&mut self, port: Option<u16>, named: &mut Table) -> Table {
        let mut next = || {
            *named += 1;
            *named
        };
        match port {
            None => *self.any.get_or_insert_with(next),
            Some(port) => match self.some.iter().find(|(known, _)| *known == port) {
                Some((_, table)) => *table,
                None => {
                    let table = next();
                    self.some.push((port, table));
                    table
                }
            },
        }
    }

    fn each(&self, port: u16, visit: &mut impl FnMut(Table)) {
        self.any.into_iter().for_each(&mut *visit);
        self.some.iter().filter(|(known, _)| *known == port).for_each(|(_, table)| visit(*table));
    }
}

/// Nearly every host comes in lower case and is not copied.
fn lower_case<'a>(host: &'a str, buffer: &'a mut SmallVec<[u8; 128]>) -> &'a str {
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return host;
    }
    buffer.extend_from_slice(host.as_bytes());
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).unwrap_or(host)
}
