//! `cargo xtask bench body`: bodies of 1 MB and 1 GB, each way, beside nginx that passes them on as they come.
//!
//! Load and upstream share a core and may be what is slow, in which case throughput says little; CPU time per megabyte
//! stands beside it.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::bench::bodies::{self, Mover, Way};
use crate::bench::contestant::{self, ANSWER, Contestant, Nginx};
use crate::bench::figures::{Report, quartiles};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{self, Ground};
use crate::bench::server::Server;

/// Nothing is kept on its way, neither in memory beyond its buffers nor in files.
const NGINX: &str = "client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;";
const MB: u64 = 1_000_000;
/// Memory that buffers of one connection may take at their peak, in megabytes: far from any body's size.
const GROWTH: f64 = 8.0;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ground: ground::Options,
    /// Megabytes of the large body
    #[arg(long, default_value_t = 1_000, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    large: u64,
}

impl Options {
    /// With the rounds of a whole run.
    pub(super) fn of(ground: &ground::Options) -> Self {
        Self { ground: ground.clone(), large: 1_000 }
    }
}

/// Bodies of one kind, moved together.
struct Row {
    name: String,
    way: Way,
    size: u64,
    connections: usize,
    /// On each connection.
    times: u64,
}

struct Round {
    megabytes_per_s: f64,
    cpu_us_per_megabyte: f64,
    /// Megabytes of peak memory above what was resident before.
    growth: f64,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let large = options.large;
    let options = &options.ground;
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = bodies::upstream()?;
    let server = Server::start(ANSWER)?;
    let ours = gateway::portcullis(&scratch, &binary, &Setup::new(upstream, server.addr))?;
    let nginx = contestant::proxying_nginx(&scratch, upstream, &Nginx { more: NGINX, ..Nginx::default() })?;

    let small = |name: &str, way| Row { name: name.to_owned(), way, size: MB, connections: 8, times: 32 };
    let large =
        |name: &str, way| Row { name: format!("{large} MB {name}"), way, size: large * MB, connections: 1, times: 1 };
    let rows =
        [small("1 MB up", Way::Up), small("1 MB down", Way::Down), large("up", Way::Up), large("down", Way::Down)];
    let mut details = Map::new();
    details.insert("rounds".to_owned(), json!(options.rounds));
    let mut figures = Vec::new();
    for row in &rows {
        let (mut us, mut plain) = (Vec::new(), Vec::new());
        // Connections, buffers and caches are there before anything counts.
        for side in [&ours, &nginx] {
            moved(side, &Row { name: String::new(), times: row.times.min(4), size: MB, ..*row })?;
        }
        for _ in 0..options.rounds {
            us.push(moved(&ours, row)?);
            plain.push(moved(&nginx, row)?);
            eprint!(".");
        }
        let told =
            json!({"size": row.size, "connections": row.connections, "portcullis": side(&us), "nginx": side(&plain)});
        details.insert(row.name.clone(), told);
        figures.push((row, us, plain));
    }
    eprintln!();

    let mut report = Report::new("body", details.into());
    for (Row { name, connections, .. }, us, plain) in figures {
        let pairs = || us.iter().zip(&plain);
        let throughput = quartiles(pairs().map(|(us, plain)| us.megabytes_per_s / plain.megabytes_per_s));
        let cpu = quartiles(pairs().map(|(us, plain)| us.cpu_us_per_megabyte / plain.cpu_us_per_megabyte));
        let growth = us.iter().map(|round| round.growth).fold(0.0, f64::max);
        report.ratio_at_least(&format!("{name}: throughput, to nginx"), throughput, 0.9);
        report.told(&format!("{name}: CPU per megabyte, to nginx"), cpu);
        report.figure(&format!("{name}: memory grows by at most, MB"), growth, GROWTH * *connections as f64);
    }
    report.finish(keep)
}

fn side(rounds: &[Round]) -> Value {
    let median = |of: fn(&Round) -> f64| quartiles(rounds.iter().map(of))[1];
    json!({
        "megabytes_per_s": median(|round| round.megabytes_per_s),
        "cpu_us_per_megabyte": median(|round| round.cpu_us_per_megabyte),
        "growth_mb": rounds.iter().map(|round| round.growth).collect::<Vec<_>>(),
    })
}

fn moved(contestant: &Contestant, row: &Row) -> Result<Round, Failure> {
    let process = &contestant.process;
    process.forget_peak()?;
    let (before, cpu, start) = (process.resident()?, process.cpu()?.total, Instant::now());
    thread::scope(|scope| {
        let movers: Vec<_> = (0..row.connections).map(|_| scope.spawn(|| carry(contestant.addr, row))).collect();
        movers.into_iter().try_for_each(|mover| mover.join().map_err(|_| "a client panicked".to_owned())?)
    })?;
    let (took, cpu) = (start.elapsed(), process.cpu()?.total - cpu);
    let megabytes = (row.size * row.times * row.connections as u64) as f64 / 1e6;
    Ok(Round {
        megabytes_per_s: megabytes / took.as_secs_f64(),
        cpu_us_per_megabyte: cpu.as_secs_f64() * 1e6 / megabytes,
        growth: process.peak()?.saturating_sub(before) as f64 / 1e6,
    })
}

fn carry(addr: SocketAddr, row: &Row) -> Result<(), String> {
    let carry = || -> Result<(), Failure> {
        let mut mover = Mover::new(addr)?;
        (0..row.times).try_for_each(|_| mover.carry(row.way, row.size))
    };
    carry().map_err(|failure| format!("{}: {failure}", row.name))
}
