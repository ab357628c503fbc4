//! What to write instead: the second half of every problem, from the field's own table.

use crate::schema::{Field, Kind, Rule};
use serde_json::Value;

/// Advice for a field that broke its table.
pub(super) fn advice(field: &Field) -> String {
    let wanted = if field.not_built.is_some() {
        return format!("leave {} out", field.name);
    } else if !field.example.is_empty() {
        format!("write for example {}: {}", field.name, field.example)
    } else {
        format!("write {}", shape(field))
    };
    match field.default.to_json() {
        Value::Null if field.required => wanted,
        Value::Null => format!("{wanted}, or leave it out"),
        default => format!("{wanted}, or leave it out for {default}"),
    }
}

fn shape(field: &Field) -> String {
    let range = field.rules.iter().find_map(|rule| match rule {
        Rule::Between(low, high) => Some(format!(" from {low} to {high}")),
        Rule::OneOf(allowed) => Some(format!(" out of {}", allowed.join(", "))),
        _ => None,
    });
    let noun = match field.kind {
        Kind::String => "a text",
        Kind::Number => "a number",
        Kind::Integer => "an integer",
        Kind::Boolean => "true or false",
        Kind::Array(_) | Kind::Set(_) => "a list",
        Kind::Map | Kind::MapOfArrays => "a map of names to values",
        Kind::Record(_) => "a map of its fields",
        Kind::Foreign(_) => "the id or the name of one that exists",
    };
    format!("{noun}{}", range.unwrap_or_default())
}
