//! The load: clients that know, for each of their requests, which answers are right.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failure;
use crate::soak::connection::Connection;
use crate::soak::faults::{Side, lock};
use crate::soak::random::Random;
use crate::soak::scene::Scene;
use crate::soak::servers::{DOWN, GOOD, head, read_body};

const CLIENTS: u64 = 16;
/// One client of so many speaks TLS.
const SECURE: u64 = 4;
/// Between two requests of one client, in milliseconds.
const PAUSE: std::ops::Range<u64> = 0..8;
/// Nothing may take longer than the gateway's own time limits do together.
const PATIENCE: Duration = Duration::from_secs(15);
pub(super) const HOT_TOKENS: u64 = 50;
/// Of an upload with a bad token: small enough to be drained, so that its answer always arrives.
const SMALL: u64 = 8 * 1024;
const LARGE: u64 = 256 * 1024;
/// Sentences about wrong answers that are kept.
const TOLD: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Hot,
    Cold,
    Upload,
    Download,
    /// A bad token that was not sent before.
    Bad,
    /// One of a few bad tokens.
    BadAgain,
    BadUpload,
    NoToken,
    UnknownPath,
}

/// How often each is sent.
const WEIGHTS: [(Kind, u64); 9] = [
    (Kind::Hot, 45),
    (Kind::Cold, 10),
    (Kind::Upload, 8),
    (Kind::Download, 8),
    (Kind::Bad, 7),
    (Kind::BadAgain, 7),
    (Kind::BadUpload, 3),
    (Kind::NoToken, 8),
    (Kind::UnknownPath, 4),
];

impl Kind {
    fn draw(random: &mut Random) -> Self {
        let mut left = random.among(0..WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in WEIGHTS {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        Self::Hot
    }

    /// Whether its token is valid.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Self::Hot | Self::Cold | Self::Upload | Self::Download)
    }

    /// Whether `status` is right, given who was down meanwhile.
    pub(super) fn fits(self, status: u16, Down { server, upstream }: Down) -> bool {
        let server_excuses = server && status == 503;
        match self {
            Self::NoToken => status == 401,
            Self::UnknownPath => status == 404,
            Self::Bad | Self::BadAgain | Self::BadUpload => status == 401 || server_excuses,
            Self::Hot | Self::Cold | Self::Upload | Self::Download => {
                status == 200 || server_excuses || upstream && [500, 502, 503, 504].contains(&status)
            }
        }
    }
}

/// What a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Destination {
    Upstream,
    /// An upstream entity.
    Targets,
    /// A service whose host is a name.
    Name,
}

impl Destination {
    pub(super) const ALL: [Self; 3] = [Self::Upstream, Self::Targets, Self::Name];

    /// One path of each.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Upstream => "/a/x",
            Self::Targets => "/p/x",
            Self::Name => "/n/x",
        }
    }
}

/// Who was down during a request, so that it may have seen it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Down {
    pub(super) server: bool,
    pub(super) upstream: bool,
}

impl Down {
    /// From `sent` to now.
    pub(super) fn since(sent: Instant, to: Destination, scene: &Scene) -> Self {
        let overlap = |side| scene.faults.overlap(side, sent, Instant::now());
        let upstream = match to {
            Destination::Upstream => overlap(Side::Upstream),
            Destination::Targets => overlap(Side::Targets),
            Destination::Name => false,
        };
        Self { server: overlap(Side::AuthorizationServer), upstream }
    }
}

#[derive(Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    wrong: AtomicU64,
    admitted: AtomicU64,
    reconnected: AtomicU64,
    /// By kind and outcome.
    outcomes: Mutex<BTreeMap<(Kind, String), u64>>,
    /// By protocol, destination and outcome, of tokens that may pass.
    ways: Mutex<BTreeMap<(String, String), u64>>,
    told: Mutex<Vec<String>>,
}

impl Counts {
    pub(super) fn wrong(&self) -> u64 {
        self.wrong.load(Relaxed)
    }

    pub(super) fn admitted(&self) -> u64 {
        self.admitted.load(Relaxed)
    }

    pub(super) fn told(&self) -> Vec<String> {
        lock(&self.told).clone()
    }

    pub(super) fn line(&self) -> String {
        let requests = self.requests.load(Relaxed);
        format!("{requests} requests, {} wrong, {} admitted without a valid token", self.wrong(), self.admitted())
    }

    pub(super) fn to_json(&self) -> Value {
        let mut kinds: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for ((kind, outcome), count) in lock(&self.outcomes).iter() {
            kinds.entry(format!("{kind:?}")).or_default().insert(outcome.clone(), *count);
        }
        let mut ways: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for ((way, outcome), count) in lock(&self.ways).iter() {
            ways.entry(way.clone()).or_default().insert(outcome.clone(), *count);
        }
        json!({
            "all": self.requests.load(Relaxed),
            "sent_again_over_another_connection": self.reconnected.load(Relaxed),
            "by_kind": kinds,
            "of_valid_tokens_by_way": ways,
        })
    }

