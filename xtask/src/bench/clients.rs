//! Clients of this process, for what `wrk` cannot do: so many requests and no more, all at the same moment, each
//! with a token of its own. A thread per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::bench::load::{TOKEN, connect};

/// What a thread that sends and reads needs.
const STACK: usize = 128 * 1024;

/// A keep-alive connection.
pub(super) struct Client {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(super) fn new(addr: SocketAddr) -> Result<Self, Failure> {
        let writer = connect(addr)?;
        writer.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(writer.try_clone()?), writer })
    }

    /// Sends a request and reads its whole answer, of which the status is returned.
    pub(super) fn ask(&mut self, token: &str) -> Result<u16, Failure> {
        self.ask_at("/hello", token)
    }

    pub(super) fn ask_at(&mut self, path: &str, token: &str) -> Result<u16, Failure> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n");
        Ok(self.exchange(&head)?.0)
    }

    /// The body of an answer 200 to a request without a token.
    pub(super) fn get(&mut self, path: &str) -> Result<String, Failure> {
        match self.exchange(&format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n"))? {
            (200, body) => Ok(String::from_utf8(body)?),
            (status, _) => Err(format!("{path} is answered {status}").into()),
        }
    }

    fn exchange(&mut self, head: &str) -> Result<(u16, Vec<u8>), Failure> {
        self.writer.write_all(head.as_bytes())?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).unwrap_or_default().parse().map_err(|_| "no answer")?;
        let mut length = 0;
        loop {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                return Err("an answer broke off".into());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        Ok((status, body))
    }
}

/// Token number `n` of those that begin with `prefix`; `wrk`'s scripts write the same.
pub(super) fn token(prefix: &str, n: u64) -> String {
    format!("{prefix}{n:032}")
}

/// Sends each of the first `count` tokens once, over so many connections, and wants this status every time.
pub(super) fn each(addr: SocketAddr, connections: usize, prefix: &str, count: u64, status: u16) -> Result<(), Failure> {
    requests(addr, connections, count, status, |n| token(prefix, n))
}

/// Sends `count` requests with [`TOKEN`], over so many connections.
pub(super) fn same(addr: SocketAddr, connections: usize, count: u64) -> Result<(), Failure> {
    requests(addr, connections, count, 200, |_| TOKEN.to_owned())
}

fn requests(
    addr: SocketAddr,
    connections: usize,
    count: u64,
    status: u16,
    token: impl Fn(u64) -> String + Sync,
) -> Result<(), Failure> {
    let next = AtomicU64::new(0);
    let work = || -> Result<(), String> {
        let mut client = Client::new(addr).map_err(|e| e.to_string())?;
        loop {
            let n = next.fetch_add(1, Relaxed);
            if n >= count {
                return Ok(());
            }
            match client.ask(&token(n)) {
                Ok(seen) if seen == status => {}
                Ok(seen) => return Err(format!("request {n}: status {seen}, not {status}")),
                Err(failure) => return Err(format!("request {n}: {failure}")),
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        // All are waited for by the scope; the first failure is told.
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client panicked".to_owned())?)
    })
    .map_err(Into::into)
}

/// How a request of a [`Burst`] ended: its status, and how long it took.
pub(super) type Seen = (u16, Duration);

/// Requests that were sent at the same moment, one connection each.
pub(super) struct Burst(Vec<JoinHandle<Result<Seen, String>>>);

impl Burst {
    /// Connects, and when all are connected, sends.
    pub(super) fn send(addr: SocketAddr, tokens: Vec<String>) -> Result<Self, Failure> {
        // One place more is for this thread, so that nothing is sent before all could connect.
        let start = std::sync::Arc::new(Barrier::new(tokens.len() + 1));
        let mut threads = Vec::with_capacity(tokens.len());
        let clients = tokens.iter().map(|_| Client::new(addr)).collect::<Result<Vec<_>, _>>()?;
        for (mut client, token) in clients.into_iter().zip(tokens) {
            let start = start.clone();
            threads.push(Builder::new().stack_size(STACK).spawn(move || {
                start.wait();
                let sent = Instant::now();
                let status = client.ask(&token).map_err(|failure| failure.to_string())?;
                Ok((status, sent.elapsed()))
            })?);
        }
        start.wait();
        Ok(Self(threads))
    }

    /// Waits for all answers; each wait is bounded by the client's time limit.
    pub(super) fn end(self) -> Result<Vec<Seen>, Failure> {
        let ends = self.0.into_iter().map(|thread| thread.join().map_err(|_| "a client panicked".to_owned())?);
        ends.collect::<Result<_, String>>().map_err(Into::into)
    }
}
