//! One case sent through a gateway, and what became of it.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{CANARY, Case, Recorder, Seen};

/// Longer than the short limits that a gateway is given for this.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a gateway has made of a case.
#[derive(Debug)]
pub struct Outcome {
    /// Statuses that the client got, interim ones left out.
    pub statuses: Vec<u16>,
    /// Requests that reached the upstream.
    pub seen: Vec<Seen>,
    /// Whether the gateway closed the connection in time.
    pub closed: bool,
}

/// Sends a case and the canary to `gateway`, whose upstream is `recorder`, in pieces of at most `piece` bytes, and
/// waits until the gateway closes the connection.
pub fn exchange(case: &Case, gateway: SocketAddr, recorder: &Recorder, piece: usize) -> Outcome {
    recorder.take();
    let mut stream = TcpStream::connect(gateway).unwrap_or_else(|e| panic!("connecting to {gateway}: {e}"));
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let bytes = [&case.request, CANARY.as_bytes()].concat();
    for piece in bytes.chunks(piece) {
        // A gateway that has heard enough may have closed it.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut answers = Vec::new();
    let closed = match stream.read_to_end(&mut answers) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    };
    Outcome { statuses: statuses(&answers, case.request.starts_with(b"HEAD ")), seen: recorder.take(), closed }
}

/// The statuses of these answers. The first one has no body where the question was a `HEAD`.
fn statuses(mut answers: &[u8], mut bodiless: bool) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(end) = answers.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&answers[..end]).to_ascii_lowercase();
        answers = &answers[end + 4..];
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        if (100..200).contains(&status) {
            continue;
        }
        statuses.push(status);
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if std::mem::take(&mut bodiless) {
            continue;
        }
        let length = match field("content-length:") {
            Some(length) => length.parse().unwrap_or(usize::MAX),
            // Chunked or until the end; nothing here sends either before another answer.
            None => usize::MAX,
        };
        answers = answers.get(length..).unwrap_or_default();
    }
    statuses
}

impl Outcome {
    /// Whether the upstream got a whole request of the case.
    pub fn is_forwarded(&self) -> bool {
        self.forwarded() > 0
    }

    fn forwarded(&self) -> usize {
        self.seen.iter().filter(|seen| seen.complete && seen.line != "GET /canary").count()
    }
}

/// In few words, for a table: `refused 400`, `forwarded`, `cut 400`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.forwarded();
        let canary = self.seen.iter().any(|seen| seen.complete && seen.line == "GET /canary");
        let half = self.seen.iter().any(|seen| !seen.complete);
        let errors: Vec<String> = self.statuses.iter().filter(|s| **s >= 300).map(u16::to_string).collect();
        let mut words = Vec::new();
        match (whole, half) {
            (0, false) if canary => words.push("answered".to_owned()),
            (0, false) if errors.is_empty() => words.push("closed".to_owned()),
            (0, false) => words.push("refused".to_owned()),
            (0, true) => words.push("cut".to_owned()),
            (1, _) => words.push("forwarded".to_owned()),
            (more, _) => words.push(format!("forwarded {more}")),
        }
        words.extend(errors);
        if whole > 0 && !canary {
            words.push("and closed".to_owned());
        }
        if whole > 0 && half {
            words.push("and half of another".to_owned());
        }
        if !self.closed {
            words.push("and waits".to_owned());
        }
        f.write_str(&words.join(" "))?;
        let faults: Vec<&str> = self.seen.iter().flat_map(|seen| &seen.faults).map(String::as_str).collect();
        if faults.is_empty() { Ok(()) } else { write!(f, " with {}", faults.join(", ")) }
    }
}