    /// Counts so many answers of one outcome.
    pub(super) fn count(&self, kind: Kind, to: Destination, protocol: &str, outcome: &str, number: u64) {
        self.requests.fetch_add(number, Relaxed);
        *lock(&self.outcomes).entry((kind, outcome.to_owned())).or_default() += number;
        if kind.may_pass() {
            *lock(&self.ways).entry((format!("{protocol} to {to:?}"), outcome.to_owned())).or_default() += number;
        }
    }

    /// Counts requests that passed and should not have.
    pub(super) fn admit(&self, number: u64) {
        self.admitted.fetch_add(number, Relaxed);
    }

    /// Counts something that went wrong.
    pub(super) fn tell(&self, sentence: String) {
        self.wrong.fetch_add(1, Relaxed);
        let mut told = lock(&self.told);
        if told.len() < TOLD {
            told.push(sentence);
        }
    }
}

pub(super) fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    scene: &'env Scene,
    seed: u64,
    over: &'env AtomicBool,
    counts: &'env Counts,
) -> Vec<ScopedJoinHandle<'scope, ()>> {
    let client = |n| {
        let random = Random::new(seed, 100 + n);
        let secure = n % SECURE == 0;
        scope.spawn(move || Client { scene, counts, random, number: n, secure, sent: 0, open: None }.run(over))
    };
    (0..CLIENTS).map(client).collect()
}

struct Client<'a> {
    scene: &'a Scene,
    counts: &'a Counts,
    random: Random,
    number: u64,
    /// It speaks TLS.
    secure: bool,
    sent: u64,
    open: Option<Connection>,
}

/// A request, and what its answer says if the upstream is well.
struct Request {
    kind: Kind,
    to: Destination,
    bytes: Vec<u8>,
    body: Expected,
}

enum Expected {
    Anything,
    Text(String),
    Length(u64),
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    length: u64,
}

