//! What people wrote in `docs/`: its configurations load, its links lead somewhere, every page is in the summary, and
//! every reason of an outage is explained.

use crate::markdown::{Block, GENERATED, blocks, links};
use crate::settings::Keys;
use crate::{Failure, documents, read, root};
use portcullis_model::formats::declarative;
use portcullis_model::lower::lower;
use portcullis_model::problem::Problem;
use portcullis_model::yaml;
use portcullis_plugins::reason::{Blame, TABLE};
use portcullis_plugins::registry::Registry;
use serde_json::Value;
use std::path::Path;

pub(crate) fn problems(registry: &Registry, settings: &Keys) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    let summary = read("docs/SUMMARY.md")?;
    for path in documents()? {
        let text = read(&path)?;
        // What a generated page shows, its written part shows too, at the line where it can be mended.
        for block in blocks(&text).iter().filter(|_| !text.starts_with(GENERATED)) {
            for (line, problem) in block_problems(block, registry, settings) {
                problems.push(format!("{path}:{}: {problem}", block.line + line - 1));
            }
        }
        let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
        for link in links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or_default();
            if !root().join(folder).join(file).exists() {
                problems.push(format!("{path}: the link to {file} leads nowhere"));
            }
        }
        let name = path.trim_start_matches("docs/");
        if name != "SUMMARY.md" && !name.ends_with(".prose.md") && !links(&summary).contains(&name) {
            problems.push(format!("{path}: is not in docs/SUMMARY.md"));
        }
    }
    let operations = read("docs/operations.md")?;
    for row in TABLE.iter().filter(|row| row.blame == Blame::AuthorizationServer) {
        if !operations.contains(&format!("`{}`", row.code)) {
            problems.push(format!("docs/operations.md: does not say what to do about `{}`", row.code));
        }
    }
    Ok(problems)
}

/// Every YAML in `docs/` says what it is, and is it. Problems have their line in the block, counted from 1.
fn block_problems(block: &Block<'_>, registry: &Registry, settings: &Keys) -> Vec<(usize, String)> {
    match block.info {
        "yaml declarative" => {
            let loaded = declarative::read(&block.text, registry);
            if let Some(entities) = loaded.entities.as_ref().filter(|_| !loaded.problems.has_errors()) {
                // What loads must also compile; a plan that does not is a panic.
                lower(entities, registry);
            }
            loaded.problems.iter().map(placed).collect()
        }
        "yaml settings" => match yaml::parse(&block.text) {
            Ok(node) => unknown_keys(&node.to_json(), "", settings).into_iter().map(|problem| (1, problem)).collect(),
            Err(problem) => vec![placed(&problem)],
        },
        info if info.starts_with("yaml") => {
            vec![(1, "write `yaml declarative` or `yaml settings`, so that it can be checked".to_owned())]
        }
        _ => Vec::new(),
    }
}

fn placed(problem: &Problem) -> (usize, String) {
    let line = problem.place.map_or(1, |place| place.line);
    (line, Problem { place: None, ..problem.clone() }.to_string())
}

fn unknown_keys(value: &Value, path: &str, settings: &Keys) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if settings.knows(&path) {
                    unknown_keys(value, &path, settings)
                } else {
                    vec![format!("there is no setting `{path}`")]
                }
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(|value| unknown_keys(value, path, settings)).collect(),
        _ => Vec::new(),
    }
}
