//! The Grafana dashboard asks for series that exist.

use crate::{Failure, metrics, read};
use serde_json::Value;

const DASHBOARD: &str = "packaging/grafana/portcullis.json";

pub(crate) fn problems() -> Result<Vec<String>, Failure> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)?)?;
    let mut asked = Vec::new();
    names(&dashboard, &mut asked);
    let there = metrics::series();
    let unknown = asked.iter().filter(|name| !there.contains(name));
    let mut problems: Vec<String> =
        unknown.map(|name| format!("{DASHBOARD}: asks for `{name}`, which no gateway writes")).collect();
    if asked.is_empty() {
        problems.push(format!("{DASHBOARD}: asks for nothing"));
    }
    problems.dedup();
    Ok(problems)
}

/// Every `portcullis_…` word in every `expr` and `query`.
fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if matches!(name.as_str(), "expr" | "query") => found.extend(words(text)),
                    _ => names(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("portcullis_")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn names_are_found_in_queries_alone() {
        let mut found = Vec::new();
        let dashboard = serde_json::json!({"title": "portcullis_x", "panels": [{"targets": [
            {"expr": "rate(portcullis_a_total[5m]) / sum by (route) (portcullis_b)"}
        ]}]});
        names(&dashboard, &mut found);
        assert_eq!(found, ["portcullis_a_total", "portcullis_b"]);
    }
}
