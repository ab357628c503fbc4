//! `cargo xtask tidy`: rules about the repository that the compiler does not hold. Each rule returns its problems in
//! sentences, and all of them are shown at once.

mod dependencies;
mod files;
mod standalone;

use crate::Failure;

pub(crate) fn run() -> Result<(), Failure> {
    let problems = problems()?;
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("the tidy rules are broken:\n{}", problems.join("\n")).into())
}

pub(crate) fn problems() -> Result<Vec<String>, Failure> {
    let mut problems = dependencies::arrows()?;
    problems.extend(dependencies::licences_and_bans()?);
    problems.extend(files::sizes()?);
    problems.extend(files::places()?);
    problems.extend(standalone::words()?);
    Ok(problems)
}