impl Client<'_> {
    fn run(mut self, over: &AtomicBool) {
        let start = Instant::now();
        while !over.load(Relaxed) {
            let request = self.draw();
            let sent = Instant::now();
            let outcome = self.exchange(&request.bytes);
            self.judge(&request, outcome, sent, start);
            thread::sleep(self.random.millis(PAUSE));
        }
    }

    fn draw(&mut self) -> Request {
        let kind = Kind::draw(&mut self.random);
        self.sent += 1;
        let mine = format!("{}-{}", self.number, self.sent);
        let token = match kind {
            Kind::Cold => format!("{GOOD}cold-{mine}"),
            Kind::Bad | Kind::BadUpload => format!("bad-{mine}"),
            Kind::BadAgain => format!("bad-again-{}", self.random.among(0..10)),
            _ => format!("{GOOD}hot-{}", self.random.among(0..HOT_TOKENS)),
        };
        let to = *self.random.pick(&Destination::ALL);
        let (host, mut path) = match (to, self.random.among(0..3)) {
            (Destination::Upstream, 0) => ("soak", format!("/r/{}/x", self.random.among(0..1000))),
            (Destination::Upstream, 1) => ("h.example", "/x".to_owned()),
            _ => ("soak", to.path().to_owned()),
        };
        let credential =
            if kind == Kind::NoToken { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let mut body = Expected::Text(format!("0 bytes for {token}"));
        let mut sent = Vec::new();
        match kind {
            Kind::UnknownPath => {
                let bytes = self.bytes(kind, "soak", "/nowhere", &credential, &sent);
                return Request { kind, to, bytes, body: Expected::Anything };
            }
            Kind::Download => {
                let size = self.random.among(0..LARGE);
                path = format!("{}{DOWN}{size}", path.trim_end_matches("/x"));
                body = Expected::Length(size);
            }
            Kind::Upload => {
                sent = vec![b'u'; self.random.among(0..LARGE) as usize];
                body = Expected::Text(format!("{} bytes for {token}", sent.len()));
            }
            Kind::BadUpload => sent = vec![b'u'; self.random.among(0..SMALL) as usize],
            _ => {}
        }
        let bytes = self.bytes(kind, host, &path, &credential, &sent);
        Request { kind, to, bytes, body }
    }

    fn bytes(&mut self, kind: Kind, host: &str, path: &str, credential: &str, sent: &[u8]) -> Vec<u8> {
        let uploads = matches!(kind, Kind::Upload | Kind::BadUpload);
        let method = if uploads { "POST" } else { "GET" };
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{credential}").into_bytes();
        if !uploads {
            bytes.extend_from_slice(b"\r\n");
        } else if self.random.among(0..2) == 0 {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", sent.len()).as_bytes());
            bytes.extend_from_slice(sent);
        } else {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in sent.chunks(self.random.among(100..20_000) as usize) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        bytes
    }

    /// A server may close a connection that has been used, also when the next request is already on its way: then
    /// that goes over a new one, once, as with every client. How often is counted.
    fn exchange(&mut self, bytes: &[u8]) -> Result<Answer, Failure> {
        if let Some(used) = self.open.take() {
            match self.exchange_over(used, bytes) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => self.counts.reconnected.fetch_add(1, Relaxed),
                Err(failure) => return Err(failure),
            };
        }
        let fresh = if self.secure {
            Connection::secure(self.scene.secure, &self.scene.certificate, PATIENCE)?
        } else {
            Connection::plain(self.scene.proxy, PATIENCE)?
        };
        self.exchange_over(fresh, bytes)?.ok_or_else(|| "the connection ended instead of an answer".into())
    }

    /// Nothing when the connection ended without a byte of an answer.
    fn exchange_over(&mut self, mut connection: Connection, bytes: &[u8]) -> Result<Option<Answer>, Failure> {
        // A gateway that answers early may stop reading; its answer still counts.
        let written = connection.writer.write_all(bytes);
        let began = connection.ended().and_then(|ended| if ended { Ok(None) } else { head(&mut connection.reader) });
        let head = match (began, written) {
            (Ok(Some(head)), _) => head,
            (Ok(None), _) => return Ok(None),
            (Err(failure), Ok(())) => return Err(failure.into()),
            (Err(failure), Err(before)) => return Err(format!("{before}, then {failure}").into()),
        };
        let status = head.first.split(' ').nth(1).unwrap_or_default().parse()?;
        let (body, length) = read_body(&mut connection.reader, &head)?;
        if !head.closes {
            self.open = Some(connection);
        }
        Ok(Some(Answer { status, body, length }))
    }

    fn judge(&self, request: &Request, outcome: Result<Answer, Failure>, sent: Instant, start: Instant) {
        let Request { kind, to, .. } = request;
        let now = Instant::now();
        let down = Down::since(sent, *to, self.scene);
        let (name, wrong) = match &outcome {
            Ok(answer) => {
                let passed = (200..300).contains(&answer.status);
                if passed && !kind.may_pass() {
                    self.counts.admit(1);
                }
                let fits = kind.fits(answer.status, down);
                let wrong = if !fits {
                    Some(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
                } else if passed && !down.upstream && !request.body.is(answer) {
                    Some(format!(
                        "another answer: {}",
                        String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)])
                    ))
                } else {
                    None
                };
                (answer.status.to_string(), wrong)
            }
            // An answer under way can only be broken off. One that comes before a long upload has ended may be lost
            // with the connection. That none comes at all is excused by nothing.
            Err(failure) => {
                let broken = kind.may_pass() && down.upstream || *kind == Kind::Upload && down.server;
                let excused = broken && now - sent < PATIENCE;
                ("broken".to_owned(), (!excused).then(|| failure.to_string()))
            }
        };
        let protocol = if self.secure { "HTTP/1 over TLS" } else { "HTTP/1" };
        self.counts.count(*kind, *to, protocol, &name, 1);
        if let Some(wrong) = wrong {
            let (at, took) = ((sent - start).as_secs_f64(), (now - sent).as_secs_f64());
            self.counts
                .tell(format!("{kind:?} over {protocol} to {to:?} at {at:.3} s, {took:.3} s long: {wrong} ({down:?})"));
        }
    }
}

impl Expected {
    fn is(&self, answer: &Answer) -> bool {
        match self {
            Self::Anything => true,
            Self::Text(text) => text.as_bytes() == answer.body,
            Self::Length(length) => *length == answer.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Down, Kind};

    #[test]
    fn what_is_down_excuses_its_own_statuses_alone() {
        for (kind, status, [nobody, server, upstream]) in [
            (Kind::Hot, 200, [true, true, true]),
            (Kind::Hot, 401, [false, false, false]),
            (Kind::Cold, 503, [false, true, true]),
            (Kind::Download, 504, [false, false, true]),
            (Kind::Bad, 401, [true, true, true]),
            (Kind::BadAgain, 200, [false, false, false]),
            (Kind::BadUpload, 503, [false, true, false]),
            (Kind::NoToken, 503, [false, false, false]),
            (Kind::UnknownPath, 404, [true, true, true]),
        ] {
            let fits = |server, upstream| kind.fits(status, Down { server, upstream });
            assert_eq!(fits(false, false), nobody, "{kind:?} {status}");
            assert_eq!(fits(true, false), server, "{kind:?} {status}");
            assert_eq!(fits(false, true), upstream, "{kind:?} {status}");
        }
    }
}
