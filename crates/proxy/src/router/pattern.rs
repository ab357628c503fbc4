//! Regular expressions of paths and header values.
//!
//! They run over bytes, without Unicode classes where the expression allows: normalised paths are ASCII, `\d` and
//! `\w` mean there what they mean to Kong's users, and the automata stay small. Matching is linear in the input
//! whatever the expression; look-around and back references, which cannot be had for that, are refused at load.

use super::texts::{self, OneOf};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::meta;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A compiled expression.
#[derive(Debug)]
pub(super) enum Pattern {
    /// All states are there: a look-up per byte, no scratch memory. For expressions of paths, as long as they stay
    /// small, which nearly all do.
    Table(Box<dense::DFA<Vec<u32>>>),
    Any(meta::Regex),
}

/// An expression that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("invalid regex: '{pattern}' ({why})")]
pub(super) struct BadPattern {
    pattern: String,
    why: String,
}

/// Bytes that the automaton of one expression may take: counted repetitions multiply.
const SIZE_LIMIT: usize = 2 << 20;
/// Bytes up to which a [`Pattern::Table`] is made; a hundred states and more.
const TABLE_LIMIT: usize = 16 << 10;

impl Pattern {
    /// An expression that may match anywhere in a text.
    pub(super) fn anywhere(pattern: &str) -> Result<Self, BadPattern> {
        Self::any(pattern, &parse(pattern)?)
    }

    /// An expression that must match at the beginning of a text.
    fn at_start(pattern: &str, hir: &Hir) -> Result<Self, BadPattern> {
        Self::table(hir).map_or_else(|| Self::any(pattern, hir), Ok)
    }

    /// Length of what matches at the very beginning of `path`.
    pub(super) fn match_start(&self, path: &str) -> Option<usize> {
        let input = Input::new(path).anchored(Anchored::Yes);
        let found = match self {
            // It fails only where a table was made with bytes to give up at, which these are not.
            Pattern::Table(table) => table.try_search_fwd(&input).ok()?,
            Pattern::Any(regex) => regex.search_half(&input),
        };
        found.map(|found| found.offset())
    }

    /// Whether it matches anywhere in `text`; asked of [`Pattern::anywhere`] alone.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        match self {
            Pattern::Table(table) => table.try_search_fwd(&Input::new(text)).is_ok_and(|found| found.is_some()),
            Pattern::Any(regex) => regex.is_match(text),
        }
    }

    /// The whole automaton, if it is small enough.
    fn table(hir: &Hir) -> Option<Self> {
        let nfa =
            thompson::Config::new().utf8(false).which_captures(WhichCaptures::None).nfa_size_limit(Some(TABLE_LIMIT));
        let nfa = thompson::Compiler::new().configure(nfa).build_from_hir(hir).ok()?;
        let dfa = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .dfa_size_limit(Some(TABLE_LIMIT))
            .determinize_size_limit(Some(4 * TABLE_LIMIT));
        let dfa = dense::Builder::new().configure(dfa).build_from_nfa(&nfa).ok()?;
        Some(Pattern::Table(Box::new(dfa)))
    }

    fn any(pattern: &str, hir: &Hir) -> Result<Self, BadPattern> {
        // Without the implicit group of the whole match, a search says nothing but no.
        let config = meta::Config::new()
            .which_captures(WhichCaptures::Implicit)
            .utf8_empty(false)
            .nfa_size_limit(Some(SIZE_LIMIT));
        let built = meta::Regex::builder().configure(config).build_from_hir(hir);
        built.map(Self::Any).map_err(|error| bad(pattern, &error))
    }
}

/// The path expressions of a configuration, each compiled once however many routes have it, and not again by the next
/// configuration that has it.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    compiled: Vec<Arc<PathPattern>>,
    known: HashMap<Box<str>, u32>,
}

/// A path expression with what it is found by.
#[derive(Debug)]
struct PathPattern {
    pattern: Pattern,
    /// What all its matches begin with.
    literal: Box<str>,
    needs: Vec<OneOf>,
}

impl Patterns {
    /// Number of the expression, and the text that all its matches begin with (maybe empty).
    pub(super) fn path(
        &mut self,
        pattern: &str,
        previous: &Patterns,
    ) -> Result<(usize, Cow<'static, str>), BadPattern> {
        let number = match self.known.get(pattern) {
            Some(number) => *number as usize,
            None => {
                let compiled = match previous.known.get(pattern) {
                    Some(number) => previous.compiled[*number as usize].clone(),
                    None => Arc::new(PathPattern::new(pattern)?),
                };
                self.known.insert(pattern.into(), self.compiled.len() as u32);
                self.compiled.push(compiled);
                self.compiled.len() - 1
            }
        };
        Ok((number, self.compiled[number].literal.to_string().into()))
    }

    pub(super) fn get(&self, number: usize) -> &Pattern {
        &self.compiled[number].pattern
    }

    /// The texts that every match of this expression contains.
    pub(super) fn needs(&self, number: usize) -> &[OneOf] {
        &self.compiled[number].needs
    }
}

impl PathPattern {
    fn new(pattern: &str) -> Result<Self, BadPattern> {
        let hir = parse(pattern)?;
        Ok(Self {
            pattern: Pattern::at_start(pattern, &hir)?,
            literal: literal_prefix(&hir).into(),
            needs: texts::needed(&hir),
        })
    }
}

fn parse(pattern: &str) -> Result<Hir, BadPattern> {
    if let Ok(hir) = ParserBuilder::new().utf8(false).unicode(false).build().parse(pattern) {
        return Ok(hir);
    }
    // What needs Unicode (`\p{Greek}`) gets it.
    ParserBuilder::new().utf8(false).build().parse(pattern).map_err(|error| match error {
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
