//! An authorization server that counts. It stands in this process, a thread per connection, and judges a token by how
//! it begins.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::Failure;

/// Tokens that begin so are inactive.
pub(super) const BAD: &str = "bad-";
/// Answered after [`LATE_BY`].
pub(super) const LATE: &str = "late-";
pub(super) const LATE_BY: Duration = Duration::from_millis(200);
/// Answered after [`HANGS_FOR`].
pub(super) const HANGING: &str = "hang-";
/// Token number N that begins so belongs to the user `user-N`.
pub(super) const NAMED: &str = "named-";
const HANGS_FOR: Duration = Duration::from_secs(4);

/// Its threads end with the process, or when the gateway closes their connections.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    calls: AtomicU64,
}

impl Server {
    /// Answers every other token with `answer`, at once.
    pub(super) fn start(answer: &str) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let counts = Arc::<Counts>::default();
        let (counted, good) = (counts.clone(), reply(answer));
        let answer = answer.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.connections.fetch_add(1, Relaxed);
                let (counts, good, answer) = (counted.clone(), good.clone(), answer.clone());
                // A connection that breaks off is the gateway's business.
                thread::spawn(move || drop(serve(stream, &counts, &good, &answer)));
            }
        });
        Ok(Self { addr, counts })
    }

    /// Calls that have arrived.
    pub(super) fn calls(&self) -> u64 {
        self.counts.calls.load(Relaxed)
    }

    /// Connections that were ever accepted.
    pub(super) fn connections(&self) -> u64 {
        self.counts.connections.load(Relaxed)
    }
}

fn serve(stream: TcpStream, counts: &Counts, good: &[u8], answer: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let bad = reply(r#"{"active":false}"#);
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut body = Vec::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        counts.calls.fetch_add(1, Relaxed);
        let text = String::from_utf8_lossy(&body);
        let token = text.split('&').find_map(|part| part.strip_prefix("token=")).unwrap_or_default();
        if token.starts_with(LATE) {
            thread::sleep(LATE_BY);
        } else if token.starts_with(HANGING) {
            thread::sleep(HANGS_FOR);
        }
        if let Some(number) = token.strip_prefix(NAMED) {
            let number: u64 = number.parse().map_err(io::Error::other)?;
            let members = answer.trim_end_matches('}');
            writer.write_all(&reply(&format!(r#"{members},"username":"user-{number}"}}"#)))?;
            continue;
        }
        writer.write_all(if token.starts_with(BAD) { &bad } else { good })?;
    }
}

fn reply(json: &str) -> Vec<u8> {
    let length = json.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}").into_bytes()
}
