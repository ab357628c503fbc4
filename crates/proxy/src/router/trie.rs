//! Byte tries over path prefixes: one per table, all in the same flat arrays.

use super::bucket::Place;
use super::hosts::Table;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

/// The tries of all tables.
#[derive(Debug)]
pub(super) struct Tries {
    /// The first are the roots, by table; children of one node stand side by side.
    nodes: Vec<Node>,
    /// Of each node the first byte of its label, so that a child is found in one cache line.
    first_bytes: Vec<u8>,
    labels: Vec<u8>,
}

/// A place where paths part, or where a prefix ends.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Bytes between its parent and itself, in [`Tries::labels`].
    label: u32,
    label_len: u32,
    children: u32,
    /// At most 256.
    children_len: u16,
    /// Index of the bucket, plus one; 0 for a node where no prefix ends.
    bucket: u32,
}

/// An endpoint's place in the trie of a table.
pub(super) type Placed<'a> = (Table, Cow<'a, str>, Place);

/// A node to be made: the places below it, which share `depth` bytes and all come in order.
struct Pending {
    node: usize,
    places: Range<usize>,
    depth: usize,
}

impl Tries {
    /// Builds the tries of `tables` tables. `bucket` takes the places that hang at one node, in the order of the
    /// plan, and gives the number that [`Tries::walk`] reports.
    pub(super) fn build(
        mut places: Vec<Placed<'_>>,
        tables: usize,
        mut bucket: impl FnMut(Vec<Place>) -> usize,
    ) -> Self {
        places.sort_unstable_by(|a, b| (a.0, a.1.as_bytes(), a.2).cmp(&(b.0, b.1.as_bytes(), b.2)));
        let mut tries = Self { nodes: vec![Node::default(); tables], first_bytes: vec![0; tables], labels: Vec::new() };
        let mut pending = VecDeque::new();
        for chunk in places.chunk_by(|a, b| a.0 == b.0) {
            let start = pending.back().map_or(0, |last: &Pending| last.places.end);
            pending.push_back(Pending { node: chunk[0].0 as usize, places: start..start + chunk.len(), depth: 0 });
        }
        // Breadth first: a node's children get their places before anything of theirs does.
        while let Some(Pending { node, places: range, depth }) = pending.pop_front() {
            let below = &places[range.clone()];
            let (first, last) = (below[0].1.as_bytes(), below[below.len() - 1].1.as_bytes());
            // What the first and the last of a sorted list share, all share.
            let shared = first[depth..].iter().zip(&last[depth..]).take_while(|(a, b)| a == b).count();
            let end = depth + shared;
            let here = below.iter().take_while(|(_, prefix, _)| prefix.len() == end).count();
            let node = &mut tries.nodes[node];
            node.label = tries.labels.len() as u32;
            node.label_len = shared as u32;
            tries.labels.extend_from_slice(&first[depth..end]);
            if here > 0 {
                node.bucket = bucket(below[..here].iter().map(|(_, _, place)| *place).collect()) as u32 + 1;
            }
            node.children = tries.first_bytes.len() as u32;
            let mut start = range.start + here;
            for chunk in below[here..].chunk_by(|a, b| a.1.as_bytes()[end] == b.1.as_bytes()[end]) {
                pending.push_back(Pending {
                    node: tries.first_bytes.len(),
                    places: start..start + chunk.len(),
                    depth: end,
                });
                tries.first_bytes.push(chunk[0].1.as_bytes()[end]);
                start += chunk.len();
                node.children_len += 1;
            }
            tries.nodes.resize(tries.first_bytes.len(), Node::default());
        }
        tries
    }

    /// Calls `visit` with the bucket of every prefix of `path` in this table, and the length of the prefix, from short
    /// to long.
    pub(super) fn walk(&self, table: Table, path: &[u8], mut visit: impl FnMut(usize, usize)) {
        let mut node = &self.nodes[table as usize];
        let mut depth = 0;
        loop {
            let label = &self.labels[node.label as usize..][..node.label_len as usize];
            if !path[depth..].starts_with(label) {
                return;
            }
            depth += label.len();
            if node.bucket > 0 {
                visit(node.bucket as usize - 1, depth);
            }
            let children = node.children as usize..node.children as usize + usize::from(node.children_len);
            let Some(child) = path.get(depth).and_then(|byte| memchr::memchr(*byte, &self.first_bytes[children]))
            else {
                return;
            };
            node = &self.nodes[node.children as usize + child];
        }
    }
}
