//! `cargo xtask bench stampede`: 500 clients bring one new token at the same moment, and the authorization server takes
//! 200 ms.

use serde_json::json;

use crate::Failure;
use crate::bench::clients::{self, Burst};
use crate::bench::contestant::{self, ANSWER};
use crate::bench::figures::{Report, quartiles};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{Ground, Options};
use crate::bench::server::{LATE, LATE_BY, Server};

const CLIENTS: usize = 500;

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let server = Server::start(ANSWER)?;
    let ours = gateway::portcullis(&scratch, &binary, &Setup::new(upstream.addr, server.addr))?;
    // Connections to server and upstream are there before the first stampede.
    clients::each(ours.addr, 64, "warm-", 640, 200)?;

    let (mut calls, mut slow) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let before = server.calls();
        let seen = Burst::send(ours.addr, vec![clients::token(LATE, round); CLIENTS])?.end()?;
        if let Some((status, _)) = seen.iter().find(|(status, _)| *status != 200) {
            return Err(format!("a client got {status}").into());
        }
        let mut took: Vec<_> = seen.into_iter().map(|(_, took)| took).collect();
        took.sort();
        slow.push(took[took.len() * 99 / 100].as_secs_f64() * 1e3);
        calls.push(server.calls() - before);
        eprint!(".");
    }
    eprintln!();

    let details = json!({
        "rounds": options.rounds,
        "clients": CLIENTS,
        "server_ms": LATE_BY.as_millis(),
        "calls": calls,
        "p99_ms": slow,
    });
    let mut report = Report::new("stampede", details);
    // None at all would be no stampede.
    let most = calls.iter().map(|calls| if *calls == 0 { f64::NAN } else { *calls as f64 }).fold(0.0, larger);
    report.figure("calls for one token, most of all rounds", most, 1.0);
    report.ratio("p99, ms", quartiles(slow.into_iter()), 260.0);
    report.finish(keep)
}

/// The larger one, where what is no number counts as larger than all.
fn larger(one: f64, other: f64) -> f64 {
    if one.is_nan() || one > other { one } else { other }
}
