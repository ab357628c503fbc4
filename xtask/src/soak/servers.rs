//! The gateway's neighbours: authorization server and upstream, each in a process of its own so that it can be stopped
//! and killed. Threads and blocking sockets; a mode says how they misbehave.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::Failure;

/// Tokens that begin so are active; all others are not.
pub(super) const GOOD: &str = "good-";
/// Where a mode is set, by its number.
pub(super) const MODE: &str = "/set-mode/";
/// Where health checks ask: without a token, and never for a client.
pub(super) const HEALTH: &str = "/health";
/// How a request for so many bytes begins, behind any prefix.
pub(super) const DOWN: &str = "/down/";
const HANGS_AT_MOST: Duration = Duration::from_secs(20);
const SLOW_BY: Duration = Duration::from_millis(300);

#[derive(Args)]
pub(crate) struct Part {
    #[arg(value_enum)]
    role: Role,
    #[arg(long)]
    listen: SocketAddr,
    /// Where the upstream writes a line for each request without a valid token
    #[arg(long)]
    admitted: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    AuthorizationServer,
    Upstream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Well,
    Hangs,
    Slow,
    Fails,
    Garbage,
    BreaksOff,
}

impl Mode {
    pub(super) const BAD: [Self; 5] = [Self::Hangs, Self::Slow, Self::Fails, Self::Garbage, Self::BreaksOff];

    fn from(number: u8) -> Self {
        let all = [Self::Well, Self::Hangs, Self::Slow, Self::Fails, Self::Garbage, Self::BreaksOff];
        all.get(usize::from(number)).copied().unwrap_or(Self::Well)
    }
}

/// What is no answer, in turns: not HTTP; HTTP whose content is not what was asked for.
const GARBAGE: [&str; 6] = [
    "\x16\x03\x01 this is not HTTP\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: banana\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"active\"",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"active\":\"true\"}",
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>no</html>",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
];

struct Server {
    role: Role,
    mode: AtomicU8,
    garbage: AtomicU64,
    admitted: PathBuf,
}

/// Serves until it is killed.
pub(crate) fn run(part: &Part) -> Result<(), Failure> {
    let listener = TcpListener::bind(part.listen)?;
    let server = Arc::new(Server {
        role: part.role,
        mode: AtomicU8::new(0),
        garbage: AtomicU64::new(0),
        admitted: part.admitted.clone(),
    });
    for stream in listener.incoming().flatten() {
        let server = server.clone();
        // A connection that breaks off is the gateway's business.
        thread::spawn(move || drop(server.serve(stream)));
    }
    Ok(())
}

/// A message's head, as far as it matters here.
#[derive(Default)]
pub(super) struct Head {
    pub(super) first: String,
    token: String,
    pub(super) length: u64,
    chunked: bool,
    continues: bool,
    pub(super) closes: bool,
}

impl Server {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::with_capacity(64 * 1024, stream);
        while let Some(head) = head(&mut reader)? {
            if head.continues {
                writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let path = head.first.split(' ').nth(1).unwrap_or_default();
            if let Some(mode) = path.strip_prefix(MODE) {
                self.mode.store(mode.parse().map_err(io::Error::other)?, Relaxed);
                writer.write_all(&answer("set"))?;
                continue;
            }
            let mode = Mode::from(self.mode.load(Relaxed));
            match mode {
                Mode::Hangs => self.hang(),
                Mode::Slow => thread::sleep(SLOW_BY),
                _ => {}
            }
            let (body, length) = read_body(&mut reader, &head)?;
            let reply = match self.role {
                Role::AuthorizationServer => introspected(&body),
                Role::Upstream => self.served(path, &head, length)?,
            };
            match mode {
                Mode::Fails => {
                    writer.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops")?;
                }
                Mode::Garbage => {
                    let turn = self.garbage.fetch_add(1, Relaxed) as usize % GARBAGE.len();
                    writer.write_all(GARBAGE[turn].as_bytes())?;
                    return Ok(());
                }
                Mode::BreaksOff => {
                    writer.write_all(&reply[..reply.len() / 2])?;
                    return Ok(());
                }
                Mode::Well | Mode::Slow | Mode::Hangs => writer.write_all(&reply)?,
            }
        }
        Ok(())
    }

    fn hang(&self) {
        let start = Instant::now();
        while Mode::from(self.mode.load(Relaxed)) == Mode::Hangs && start.elapsed() < HANGS_AT_MOST {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What an upstream answers. It remembers who should never have come so far, in a file, since it may be killed.
    fn served(&self, path: &str, head: &Head, length: u64) -> io::Result<Vec<u8>> {
        if path == HEALTH {
            return Ok(answer("well"));
        }
        if !head.token.starts_with(GOOD) {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.admitted)?;
            file.write_all(format!("{} {}\n", head.first.trim_end(), head.token).as_bytes())?;
        }
        Ok(match path.split_once(DOWN) {
            Some((_, size)) => answer(&"d".repeat(size.parse().map_err(io::Error::other)?)),
            None => answer(&format!("{length} bytes for {}", head.token)),
        })
    }
}

fn introspected(form: &[u8]) -> Vec<u8> {
    let form = String::from_utf8_lossy(form);
    let token = form.split('&').find_map(|part| part.strip_prefix("token=")).unwrap_or_default();
    answer(&if token.starts_with(GOOD) {
        format!(r#"{{"active":true,"scope":"read","client_id":"soak","sub":"{token}","exp":4102444800}}"#)
    } else {
        r#"{"active":false}"#.to_owned()
    })
}

fn answer(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Reads a head; nothing when the connection has ended before it.
pub(super) fn head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut head = Head::default();
    if reader.read_line(&mut head.first)? == 0 {
        return Ok(None);
    }
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            return Ok(Some(head));
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().map_err(io::Error::other)?,
            "transfer-encoding" => head.chunked = true,
            "connection" => head.closes = value.eq_ignore_ascii_case("close"),
            "expect" => head.continues = true,
            "authorization" => head.token = value.strip_prefix("Bearer ").unwrap_or(value).to_owned(),
            _ => {}
        }
    }
}

/// A body, and how long it was; of a long one only the beginning is kept.
pub(super) fn read_body(reader: &mut impl BufRead, head: &Head) -> io::Result<(Vec<u8>, u64)> {
    const KEPT: usize = 4096;
    let mut kept = Vec::new();
    let mut length = 0;
    let mut line = String::new();
    loop {
        let size = if head.chunked {
            line.clear();
            reader.read_line(&mut line)?;
            u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?
        } else {
            head.length
        };
        let mut block = Vec::with_capacity(size.min(1 << 20) as usize);
        if (&mut *reader).take(size).read_to_end(&mut block)? as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += size;
        if kept.len() < KEPT {
            kept.extend_from_slice(&block[..block.len().min(KEPT)]);
        }
        if !head.chunked {
            return Ok((kept, length));
        }
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok((kept, length));
        }
    }
}
