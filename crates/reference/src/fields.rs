//! The fields of a table, one by one: what a plugin's page and the page of entities are made of.

use crate::markdown::code;
use portcullis_model::schema::{Element, ElementKind, Field, Kind, Rule};

/// One heading per field, those of records after their record.
pub(crate) fn section<'f>(fields: impl IntoIterator<Item = &'f Field>, path: &str) -> String {
    let mut text = String::new();
    for field in fields {
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        text += &format!("\n### `{path}`\n\n{}\n", facts(field));
        for sentence in [Some(field.says), field.not_built, field.ignored].into_iter().flatten() {
            if !sentence.is_empty() {
                text += &format!("\n{sentence}\n");
            }
        }
        if !field.example.is_empty() {
            text += &format!("\nExample: {}\n", code(&format!("{}: {}", field.name, field.example)));
        }
        text += &section(below(field), &path);
    }
    text
}

/// Type, requirement, default, rules and marks, in one line.
fn facts(field: &Field) -> String {
    let mut facts = vec![kind(field.kind)];
    let default = field.default.to_json();
    match (field.required, default.is_null()) {
        (true, true) => facts.push("**required**".into()),
        (_, false) => facts.push(format!("default {}", code(&default.to_string()))),
        (false, true) => {}
    }
    facts.extend(field.rules.iter().filter_map(rule));
    if field.secret {
        facts.push("secret: never logged, and `{vault://env/NAME}` takes it from the environment".into());
    }
    if field.not_built.is_some() {
        facts.push("**not built**: any value but the default is refused".into());
    }
    if field.ignored.is_some() {
        facts.push("accepted without effect, with a warning".into());
    }
    facts.join(" · ")
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::String => "string".into(),
        Kind::Number => "number".into(),
        Kind::Integer => "integer".into(),
        Kind::Boolean => "boolean".into(),
        Kind::Array(element) => format!("list of {}", elements(element)),
        Kind::Set(element) => format!("set of {}", elements(element)),
        Kind::Map => "map of string to string".into(),
        Kind::MapOfArrays => "map of string to list of strings".into(),
        Kind::Record(_) => "record".into(),
        Kind::Foreign(entity) => format!("reference to one of `{entity}`"),
    }
}

fn elements(element: Element) -> &'static str {
    match element.kind {
        ElementKind::String => "strings",
        ElementKind::Integer => "integers",
        ElementKind::Record(_) => "records",
    }
}

/// What can be said of a rule; for one that is a function, the field's sentence says it.
fn rule(rule: &Rule) -> Option<String> {
    match rule {
        Rule::OneOf(values) => {
            Some(format!("one of {}", values.iter().map(|value| code(value)).collect::<Vec<_>>().join(", ")))
        }
        Rule::Between(low, high) => Some(format!("{low} to {high}")),
        Rule::MinLength(length) => Some(format!("length at least {length}")),
        Rule::Check(_) => None,
    }
}

fn below(field: &Field) -> &'static [Field] {
    match field.kind {
        Kind::Record(fields) => fields,
        Kind::Array(Element { kind: ElementKind::Record(fields), .. })
        | Kind::Set(Element { kind: ElementKind::Record(fields), .. }) => fields,
        _ => &[],
    }
}
