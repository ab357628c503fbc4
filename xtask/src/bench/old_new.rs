//! `cargo xtask bench old-new --old PATH`: `hot` with two binaries side by side, for "no slower than before". The old
//! one is built by the caller, from whichever commit.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::bench::contestant;
use crate::bench::figures::{Report, ratios, side};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{self, Ground};
use crate::bench::load::{self, Load, Tokens};

const LOAD: Load = Load { connections: 64, tokens: Tokens::One };

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    ground: ground::Options,
    /// The binary of before
    #[arg(long, value_name = "PATH")]
    old: PathBuf,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let old = options.old.canonicalize().map_err(|failure| format!("{}: {failure}", options.old.display()))?;
    let options = &options.ground;
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let setup = Setup::new(upstream.addr, upstream.addr);
    let new = gateway::portcullis(&scratch, &binary, &setup)?;
    let old = gateway::portcullis(&scratch, &old, &setup)?;
    let nginx = contestant::plain_nginx(&scratch, upstream.addr, false)?;

    let sides = [(&new, LOAD), (&old, LOAD), (&nginx, LOAD)];
    let rounds = load::alternate(&sides, options.rounds, options.seconds, &scratch)?;
    let [with_new, with_old, plain] = &rounds[..] else { return Err("a side is missing".into()) };
    let details = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "resident_mb": [new.process.resident()? as f64 / 1e6, old.process.resident()? as f64 / 1e6],
        "new": side(with_new),
        "old": side(with_old),
        "nginx": side(plain),
    });
    let mut report = Report::new("old-new", details);
    // Two processes of one binary differ by up to 2 %, by where their memory happens to lie.
    report.ratio("CPU per request, new binary to old", ratios(with_new, with_old, |round| round.cpu), 1.02);
    report.told("CPU per request, new binary to nginx", ratios(with_new, plain, |round| round.cpu));
    report.told("CPU per request, old binary to nginx", ratios(with_old, plain, |round| round.cpu));
    report.finish(keep)
}
