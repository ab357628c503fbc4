//! Reads one mapping of the settings file, key by key, with what flags and environment say in its place.
//!
//! Each key is asked for once, by its kind; what is left over at the end is unknown. Nothing stops at the first
//! mistake: a key that is wrong is noted and counts as absent.

use crate::failure::Failure;
use crate::problems::{self, Style};
use portcullis_model::problem::{Path, Problems, Segment};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Message about a key that nothing asked for.
pub(crate) const UNKNOWN: &str = "unknown field";

/// What is asked before the file. A flag is kept under its key (`proxy_listen`).
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub flags: &'a HashMap<&'static str, String>,
    /// An environment variable's value. An empty one counts as absent.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

/// What was wrong.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    /// With the file.
    pub file: Problems,
    /// With flags and environment, as sentences.
    pub outside: Vec<String>,
}

impl Complaints {
    pub(crate) fn is_empty(&self) -> bool {
        self.file.0.is_empty() && self.outside.is_empty()
    }

    /// Draws them; `name` and `text` are those of the settings file.
    pub(crate) fn failure(&self, name: &std::path::Path, text: &str) -> Failure {
        let mut drawn: String = self.outside.iter().map(|sentence| format!("portcullis: {sentence}\n")).collect();
        if !self.file.0.is_empty() {
            drawn += &problems::draw(&name.display().to_string(), text, &self.file, Style::for_stderr(&[]));
        }
        Failure::Problems(drawn)
    }
}

/// One mapping.
pub(crate) struct Section<'a> {
    path: Path,
    entries: Map<String, Value>,
    /// `None` inside lists, whose elements have no name in the environment.
    sources: Option<Sources<'a>>,
    known: Vec<&'static str>,
    complaints: Complaints,
}

/// A value and where it comes from.
struct Found {
    value: Value,
    /// Name of the flag or the environment variable; `None` for the file.
    outside: Option<String>,
}

impl<'a> Section<'a> {
    /// The whole file. `read` asks for its keys.
    pub(crate) fn root<T>(
        document: Value,
        sources: Sources<'a>,
        read: impl FnOnce(&mut Section<'a>) -> T,
    ) -> (T, Complaints) {
        let mut holder = Self::new(Path::root(), Map::new(), Some(sources));
        let entries = holder.mapping(&Path::root(), document);
        let mut section = Self::new(Path::root(), entries, Some(sources));
        let value = read(&mut section);
        section.finish(&mut holder.complaints);
        (value, holder.complaints)
    }

    fn new(path: Path, entries: Map<String, Value>, sources: Option<Sources<'a>>) -> Self {
        Self { path, entries, sources, known: Vec::new(), complaints: Complaints::default() }
    }

    /// A mapping below `key`; one that is absent reads as an empty one.
    pub(crate) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        self.known.push(key);
        let path = self.path.key(key);
        let written = self.entries.remove(key).unwrap_or(Value::Null);
        let entries = self.mapping(&path, written);
        let mut section = Section::new(path, entries, self.sources);
        let value = read(&mut section);
        section.finish(&mut self.complaints);
        value
    }

