//! `cargo xtask features`: the published library with each set of its features, as others build it, and its package.

use crate::Failure;
use crate::program::{command, run as run_program};

const PACKAGE: &str = "portcullis-introspection";

/// Without its own tests, whose dependencies would switch features on.
const SETS: &[&[&str]] = &[&["--no-default-features"], &["--features", "tower"], &["--all-features"]];

pub(crate) fn run() -> Result<(), Failure> {
    for set in SETS {
        println!("==> {}", set.join(" "));
        let mut clippy = command("cargo", &["clippy", "--package", PACKAGE, "--lib"]);
        run_program(clippy.args(*set).args(["--", "-D", "warnings"]))?;
    }
    println!("==> documentation");
    let mut doc = command("cargo", &["doc", "--package", PACKAGE, "--no-deps", "--all-features"]);
    run_program(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    println!("==> package");
    run_program(&mut command("cargo", &["package", "--package", PACKAGE, "--allow-dirty"]))
}
