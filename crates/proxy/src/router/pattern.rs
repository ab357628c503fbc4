//! Regular expressions of paths and header values.
//!
//! They run over bytes, without Unicode classes where the expression allows: normalised paths are ASCII, `\d` and
//! `\w` mean there what they mean to Kong's users, and the automata stay small. Matching is linear in the input
//! whatever the expression; look-around and back references, which cannot be had for that, are refused at load.

use regex_automata::meta::{self, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Anchored, Input};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;
use std::borrow::Cow;
use std::collections::HashMap;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Pattern(Regex);

/// An expression that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("invalid regex: '{pattern}' ({why})")]
pub(super) struct BadPattern {
    pattern: String,
    why: String,
}

/// Largest automaton that one expression may become: counted repetitions multiply, and the request path pays for
/// their caches.
const SIZE_LIMIT: usize = 2 << 20;

impl Pattern {
    /// An expression that may match anywhere in a text.
    pub(super) fn anywhere(pattern: &str) -> Result<Self, BadPattern> {
        Self::compile(pattern, &parse(pattern)?)
    }

    /// Length of what matches at the very beginning of `path`.
    pub(super) fn match_start(&self, path: &str) -> Option<usize> {
        self.0.search_half(&Input::new(path).anchored(Anchored::Yes)).map(|found| found.offset())
    }

    /// Whether it matches anywhere in `text`.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    fn compile(pattern: &str, hir: &Hir) -> Result<Self, BadPattern> {
        let config = meta::Config::new()
            .which_captures(WhichCaptures::Implicit)
            .utf8_empty(false)
            .nfa_size_limit(Some(SIZE_LIMIT));
        let built = meta::Regex::builder().configure(config).build_from_hir(hir);
        built.map(Self).map_err(|error| bad(pattern, &error))
    }
}

/// The path expressions of a configuration, each compiled once however many routes have it.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    compiled: Vec<Pattern>,
    known: HashMap<String, (u32, String)>,
}

impl Patterns {
    /// Number of the expression, and the text that all its matches begin with (maybe empty).
    pub(super) fn path(&mut self, pattern: &str) -> Result<(u32, Cow<'static, str>), BadPattern> {
        if let Some((number, literal)) = self.known.get(pattern) {
            return Ok((*number, literal.clone().into()));
        }
        let hir = parse(pattern)?;
        let number = self.compiled.len() as u32;
        let literal = literal_prefix(&hir);
        self.compiled.push(Pattern::compile(pattern, &hir)?);
        self.known.insert(pattern.to_owned(), (number, literal.clone()));
        Ok((number, literal.into()))
    }

    /// All of them, by number.
    pub(super) fn into_inner(self) -> Vec<Pattern> {
        self.compiled
    }
}

fn parse(pattern: &str) -> Result<Hir, BadPattern> {
    let read = |unicode| ParserBuilder::new().utf8(false).unicode(unicode).build().parse(pattern);
    // What needs Unicode (`\p{Greek}`) gets it.
    read(false).or_else(|_| read(true)).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => bad(pattern, error.kind()),
        regex_syntax::Error::Translate(error) => bad(pattern, error.kind()),
        error => bad(pattern, &error),
    })
}

fn bad(pattern: &str, why: &dyn std::fmt::Display) -> BadPattern {
    BadPattern { pattern: pattern.to_owned(), why: why.to_string() }
}

/// What every match begins with, as far as it is whole characters.
fn literal_prefix(hir: &Hir) -> String {
    let prefixes = Extractor::new().extract(hir);
    let common = prefixes.longest_common_prefix().unwrap_or_default();
    let whole = common.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    whole.to_owned()
}
