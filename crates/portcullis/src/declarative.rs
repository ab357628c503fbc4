//! The declarative file: from bytes on disk to a plan.

use crate::failure::Failure;
use crate::problems::{self, Style};
use portcullis_model::catalog::Catalog;
use portcullis_model::formats::declarative;
use portcullis_model::lower::lower;
use portcullis_model::plan::Plan;
use portcullis_model::problem::Problems;
use portcullis_model::yaml;
use std::path::Path;

/// What a text means.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub plan: Plan,
    /// What deserves a word although it loads.
    pub warnings: Problems,
}

/// Reads the file's text.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(Failure::unreadable(path))
}

/// Compiles a text; on errors gives every problem, warnings included.
pub(crate) fn compile(text: &str, catalog: &dyn Catalog) -> Result<Compiled, Problems> {
    let loaded = declarative::read(text, catalog);
    match loaded.entities {
        Some(entities) if !loaded.problems.has_errors() => {
            Ok(Compiled { plan: lower(&entities, catalog), warnings: loaded.problems })
        }
        _ => Err(loaded.problems),
    }
}

/// The problems of a text as what a command ends with.
pub(crate) fn failure(name: &str, text: &str, problems: Problems, catalog: &dyn Catalog) -> Failure {
    let problems = located(problems, text);
    let secrets = problems::secret_fields(catalog);
    Failure::Problems(problems::draw(name, text, &problems, Style::for_stderr(&secrets)))
}

/// Adds places to problems that have none: those that show only when plugins are built.
pub(crate) fn located(mut problems: Problems, text: &str) -> Problems {
    if problems.iter().any(|problem| problem.place.is_none())
        && let Ok(node) = yaml::parse(text)
    {
        for problem in problems.0.iter_mut().filter(|problem| problem.place.is_none()) {
            problem.place = Some(node.place(&problem.path));
        }
    }
    problems
}
