//! Getting what a ring or a bench needs: system packages through apt-get where permitted, npm packages into the user's
//! cache folder, keyed by their lock file. Nothing is written into the checkout.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::Failure;
use crate::program::{command, output, root, run};

/// Makes sure that `program` can be started, installing `packages` if it is missing and this user may.
pub(crate) fn program(program: &str, packages: &[&str]) -> Result<(), Failure> {
    if there(program) {
        return Ok(());
    }
    if output(&mut command("id", &["-u"]))?.trim() != "0" || !there("apt-get") {
        return Err(format!("{program} is missing and may not be installed here ({})", packages.join(" ")).into());
    }
    println!("installing {}", packages.join(" "));
    run(command("apt-get", &["update", "-qq"]).stdout(Stdio::null()))?;
    let mut install = command("apt-get", &["install", "-qq", "-y", "--no-install-recommends"]);
    run(install.args(packages).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()))?;
    if there(program) { Ok(()) } else { Err(format!("{program} is missing after {}", packages.join(" ")).into()) }
}

/// Installs the npm packages that `folder` locks and returns the folder that holds `node_modules`.
pub(crate) fn npm(folder: &Path) -> Result<PathBuf, Failure> {
    program("node", &["nodejs", "npm"])?;
    program("npm", &["npm"])?;
    let mut hasher = DefaultHasher::new();
    fs::read(folder.join("package-lock.json"))?.hash(&mut hasher);
    let name = folder.file_name().unwrap_or_default();
    let cache = cache()?.join(name).join(format!("{:016x}", hasher.finish()));
    if cache.is_dir() {
        return Ok(cache);
    }
    // Built beside its place and renamed, so that an interrupted installation is never taken for a whole one.
    let fresh = cache.with_extension(format!("new-{}", std::process::id()));
    fs::create_dir_all(&fresh)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(folder.join(file), fresh.join(file))?;
    }
    let args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    let installed = run(command("npm", &args).current_dir(&fresh));
    if let Err(failure) = installed.and_then(|()| Ok(fs::rename(&fresh, &cache)?)) {
        fs::remove_dir_all(&fresh)?;
        // Another run may have been quicker.
        return if cache.is_dir() { Ok(cache) } else { Err(failure) };
    }
    Ok(cache)
}

/// Builds h2spec, whose versions a module of our own locks (`xtask/h2spec`), and returns the program.
pub(crate) fn h2spec() -> Result<PathBuf, Failure> {
    if !there("go") {
        return Err("go is missing".into());
    }
    let folder = root().join("xtask/h2spec");
    let mut hasher = DefaultHasher::new();
    fs::read(folder.join("go.sum"))?.hash(&mut hasher);
    let program = cache()?.join("h2spec").join(format!("{:016x}", hasher.finish())).join("h2spec");
    if program.is_file() {
        return Ok(program);
    }
    let fresh = program.with_extension(format!("new-{}", std::process::id()));
    let mut build = command("go", &["build", "-o"]);
    build.arg(&fresh).arg("github.com/summerwind/h2spec/cmd/h2spec").current_dir(&folder);
    run(&mut build)?;
    fs::rename(&fresh, &program)?;
    Ok(program)
}

pub(crate) fn there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).chain(["/usr/sbin".into()]).any(|folder| folder.join(program).is_file())
}

pub(crate) fn cache() -> Result<PathBuf, Failure> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").ok_or("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("portcullis"))
}
