//! A challenge as it is written, read again by the grammar: each parameter once, and nothing that was not meant.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_introspection::bearer::Challenge;

fuzz_target!(|texts: (Option<&str>, Option<&str>, Option<&str>, Option<&str>, Option<&str>)| {
    let (realm, scope, error, error_description, error_uri) = texts;
    let value = Challenge { realm, error, error_description, error_uri, scope }.to_value();
    let text = value.to_str().expect("a challenge is visible ASCII");
    let meant = [
        ("realm", realm),
        ("scope", scope),
        ("error", error),
        ("error_description", error_description),
        ("error_uri", error_uri),
    ];
    let meant: Vec<_> =
        meant.into_iter().filter_map(|(name, value)| Some((name.to_owned(), allowed(value?)))).collect();
    assert_eq!(read(text), meant, "{text}");
});

/// What of a value RFC 6750 section 3 lets stand between quotes.
fn allowed(value: &str) -> String {
    value.chars().filter(|c| (' '..='~').contains(c) && !['"', '\\'].contains(c)).collect()
}

/// Reads `Bearer name="value", ...`, and panics at whatever is not that.
fn read(text: &str) -> Vec<(String, String)> {
    let mut rest = text.strip_prefix("Bearer").expect("the scheme");
    let mut parameters = Vec::new();
    let mut separator = " ";
    while !rest.is_empty() {
        rest = rest.strip_prefix(separator).expect("a separator");
        let (name, after) = rest.split_once("=\"").expect("a name");
        let (value, after) = after.split_once('"').expect("a closing quote");
        parameters.push((name.to_owned(), value.to_owned()));
        rest = after;
        separator = ", ";
    }
    parameters
}
