//! Writes the reference pages of `docs/` from the tables that the program itself runs on, and checks everything in
//! `docs/` and `packaging/` that can be checked against them. `cargo xtask gen` is the way to call it.
//!
//! A crate of its own and not a part of `xtask`, so that `xtask` builds in a moment, also while the gateway does not.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod dashboard;
mod entities;
mod errors;
mod fields;
mod markdown;
mod metrics;
mod plugins;
mod prose;
mod settings;

use portcullis_introspection::CacheConfig;
use portcullis_plugins::env::{Env, EnvSettings};
use portcullis_plugins::registry::Registry;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::{fs, io};

type Failure = Box<dyn std::error::Error>;

/// A generated file, its path relative to the repository.
struct Page {
    path: String,
    text: String,
}

fn main() -> ExitCode {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("error: `{other}` is no argument; there is --check");
            return ExitCode::from(2);
        }
    };
    match run(check) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            eprintln!("{}", problems.join("\n"));
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the pages, or with `check` only says which of them differ; gives all problems in sentences.
fn run(check: bool) -> Result<Vec<String>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let registry = registry(runtime.handle());
    let settings = settings::Keys::read(&read("examples/portcullis.yaml")?);
    let mut pages = vec![entities::page()?, errors::page()?, metrics::page()?, settings.page()];
    pages.extend(plugins::pages(&registry)?);

    let mut problems = Vec::new();
    for page in &pages {
        let there = fs::read_to_string(root().join(&page.path)).ok();
        if there.as_deref() == Some(&page.text) {
            continue;
        }
        if check {
            problems.push(format!("{}: differs from the tables it is made of; run `cargo xtask gen`", page.path));
        } else {
            fs::write(root().join(&page.path), &page.text)?;
            println!("written: {}", page.path);
        }
    }
    problems.extend(prose::problems(&registry, &settings)?);
    problems.extend(dashboard::problems()?);
    Ok(problems)
}

/// Every plugin of this build. Nothing is called: the runtime is there because plugins are made with a handle to one.
fn registry(runtime: &tokio::runtime::Handle) -> Registry {
    let settings = EnvSettings {
        runtime: runtime.clone(),
        cache: CacheConfig::default(),
        concurrent_calls: None,
        queued_calls: None,
        authorization_servers: Vec::new(),
        body_tokens: true,
        variables: HashMap::new(),
    };
    Registry::new(Arc::new(Env::new(settings)))
}

/// The checkout that `cargo run` was called in. What was compiled in counts only when this is run by hand, since one
/// build directory may serve two checkouts.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).join("../..")
}

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}").into())
}

/// Paths, relative to the repository, of the Markdown files below `docs/`, sorted.
fn documents() -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    walk(&root().join("docs"), "docs", &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, name: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &name, found)?;
        } else if name.ends_with(".md") {
            found.push(name);
        }
    }
    Ok(())
}
