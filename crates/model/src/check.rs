//! One value against one table: every violation, in Kong's words, and the value completed with its defaults.

mod advice;

use crate::problem::{Path, Problem, Problems};
use crate::schema::{Element, ElementKind, Field, Kind, Rule};
use crate::secret;
use advice::advice;
use serde_json::{Map, Value};

/// Message for a member that no field of the table is called after.
pub const UNKNOWN_FIELD: &str = "unknown field";
/// Message for a required field that is absent, or `null`, and has no default.
pub const REQUIRED: &str = "required field missing";
/// Message for a field that must stay empty here.
pub const MUST_BE_NULL: &str = "value must be null";

/// Checks `value` against `fields` and gives it back complete: every field of the table is in it, in the table's
/// order, absent ones as their default or `null`. A field that broke its table is `null` too, so use the result
/// only if nothing was reported. `path` is where `value` stands.
pub fn complete(fields: &[Field], value: &Value, path: &Path, problems: &mut Problems) -> Map<String, Value> {
    let empty = Map::new();
    let given = match value {
        Value::Object(map) => map,
        Value::Null => &empty,
        _ => {
            problems.error_hint(path.clone(), "expected a record", "write a map of its fields");
            return empty;
        }
    };
    for name in given.keys().filter(|name| !fields.iter().any(|f| f.name == **name)) {
        let known = fields.iter().map(|f| f.name);
        problems.error_hint(path.key(name.as_str()), UNKNOWN_FIELD, hint_for_unknown(name, known));
    }
    let completed = fields.iter().map(|field| {
        let value = given.get(field.name).unwrap_or(&Value::Null);
        (field.name.to_owned(), complete_field(field, value, path, problems))
    });
    completed.collect()
}

/// What to write instead of `name`: the nearest of `known`, or all of them.
pub fn hint_for_unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    let distance = |other: &str| strsim::damerau_levenshtein(name, other);
    // A third of the letters may differ: `retires` is `retries`, `foo` is nobody.
    let nearest = known.iter().copied().min_by_key(|other| distance(other));
    if let Some(nearest) = nearest.filter(|other| distance(other) <= name.chars().count().div_ceil(3).min(3)) {
        return format!("did you mean '{nearest}'?");
    }
    known.sort_unstable();
    format!("known here: {}", known.join(", "))
}

fn complete_field(field: &Field, value: &Value, parent: &Path, problems: &mut Problems) -> Value {
    let default = field.default.to_json();
    if value.is_null() {
        if field.required && default.is_null() {
            missing(field, parent, problems);
            return Value::Null;
        }
        return match field.kind {
            // A record that is absent still has the defaults of its fields.
            Kind::Record(fields) if default.is_null() => {
                Value::Object(complete(fields, value, &parent.key(field.name), problems))
            }
            _ => default,
        };
    }
    let path = parent.key(field.name);
    if let Some(why) = field.not_built
        && !means_default(value, &default)
    {
        problems.error_hint(path, why, advice(field));
        return Value::Null;
    }
    let before = problems.0.len();
    let value = complete_kind(field, value, &path, problems);
    // A rule whose message goes on after a semicolon has said it better.
    let bare = |problem: &&mut Problem| problem.hint.is_none() && !problem.message.contains("; ");
    for problem in problems.0[before..].iter_mut().filter(bare) {
        problem.hint = Some(advice(field));
    }
    if let Some(why) = field.ignored
        && problems.0.len() == before
        && !means_default(&value, &default)
    {
        problems.warn(path, why);
    }
    value
}

/// A required record is not missing as a whole: what is missing is its fields.
fn missing(field: &Field, parent: &Path, problems: &mut Problems) {
    match field.kind {
        Kind::Record(fields) => {
            complete(fields, &Value::Null, &parent.key(field.name), problems);
        }
        _ => problems.error_hint(parent.key(field.name), REQUIRED, advice(field)),
    }
}

