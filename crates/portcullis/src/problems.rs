//! Draws what is wrong with a file, so that a person finds the place, and an editor too.
//!
//! ```text
//! kong.yaml:4:12: services[0].port: value should be between 0 and 65535; write a port
//!   |
//! 4 |     port: 99999
//!   |           ^^^^^
//! ```
//! The first line alone is what a log gets ([`lines`]).

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use portcullis_model::catalog::Catalog;
use portcullis_model::check::REQUIRED;
use portcullis_model::entities::certificate;
use portcullis_model::problem::{Problem, Problems, Segment, Severity};
use portcullis_model::schema::{ElementKind, Field, Kind};
use std::fmt::Write;
use std::io::IsTerminal;
use std::ops::Range;

/// How to draw.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style<'a> {
    /// Escape sequences for a terminal.
    pub color: bool,
    /// Names of fields whose values are never shown; see [`secret_fields`].
    pub secrets: &'a [&'static str],
}

impl<'a> Style<'a> {
    /// Colours when standard error is a terminal and `NO_COLOR` is not set.
    pub(crate) fn for_stderr(secrets: &'a [&'static str]) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { color: !plain && std::io::stderr().is_terminal(), secrets }
    }
}

/// Every problem in the order of the text, each with the line it is about, and how many there are.
///
/// `file` is the name to show, `text` its content.
pub(crate) fn draw(file: &str, text: &str, problems: &Problems, style: Style<'_>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for problem in sorted(problems) {
        out += &line(file, problem);
        out.push('\n');
        let shown =
            offending(&lines, problem).filter(|(_, content, _)| !is_bare_secret(content, problem, style.secrets));
        if let Some((number, content, span)) = shown {
            let content = mask(content, style.secrets);
            let level = if problem.severity == Severity::Error { Level::ERROR } else { Level::WARNING };
            let snippet =
                Snippet::source(content.as_str()).line_start(number).annotation(AnnotationKind::Primary.span(span));
            out += &renderer.render(&[Group::with_level(level).element(snippet)]);
            out.push('\n');
        }
    }
    out += &count(problems);
    out.push('\n');
    out
}

/// Every problem on one line, in the order of the text.
pub(crate) fn lines(file: &str, problems: &Problems) -> Vec<String> {
    sorted(problems).into_iter().map(|problem| line(file, problem)).collect()
}

/// Names of all fields in which plugins and certificates keep secrets.
pub(crate) fn secret_fields(catalog: &dyn Catalog) -> Vec<&'static str> {
    fn collect(fields: &'static [Field], names: &mut Vec<&'static str>) {
        for field in fields {
            if field.secret {
                names.push(field.name);
            }
            match field.kind {
                Kind::Record(inner) => collect(inner, names),
                Kind::Array(element) | Kind::Set(element) => {
                    if let ElementKind::Record(inner) = element.kind {
                        collect(inner, names);
                    }
                }
                _ => {}
            }
        }
    }
    let mut names = Vec::new();
    collect(certificate::TABLE.fields, &mut names);
    catalog.all().iter().for_each(|plugin| collect(plugin.config, &mut names));
    names
}

fn sorted(problems: &Problems) -> Vec<&Problem> {
    let mut sorted: Vec<_> = problems.iter().collect();
    sorted.sort_by_key(|problem| problem.place); // stable: one place's problems stay in the order they were found
    sorted
}

/// `file:line:column: path: what is wrong; what to write`.
fn line(file: &str, problem: &Problem) -> String {
    match problem.place {
        Some(_) => format!("{file}:{problem}"),
        None => format!("{file}: {problem}"),
    }
}

/// Number of the line that a problem is about, the line, and the bytes of it to underline.
fn offending<'a>(lines: &[&'a str], problem: &Problem) -> Option<(usize, &'a str, Range<usize>)> {
    let place = problem.place?;
    let content = *lines.get(place.line.checked_sub(1)?)?;
    let start = content.char_indices().nth(place.column.saturating_sub(1)).map_or(content.len(), |(at, _)| at);
    let (before, rest) = content.split_at(start);
    // Where nothing is left of the line, the caret stands behind its last character.
    Some((place.line, content, start..start + extent(before, rest)))
}

/// Whether a line holds a secret without the field's name before it, as a text that begins below its name does: there
/// is nothing by which it could be masked.
fn is_bare_secret(content: &str, problem: &Problem, secrets: &[&'static str]) -> bool {
    let in_secret = |segment: &Segment| matches!(segment, Segment::Key(key) if secrets.contains(&key.as_str()) && !content.contains(key));
    // One that is missing is not on the line either.
    problem.message != REQUIRED && problem.path.0.iter().any(in_secret)
}

/// How many bytes at the beginning of `rest` look like one value: a quoted text, an element of a list or map in
/// brackets, or everything up to a comment.
fn extent(before: &str, rest: &str) -> usize {
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\''))
        && let Some(end) = rest[1..].find(quote)
    {
        return end + 2;
    }
    let bracketed = before.contains(['[', '{']);
    let end = if bracketed { rest.find([',', ']', '}']) } else { rest.find(" #") };
    end.map_or(rest, |end| &rest[..end]).trim_end().len()
}

