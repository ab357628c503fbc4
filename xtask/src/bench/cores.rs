//! `cargo xtask bench cores`: throughput with two workers, to that with one, beside nginx with two processes and one.
//!
//! With four cores or more, the proxies have two and load and upstream the others. With two, everybody competes for
//! both, so that the throughput of two workers is bounded by the load; what can be seen there is whether a request
//! costs more when two workers share snapshot, cache and counters. Both are told, the first judged where it can be.

use std::net::SocketAddr;

use serde_json::json;

use crate::Failure;
use crate::bench::contestant::{self, Contestant, Nginx};
use crate::bench::figures::{Report, quartiles, side};
use crate::bench::gateway::{Launch, Route, guarded};
use crate::bench::ground::{self, Ground, Options};
use crate::bench::load::{self, Load, Round, Station, Tokens};
use crate::bench::scratch::Scratch;

const LOAD: Load = Load { connections: 128, tokens: Tokens::One };
const PROXIES: &str = "0,1";

/// nginx shares a listener between two processes without a master, as ours does between two threads.
fn nginx(scratch: &Scratch, upstream: SocketAddr, addr: Option<SocketAddr>) -> Result<Contestant, Failure> {
    let shared = Nginx { cores: PROXIES, listener: "reuseport", addr, ..Nginx::default() };
    contestant::proxying_nginx(scratch, upstream, &shared)
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let roomy = ground::cores()? >= 4;
    let station = Station { cores: if roomy { "2,3" } else { PROXIES }, threads: 2 };
    let upstream = contestant::upstream_on(&scratch, station.cores)?;
    let start = |workers| {
        let declaration = guarded(upstream.addr, upstream.addr, &[Route::all()]);
        let launch = Launch { workers, cores: PROXIES, ..Launch::new(declaration) };
        Ok::<_, Failure>(launch.start(&scratch, &binary)?.contestant)
    };
    let sides = [vec![start(1)?], vec![start(2)?], vec![nginx(&scratch, upstream.addr, None)?], {
        let first = nginx(&scratch, upstream.addr, None)?;
        let second = nginx(&scratch, upstream.addr, Some(first.addr))?;
        vec![first, second]
    }];

    let mut rounds = [const { Vec::new() }; 4];
    for side in &sides {
        load::round_from(station, side, 1, LOAD, &scratch)?;
    }
    for _ in 0..options.rounds {
        for (side, seen) in sides.iter().zip(&mut rounds) {
            seen.push(load::round_from(station, side, options.seconds, LOAD, &scratch)?);
        }
        eprint!(".");
    }
    eprintln!();

    let [one, two, nginx_one, nginx_two] = &rounds;
    let throughput = |two: &[Round], one: &[Round]| {
        quartiles(two.iter().zip(one).map(|(two, one)| two.requests as f64 / one.requests as f64))
    };
    // Two free cores do twice the work of one, less what a request costs more.
    let on_free_cores =
        |two: &[Round], one: &[Round]| quartiles(two.iter().zip(one).map(|(two, one)| 2.0 * one.cpu / two.cpu));
    let details = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "cores_of_the_machine": ground::cores()?,
        "load_has_cores_of_its_own": roomy,
        "one": side(one),
        "two": side(two),
        "nginx_one": side(nginx_one),
        "nginx_two": side(nginx_two),
    });
    let mut report = Report::new("cores", details);
    let measured = "throughput, 2 workers to 1";
    if roomy {
        report.ratio_at_least(measured, throughput(two, one), 1.8);
    } else {
        report.told(measured, throughput(two, one));
    }
    report.told("throughput, 2 processes of nginx to 1", throughput(nginx_two, nginx_one));
    report.ratio_at_least("throughput on free cores, by CPU per request", on_free_cores(two, one), 1.8);
    report.told("the same of nginx", on_free_cores(nginx_two, nginx_one));
    report.finish(keep)
}
