//! No text makes the reader panic, and every problem points into the text.

use crate::catalog::{problems_of, read};
use portcullis_model::problem::{Path, Problems};
use portcullis_model::yaml;
use proptest::prelude::*;

/// Texts that are close to configurations: lines of a good one, cut, mixed and bent.
fn nearly_a_file() -> impl Strategy<Value = String> {
    let lines = [
        "_format_version: '3.0'",
        "services:",
        "- name: a",
        "  host: b.com",
        "  url: http://a:1/x",
        "  port: x",
        "  routes:",
        "  - paths: [/a, ~/b, '*', 1]",
        "    hosts: ['*.a', 'a:b', '[::1]:1']",
        "    headers: {x: ['~*(']}",
        "  plugins: [{name: guard, config: {ttl: -1}}]",
        "plugins: [{name: limit, consumer: {id: x}}, null, 3]",
        "consumers: &c [{username: bob}]",
        "routes: *c",
        "<<: {a: 1}",
        "? [a]",
        "é: \u{1F600}",
        "\t",
        "...",
    ];
    prop::collection::vec((prop::sample::select(lines.to_vec()), 0usize..3), 0..14)
        .prop_map(|lines| lines.iter().map(|(line, indent)| format!("{}{line}\n", " ".repeat(*indent))).collect())
}

fn points_into(text: &str) -> Result<(), TestCaseError> {
    // One line more than the text has: a parser may point at its end.
    let lines = text.split('\n').count() + 1;
    let loaded = read(text);
    for problem in loaded.problems.iter() {
        let place = problem.place.unwrap();
        prop_assert!((1..=lines).contains(&place.line), "{problem}");
        let width = text.split('\n').nth(place.line - 1).unwrap_or_default().chars().count();
        prop_assert!((1..=width + 1).contains(&place.column), "{problem}, line of {width}");
    }
    prop_assert_eq!(loaded.entities.is_none(), loaded.problems.has_errors());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        points_into(&text)?;
    }

    #[test]
    fn nearly_a_file_is_read_or_refused(text in nearly_a_file()) {
        points_into(&text)?;
    }

    #[test]
    fn json_is_yaml(text in "[a-z]{1,9}", number in any::<i64>(), flag in any::<bool>()) {
        let value = serde_json::json!({"a": [text, number, flag, null, {"b": {}}]});
        prop_assert_eq!(yaml::parse(&value.to_string()).unwrap().to_json(), value);
    }
}

#[test]
fn an_empty_file_says_what_it_lacks() {
    assert_eq!(problems_of(""), "1:1: expected a declarative configuration; begin with: _format_version: \"3.0\"\n");
    assert_eq!(problems_of("[]"), "1:1: expected a record; begin with: _format_version: \"3.0\"\n");
}

#[test]
fn problems_found_later_get_their_places_too() {
    let loaded = read("_format_version: '3.0'\nplugins:\n- name: limit\n  config:\n    minute: 5\n");
    let mut found = Problems::new();
    found.error(Path::root().key("minute"), "too few");
    let origin = &loaded.entities.as_ref().unwrap().plugins[0].origin;
    let mut problems = Problems::new();
    problems.extend_below(&Path::parse(origin).key("config"), found);
    let said: Vec<_> = loaded.locate(problems).iter().map(ToString::to_string).collect();
    assert_eq!(said, ["5:13: plugins[0].config.minute: too few"]);
}
