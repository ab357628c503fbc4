//! Load over HTTP/2, in clear and over TLS: `h2load` says how many answers of which class there were.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use crate::Failure;
use crate::bench::certificate::NAME;
use crate::bench::h2load::number;
use crate::program::command;
use crate::soak::load::{Counts, Destination, Down, HOT_TOKENS, Kind};
use crate::soak::random::Random;
use crate::soak::scene::Scene;
use crate::soak::servers::GOOD;

/// Of one turn, over few connections with several at once.
const REQUESTS: u64 = 120;
const KINDS: [Kind; 5] = [Kind::Hot, Kind::Hot, Kind::BadAgain, Kind::NoToken, Kind::UnknownPath];
/// A class of answers, and one of them for each kind of request.
const CLASSES: [(&str, &[u16]); 4] = [("2xx", &[200]), ("3xx", &[]), ("4xx", &[401, 404]), ("5xx", &[503])];
const PAUSE: std::ops::Range<u64> = 100..500;
/// Of a turn, in which nothing may hang. Every request that waits for a time limit does so at most for 6 s, and at
/// most 60 follow each other.
const PATIENCE: &str = "400";

pub(super) fn run(scene: &Scene, seed: u64, over: &AtomicBool, counts: &Counts) {
    let mut random = Random::new(seed, 200);
    let start = Instant::now();
    while !over.load(Relaxed) {
        let at = start.elapsed().as_secs_f64();
        if let Err(failure) = turn(scene, &mut random, counts) {
            counts.tell(format!("HTTP/2 at {at:.3} s: {failure}"));
        }
        thread::sleep(random.millis(PAUSE));
    }
}

fn turn(scene: &Scene, random: &mut Random, counts: &Counts) -> Result<(), Failure> {
    let (kind, to) = (*random.pick(&KINDS), *random.pick(&Destination::ALL));
    let secure = random.among(0..2) == 0;
    let (addr, scheme, protocol) = match secure {
        true => (scene.secure, "https", "HTTP/2 over TLS"),
        false => (scene.proxy, "http", "HTTP/2"),
    };
    let path = if kind == Kind::UnknownPath { "/nowhere" } else { to.path() };
    let mut h2load = command("timeout", &[PATIENCE, "h2load", "-t", "1", "-n", &REQUESTS.to_string()]);
    h2load.args(["-c", &random.among(1..5).to_string(), "-m", &random.among(2..16).to_string()]);
    let token = match kind {
        Kind::BadAgain => format!("bad-again-{}", random.among(0..10)),
        _ => format!("{GOOD}hot-{}", random.among(0..HOT_TOKENS)),
    };
    if kind != Kind::NoToken {
        h2load.args(["-H", &format!("authorization: Bearer {token}")]);
    }
    h2load.arg(format!("--connect-to={addr}")).arg(format!("{scheme}://{NAME}:{}{path}", addr.port()));

    let sent = Instant::now();
    let done = h2load.stderr(Stdio::null()).output()?;
    let down = Down::since(sent, to, scene);
    let said = String::from_utf8(done.stdout)?;
    let codes = said.lines().find_map(|line| line.trim().strip_prefix("status codes: "));
    let codes = codes.ok_or_else(|| format!("{kind:?} over {protocol} to {to:?}: {}, {said}", done.status))?;
    let mut broken = REQUESTS;
    for (class, statuses) in CLASSES {
        let answers = number(codes, class).ok_or("h2load counted nothing")?;
        broken = broken.saturating_sub(answers);
        if answers == 0 {
            continue;
        }
        counts.count(kind, to, protocol, class, answers);
        if class == "2xx" && !kind.may_pass() {
            counts.admit(answers);
        }
        if !statuses.iter().any(|status| kind.fits(*status, down)) {
            counts.tell(format!("{kind:?} over {protocol} to {to:?}: {answers} {class} ({down:?})"));
        }
    }
    if broken > 0 {
        counts.count(kind, to, protocol, "broken", broken);
        // An answer under way can only be broken off.
        if !(kind.may_pass() && down.upstream) {
            counts.tell(format!("{kind:?} over {protocol} to {to:?}: {broken} without an answer ({down:?}): {said}"));
        }
    }
    Ok(())
}
