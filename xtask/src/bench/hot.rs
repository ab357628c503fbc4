//! `cargo xtask bench hot`: what a request with a cached token costs, beside nginx that checks nothing.
//!
//! Both proxies stand on core 0 in turns, one worker each; load and upstream stand on core 1. A round is a few seconds
//! of load on 64 keep-alive connections. Single rounds wander by 15 % on shared machines, so ours and nginx alternate
//! and the figure is the median of the ratios of neighbours.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::Failure;
use crate::bench::contestant::{self, Contestant};
use crate::bench::load::{self, Round};
use crate::bench::memory::{self, Memory};
use crate::bench::scratch::Scratch;
use crate::install;
use crate::program::{command, root, run as run_program};

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

/// Rounds of both proxies with the access log off or on in both.
struct Row {
    access_log: bool,
    ours: Vec<Round>,
    nginx: Vec<Round>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    install::program("nginx", &["nginx-light"])?;
    install::program("wrk", &["wrk"])?;
    install::program("taskset", &["util-linux"])?;
    if std::thread::available_parallelism()?.get() < 2 {
        return Err("the measurement needs two cores: one for the proxy, one for the load".into());
    }
    let binary = match &options.binary {
        Some(binary) => binary.canonicalize()?,
        None => release()?,
    };
    memory::raise_file_limit()?;

    let scratch = Scratch::new()?;
    let upstream = contestant::upstream(&scratch)?;
    let start = |access_log| -> Result<(Contestant, Contestant), Failure> {
        let ours = contestant::portcullis(&scratch, &binary, upstream.addr, access_log)?;
        Ok((ours, contestant::plain_nginx(&scratch, upstream.addr, access_log)?))
    };
    let mut rows = Vec::new();
    for access_log in [false, true] {
        let (ours, nginx) = start(access_log)?;
        rows.push(measure(options, access_log, &ours, &nginx)?);
    }
    let (ours, nginx) = start(false)?;
    let memory = (memory::measure(&ours)?, memory::measure(&nginx)?);

    print(&rows, &memory);
    if options.binary.is_none() {
        let folder = root().join("bench/results");
        fs::create_dir_all(&folder)?;
        let text = serde_json::to_string_pretty(&report(options, &rows, &memory))?;
        fs::write(folder.join("hot.json"), text + "\n")?;
        println!("\nwritten to bench/results/hot.json");
    }
    Ok(())
}

fn release() -> Result<PathBuf, Failure> {
    run_program(&mut command("cargo", &["build", "--release", "--quiet", "--package", "portcullis"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join("release/portcullis"))
}

fn measure(options: &Options, access_log: bool, ours: &Contestant, nginx: &Contestant) -> Result<Row, Failure> {
    // The first round fills caches and pools, the token's among them, and does not count.
    for contestant in [ours, nginx] {
        load::request(&mut load::connect(contestant.addr)?)?;
        load::round(contestant, 1)?;
    }
    let mut row = Row { access_log, ours: Vec::new(), nginx: Vec::new() };
    for _ in 0..options.rounds {
        row.ours.push(load::round(ours, options.seconds)?);
        row.nginx.push(load::round(nginx, options.seconds)?);
        eprint!(".");
    }
    eprintln!();
    Ok(row)
}

impl Row {
    /// Quartiles of the ratios of neighbouring rounds.
    fn ratios(&self) -> [f64; 3] {
        quartiles(self.ours.iter().zip(&self.nginx).map(|(ours, nginx)| ours.cpu / nginx.cpu))
    }
}

/// The lower quartile, the median and the upper quartile, between values where they fall between.
fn quartiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|part| {
        let place = part * (sorted.len().max(1) - 1) as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        match (sorted.get(below), sorted.get(above)) {
            (Some(low), Some(high)) => low + (high - low) * place.fract(),
            _ => f64::NAN,
        }
    })
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    quartiles(rounds.iter().map(of))[1]
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
    let side = |rounds: &[Round]| {
        json!({
            "cpu_us": median(rounds, |r| r.cpu),
            "user_us": median(rounds, |r| r.user),
            "kernel_us": median(rounds, |r| r.kernel),
            "rounds": rounds.iter().map(|r| json!({"requests": r.requests, "cpu_us": r.cpu})).collect::<Vec<_>>(),
        })
    };
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
        "connections": 64,
        "processor": processor(),
        "rows": rows.collect::<Vec<_>>(),
        "memory": {"portcullis": ours.to_json(), "nginx": nginx.to_json()},
    })
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(": "));
    model.map(|(_, name)| name.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::quartiles;

    #[test]
    fn quartiles_lie_between() {
        assert_eq!(quartiles([3.0, 1.0, 2.0, 5.0, 4.0].into_iter()), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles([1.0, 2.0].into_iter()), [1.25, 1.5, 1.75]);
        assert!(quartiles(std::iter::empty())[1].is_nan());
    }
}