/// Stars in place of the value behind a secret field's name, as many as it has bytes, so that columns stay. A
/// reference to a secret is none.
fn mask(content: &str, secrets: &[&'static str]) -> String {
    let mut masked = content.to_owned();
    for name in secrets {
        let mut from = 0;
        while let Some(at) = masked[from..].find(name).map(|at| from + at + name.len()) {
            from = at;
            let behind = masked[at..].trim_start_matches(['"', '\'', ' ', '\t']);
            let value = behind.strip_prefix(':').map(str::trim_start);
            if let Some(value) = value.filter(|value| !value.trim_start_matches(['"', '\'']).starts_with("{vault://")) {
                let start = masked.len() - value.len();
                let stars = "*".repeat(masked.len() - start);
                masked.replace_range(start.., &stars);
            }
        }
    }
    masked
}

fn count(problems: &Problems) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = problems.iter().count() - errors;
    let mut text = String::new();
    for (number, word) in [(errors, "error"), (warnings, "warning")] {
        if number > 0 {
            let separator = if text.is_empty() { "" } else { ", " };
            let plural = if number == 1 { "" } else { "s" };
            let _ = write!(text, "{separator}{number} {word}{plural}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::problem::{Path, Place};

    fn problem(line: usize, column: usize, message: &str) -> Problem {
        Problem {
            severity: Severity::Error,
            path: Path::root().key("services").index(0).key("port"),
            message: message.to_owned(),
            hint: Some("write a port".to_owned()),
            place: Some(Place { line, column }),
        }
    }

    #[test]
    fn the_line_and_the_place_are_shown() {
        let text = "services:\n- host: ä\n  port: 99999 # much\n";
        let mut problems = Problems(vec![problem(3, 9, "too large"), problem(2, 9, "no host")]);
        problems.warn(Path::root(), "no routes");
        let drawn = draw("kong.yaml", text, &problems, Style::default());
        let wanted = "\
kong.yaml: warning: no routes
kong.yaml:2:9: services[0].port: no host; write a port
  |
2 | - host: ä
  |         ^
kong.yaml:3:9: services[0].port: too large; write a port
  |
3 |   port: 99999 # much
  |         ^^^^^
2 errors, 1 warning
";
        assert_eq!(drawn, wanted);
        assert_eq!(lines("kong.yaml", &problems)[2], "kong.yaml:3:9: services[0].port: too large; write a port");
    }

    #[test]
    fn a_place_outside_the_text_is_no_panic() {
        let problems = Problems(vec![problem(9, 1, "gone"), problem(1, 99, "short"), problem(0, 0, "odd")]);
        let drawn = draw("f", "a: b", &problems, Style::default());
        assert_eq!(drawn.matches("services[0].port").count(), 3);
    }

    #[test]
    fn one_value_is_underlined() {
        let rows = [
            ("port: ", "99999 # much", "99999"),
            ("paths: [", "orders, /b]", "orders"),
            ("paths: [/a, ", "\"~/([\"]", "\"~/([\""),
            ("name: ", "'a, b' # c", "'a, b'"),
            ("name: ", "a, b", "a, b"),
            ("name: ", "\"open", "\"open"),
            ("name: ", "", ""),
        ];
        for (before, rest, wanted) in rows {
            assert_eq!(&rest[..extent(before, rest)], wanted, "{before}{rest}");
        }
    }

    /// A block of text begins on the line after its name, without which it cannot be masked.
    #[test]
    fn a_secret_below_its_name_is_not_drawn() {
        let path = Path::root().key("certificates").index(0).key("key");
        let problems = Problems(vec![Problem { path, ..problem(2, 3, "invalid key") }]);
        let drawn = draw("f", "key: |\n  swordfish", &problems, Style { secrets: &["key"], ..Style::default() });
        assert_eq!(drawn, "f:2:3: certificates[0].key: invalid key; write a port\n1 error\n");
    }

    #[test]
    fn secrets_are_not_drawn() {
        let rows = [
            ("  authorization_value: Basic c2VjcmV0", "  authorization_value: **************"),
            (r#"{"authorization_value": "x", n: 1}"#, r#"{"authorization_value": **********"#),
            ("authorization_value:", "authorization_value:"),
            ("authorization_value: '{vault://env/a}'", "authorization_value: '{vault://env/a}'"),
            ("# authorization_value is a secret", "# authorization_value is a secret"),
            ("introspection_url: 5", "introspection_url: 5"),
        ];
        for (line, wanted) in rows {
            assert_eq!(mask(line, &["authorization_value"]), wanted, "{line}");
        }
    }
}
