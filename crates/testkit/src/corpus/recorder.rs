//! An upstream that trusts nothing: it notes every request that arrives, and whatever another server could read
//! otherwise.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The recording upstream. Its threads end with the connections that a gateway makes to it.
#[derive(Debug)]
pub struct Recorder {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Noted>>>,
}

/// What is noted of one request; its connection goes on with it, also when others have looked.
type Noted = Arc<Mutex<Seen>>;

/// One request, from the moment on in which its head had arrived.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// `METHOD TARGET`.
    pub line: String,
    /// Field lines as they came.
    pub fields: Vec<String>,
    pub body: Vec<u8>,
    /// Whether its body has arrived to its end.
    pub complete: bool,
    /// What is not in the one form that nobody can read otherwise.
    pub faults: Vec<String>,
}

/// Where a message ends.
enum Length {
    Known(usize),
    Chunks,
}

impl Recorder {
    /// Starts on a free loopback port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let seen = Arc::<Mutex<Vec<Noted>>>::default();
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                // A connection that breaks off is the gateway's business.
                thread::spawn(move || {
                    Connection { stream, buffer: Vec::new(), all: noted, present: Noted::default() }.serve()
                });
            }
        });
        Self { addr, seen }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What has arrived since this was asked last.
    pub fn take(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().drain(..).map(|seen| seen.lock().unwrap().clone()).collect()
    }
}

impl Seen {
    /// `METHOD TARGET|BODY`.
    pub fn text(&self) -> String {
        // A character per byte, as in the file of the cases.
        format!("{}|{}", self.line, self.body.iter().map(|&byte| char::from(byte)).collect::<String>())
    }

    /// Takes the head apart. A space too many, a bare line end, a folded line, two ways to tell the end: each is a
    /// fault.
    fn read(head: &[u8]) -> (Self, Length) {
        let text: String = head.iter().map(|&byte| char::from(byte)).collect();
        let mut this = Self::default();
        if text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
            this.faults.push("a bare CR, LF or NUL".to_owned());
        }
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        match *lines.next().unwrap_or_default().split(' ').collect::<Vec<_>>() {
            [method, target, "HTTP/1.1" | "HTTP/1.0"] => this.line = format!("{method} {target}"),
            ref other => {
                this.line = other.join(" ");
                this.faults.push(format!("the request line is {other:?}"));
            }
        }
        this.fields = lines.map(str::to_owned).collect();
        let named = |wanted: &str| -> Vec<String> {
            let pairs = this.fields.iter().filter_map(|field| field.split_once(':'));
            pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().into()).collect()
        };
        let (lengths, encodings, hosts) = (named("content-length"), named("transfer-encoding"), named("host"));
        let token = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        for field in &this.fields {
            match field.split_once(':') {
                Some((name, _)) if token(name) => {
                    let folded = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                    let close = ["content-length", "transfer-encoding"].contains(&folded.as_str());
                    if close && !name.contains('-') {
                        this.faults.push(format!("{name}, which some take for {folded}"));
                    }
                }
                _ => this.faults.push(format!("the field line {field:?}")),
            }
        }
        if hosts.len() != 1 {
            this.faults.push(format!("{} hosts", hosts.len()));
        }
        let length = match (&lengths[..], &encodings[..]) {
            ([], []) => Length::Known(0),
            ([], [chunked]) if chunked.eq_ignore_ascii_case("chunked") => Length::Chunks,
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                Length::Known(length.parse().unwrap_or(usize::MAX))
            }
            _ => {
                this.faults.push(format!("length {lengths:?} with encoding {encodings:?}"));
                if encodings.is_empty() { Length::Known(0) } else { Length::Chunks }
            }
        };
        (this, length)
    }
}

/// One connection, read in the strictest way.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    all: Arc<Mutex<Vec<Noted>>>,
    present: Noted,
}

impl Connection {
    /// Answers request after request, until the connection ends or makes no sense.
    fn serve(mut self) -> Option<()> {
        loop {
            let end = loop {
                if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                self.fill()?;
            };
            let head: Vec<u8> = self.buffer.drain(..end).collect();
            let (seen, length) = Seen::read(&head);
            let line = seen.line.clone();
            let last = seen.fields.iter().any(|field| field.eq_ignore_ascii_case("connection: close"));
            self.present = Arc::new(Mutex::new(seen));
            self.all.lock().unwrap().push(Arc::clone(&self.present));
            match length {
                Length::Known(length) => self.body(length)?,
                Length::Chunks => self.chunks()?,
            }
            self.note(|seen| seen.complete = true);
            let body = if line.starts_with("HEAD ") { "" } else { "ok" };
            self.stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}").as_bytes()).ok()?;
            if last {
                return None;
            }
        }
    }

    fn body(&mut self, length: usize) -> Option<()> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        self.note(|seen| seen.body.extend(&body));
        Some(())
    }

    fn chunks(&mut self) -> Option<()> {
        loop {
            let line = self.line()?;
            let digits = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
            let Some(size) = usize::from_str_radix(&line, 16).ok().filter(|_| digits) else {
                self.note(|seen| seen.faults.push(format!("the chunk size {line:?}")));
                return None;
            };
            if size > 0 {
                self.body(size)?;
            }
            let mut end = self.line()?;
            if size > 0 && !end.is_empty() {
                self.note(|seen| seen.faults.push(format!("{end:?} behind a chunk")));
                return None;
            }
            // Nobody has asked for trailers, and a server may take them for fields of the head.
            while size == 0 && !end.is_empty() {
                self.note(|seen| seen.faults.push(format!("the trailer {end:?}")));
                end = self.line()?;
            }
            if size == 0 {
                return Some(());
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return Some(line.into_iter().map(char::from).collect());
            }
            self.fill()?;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.present.lock().unwrap());
    }

    fn fill(&mut self) -> Option<()> {
        let mut chunk = [0; 16 * 1024];
        let read = self.stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Some(())
    }
}
