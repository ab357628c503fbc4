//! `cargo xtask bench cold`: each request brings a new token, and the authorization server answers at once.

use serde_json::json;

use crate::Failure;
use crate::bench::contestant::{self, ANSWER};
use crate::bench::figures::{Report, ratios, side};
use crate::bench::gateway::{self, Setup};
use crate::bench::ground::{Ground, Options};
use crate::bench::load::{self, Load, Tokens};
use crate::bench::server::Server;

const FRESH: Load = Load { connections: 64, tokens: Tokens::Fresh };

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let server = Server::start(ANSWER)?;
    let ours = gateway::portcullis(&scratch, &binary, &Setup::new(upstream.addr, server.addr))?;
    let nginx = contestant::plain_nginx(&scratch, upstream.addr, false)?;

    // Connections are made once, with the first load.
    load::round(&ours, 1, FRESH, &scratch)?;
    let before = (server.calls(), server.connections());
    let rounds = load::alternate(&[(&ours, FRESH), (&nginx, FRESH)], options.rounds, options.seconds, &scratch)?;
    let (calls, connections) = (server.calls() - before.0, server.connections() - before.1);
    let [cold, plain] = &rounds[..] else { return Err("a side is missing".into()) };

    let details = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "calls": calls,
        "new_connections": connections,
        "cold": side(cold),
        "nginx": side(plain),
    });
    let mut report = Report::new("cold", details);
    report.ratio("CPU per request, to nginx plain", ratios(cold, plain, |round| round.cpu), 3.3);
    report.figure("new connections to the server per 1,000 calls", connections as f64 * 1e3 / calls as f64, 1.0);
    report.finish(keep)
}
