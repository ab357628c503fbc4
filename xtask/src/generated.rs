//! `cargo xtask gen`: pages that are made from tables. The crate `portcullis-reference` makes them, since it must be
//! built with the gateway, which this program must not need.

use crate::Failure;
use crate::program::{command, run as run_program};

/// Writes the pages; with `check` only says which of them differ, and what is wrong in those that people wrote.
pub(crate) fn run(check: bool) -> Result<(), Failure> {
    let mut reference = command("cargo", &["run", "--quiet", "--package", "portcullis-reference"]);
    if check {
        reference.args(["--", "--check"]);
    }
    run_program(&mut reference)
}
