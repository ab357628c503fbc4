//! `cargo xtask bench bulkhead`: a cached token is used while 400 requests hang for 4 s on the authorization server.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::bench::clients::{self, Burst};
use crate::bench::contestant::{self, ANSWER};
use crate::bench::figures::{Report, ratios, side};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{Ground, Options};
use crate::bench::load::{self, Load, Tokens};
use crate::bench::server::{HANGING, Server};

const HANGING_REQUESTS: u64 = 400;
/// So that all of them really hang at the server, none in the queue before it.
const SETTINGS: &str = "introspection:\n  concurrent_calls: 400\n";
const CACHED: Load = Load { connections: 16, tokens: Tokens::One };
/// Of load while they hang; with connecting and starting it stays below the 4 s.
const SECONDS: u64 = 2;

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let server = Server::start(ANSWER)?;
    let setup = Setup { settings: SETTINGS, ..Setup::new(upstream.addr, server.addr) };
    let ours = gateway::portcullis(&scratch, &binary, &setup)?;
    load::round(&ours, 1, CACHED, &scratch)?;

    let (mut quiet, mut disturbed) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        quiet.push(load::round(&ours, SECONDS, CACHED, &scratch)?);
        let before = server.calls();
        let first = round * HANGING_REQUESTS;
        let tokens = (first..first + HANGING_REQUESTS).map(|n| clients::token(HANGING, n)).collect();
        let started = Instant::now();
        let hanging = Burst::send(ours.addr, tokens)?;
        arrive(&server, before + HANGING_REQUESTS)?;
        let seen = load::round(&ours, SECONDS, CACHED, &scratch)?;
        if started.elapsed() > Duration::from_secs(4) {
            return Err("the load outlasted the hanging calls: the machine is too busy for this measurement".into());
        }
        disturbed.push(seen);
        if let Some((status, _)) = hanging.end()?.iter().find(|(status, _)| *status != 200) {
            return Err(format!("a request that hung got {status}").into());
        }
        eprint!(".");
    }
    eprintln!();

    let details = json!({
        "rounds": options.rounds,
        "seconds": SECONDS,
        "hanging": HANGING_REQUESTS,
        "undisturbed": side(&quiet),
        "disturbed": side(&disturbed),
    });
    let mut report = Report::new("bulkhead", details);
    report.ratio("p99 of the cached token, to undisturbed", ratios(&disturbed, &quiet, |round| round.p99), 1.2);
    report.finish(keep)
}

/// Waits until so many calls have reached the server.
fn arrive(server: &Server, calls: u64) -> Result<(), Failure> {
    let start = Instant::now();
    while server.calls() < calls {
        if start.elapsed() > Duration::from_secs(2) {
            return Err(format!("{} calls are missing at the authorization server", calls - server.calls()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