/// Whether a value asks for nothing beyond the default; an empty list asks for nothing either.
fn means_default(value: &Value, default: &Value) -> bool {
    let empty = |v: &Value| match v {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    value == default || (empty(value) && empty(default))
}

fn complete_kind(field: &Field, value: &Value, path: &Path, problems: &mut Problems) -> Value {
    let rules = field.rules;
    match (field.kind, value) {
        (Kind::String, Value::String(text)) => {
            if secret::is_allowed(field.secret, text, path, problems) {
                apply(rules, value, path, problems);
            }
            value.clone()
        }
        (Kind::Number, Value::Number(_)) | (Kind::Boolean, Value::Bool(_)) => {
            apply(rules, value, path, problems);
            value.clone()
        }
        (Kind::Integer, Value::Number(_)) => integer(rules, value, path, problems),
        (Kind::Array(element), Value::Array(list)) => {
            let list = elements(element, field.secret, list, path, problems);
            checked(rules, Value::Array(list), path, problems)
        }
        (Kind::Set(element), Value::Array(list)) => {
            let list = without_repetition(elements(element, field.secret, list, path, problems));
            checked(rules, Value::Array(list), path, problems)
        }
        (Kind::Map, Value::Object(map)) => {
            for (key, value) in map {
                string(field.secret, value, &path.key(key.as_str()), problems);
            }
            checked(rules, value.clone(), path, problems)
        }
        (Kind::MapOfArrays, Value::Object(map)) => {
            for (key, list) in map {
                let path = path.key(key.as_str());
                match list {
                    Value::Array(list) => drop(elements(Element::STRING, false, list, &path, problems)),
                    _ => problems.error(path, "expected an array"),
                }
            }
            checked(rules, value.clone(), path, problems)
        }
        (Kind::Record(fields), Value::Object(_)) => {
            let record = Value::Object(complete(fields, value, path, problems));
            checked(rules, record, path, problems)
        }
        (Kind::Foreign(_), Value::Object(_)) => checked(rules, value.clone(), path, problems),
        (kind, _) => {
            problems.error(path.clone(), expected(kind));
            Value::Null
        }
    }
}

fn checked(rules: &[Rule], value: Value, path: &Path, problems: &mut Problems) -> Value {
    apply(rules, &value, path, problems);
    value
}

fn integer(rules: &[Rule], value: &Value, path: &Path, problems: &mut Problems) -> Value {
    let whole = match value.as_f64() {
        // As Kong's language sees it, 80.0 is the integer 80.
        Some(n) if !value.is_i64() && !value.is_u64() && n.fract() == 0.0 && n.abs() < 9e15 => Value::from(n as i64),
        _ => value.clone(),
    };
    if !(whole.is_i64() || whole.is_u64()) {
        problems.error(path.clone(), expected(Kind::Integer));
        return Value::Null;
    }
    checked(rules, whole, path, problems)
}

fn string(secret: bool, value: &Value, path: &Path, problems: &mut Problems) -> bool {
    match value {
        Value::String(text) => secret::is_allowed(secret, text, path, problems),
        _ => {
            problems.error(path.clone(), expected(Kind::String));
            false
        }
    }
}

fn elements(element: Element, secret: bool, list: &[Value], path: &Path, problems: &mut Problems) -> Vec<Value> {
    let complete_one = |(i, value): (usize, &Value)| {
        let path = path.index(i);
        match element.kind {
            ElementKind::String => {
                if string(secret, value, &path, problems) {
                    apply(element.rules, value, &path, problems);
                }
                value.clone()
            }
            ElementKind::Integer if value.is_number() => integer(element.rules, value, &path, problems),
            ElementKind::Integer => {
                problems.error(path, expected(Kind::Integer));
                Value::Null
            }
            ElementKind::Record(fields) => {
                let record = Value::Object(complete(fields, value, &path, problems));
                checked(element.rules, record, &path, problems)
            }
        }
    };
    list.iter().enumerate().map(complete_one).collect()
}

/// Sets ignore repetition: the first of equal elements stays.
fn without_repetition(list: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::with_capacity(list.len());
    list.into_iter().filter(|value| seen.insert(value.to_string())).collect()
}

/// The first rule that is broken speaks.
fn apply(rules: &[Rule], value: &Value, path: &Path, problems: &mut Problems) {
    if let Some(message) = rules.iter().find_map(|rule| broken(rule, value)) {
        problems.error(path.clone(), message);
    }
}

fn broken(rule: &Rule, value: &Value) -> Option<String> {
    match rule {
        Rule::OneOf(allowed) => {
            let found = value.as_str().is_some_and(|text| allowed.contains(&text));
            (!found).then(|| format!("expected one of: {}", allowed.join(", ")))
        }
        Rule::Between(low, high) => {
            let inside = value.as_f64().is_some_and(|n| (*low..=*high).contains(&n));
            (!inside).then(|| format!("value should be between {low} and {high}"))
        }
        Rule::MinLength(least) => {
            let length = match value {
                Value::String(text) => text.chars().count(),
                Value::Array(list) => list.len(),
                Value::Object(map) => map.len(),
                _ => return None,
            };
            (length < *least).then(|| format!("length must be at least {least}"))
        }
        Rule::Check(check) => check(value).err(),
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "expected a string",
        Kind::Number => "expected a number",
        Kind::Integer => "expected an integer",
        Kind::Boolean => "expected a boolean",
        Kind::Array(_) => "expected an array",
        Kind::Set(_) => "expected a set",
        Kind::Map | Kind::MapOfArrays => "expected a map",
        Kind::Record(_) | Kind::Foreign(_) => "expected a record",
    }
}

#[cfg(test)]
mod tests;
