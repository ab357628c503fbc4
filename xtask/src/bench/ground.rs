//! What every measurement stands on: programs installed, a binary built, this process out of the proxies' way.

use std::path::PathBuf;

use clap::Args;

use crate::Failure;
use crate::bench::contestant::LOAD_CORE;
use crate::bench::memory;
use crate::bench::scratch::Scratch;
use crate::install;
use crate::program::{command, output, root, run as run_program};

#[derive(Args, Clone)]
#[group(skip)]
pub(crate) struct Options {
    /// Rounds of each proxy and row
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(3..=1000))]
    pub(super) rounds: u64,
    /// Seconds of one round
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) seconds: u64,
    /// Another binary than the release build of this checkout, for a comparison; nothing is written then
    #[arg(long, value_name = "PATH")]
    pub(super) binary: Option<PathBuf>,
}

pub(super) struct Ground {
    pub(super) scratch: Scratch,
    pub(super) binary: PathBuf,
    /// Whether the results are those of this checkout, to be kept.
    pub(super) keep: bool,
}

impl Ground {
    pub(super) fn prepare(binary: Option<&PathBuf>) -> Result<Self, Failure> {
        install::program("nginx", &["nginx-light"])?;
        install::program("wrk", &["wrk"])?;
        install::program("taskset", &["util-linux"])?;
        if cores()? < 2 {
            return Err("the measurement needs two cores: one for the proxy, one for the load".into());
        }
        let found = match binary {
            Some(binary) => binary.canonicalize()?,
            None => release()?,
        };
        memory::raise_file_limit()?;
        // Clients and servers of this process share the load's core; its threads inherit that.
        let id = std::process::id().to_string();
        output(&mut command("taskset", &["-a", "-p", "-c", LOAD_CORE, &id]))?;
        Ok(Self { scratch: Scratch::new()?, binary: found, keep: binary.is_none() })
    }
}

/// Cores of the machine. Not those that this process may use: an earlier measurement may have narrowed them.
pub(super) fn cores() -> Result<usize, Failure> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    Ok(text.lines().filter(|line| line.starts_with("processor")).count())
}

pub(crate) fn release() -> Result<PathBuf, Failure> {
    run_program(&mut command("cargo", &["build", "--release", "--quiet", "--package", "portcullis"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join("release/portcullis"))
}
