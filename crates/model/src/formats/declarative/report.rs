//! Problems as an operator wants to read them: with places, in the order of the text, and not one by one where a
//! thousand entities share a warning.

use crate::check::UNKNOWN_FIELD;
use crate::problem::{Path, Problem, Problems, Segment, Severity};
use crate::yaml::Node;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Adds places, sorts by them, and folds equal warnings into the first of them.
pub(super) fn finish(problems: Problems, document: &Node) -> Problems {
    let mut all = problems.0;
    for problem in &mut all {
        problem.place = Some(match problem.message == UNKNOWN_FIELD {
            true => document.key_place(&problem.path),
            false => document.place(&problem.path),
        });
    }
    all.sort_by_key(|problem| problem.place);
    Problems(fold_warnings(all))
}

fn fold_warnings(all: Vec<Problem>) -> Vec<Problem> {
    let mut first: HashMap<(String, String), usize> = HashMap::new();
    let mut repeated: HashMap<usize, usize> = HashMap::new();
    let mut kept: Vec<Problem> = Vec::with_capacity(all.len());
    for problem in all {
        if problem.severity == Severity::Warning {
            match first.entry((problem.message.clone(), without_indexes(&problem.path))) {
                Entry::Occupied(same) => {
                    *repeated.entry(*same.get()).or_default() += 1;
                    continue;
                }
                Entry::Vacant(new) => drop(new.insert(kept.len())),
            }
        }
        kept.push(problem);
    }
    for (position, count) in repeated {
        let places = if count == 1 { "1 other place".to_owned() } else { format!("{count} other places") };
        if let Some(problem) = kept.get_mut(position) {
            problem.message.push_str(&format!(" (and in {places})"));
        }
    }
    kept
}

fn without_indexes(path: &Path) -> String {
    let keys = path.0.iter().filter_map(|segment| match segment {
        Segment::Key(key) => Some(key.as_str()),
        Segment::Index(_) => None,
    });
    keys.collect::<Vec<_>>().join(".")
}
