//! `cargo xtask bench conns`: memory of 10,000 idle connections and of 1,000 busy ones, beside nginx and haproxy.

use serde_json::{Map, json};

use crate::Failure;
use crate::bench::contestant::{self, Contestant};
use crate::bench::figures::{Report, quartiles};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{Ground, Options};
use crate::bench::load::{self, Load, Tokens};
use crate::bench::memory::{self, CONNECTIONS};
use crate::install;

const BUSY: Load = Load { connections: 1_000, tokens: Tokens::One };
/// Kilobytes that a connection may take.
const EACH: f64 = 16.0;

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    install::program("haproxy", &["haproxy"])?;
    let upstream = contestant::upstream(&scratch)?;
    let start = || -> Result<[Contestant; 3], Failure> {
        let ours = gateway::portcullis(&scratch, &binary, &Setup::new(upstream.addr, upstream.addr))?;
        let nginx = contestant::plain_nginx(&scratch, upstream.addr, false)?;
        Ok([ours, nginx, contestant::plain_haproxy(&scratch, upstream.addr)?])
    };

    let mut details = Map::new();
    let mut idle = Vec::new();
    for contestant in start()? {
        let memory = memory::measure(&contestant)?;
        let each = |with: f64| (with - memory.idle) * 1e6 / 1024.0 / CONNECTIONS as f64;
        let (silent, used, rested) = (each(memory.silent), each(memory.used), each(memory.rested));
        let told = json!({"memory": memory.to_json(), "kb_each": {"silent": silent, "used": used, "rested": rested}});
        details.insert(format!("{}_idle", contestant.process.name()), told);
        idle.push((silent, used, rested));
    }

    // Peaks over all rounds, since what a connection took once it may take again.
    let sides = start()?;
    let mut peaks = [const { Vec::new() }; 3];
    for side in &sides {
        load::round(side, 1, BUSY, &scratch)?;
    }
    for _ in 0..options.rounds {
        for (side, peaks) in sides.iter().zip(&mut peaks) {
            side.process.forget_peak()?;
            load::round(side, options.seconds, BUSY, &scratch)?;
            peaks.push(side.process.peak()? as f64 / 1e6);
        }
        eprint!(".");
    }
    eprintln!();
    for (side, peaks) in sides.iter().zip(&peaks) {
        details.insert(format!("{}_busy_peak_mb", side.process.name()), json!(peaks));
    }

    let [ours, nginx, haproxy] = peaks;
    let above = |other: &[f64]| {
        let each = |(ours, other): (&f64, &f64)| (ours - other) * 1e6 / 1024.0 / f64::from(BUSY.connections);
        quartiles(ours.iter().zip(other).map(each))
    };
    let (to_haproxy, to_nginx) = (above(&haproxy), above(&nginx));
    let mut report = Report::new("conns", details.into());
    if let Some((silent, used, rested)) = idle.first() {
        report.figure("KB for each connection that never sent a byte", *silent, EACH);
        report.figure("KB for each connection, right after a request", *used, EACH);
        report.figure("KB for each connection, 5 s after a request", *rested, EACH);
    }
    report.ratio("busy: KB for each connection above haproxy's memory", to_haproxy, EACH);
    report.told("busy: KB for each connection above nginx's memory", to_nginx);
    report.finish(keep)
}
