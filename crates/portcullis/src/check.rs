//! `portcullis check`: would this file load?

use crate::cli::CheckArgs;
use crate::declarative::{self, Compiled};
use crate::failure::Failure;
use crate::gateway::Plugins;
use crate::problems::{self, Style};
use crate::settings::Settings;
use portcullis_model::print::print_plan;
use std::collections::HashMap;
use std::io::{self, Write};

/// Checks the file. Warnings go to standard error, the plan to standard output; neither is a failure.
pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let text = declarative::read(&args.file)?;
    let name = args.file.display().to_string();
    // Nothing is called: the runtime is there because plugins are made with a handle to one.
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Failure::system("start a runtime"))?;
    let registry = Plugins::new(&Settings::default(), runtime.handle().clone(), HashMap::new()).registry;
    let Compiled { plan, warnings } = declarative::check(&text, &*registry)
        .map_err(|problems| declarative::failure(&name, &text, problems, &*registry))?;
    if !warnings.0.is_empty() {
        let secrets = problems::secret_fields(&*registry);
        let drawn = problems::draw(&name, &text, &warnings, Style::for_stderr(&secrets));
        let _ = io::stderr().lock().write_all(drawn.as_bytes());
    }
    let said = if args.print_plan { print_plan(&plan, &*registry) } else { format!("{name}: ok") };
    // A reader that has seen enough (`| head`) is no failure.
    let _ = writeln!(io::stdout().lock(), "{said}");
    Ok(())
}
