//! Running other programs from the repository's root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;

/// The checkout that this program works on: the one whose `cargo xtask` was called. What was compiled in counts only
/// when it is run by hand, since one build directory may serve two checkouts.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = PathBuf::from(here);
    here.parent().map(Path::to_owned).unwrap_or(here)
}

/// A command in the repository's root.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs a command with its output on the terminal; an error says which command failed.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// Runs a command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let done = command.stderr(Stdio::inherit()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if !done.status.success() {
        return Err(format!("{command:?}: {}", done.status).into());
    }
    Ok(String::from_utf8(done.stdout)?)
}

/// Files of the repository that git knows or would add, relative to the root.
pub(crate) fn tracked() -> Result<Vec<String>, Failure> {
    let listed = output(&mut command("git", &["ls-files", "--cached", "--others", "--exclude-standard", "-z"]))?;
    // A file that was removed but not yet committed is still listed.
    let there = listed.split('\0').filter(|path| !path.is_empty() && root().join(path).exists());
    Ok(there.map(str::to_owned).collect())
}
