//! `cargo xtask features`: the published library with each set of its features, as others build it, and its package.

use crate::Failure;
use crate::program::{command, run as run_program};

const PACKAGE: &str = "portcullis-introspection";

/// Without its own tests, whose dependencies would switch features on.
const SETS: &[&[&str]] = &[&["--no-default-features"], &["--features", "tower"], &["--all-features"]];

/// How far a package is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Package {
    /// It is made. From what earlier builds have fetched, so that this needs no network.
    Made,
    /// It is built too, outside the workspace. That shares no build with anything else: minutes, the first time.
    Built,
}

pub(crate) fn run(package: Package) -> Result<(), Failure> {
    for set in SETS {
        println!("==> {}", set.join(" "));
        let mut clippy = command("cargo", &["clippy", "--package", PACKAGE, "--lib"]);
        run_program(clippy.args(*set).args(["--", "-D", "warnings"]))?;
    }
    println!("==> documentation");
    let mut doc = command("cargo", &["doc", "--package", PACKAGE, "--no-deps", "--all-features"]);
    run_program(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    println!("==> package");
    let mut made = command("cargo", &["package", "--package", PACKAGE, "--allow-dirty"]);
    if package == Package::Made {
        made.args(["--no-verify", "--offline"]);
    }
    run_program(&mut made)
}
