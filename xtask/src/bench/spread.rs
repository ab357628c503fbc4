//! `cargo xtask bench spread`: 10,000 cached tokens in random order, beside one token and beside nginx.
//!
//! One process serves both loads of ours, so that nothing but the number of tokens differs.

use serde_json::json;

use crate::Failure;
use crate::bench::clients;
use crate::bench::contestant::{self, ANSWER};
use crate::bench::figures::{Report, ratios, side};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{Ground, Options};
use crate::bench::load::{self, Load, Tokens};
use crate::bench::server::Server;

pub(super) const TOKENS: u64 = 10_000;
pub(super) const PREFIX: &str = "spread-";
pub(super) const SPREAD: Load = Load { connections: 64, tokens: Tokens::Among(PREFIX, TOKENS) };
/// One token, made and sent with the same effort.
const HOT: Load = Load { connections: 64, tokens: Tokens::Among(PREFIX, 1) };

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let server = Server::start(ANSWER)?;
    let ours = gateway::portcullis(&scratch, &binary, &Setup::new(upstream.addr, server.addr))?;
    let nginx = contestant::plain_nginx(&scratch, upstream.addr, false)?;
    clients::each(ours.addr, 64, PREFIX, TOKENS, 200)?;

    let sides = [(&ours, SPREAD), (&ours, HOT), (&nginx, SPREAD)];
    let rounds = load::alternate(&sides, options.rounds, options.seconds, &scratch)?;
    let [spread, hot, plain] = &rounds[..] else { return Err("a side is missing".into()) };
    let to_nginx = ratios(spread, plain, |round| round.cpu);

    let details = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "tokens": TOKENS,
        "ratio_to_nginx": to_nginx,
        "spread": side(spread),
        "hot": side(hot),
        "nginx": side(plain),
    });
    let mut report = Report::new("spread", details);
    report.ratio("CPU per request, 10,000 tokens to one", ratios(spread, hot, |round| round.cpu), 1.05);
    // The first use of each token, and nothing after it.
    report.figure("calls beyond one per token", server.calls() as f64 - TOKENS as f64, 0.0);
    report.finish(keep)
}
