//! Resident memory: idle, and with many connections that do nothing.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Failure;
use crate::bench::contestant::Contestant;
use crate::bench::load::{connect, request};
use crate::program::{command, run};

pub(super) const CONNECTIONS: usize = 10_000;
/// After so long nobody reckons with the next request at once any more.
const REST: Duration = Duration::from_secs(5);
/// Open files that each side of them needs, upstream connections and the like included.
const FILES: usize = CONNECTIONS + 2_000;

/// Resident megabytes of one proxy.
pub(super) struct Memory {
    /// After the start, before any request.
    pub(super) idle: f64,
    /// With 10,000 connections that never sent a byte.
    pub(super) silent: f64,
    /// With the same connections after one request on each.
    pub(super) used: f64,
    /// The same after five seconds of rest.
    pub(super) rested: f64,
}

/// Lets this process, and those that it starts, open enough files.
pub(super) fn raise_file_limit() -> Result<(), Failure> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).ok_or("no limit of open files")?;
    if line.split_whitespace().next().is_some_and(|soft| soft.parse().is_ok_and(|soft: usize| soft >= FILES)) {
        return Ok(());
    }
    let (id, limit) = (std::process::id().to_string(), format!("--nofile={FILES}:{FILES}"));
    run(&mut command("prlimit", &["--pid", &id, &limit]))
        .map_err(|failure| format!("{CONNECTIONS} connections need {FILES} open files: {failure}").into())
}

/// Measures a proxy that has just been started.
pub(super) fn measure(contestant: &Contestant) -> Result<Memory, Failure> {
    let resident = || contestant.process.resident().map(|bytes| bytes as f64 / 1e6);
    let idle = resident()?;
    let mut streams: Vec<TcpStream> = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        streams.push(connect(contestant.addr)?);
    }
    // Accepted in order by one worker, so an answer on the last one says that all have been taken.
    if let Some(last) = streams.last_mut() {
        request(last)?;
    }
    let silent = resident()?;
    for stream in &mut streams {
        request(stream)?;
    }
    let used = resident()?;
    std::thread::sleep(REST);
    Ok(Memory { idle, silent, used, rested: resident()? })
}

impl Memory {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "idle_mb": self.idle,
            "silent_connections_mb": self.silent,
            "used_connections_mb": self.used,
            "rested_connections_mb": self.rested,
        })
    }
}
