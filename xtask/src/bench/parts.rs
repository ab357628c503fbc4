//! `cargo xtask bench parts`: user instructions of the parts of a request with a cached token, each for itself.
//!
//! The parts are functions of `bench/instructions`, run by gungraun under callgrind. They say which part became slower
//! where `instructions`, over the whole gateway, says that something did. Figures of valgrind compare with themselves
//! alone, and to a few percent across machines and compilers: the libraries below choose their code by processor.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;
use serde_json::Value;

use crate::Failure;
use crate::install;
use crate::program::{command, output, root, run as run_program};

const BASELINE: &str = "bench/baseline-parts.json";
const FOLDER: &str = "bench/instructions";
/// The harness and its runner have to be of one version.
const HARNESS: &str = "0.20.0";
/// In percent; below it lies what another compiler or another processor changes.
const TOLERATED: u64 = 10;

#[derive(Args)]
pub(crate) struct Options {
    /// Keep the figures as the new baseline
    #[arg(long)]
    write: bool,
}

/// Instructions by part.
type Figures = BTreeMap<String, u64>;

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let figures = count(&equipment(true)?)?;
    let slower = compare(&figures, &baseline())?;
    if options.write {
        fs::write(root().join(BASELINE), serde_json::to_string_pretty(&figures)? + "\n")?;
        println!("written to {BASELINE}");
        return Ok(());
    }
    verdict(&slower)
}

/// What the tests run. `Err` is why they cannot; inside it what a run has found. They install nothing for it: building
/// the runner takes longer than all of them.
pub(crate) fn check() -> Result<Result<(), Failure>, Failure> {
    let equipment = equipment(false)?;
    Ok(count(&equipment).and_then(|figures| verdict(&compare(&figures, &baseline())?)))
}

fn verdict(slower: &[String]) -> Result<(), Failure> {
    if slower.is_empty() {
        return Ok(());
    }
    let slower = slower.join(", ");
    Err(format!(
        "more than {TOLERATED} % above the baseline: {slower}; if it is worth it: cargo xtask bench parts --write"
    )
    .into())
}

/// Prints each part beside its baseline, and gives those that are far above it.
fn compare(figures: &Figures, baseline: &Figures) -> Result<Vec<String>, Failure> {
    if figures.is_empty() {
        return Err("nothing was counted".into());
    }
    let mut slower = Vec::new();
    for (part, now) in figures {
        let Some(before) = baseline.get(part).filter(|before| **before > 0) else {
            println!("{part}: {} instructions, no baseline", grouped(*now));
            continue;
        };
        let change = (*now as f64 / *before as f64 - 1.0) * 100.0;
        println!("{part}: {} instructions, baseline {}, {change:+.1} %", grouped(*now), grouped(*before));
        if now * 100 > before * (100 + TOLERATED) {
            slower.push(part.clone());
        }
    }
    Ok(slower)
}

fn baseline() -> Figures {
    let text = fs::read_to_string(root().join(BASELINE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// 54321 as 54,321.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// What counting needs and may not be there.
struct Equipment {
    /// The folder of the harness's runner.
    runner: PathBuf,
    /// Where the benches are built.
    target: PathBuf,
}

/// With `install`, gets what is missing: valgrind where permitted, the runner into the user's cache folder, the harness.
fn equipment(install: bool) -> Result<Equipment, Failure> {
    let folder = install::cache()?.join(format!("gungraun-{HARNESS}"));
    let there = folder.join("bin/gungraun-runner").is_file();
    if !there && !install {
        return Err("the runner of gungraun is not installed; `cargo xtask bench parts` installs it".into());
    }
    install::program("valgrind", &["valgrind"])?;
    if !there {
        println!("installing gungraun-runner");
        let args = ["install", "gungraun-runner", "--version", HARNESS, "--locked", "--quiet", "--root"];
        run_program(command("cargo", &args).arg(&folder))
            .map_err(|failure| format!("gungraun-runner cannot be installed here ({failure})"))?;
    }
    let target = target()?.join("instructions");
    same_dependencies(&target)?;
    let mut fetch = command("cargo", &["fetch", "--quiet", "--target", "host-tuple", "--manifest-path"]);
    run_program(fetch.arg(manifest())).map_err(|failure| format!("gungraun cannot be had here ({failure})"))?;
    Ok(Equipment { runner: folder.join("bin"), target })
}

fn count(equipment: &Equipment) -> Result<Figures, Failure> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let paths = env::join_paths([equipment.runner.clone()].into_iter().chain(env::split_paths(&paths)))?;
    let mut bench = command("cargo", &["bench", "--quiet", "--manifest-path"]);
    bench.arg(manifest()).arg("--target-dir").arg(&equipment.target).stdin(Stdio::null());
    bench.env("PATH", paths).env("GUNGRAUN_HOME", equipment.target.join("gungraun"));
    let said = output(bench.args(["--", "--output-format=json", "--nosummary"]))?;
    let mut figures = Figures::new();
    for line in said.lines().filter(|line| line.starts_with('{')) {
        let (part, instructions) = read(&serde_json::from_str(line)?).ok_or("a figure is missing")?;
        figures.insert(part, instructions);
    }
    Ok(figures)
}

fn manifest() -> PathBuf {
    root().join(FOLDER).join("Cargo.toml")
}

/// Where this workspace is built.
fn target() -> Result<PathBuf, Failure> {
    let metadata = output(&mut command("cargo", &["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    Ok(metadata["target_directory"].as_str().ok_or("cargo names no target directory")?.into())
}

/// Starts the lock file of the benches from the workspace's whenever that is another one: cargo adds the harness to it
/// and takes nothing else.
fn same_dependencies(target: &Path) -> Result<(), Failure> {
    let (ours, theirs, started_from) =
        (root().join("Cargo.lock"), root().join(FOLDER).join("Cargo.lock"), target.join("workspace.lock"));
    let now = fs::read(ours)?;
    if !theirs.is_file() || fs::read(&started_from).ok().as_ref() != Some(&now) {
        fs::create_dir_all(target)?;
        fs::write(theirs, &now)?;
        fs::write(started_from, &now)?;
    }
    Ok(())
}

/// One benchmark of the harness's output: its name, and the instructions of this run.
fn read(summary: &Value) -> Option<(String, u64)> {
    let part = summary["function_name"].as_str()?;
    let instructions = &summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"];
    Some((part.to_owned(), instructions.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_compared_by_part() {
        let of = |parts: &[(&str, u64)]| parts.iter().map(|(part, count)| ((*part).to_owned(), *count)).collect();
        let baseline: Figures = of(&[("a", 1_000), ("b", 1_000), ("gone", 1)]);
        let now: Figures = of(&[("a", 1_100), ("b", 1_101), ("new", 5)]);
        assert_eq!(compare(&now, &baseline).unwrap(), ["b"]);
        assert!(compare(&Figures::new(), &baseline).is_err());
        assert_eq!(
            (grouped(54), grouped(4_812), grouped(1_234_567)),
            ("54".into(), "4,812".into(), "1,234,567".into())
        );
    }
}
