//! Load that `wrk` cannot make: over TLS with SNI, over HTTP/2, each request on a connection of its own.

use std::process::Stdio;

use crate::Failure;
use crate::bench::certificate::NAME;
use crate::bench::contestant::{Contestant, LOAD_CORE};
use crate::bench::load::{Round, TOKEN, used};
use crate::program::command;

/// What `h2load` sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) tls: bool,
    pub(super) http2: bool,
    pub(super) connections: u32,
    /// Requests at once on each connection.
    pub(super) streams: u32,
    /// For how long, or one request on each connection.
    pub(super) lasts: Lasts,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Lasts {
    Seconds,
    OneEach,
}

/// What the two sides agreed on: protocol version, cipher, key exchange. Empty without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Agreed(pub(super) Vec<String>);

/// Loads the sides in turns; an error if they do not agree on the same with this client.
pub(super) fn alternate(
    sides: &[&Contestant; 2],
    load: Load,
    rounds: u64,
    seconds: u64,
) -> Result<([Vec<Round>; 2], Agreed), Failure> {
    let agreed = [round(sides[0], load, 1)?.1, round(sides[1], load, 1)?.1];
    if agreed[0] != agreed[1] {
        return Err(format!("not the same TLS: {:?} and {:?}", agreed[0].0, agreed[1].0).into());
    }
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (side, seen) in sides.iter().zip(&mut all) {
            seen.push(round(side, load, seconds)?.0);
        }
        eprint!(".");
    }
    let [_, agreed] = agreed;
    Ok((all, agreed))
}

fn round(contestant: &Contestant, load: Load, seconds: u64) -> Result<(Round, Agreed), Failure> {
    let sides = std::slice::from_ref(contestant);
    let before = used(sides)?;
    let said = h2load(contestant, load, seconds)?;
    let after = used(sides)?;
    let line = |start: &str| said.lines().find_map(|line| line.trim().strip_prefix(start));
    let codes = line("status codes: ").ok_or("h2load counted nothing")?;
    let outcome = line("requests: ").ok_or("h2load counted nothing")?;
    let requests = number(codes, "2xx").ok_or("h2load counted nothing")?;
    let failed = ["3xx", "4xx", "5xx"].iter().filter_map(|kind| number(codes, kind)).sum::<u64>()
        + ["failed", "errored", "timeout"].iter().filter_map(|kind| number(outcome, kind)).sum::<u64>();
    if requests == 0 || failed > 0 {
        return Err(format!("{} failed under load:\n{said}", contestant.process.name()).into());
    }
    let agreed = ["TLS Protocol: ", "Cipher: ", "Server Temp Key: "].iter().filter_map(|start| line(start));
    // It tells no percentiles.
    Ok((Round::new(before, after, requests, f64::NAN), Agreed(agreed.map(str::to_owned).collect())))
}

fn h2load(contestant: &Contestant, load: Load, seconds: u64) -> Result<String, Failure> {
    let (port, connections) = (contestant.addr.port(), load.connections.to_string());
    let (scheme, to) = (if load.tls { "https" } else { "http" }, format!("--connect-to={}", contestant.addr));
    let (url, header) = (format!("{scheme}://{NAME}:{port}/hello"), format!("authorization: Bearer {TOKEN}"));
    let (streams, duration) = (load.streams.to_string(), seconds.to_string());
    let mut h2load = command("taskset", &["-c", LOAD_CORE, "h2load", "-t", "1", "-c", &connections, "-m", &streams]);
    h2load.args(["-H", &header, &to]);
    match load.lasts {
        Lasts::Seconds => h2load.args(["-D", &duration]),
        Lasts::OneEach => h2load.args(["-n", &connections]),
    };
    if !load.http2 {
        h2load.arg("--h1");
    }
    let done = h2load.arg(&url).stderr(Stdio::inherit()).output()?;
    if !done.status.success() {
        return Err(format!("h2load: {}", done.status).into());
    }
    Ok(String::from_utf8(done.stdout)?)
}

/// The number before `word` in a list such as `12 2xx, 0 3xx`.
pub(crate) fn number(list: &str, word: &str) -> Option<u64> {
    list.split(',').find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn lists_of_numbers() {
        let list = "12 2xx, 0 3xx, 3 4xx, 0 5xx";
        assert_eq!(number(list, "2xx"), Some(12));
        assert_eq!(number(list, "4xx"), Some(3));
        assert_eq!(number(list, "timeout"), None);
    }
}
