//! `cargo xtask bench consumers`: 1,000,000 consumers, of whom 1,000 have a plugin, beside 10,000 consumers.
//!
//! The same 10,000 tokens, each of another consumer, go to both; their consumers are spread over all of the million, so
//! that looking them up costs what it does in life.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::bench::clients;
use crate::bench::contestant::{self, ANSWER};
use crate::bench::figures::{Report, ratios, side};
use crate::bench::gateway::{Launch, Route, guarded};
use crate::bench::ground::{Ground, Options};
use crate::bench::load::{self, Load, Tokens};
use crate::bench::process::Process;
use crate::bench::server::{NAMED, Server};

const MANY: u64 = 1_000_000;
const FEW: u64 = 10_000;
/// Every so manyth of the million has a token.
const STRIDE: u64 = MANY / FEW;
/// Every so manyth of the million has a plugin; every tenth token is of such a consumer.
const WITH_PLUGIN: u64 = 1_000;
const SPREAD: Load = Load { connections: 64, tokens: Tokens::Among(NAMED, FEW) };
/// How long memory has to stay as it is until what loading needed is given back.
const SETTLED: Duration = Duration::from_secs(12);
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let server = Server::start(ANSWER)?;
    let base = guarded(upstream.addr, server.addr, &[Route::all()]);
    let start = |all: &mut dyn Iterator<Item = (u64, bool)>| {
        let started = Instant::now();
        let gateway = Launch::new(base.clone() + &consumers(all)).start(&scratch, &binary)?.contestant;
        Ok::<_, Failure>((gateway, started.elapsed().as_secs_f64()))
    };
    let (few, few_start) = start(&mut (0..FEW).map(|n| (n, false)))?;
    let (many, many_start) = start(&mut (0..MANY).map(|n| (place(n), n.is_multiple_of(WITH_PLUGIN))))?;
    let nginx = contestant::plain_nginx(&scratch, upstream.addr, false)?;

    let fresh = (few.process.resident()?, many.process.resident()?);
    let settled_at = (settled(&few.process)?, settled(&many.process)?);
    let each = (settled_at.1 as f64 - settled_at.0 as f64) / (MANY - FEW) as f64;
    for one in [&few, &many] {
        clients::each(one.addr, 64, NAMED, FEW, 200)?;
    }
    let rounds = load::alternate(
        &[(&many, SPREAD), (&few, SPREAD), (&nginx, SPREAD)],
        options.rounds,
        options.seconds,
        &scratch,
    )?;
    let [with_many, with_few, plain] = &rounds[..] else { return Err("a side is missing".into()) };

    let details = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "consumers": [FEW, MANY],
        "with_plugin": MANY / WITH_PLUGIN,
        "start_s": [few_start, many_start],
        "resident_mb_after_start": [fresh.0 as f64 / 1e6, fresh.1 as f64 / 1e6],
        "resident_mb_settled": [settled_at.0 as f64 / 1e6, settled_at.1 as f64 / 1e6],
        "peak_mb": [few.process.peak()? as f64 / 1e6, many.process.peak()? as f64 / 1e6],
        "many": side(with_many),
        "few": side(with_few),
        "nginx": side(plain),
    });
    let mut report = Report::new("consumers", details);
    report.ratio(
        "CPU per request, 1,000,000 consumers to 10,000",
        ratios(with_many, with_few, |round| round.cpu),
        1.05,
    );
    report.figure("bytes resident for each consumer", each, 300.0);
    report.told("CPU per request, 1,000,000 consumers to nginx", ratios(with_many, plain, |round| round.cpu));
    report.finish(keep)
}

/// Consumers by the numbers in their names, as [`NAMED`] tokens have them, and whether each has a plugin.
fn consumers(all: &mut dyn Iterator<Item = (u64, bool)>) -> String {
    let mut text = "consumers:\n".to_owned();
    for (number, plugin) in all {
        text.push_str(&format!("- username: user-{number}\n"));
        if plugin {
            text.push_str("  plugins:\n  - name: request-termination\n    config: {trigger: x-closed}\n");
        }
    }
    text
}

/// The number in the name of the n-th consumer: those with tokens are spread over the whole list.
fn place(n: u64) -> u64 {
    if n.is_multiple_of(STRIDE) { n / STRIDE } else { FEW + n }
}

/// Resident memory once nothing is given back any more.
fn settled(process: &Process) -> Result<u64, Failure> {
    let start = Instant::now();
    let (mut least, mut since) = (process.resident()?, Instant::now());
    while since.elapsed() < SETTLED && start.elapsed() < SETTLED_WITHIN {
        thread::sleep(Duration::from_millis(500));
        let now = process.resident()?;
        // Less by a percent is still giving back.
        if now < least - least / 100 {
            (least, since) = (now, Instant::now());
        }
    }
    process.resident()
}
