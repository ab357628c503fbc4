//! What is wrong with a configuration, where, and what to write instead.
//!
//! Readers never stop at the first violation: they push into [`Problems`] and go on, so that an operator sees
//! everything at once. A problem knows its [`Path`] (`services[2].routes[0].paths`); the reader of a text format,
//! which alone knows lines and columns, adds the [`Place`] afterwards.

use std::fmt;

/// A step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    Key(String),
    Index(usize),
}

/// Where in a document: `services[2].routes[0].paths`. Indexes count from 0, as the document's own lists do.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<Segment>);

impl Path {
    pub fn root() -> Self {
        Self::default()
    }

    /// This path, one member deeper.
    pub fn key(&self, key: impl Into<String>) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Key(key.into()));
        path
    }

    /// This path, one list element deeper.
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Index(index));
        path
    }

    /// Reads back what [`Path`]'s `Display` wrote of a path whose keys are plain field names.
    pub fn parse(text: &str) -> Self {
        let mut path = Self::root();
        for part in text.split(['.', '[']).filter(|part| !part.is_empty()) {
            let index = part.strip_suffix(']').and_then(|digits| digits.parse().ok());
            path.0.push(index.map_or_else(|| Segment::Key(part.to_owned()), Segment::Index));
        }
        path
    }

    /// This path followed by `tail`.
    pub fn join(&self, tail: &Path) -> Self {
        Self(self.0.iter().chain(&tail.0).cloned().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if i == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Line and column in a text, both counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// Whether a configuration can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused as a whole.
    Error,
    /// It loads; the log says this once per load.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub path: Path,
    /// What is wrong, in Kong's words where Kong has words: `required field missing`.
    pub message: String,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
    /// Filled in by the reader of a text format.
    pub place: Option<Place>,
}

impl fmt::Display for Problem {
    /// `line:column: path: message; hint` (without the parts it does not have).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{}:{}: ", place.line, place.column)?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in the order in which it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error without advice.
    pub fn error(&mut self, path: Path, message: impl Into<String>) {
        self.push(Severity::Error, path, message.into(), None);
    }

    /// Adds an error and what to write instead.
    pub fn error_hint(&mut self, path: Path, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, path, message.into(), Some(hint.into()));
    }

    /// Adds something that loads but deserves a word.
    pub fn warn(&mut self, path: Path, message: impl Into<String>) {
        self.push(Severity::Warning, path, message.into(), None);
    }

    /// Whether anything in here refuses the configuration.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|p| p.severity == Severity::Error)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Takes over `others`, each moved below `base`.
    pub fn extend_below(&mut self, base: &Path, others: Problems) {
        self.0.extend(others.0.into_iter().map(|p| Problem { path: base.join(&p.path), ..p }));
    }

    /// Takes over `others` as they are.
    pub fn extend(&mut self, others: Problems) {
        self.0.extend(others.0);
    }

    fn push(&mut self, severity: Severity, path: Path, message: String, hint: Option<String>) {
        self.0.push(Problem { severity, path, message, hint, place: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_back_as_it_is_printed() {
        for text in ["", "services", "services[2].routes[0].paths", "plugins[10].config.inner[0][1].depth"] {
            assert_eq!(Path::parse(text).to_string(), text);
        }
        let path = Path::root().key("services").index(2).key("host");
        assert_eq!(Path::parse("services[2].host"), path);
    }
}
