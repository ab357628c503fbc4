//! `cargo xtask fuzz`: the targets of the `fuzz` folder, each for a while, from their committed corpora.
//!
//! Finds of a run stay where cargo-fuzz puts them, `fuzz/artifacts`; what it learns goes into the user's cache folder,
//! so that a run leaves the committed corpora alone.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::program::{command, output, root, run as run_program};
use crate::{Failure, install};

/// The compiler that cargo-fuzz needs.
const TOOLCHAIN: &str = "nightly";

#[derive(Args)]
pub(crate) struct Options {
    /// A short run of every target: 60 s each unless `--seconds` says otherwise.
    #[arg(long)]
    smoke: bool,
    /// For how long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// These targets alone, such as `answer_json`.
    #[arg(value_name = "TARGET", required_unless_present = "smoke")]
    targets: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let all = targets()?;
    if let Some(unknown) = options.targets.iter().find(|target| !all.contains(target)) {
        return Err(format!("there is no fuzz target `{unknown}`; there are: {}", all.join(", ")).into());
    }
    let fuzzer = fuzzer()?;
    let mut found = Vec::new();
    for target in all.iter().filter(|target| options.smoke || options.targets.contains(target)) {
        println!("==> {target}, {} s", options.seconds);
        if let Err(failure) = run_target(&fuzzer, target, options.seconds) {
            println!("{failure}");
            found.push(target.as_str());
        }
    }
    if found.is_empty() { Ok(()) } else { Err(format!("failed: {}; see fuzz/artifacts", found.join(", ")).into()) }
}

/// Every target is a file and a folder of seeds; a target without seeds would start from nothing each time.
fn targets() -> Result<Vec<String>, Failure> {
    let fuzz = root().join("fuzz");
    let mut targets = Vec::new();
    for entry in fs::read_dir(fuzz.join("fuzz_targets"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !fuzz.join("corpus").join(&name).is_dir() {
            return Err(format!("the fuzz target `{name}` has no seeds: put some into fuzz/corpus/{name}").into());
        }
        targets.push(name);
    }
    targets.sort();
    Ok(targets)
}

fn run_target(fuzzer: &PathBuf, target: &str, seconds: u32) -> Result<(), Failure> {
    // The fuzzer writes into its first corpus and only reads the others.
    let learned = install::cache()?.join("fuzz").join(target);
    fs::create_dir_all(&learned)?;
    let seeds = root().join("fuzz/corpus").join(target);
    let mut fuzz = Command::new(fuzzer);
    fuzz.current_dir(root()).env("RUSTUP_TOOLCHAIN", TOOLCHAIN).args(["fuzz", "run", target]).args([learned, seeds]);
    // No input of ours may take a second, or half a gigabyte.
    fuzz.args(["--", "-timeout=5", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1"]);
    run_program(fuzz.arg(format!("-max_total_time={seconds}")))
}

/// The cargo-fuzz program, installed into the user's cache folder if it is missing.
fn fuzzer() -> Result<PathBuf, Failure> {
    let toolchain = output(&mut command("rustup", &["run", TOOLCHAIN, "rustc", "--version"]));
    toolchain.map_err(|_| format!("fuzzing needs the {TOOLCHAIN} compiler: rustup toolchain install {TOOLCHAIN}"))?;
    let folder = install::cache()?.join("cargo-fuzz");
    let program = folder.join("bin/cargo-fuzz");
    if !program.is_file() {
        println!("installing cargo-fuzz");
        let mut install = command("cargo", &["install", "cargo-fuzz", "--locked", "--quiet", "--root"]);
        run_program(install.arg(&folder))
            .map_err(|failure| format!("fuzzing needs cargo-fuzz, which cannot be installed here ({failure})"))?;
    }
    Ok(program)
}
