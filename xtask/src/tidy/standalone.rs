//! The library that is published on its own knows no gateway: none of a gateway's words stands in it.

use std::fs;

use crate::Failure;
use crate::program::{root, tracked};

/// Where the library lives.
const FOLDER: &str = "crates/introspection/";

/// Words that a resource server's library has no use for, in the singular.
const WORDS: &[&str] = &["kong", "oathkeeper", "apisix", "consumer", "upstream", "plugin", "dialect", "openresty"];

/// The same, but examples are services, which have routes. (A router is what frameworks call theirs.)
const OUTSIDE_EXAMPLES: &[&str] = &["route", "routes"];

/// Words that say what the crate is part of.
const OWN_NAME: &[&str] = &["portcullis-introspection", "portcullis_introspection"];

pub(super) fn words() -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for path in tracked()?.into_iter().filter(|path| path.starts_with(FOLDER) && is_public(path)) {
        let text = fs::read_to_string(root().join(&path))?;
        let example = path.contains("/examples/");
        for (index, line) in text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate() {
            if let Some(word) = gateway_word(line, example) {
                problems.push(format!("{path}:{}: `{word}` is a gateway's word", index + 1));
            }
        }
    }
    Ok(problems)
}

/// Whether a file is published and holds no tests alone.
fn is_public(path: &str) -> bool {
    let text = [".rs", ".md", ".toml"].iter().any(|ending| path.ends_with(ending));
    text && !path.contains("/tests/") && !path.ends_with("/tests.rs")
}

/// The first word of a line that the library must not know.
fn gateway_word(line: &str, example: bool) -> Option<String> {
    let line = OWN_NAME.iter().fold(line.to_ascii_lowercase(), |line, name| line.replace(name, ""));
    // Code in documentation is an example too.
    let example = example || line.trim_start().starts_with("//! ") && line.contains("::");
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let hit = words.find(|word| {
        let singular = word.strip_suffix('s').unwrap_or(word);
        WORDS.contains(&singular) || (!example && OUTSIDE_EXAMPLES.contains(word))
    });
    hit.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::gateway_word;

    #[test]
    fn words_of_gateways_are_found() {
        for (line, example, expected) in [
            ("/// The consumer of a token.", false, Some("consumer")),
            ("let x = upstreams.len();", true, Some("upstreams")),
            ("/// The ttl of the route.", false, Some("route")),
            (".route(\"/notes\", get(notes))", true, None),
            ("//!     .route(\"/a\", axum::routing::get(a))", false, None),
            ("use portcullis_introspection::Answer;", false, None),
            ("reroute the consumption", false, None),
        ] {
            assert_eq!(gateway_word(line, example).as_deref(), expected, "{line}");
        }
    }
}
