//! `cargo xtask bench hot`: what a request with a cached token costs, beside nginx that checks nothing.
//!
//! Both proxies stand on core 0 in turns, one worker each; load and upstream stand on core 1. A round is a few seconds
//! of load on 64 keep-alive connections. Single rounds wander by 15 % on shared machines, so ours and nginx alternate
//! and the figure is the median of the ratios of neighbours.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::Failure;
use crate::bench::contestant::{self, Contestant};
use crate::bench::figures::{self, median, processor, side};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{self, Ground};
use crate::bench::load::{self, Load, Round, Tokens};
use crate::bench::memory::{self, Memory};
use crate::bench::scratch::Scratch;

const LOAD: Load = Load { connections: 64, tokens: Tokens::One };

#[derive(Args)]
pub(crate) struct Options {
    /// Rounds of each proxy and row
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u64).range(3..=1000))]
    rounds: u64,
    /// Seconds of one round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Another binary than the release build of this checkout, for a comparison; nothing is written then
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Options {
    /// With the rounds of a whole run.
    pub(super) fn of(ground: &ground::Options) -> Self {
        Self { rounds: ground.rounds, seconds: ground.seconds, binary: ground.binary.clone() }
    }
}

/// Rounds of both proxies with the access log off or on in both.
struct Row {
    access_log: bool,
    ours: Vec<Round>,
    nginx: Vec<Round>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let start = |access_log| -> Result<(Contestant, Contestant), Failure> {
        let setup = Setup { access_log, ..Setup::new(upstream.addr, upstream.addr) };
        let ours = gateway::portcullis(&scratch, &binary, &setup)?;
        Ok((ours, contestant::plain_nginx(&scratch, upstream.addr, access_log)?))
    };
    let mut rows = Vec::new();
    for access_log in [false, true] {
        let (ours, nginx) = start(access_log)?;
        rows.push(measure(options, access_log, &ours, &nginx, &scratch)?);
    }
    let (ours, nginx) = start(false)?;
    let memory = (memory::measure(&ours)?, memory::measure(&nginx)?);

    print(&rows, &memory);
    if keep {
        println!();
        figures::write("hot", &report(options, &rows, &memory))?;
    }
    Ok(())
}

fn measure(
    options: &Options,
    access_log: bool,
    ours: &Contestant,
    nginx: &Contestant,
    scratch: &Scratch,
) -> Result<Row, Failure> {
    let mut rounds = load::alternate(&[(ours, LOAD), (nginx, LOAD)], options.rounds, options.seconds, scratch)?;
    let (nginx, ours) = (rounds.pop().unwrap_or_default(), rounds.pop().unwrap_or_default());
    Ok(Row { access_log, ours, nginx })
}

impl Row {
    fn ratios(&self) -> [f64; 3] {
        figures::ratios(&self.ours, &self.nginx, |round| round.cpu)
    }
}

fn print(rows: &[Row], (ours, nginx): &(Memory, Memory)) {
    println!("CPU microseconds per request, medians of {} rounds", rows.first().map_or(0, |row| row.ours.len()));
    println!("{:<12} {:<12} {:>7} {:>7} {:>7}   ratio (quartiles)", "access log", "proxy", "total", "user", "kernel");
    for row in rows {
        let [low, middle, high] = row.ratios();
        let log = if row.access_log { "on" } else { "off" };
        for (name, rounds) in [("portcullis", &row.ours), ("nginx", &row.nginx)] {
            let (cpu, user, kernel) =
                (median(rounds, |r| r.cpu), median(rounds, |r| r.user), median(rounds, |r| r.kernel));
            let ratio = if name == "nginx" { String::new() } else { format!("{middle:.3} ({low:.3} to {high:.3})") };
            println!("{log:<12} {name:<12} {cpu:>7.2} {user:>7.2} {kernel:>7.2}   {ratio}");
        }
    }
    println!("\nresident MB {:>12} {:>16} {:>16}", "idle", "10,000 silent", "10,000 used");
    for (name, memory) in [("portcullis", ours), ("nginx", nginx)] {
        println!("{name:<11} {:>12.1} {:>16.1} {:>16.1}", memory.idle, memory.silent, memory.used);
    }
}

fn report(options: &Options, rows: &[Row], (ours, nginx): &(Memory, Memory)) -> Value {
    let rows = rows.iter().map(|row| {
        let [lower, median, upper] = row.ratios();
        json!({
            "access_log": row.access_log,
            "ratio": {"lower_quartile": lower, "median": median, "upper_quartile": upper},
            "portcullis": side(&row.ours),
            "nginx": side(&row.nginx),
        })
    });
    json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": LOAD.connections,
        "processor": processor(),
        "rows": rows.collect::<Vec<_>>(),
        "memory": {"portcullis": ours.to_json(), "nginx": nginx.to_json()},
    })
}
