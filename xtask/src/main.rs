//! Recipes of this repository: `cargo xtask test`, `tidy`, `contract`, `gen`, `features`, `fuzz`, `corpus`, `h2spec`,
//! `bench`, `soak`. CI calls the same ones.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod bench;
mod contract;
mod corpus;
mod features;
mod fuzz;
mod generated;
mod h2spec;
mod install;
mod program;
mod rings;
mod soak;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What went wrong, in one sentence for the person at the terminal.
type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Recipes of this repository", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    recipe: Recipe,
}

#[derive(Subcommand)]
enum Recipe {
    /// Formats, lints, docs, tidy rules and every test; the last line is `N passed, N failed, N skipped`.
    Test {
        /// A ring that cannot run is an error (so does CI=true), unless it is marked optional.
        #[arg(long)]
        all: bool,
        /// Only these rings, such as `tidy`; all of them unless given.
        #[arg(long, value_name = "NAME")]
        ring: Vec<String>,
    },
    /// The rules about the repository itself: arrows, licences, banned crates, file sizes, no machine's paths.
    Tidy,
    /// The contract numbers that tests cite, and those of the resolved issues that no test cites.
    Contract,
    /// Writes the reference pages of docs/ from the tables they describe, and checks what people wrote there.
    Gen {
        /// Write nothing; say what differs
        #[arg(long)]
        check: bool,
    },
    /// The published library with each set of its features, its documentation, and its package.
    Features,
    /// Runs fuzz targets, all of them with `--smoke`. Needs the nightly compiler.
    Fuzz(fuzz::Options),
    /// The framing corpus through nginx, haproxy and the gateway, as a table in bench/results.
    Corpus,
    /// The conformance suite of HTTP/2 against the gateway, in clear and over TLS. Needs Go.
    H2spec,
    /// Measurements.
    Bench {
        #[command(subcommand)]
        what: bench::Bench,
    },
    /// The real binary under mixed load while everything around it fails and returns; ends with counts.
    Soak(soak::Options),
    /// A neighbour of the gateway in a soak.
    #[command(hide = true)]
    SoakPart(soak::Part),
}

fn main() -> ExitCode {
    let done = match Cli::parse().recipe {
        Recipe::Test { all, ring } => rings::run(all || std::env::var_os("CI").is_some_and(|ci| ci == "true"), &ring),
        Recipe::Tidy => tidy::run(),
        Recipe::Contract => contract::run(),
        Recipe::Features => features::run(features::Package::Built),
        Recipe::Fuzz(options) => fuzz::run(&options),
        Recipe::Corpus => corpus::run(),
        Recipe::Gen { check } => generated::run(check),
        Recipe::Soak(options) => soak::run(&options),
        Recipe::SoakPart(part) => soak::run_part(&part),
        Recipe::H2spec => h2spec::recipe(),
        Recipe::Bench { what } => bench::run(&what),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
