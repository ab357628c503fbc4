//! The declarative file: from bytes on disk to a plan.

use crate::failure::Failure;
use crate::problems::{self, Style};
use portcullis_model::catalog::Catalog;
use portcullis_model::entities::Entities;
use portcullis_model::formats::declarative;
use portcullis_model::lower::lower;
use portcullis_model::moment;
use portcullis_model::plan::Plan;
use portcullis_model::problem::Problems;
use portcullis_model::yaml;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

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

/// Compiles a text to run it; on errors gives every problem, warnings included. References to secrets are resolved.
pub(crate) fn compile(text: &str, catalog: &dyn Catalog) -> Result<Compiled, Problems> {
    compile_after(text, catalog, |entities| moment::resolve(entities, |name| std::env::var(name).ok()))
}

/// Compiles a text to see whether it is right, perhaps on another machine than the one that will run it: references
/// to secrets stay.
pub(crate) fn check(text: &str, catalog: &dyn Catalog) -> Result<Compiled, Problems> {
    compile_after(text, catalog, |_| Problems::new())
}

fn compile_after(
    text: &str,
    catalog: &dyn Catalog,
    resolve: impl FnOnce(&mut Entities) -> Problems,
) -> Result<Compiled, Problems> {
    let mut loaded = declarative::read(text, catalog);
    let mut warnings = std::mem::take(&mut loaded.problems);
    let Some(mut entities) = loaded.entities.take() else { return Err(warnings) };
    let mut found = resolve(&mut entities);
    found.extend(moment::dates(&entities, now()));
    warnings.extend(loaded.locate(found));
    if warnings.has_errors() { Err(warnings) } else { Ok(Compiled { plan: lower(&entities, catalog), warnings }) }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{Gateway, Plugins};
    use crate::settings::Settings;
    use std::collections::HashMap;
    use std::net::SocketAddr;
    use tokio::runtime::Handle;

    /// The configuration that the README shows: at most 15 lines, no warning, and it loads.
    #[tokio::test]
    async fn the_example_loads() {
        let text = include_str!("../../../examples/declarative.yaml");
        assert!(text.lines().count() <= 15);
        let settings =
            Settings { proxy_listen: vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()], ..Settings::default() };
        let variables = HashMap::from([("INTROSPECTION_AUTHORIZATION".to_owned(), "Basic eDp5".to_owned())]);
        let gateway =
            Gateway::start(&settings, Plugins::new(&settings, Handle::current(), variables), "--proxy-listen").unwrap();
        let Compiled { plan, warnings } = compile(text, gateway.catalog()).unwrap();
        assert_eq!(warnings, Problems::new());
        assert_eq!(&*plan.endpoints[0].route.steps[0].plugin, "oauth2-introspection");
        assert_eq!(gateway.load(plan).unwrap().revision, 1);
    }

    /// What shows only when plugins are built is drawn at its line too.
    #[tokio::test]
    async fn problems_of_building_have_places() {
        let text = include_str!("../../../examples/declarative.yaml");
        let settings =
            Settings { proxy_listen: vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()], ..Settings::default() };
        let plugins = Plugins::new(&settings, Handle::current(), HashMap::new());
        let gateway = Gateway::start(&settings, plugins, "--proxy-listen").unwrap();
        let problems = gateway.load(compile(text, gateway.catalog()).unwrap().plan).unwrap_err();
        let lines = problems::lines("kong.yaml", &located(problems, text));
        let path = "services[0].plugins[0].config.authorization_value: ";
        assert!(lines.len() == 1 && lines[0].starts_with(&format!("kong.yaml:12:28: {path}")), "{lines:?}");
    }
}
