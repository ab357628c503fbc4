//! The load: `wrk`, one thread, keep-alive connections, one token.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;
use crate::bench::contestant::{Contestant, LOAD_CORE};
use crate::program::{command, output};

pub(super) const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA-bench-token-of-43-ch";
const CONNECTIONS: &str = "64";

/// What one round cost the proxy, in microseconds of CPU time per request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) requests: u64,
    pub(super) cpu: f64,
    pub(super) user: f64,
    pub(super) kernel: f64,
}

/// Loads the proxy for `seconds` and returns what that cost it.
pub(super) fn round(contestant: &Contestant, seconds: u64) -> Result<Round, Failure> {
    let before = contestant.process.cpu()?;
    let requests = wrk(contestant, seconds)?;
    let after = contestant.process.cpu()?;
    let cpu = (after.total - before.total).as_secs_f64() * 1e6 / requests as f64;
    let user = (after.user_ticks - before.user_ticks) as f64;
    let kernel = (after.kernel_ticks - before.kernel_ticks) as f64;
    let share = user / (user + kernel).max(1.0);
    Ok(Round { requests, cpu, user: cpu * share, kernel: cpu * (1.0 - share) })
}

/// One request over `stream`, answered 200; the connection stays open.
pub(super) fn request(stream: &mut TcpStream) -> Result<(), Failure> {
    write!(stream, "GET /hello HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")?;
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

fn wrk(contestant: &Contestant, seconds: u64) -> Result<u64, Failure> {
    let (core, duration) = (LOAD_CORE.to_string(), format!("{seconds}s"));
    let (header, url) = (format!("Authorization: Bearer {TOKEN}"), format!("http://{}/hello", contestant.addr));
    let args = ["-c", &core, "wrk", "-t", "1", "-c", CONNECTIONS, "-d", &duration, "-H", &header, &url];
    let said = output(&mut command("taskset", &args))?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("{} failed under load:\n{said}", contestant.process.name()).into());
    }
    let line = said.lines().find(|line| line.contains(" requests in ")).ok_or("wrk counted nothing")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}
