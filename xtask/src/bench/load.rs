//! The load: `wrk`, one thread, keep-alive connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Failure;
use crate::bench::contestant::{Contestant, LOAD_CORE};
use crate::bench::process::Cpu;
use crate::bench::scratch::Scratch;
use crate::program::{command, output};

pub(super) const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA-bench-token-of-43-ch";

/// What `wrk` sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) connections: u32,
    pub(super) tokens: Tokens,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Tokens {
    /// [`TOKEN`], always.
    One,
    /// One of the first so many that begin with this, at random.
    Among(&'static str, u64),
    /// None that was sent before.
    Fresh,
    /// [`TOKEN`], at places that differ.
    At(Place),
}

/// Where requests go: expressions in Lua, in which `n` is a random number below `count`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) count: u64,
    pub(super) host: &'static str,
    pub(super) path: &'static str,
}

/// What one round cost the proxy, in microseconds of CPU time per request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) requests: u64,
    pub(super) cpu: f64,
    pub(super) user: f64,
    pub(super) kernel: f64,
    /// Microseconds that 99 of 100 answers took at most.
    pub(super) p99: f64,
}

/// Loads the proxies in turns for so many rounds; the outer list is in the order of `sides`.
pub(super) fn alternate(
    sides: &[(&Contestant, Load)],
    rounds: u64,
    seconds: u64,
    scratch: &Scratch,
) -> Result<Vec<Vec<Round>>, Failure> {
    // The first round fills caches and pools and does not count.
    for (contestant, load) in sides {
        round(contestant, 1, *load, scratch)?;
    }
    let mut all = vec![Vec::new(); sides.len()];
    for _ in 0..rounds {
        for ((contestant, load), seen) in sides.iter().zip(&mut all) {
            seen.push(round(contestant, seconds, *load, scratch)?);
        }
        eprint!(".");
    }
    eprintln!();
    Ok(all)
}

/// From where the load comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Station {
    pub(super) cores: &'static str,
    pub(super) threads: u32,
}

const STATION: Station = Station { cores: LOAD_CORE, threads: 1 };

/// Loads the proxy for `seconds` and returns what that cost it.
pub(super) fn round(contestant: &Contestant, seconds: u64, load: Load, scratch: &Scratch) -> Result<Round, Failure> {
    round_from(STATION, std::slice::from_ref(contestant), seconds, load, scratch)
}

/// The same from another station, of a proxy that may be several processes behind one address.
pub(super) fn round_from(
    station: Station,
    contestants: &[Contestant],
    seconds: u64,
    load: Load,
    scratch: &Scratch,
) -> Result<Round, Failure> {
    let first = contestants.first().ok_or("nobody to load")?;
    let before = used(contestants)?;
    let (requests, p99) = wrk(station, first, seconds, load, scratch)?;
    Ok(Round::new(before, used(contestants)?, requests, p99))
}

/// What all of them have used.
pub(super) fn used(contestants: &[Contestant]) -> Result<Cpu, Failure> {
    contestants.iter().try_fold(Cpu::default(), |sum, contestant| Ok(sum + contestant.process.cpu()?))
}

impl Round {
    pub(super) fn new(before: Cpu, after: Cpu, requests: u64, p99: f64) -> Self {
        let cpu = (after.total - before.total).as_secs_f64() * 1e6 / requests as f64;
        let user = (after.user_ticks - before.user_ticks) as f64;
        let kernel = (after.kernel_ticks - before.kernel_ticks) as f64;
        let share = user / (user + kernel).max(1.0);
        Self { requests, cpu, user: cpu * share, kernel: cpu * (1.0 - share), p99 }
    }
}

/// One request over `stream`, answered 200; the connection stays open.
pub(super) fn request(stream: &mut TcpStream) -> Result<(), Failure> {
    // In one piece: of several small ones all but the first would wait for an acknowledgement.
    let head = format!("GET /hello HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut seen = Vec::new();
    let mut block = [0; 4096];
    while !seen.ends_with(b"hello") {
        let read = stream.read(&mut block)?;
        seen.extend_from_slice(&block[..read]);
        if read == 0 || !seen.starts_with(&b"HTTP/1.1 200"[..seen.len().min(12)]) {
            return Err(format!("not the upstream's answer: {}", String::from_utf8_lossy(&seen)).into());
        }
    }
    Ok(())
}

/// A connection whose reads and writes end in time.
pub(super) fn connect(addr: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// Requests that were answered, and the 99th percentile of their latency.
fn wrk(
    station: Station,
    contestant: &Contestant,
    seconds: u64,
    load: Load,
    scratch: &Scratch,
) -> Result<(u64, f64), Failure> {
    let (duration, connections) = (format!("{seconds}s"), load.connections.to_string());
    let (header, url) = (format!("Authorization: Bearer {TOKEN}"), format!("http://{}/hello", contestant.addr));
    let threads = station.threads.to_string();
    let wrk = ["-c", station.cores, "wrk", "--latency", "-t", &threads, "-c", &connections, "-d", &duration];
    let mut wrk = command("taskset", &wrk);
    match load.tokens.script() {
        None => wrk.args(["-H", &header]),
        Some(script) => wrk.arg("-s").arg(scratch.write("tokens.lua", &script)?),
    };
    let said = output(wrk.arg(&url))?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("{} failed under load:\n{said}", contestant.process.name()).into());
    }
    let line = said.lines().find(|line| line.contains(" requests in ")).ok_or("wrk counted nothing")?;
    let requests = line.split_whitespace().next().unwrap_or_default().parse()?;
    let p99 = said.lines().find_map(|line| line.trim().strip_prefix("99%")).and_then(microseconds);
    Ok((requests, p99.ok_or("wrk says no latency")?))
}

impl Tokens {
    /// Writes requests as [`super::clients`] would. The same work for every side: what the load's core does between two
    /// requests shows in the proxy's figure, too.
    fn script(self) -> Option<String> {
        /// Where the tokens of the next round begin that nobody has seen.
        static UNSEEN: AtomicU64 = AtomicU64::new(0);
        let (prefix, number) = match self {
            Tokens::One => return None,
            Tokens::Among(prefix, count) => (prefix, format!("math.random(0, {})", count - 1)),
            Tokens::Fresh => ("fresh-", "next_number()".to_owned()),
            Tokens::At(place) => return Some(place.script()),
        };
        let first = UNSEEN.fetch_add(100_000_000, Relaxed);
        Some(format!(
            r#"local head = "GET /hello HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {prefix}"
local n = {first}
local function next_number() n = n + 1; return n end
math.randomseed(os.time())
function request() return head .. string.format("%032d", {number}) .. "\r\n\r\n" end
"#
        ))
    }
}

impl Place {
    fn script(self) -> String {
        let Self { count, host, path } = self;
        format!(
            r#"local tail = "\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
math.randomseed(os.time())
function request()
  local n = math.random(0, {count} - 1)
  return "GET " .. ({path}) .. " HTTP/1.1\r\nHost: " .. ({host}) .. tail
end
"#
        )
    }
}

/// Reads `1.23ms` and its kind.
fn microseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    match unit {
        "us" => Some(number),
        "ms" => Some(number * 1e3),
        "s" => Some(number * 1e6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::microseconds;

    #[test]
    fn latencies_are_read() {
        assert_eq!(microseconds("   812.00us"), Some(812.0));
        assert_eq!(microseconds("1.50ms"), Some(1500.0));
        assert_eq!(microseconds("2s"), Some(2e6));
        assert_eq!(microseconds("1 fortnight"), None);
    }
}
