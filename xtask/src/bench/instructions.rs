//! `cargo xtask bench instructions`: user instructions of a request with a cached token.
//!
//! CPU time on a shared machine cannot show a change of 2 %; instructions can, as they repeat within 1 %. callgrind
//! counts them for the whole process, so the gateway runs twice, with 640 and with 6,400 requests over 32 connections,
//! and the difference is what 5,760 requests took. valgrind knows fewer instructions than the processor (no SHA ones),
//! so the figure compares with itself alone.

use std::fs;

use clap::Args;
use serde_json::{Value, json};

use crate::Failure;
use crate::bench::clients;
use crate::bench::contestant::{self};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::Ground;
use crate::install;
use crate::program::root;

const CONNECTIONS: usize = 32;
const FEW: u64 = 640;
const MANY: u64 = 6_400;
const BASELINE: &str = "bench/baseline-instructions.json";

#[derive(Args)]
pub(crate) struct Options {
    /// Keep the figure as the new baseline
    #[arg(long)]
    write: bool,
    /// Another binary than the release build of this checkout
    #[arg(long, value_name = "PATH")]
    binary: Option<std::path::PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if let Err(failure) = install::program("valgrind", &["valgrind"]) {
        println!("skipped: {failure}");
        return Ok(());
    }
    let ground = Ground::prepare(options.binary.as_ref())?;
    let (few, many) = (count(&ground, FEW)?, count(&ground, MANY)?);
    let per_request = many.checked_sub(few).ok_or("more requests took fewer instructions")? / (MANY - FEW);
    println!("user instructions per request: {per_request}");
    let before = fs::read_to_string(root().join(BASELINE)).ok();
    if let Some(before) = before.and_then(|text| serde_json::from_str::<Value>(&text).ok()?["per_request"].as_f64()) {
        println!("baseline {before}: {:+.1} %", (per_request as f64 / before - 1.0) * 100.0);
    }
    if options.write {
        let text = json!({"per_request": per_request, "requests": [FEW, MANY], "connections": CONNECTIONS});
        fs::write(root().join(BASELINE), serde_json::to_string_pretty(&text)? + "\n")?;
        println!("written to {BASELINE}");
    }
    Ok(())
}

/// Instructions of a whole life of the gateway with so many requests.
fn count(ground: &Ground, requests: u64) -> Result<u64, Failure> {
    let upstream = contestant::upstream(&ground.scratch)?;
    let out = ground.scratch.path().join(format!("callgrind-{requests}.out"));
    let under = ["valgrind", "--quiet", "--tool=callgrind"].map(str::to_owned).into_iter();
    let under: Vec<String> = under.chain([format!("--callgrind-out-file={}", out.display())]).collect();
    let setup = Setup { under: &under, ..Setup::new(upstream.addr, upstream.addr) };
    let gateway = gateway::portcullis(&ground.scratch, &ground.binary, &setup)?;
    clients::same(gateway.addr, CONNECTIONS, requests)?;
    // callgrind writes when its program ends by itself.
    gateway.process.end()?;
    let written = fs::read_to_string(&out)?;
    let summary = written.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    Ok(summary.ok_or("callgrind counted nothing")?.trim().parse()?)
}
