//! The gateway's binary: what was asked for, which part does it, and the exit status.
//!
//! This is the only crate that knows both what the data plane runs (`portcullis-proxy`) and where its configuration
//! comes from. It decides nothing about a request.

mod certificates;
mod check;
mod cli;
mod declarative;
mod demo;
mod failure;
mod gateway;
mod log;
mod problems;
mod reload;
mod serve;
mod settings;
mod status;

use clap::Parser;
use std::process::ExitCode;

/// jemalloc gives pages back to the system where glibc keeps what a burst of requests has spread over its arenas
/// (linkerd on arm64: 211 MB kept by glibc, 20 MB by jemalloc); on one thread both cost the same per request.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Status 0: done. 1: it could not be done, and one message says why. 2: the command line was wrong (clap's own).
fn main() -> ExitCode {
    let done = match cli::Cli::parse().command {
        cli::Command::Demo(args) => demo::run(&args),
        cli::Command::Serve(args) => serve::run(&args),
        cli::Command::Check(args) => check::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}
