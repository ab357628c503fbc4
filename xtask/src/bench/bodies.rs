//! An upstream that takes and gives bodies, and a client that sends and reads them. Both stand in this process, a
//! thread per connection, and look at no byte of what they move.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::Failure;
use crate::bench::load::{TOKEN, connect};

/// What is read and written at a time.
const BLOCK: usize = 256 * 1024;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

/// Starts the upstream; its threads end with the process, or when a proxy closes their connections. `GET /N` is answered
/// with N bytes, and a body with how long it was.
pub(super) fn upstream() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks off is the proxy's business.
            thread::spawn(move || drop(serve(stream)));
        }
    });
    Ok(addr)
}

fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(BLOCK, stream);
    loop {
        let Some(head) = head(&mut reader)? else { return Ok(()) };
        skip(&mut reader, head.length)?;
        let size: Option<u64> = head.first.split(' ').nth(1).and_then(|path| path.strip_prefix('/')?.parse().ok());
        match size {
            Some(size) if head.first.starts_with("GET ") => {
                writer.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes())?;
                give(&mut writer, size)?;
            }
            _ => {
                let text = head.length.to_string();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                writer.write_all(answer.as_bytes())?;
            }
        }
    }
}

/// A keep-alive connection that moves bodies.
pub(super) struct Mover {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Mover {
    pub(super) fn new(addr: SocketAddr) -> Result<Self, Failure> {
        let writer = connect(addr)?;
        writer.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(BLOCK, writer.try_clone()?), writer })
    }

    /// Moves one body of `size` bytes and sees that all of them arrived.
    pub(super) fn carry(&mut self, way: Way, size: u64) -> Result<(), Failure> {
        let fields = format!("Host: bench\r\nAuthorization: Bearer {TOKEN}\r\n");
        let request = match way {
            Way::Up => format!("POST / HTTP/1.1\r\n{fields}Content-Length: {size}\r\n\r\n"),
            Way::Down => format!("GET /{size} HTTP/1.1\r\n{fields}\r\n"),
        };
        self.writer.write_all(request.as_bytes())?;
        if way == Way::Up {
            give(&mut self.writer, size)?;
        }
        let answer = head(&mut self.reader)?.ok_or("the connection ended instead of an answer")?;
        if !answer.first.starts_with("HTTP/1.1 200") {
            return Err(format!("a body was answered {}", answer.first.trim_end()).into());
        }
        let arrived = match way {
            Way::Down => {
                skip(&mut self.reader, answer.length)?;
                answer.length
            }
            Way::Up => {
                let mut text = String::new();
                (&mut self.reader).take(answer.length).read_to_string(&mut text)?;
                text.parse()?
            }
        };
        if arrived == size { Ok(()) } else { Err(format!("{arrived} bytes arrived of {size}").into()) }
    }
}

struct Head {
    first: String,
    length: u64,
}

/// The first line of a message and the length of its body; nothing when the connection has ended.
fn head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut head = Head { first: String::new(), length: 0 };
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
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            head.length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
}

fn give(writer: &mut impl Write, size: u64) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let block = left.min(BLOCK as u64);
        writer.write_all(&ZEROS[..block as usize])?;
        left -= block;
    }
    Ok(())
}

fn skip(reader: &mut impl BufRead, size: u64) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let there = reader.fill_buf()?.len() as u64;
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = there.min(left);
        reader.consume(taken as usize);
        left -= taken;
    }
    Ok(())
}
