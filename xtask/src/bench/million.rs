//! `cargo xtask bench million`: 1,000,000 cached tokens with answers of 400 bytes: what each takes in memory, what a
//! request costs beside one among 10,000, and whether made-up tokens on top make the process grow.

use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::bench::clients;
use crate::bench::contestant::{self, ANSWER, Contestant};
use crate::bench::figures::{Report, ratios, side};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{self, Ground};
use crate::bench::load::{self, Load, Tokens};
use crate::bench::server::{BAD, Server};
use crate::bench::spread::{PREFIX, SPREAD, TOKENS};

const CACHED: u64 = 1_000_000;
const CACHED_PREFIX: &str = "million-";
const MILLION: Load = Load { connections: 64, tokens: Tokens::Among(CACHED_PREFIX, CACHED) };
/// Bytes of an answer's JSON.
const ANSWER_BYTES: usize = 400;
/// Room for all of them.
const SETTINGS: &str = "introspection:\n  cache:\n    bytes: 4294967296\n";
/// Megabytes: the memory for inactive answers (4 MiB), and what an allocator keeps while it is in use.
const GROWTH: f64 = 16.0;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) ground: ground::Options,
    /// Made-up tokens on top
    #[arg(long, default_value_t = 500_000, value_name = "N")]
    bad: u64,
    /// 5,000,000 made-up tokens
    #[arg(long)]
    full: bool,
}

impl Options {
    /// With the rounds of a whole run.
    pub(super) fn of(ground: &ground::Options) -> Self {
        Self { ground: ground.clone(), bad: 500_000, full: false }
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let bad = if options.full { 5_000_000 } else { options.bad };
    let options = &options.ground;
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let server = Server::start(&answer())?;
    let setup = Setup { settings: SETTINGS, ..Setup::new(upstream.addr, server.addr) };
    let ours = gateway::portcullis(&scratch, &binary, &setup)?;
    let beside = gateway::portcullis(&scratch, &binary, &setup)?;

    // Connections, pools and buffers have the size that load gives them before memory is compared.
    for one in [&ours, &beside] {
        clients::each(one.addr, 64, PREFIX, TOKENS, 200)?;
        load::round(one, 1, SPREAD, &scratch)?;
    }
    let before = resident(&ours)?;
    clients::each(ours.addr, 64, CACHED_PREFIX, CACHED, 200)?;
    let filled = resident(&ours)?;
    let calls = server.calls();
    let sides = [(&ours, MILLION), (&beside, SPREAD)];
    let rounds = load::alternate(&sides, options.rounds, options.seconds, &scratch)?;
    let calls = server.calls() - calls;
    let [million, spread] = &rounds[..] else { return Err("a side is missing".into()) };
    // What was there before any bad token, load included.
    let loaded = resident(&ours)?;
    clients::each(ours.addr, 64, BAD, bad, 401)?;
    let after = resident(&ours)?;

    let each = (filled - before) * 1e6 / CACHED as f64;
    let details = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "tokens": CACHED,
        "answer_bytes": ANSWER_BYTES,
        "bad_tokens": bad,
        "resident_mb": {"before": before, "filled": filled, "loaded": loaded, "after_bad_tokens": after},
        "bytes_per_token": each,
        "million": side(million),
        "spread": side(spread),
    });
    let mut report = Report::new("million", details);
    report.figure("bytes per token above the answer's JSON", each - ANSWER_BYTES as f64, 500.0);
    report.ratio("CPU per request, 1,000,000 tokens to 10,000", ratios(million, spread, |round| round.cpu), 1.05);
    report.figure("calls for tokens that were cached", calls as f64, 0.0);
    report.figure(&format!("growth by {bad} bad tokens, MB"), after - loaded, GROWTH);
    report.finish(keep)
}

/// The usual answer, with a member that makes it as long as wanted.
fn answer() -> String {
    let rest = ANSWER_BYTES - ANSWER.len() - r#","note":"""#.len();
    format!(r#"{},"note":"{}"}}"#, ANSWER.trim_end_matches('}'), "n".repeat(rest))
}

fn resident(contestant: &Contestant) -> Result<f64, Failure> {
    Ok(contestant.process.resident()? as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::{ANSWER_BYTES, answer};

    #[test]
    fn the_answer_is_json_of_its_length() {
        assert_eq!(answer().len(), ANSWER_BYTES);
        assert!(serde_json::from_str::<serde_json::Value>(&answer()).is_ok());
    }
}