    /// A list of mappings below `key`. It cannot be written in the environment.
    pub(crate) fn list<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'a>) -> T) -> Vec<T> {
        self.known.push(key);
        let path = self.path.key(key);
        let elements = match self.entries.remove(key).unwrap_or(Value::Null) {
            Value::Null => return Vec::new(),
            Value::Array(elements) => elements,
            _ => {
                self.complaints.file.error_hint(path, "expected a list", "write one entry per line, each after a -");
                return Vec::new();
            }
        };
        let mut values = Vec::with_capacity(elements.len());
        for (index, element) in elements.into_iter().enumerate() {
            let path = path.index(index);
            let entries = self.mapping(&path, element);
            let mut section = Section::new(path, entries, None);
            values.push(read(&mut section));
            section.finish(&mut self.complaints);
        }
        values
    }

    /// A text, read further by `parse`.
    pub(crate) fn parsed<T>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let found = self.find(key)?;
        match &found.value {
            Value::String(text) => match parse(text) {
                Ok(value) => return Some(value),
                Err(error) => self.complain(key, &found, error),
            },
            _ => self.complain(key, &found, "expected a string; write a text".to_owned()),
        }
        None
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.parsed(key, |text| match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(*value),
            None => Err(format!("expected one of: {}; write one of these", listed(words.iter().map(|(word, _)| word)))),
        })
    }

    /// Texts, at most one of each.
    pub(crate) fn strings(&mut self, key: &'static str) -> Vec<String> {
        self.known.push(key);
        let path = self.path.key(key);
        let elements = match self.entries.remove(key).unwrap_or(Value::Null) {
            Value::Null => return Vec::new(),
            Value::Array(elements) => elements,
            one => vec![one],
        };
        let mut texts: Vec<String> = Vec::with_capacity(elements.len());
        for (index, element) in elements.into_iter().enumerate() {
            match element {
                Value::String(text) if !texts.contains(&text) => texts.push(text),
                Value::String(text) => {
                    self.complaints.file.error(path.index(index), format!("'{text}' stands twice; write it once"))
                }
                _ => self.complaints.file.error(path.index(index), "expected a string; write a text"),
            }
        }
        texts
    }

    /// Texts, at most one of each, read further by `parse`; `wanted` says what a text that it refuses should be.
    pub(crate) fn parsed_list<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let texts = self.strings(key);
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(&text) {
                Some(value) => values.push(value),
                None => self.complaints.file.error(self.path.key(key), format!("'{text}' is no {wanted}")),
            }
        }
        values
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let found = self.find(key)?;
        match &found.value {
            Value::Bool(value) => return Some(*value),
            Value::String(text) if found.outside.is_some() && text == "true" => return Some(true),
            Value::String(text) if found.outside.is_some() && text == "false" => return Some(false),
            _ => self.complain(key, &found, "expected a boolean; write true or false".to_owned()),
        }
        None
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let found = self.find(key)?;
        let number = match &found.value {
            Value::String(text) if found.outside.is_some() => text.trim().parse().ok(),
            value => value.as_u64(),
        };
        match number {
            None => self.complain(key, &found, "expected an integer; write a whole number".to_owned()),
            Some(number) if range.contains(&number) => return Some(number),
            Some(_) => {
                let between =
                    format!("value should be between {} and {}; write one in that range", range.start(), range.end());
                self.complain(key, &found, between);
            }
        }
        None
    }

    /// [`Section::integer`] where the range is that of a `usize`.
    pub(crate) fn size(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<usize> {
        self.integer(key, range).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    /// Seconds, fractions allowed.
    pub(crate) fn seconds(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<Duration> {
        let found = self.find(key)?;
        let number = match &found.value {
            Value::String(text) if found.outside.is_some() => text.trim().parse().ok(),
            value => value.as_f64(),
        };
        match number.filter(|number: &f64| number.is_finite()) {
            None => self.complain(key, &found, "expected a number of seconds; write such as 5 or 0.5".to_owned()),
            Some(number) if range.contains(&number) => return Some(Duration::from_secs_f64(number)),
            Some(_) => {
                let between = format!(
                    "value should be between {} and {} seconds; write one in that range",
                    range.start(),
                    range.end()
                );
                self.complain(key, &found, between);
            }
        }
        None
    }

    /// [`Section::parsed`] for a key that must be there.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.entries.get(key).is_none_or(Value::is_null) {
            let path = self.path.key(key);
            self.complaints.file.error_hint(path, "required field missing", hint);
        }
        self.parsed(key, parse)
    }

    fn find(&mut self, key: &'static str) -> Option<Found> {
        self.known.push(key);
        let written = self.entries.remove(key);
        if let Some(sources) = self.sources {
            let name = variable(&self.path, key);
            let flag = || {
                let text = sources.flags.get(key).filter(|_| self.path.0.is_empty())?;
                Some((text.clone(), format!("--{}", key.replace('_', "-"))))
            };
            let set = || (sources.environment)(&name).filter(|text| !text.is_empty()).map(|text| (text, name.clone()));
            if let Some((text, name)) = flag().or_else(set) {
                return Some(Found { value: Value::String(text), outside: Some(name) });
            }
        }
        written.filter(|value| !value.is_null()).map(|value| Found { value, outside: None })
    }

    fn complain(&mut self, key: &'static str, found: &Found, message: String) {
        match &found.outside {
            Some(name) => self.complaints.outside.push(format!("{name}: {message}")),
            None => self.complaints.file.error(self.path.key(key), message),
        }
    }

    fn mapping(&mut self, path: &Path, value: Value) -> Map<String, Value> {
        match value {
            Value::Null => Map::new(),
            Value::Object(entries) => entries,
            _ => {
                self.complaints.file.error_hint(path.clone(), "expected a mapping", "write `key: value` lines");
                Map::new()
            }
        }
    }

    /// What nobody asked for is unknown; everything noted goes to `complaints`.
    fn finish(mut self, complaints: &mut Complaints) {
        self.known.sort_unstable();
        let hint = format!("known here: {}", listed(self.known.iter()));
        for key in self.entries.keys() {
            self.complaints.file.error_hint(self.path.key(key.as_str()), UNKNOWN, hint.clone());
        }
        complaints.file.extend_below(&Path::root(), self.complaints.file);
        complaints.outside.append(&mut self.complaints.outside);
    }
}

/// Name of a key's environment variable: `PORTCULLIS_INTROSPECTION_CACHE_BYTES`.
fn variable(path: &Path, key: &str) -> String {
    let mut name = "PORTCULLIS".to_owned();
    for segment in &path.0 {
        if let Segment::Key(key) = segment {
            name = format!("{name}_{}", key.to_ascii_uppercase());
        }
    }
    format!("{name}_{}", key.to_ascii_uppercase())
}

fn listed<T: Display>(words: impl Iterator<Item = T>) -> String {
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(", ")
}
