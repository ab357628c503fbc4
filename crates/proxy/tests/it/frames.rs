//! Frames of HTTP/2 made by hand: what no library would send, and what is refused.

use crate::gateway::{plan, quick};
use crate::http2::{late, start};
use crate::wire::{PATIENCE, Upstream};
use portcullis_proxy::Limits;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection, frame by frame.
pub(crate) struct Frames {
    io: TcpStream,
    seen: Vec<u8>,
    ended: bool,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Fields as literals, without table and Huffman code.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

impl Frames {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut io = TcpStream::connect(address).await.unwrap();
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        io.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        io.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap();
        Self { io, seen: Vec::new(), ended: false }
    }

    /// `false` once the connection has ended. What comes meanwhile is read and forgotten.
    pub(crate) async fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let sent = self.io.write_all(&frame(kind, flags, stream, payload)).await.is_ok();
        let mut buffer = [0; 4096];
        loop {
            match self.io.try_read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(_) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.ended = true,
            }
            return sent && !self.ended;
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.io.write_all(&frame(kind, flags, stream, payload)).await.unwrap();
    }

    /// The next frame of this kind: its flags and payload.
    async fn next(&mut self, wanted: &[u8]) -> (u8, Vec<u8>) {
        let reading = async {
            loop {
                if self.seen.len() >= 9 {
                    let length =
                        usize::from(self.seen[0]) << 16 | usize::from(self.seen[1]) << 8 | usize::from(self.seen[2]);
                    if self.seen.len() >= 9 + length {
                        let frame: Vec<u8> = self.seen.drain(..9 + length).collect();
                        if wanted.contains(&frame[3]) {
                            return (frame[3], frame[9..].to_vec());
                        }
                        continue;
                    }
                }
                let mut buffer = [0; 4096];
                let read = self.io.read(&mut buffer).await.unwrap();
                assert_ne!(read, 0, "the connection ended before frame {wanted:?}");
                self.seen.extend_from_slice(&buffer[..read]);
            }
        };
        timeout(PATIENCE, reading).await.expect("a frame in time")
    }
}

// S-44: what is no request of HTTP/2 ends its stream, or the connection, and reaches no upstream.
#[tokio::test]
async fn malformed_requests() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(quick(), plan(upstream.address, &[]));
    let ordinary = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
    let with = |more: &[(&'static str, &'static str)]| block(&[&ordinary[..], more].concat());
    let rows = [
        ("CR in a value", with(&[("x", "a\rb")])),
        ("LF in a value", with(&[("x", "a\nb")])),
        ("NUL in a value", with(&[("x", "a\0b")])),
        ("colon in a name", with(&[("x:y", "a")])),
        ("CR LF in a name", with(&[("x\r\ny", "a")])),
        ("upper case", with(&[("X-Upper", "a")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        ("upgrade", with(&[("upgrade", "websocket")])),
        ("te", with(&[("te", "gzip")])),
        ("pseudo header twice", with(&[(":path", "/other")])),
        ("unknown pseudo header", with(&[(":unknown", "a")])),
        ("pseudo header of answers", with(&[(":status", "200")])),
        ("pseudo header late", block(&[(":method", "GET"), ("x", "a"), (":scheme", "http"), (":path", "/")])),
        ("no path", block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a")])),
        ("empty path", block(&[(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a")])),
        ("no method", block(&[(":scheme", "http"), (":path", "/"), (":authority", "a")])),
        (
            "line end in the path",
            block(&[(":method", "GET"), (":scheme", "http"), (":path", "/ HTTP/1.1\r\nx: y"), (":authority", "a")]),
        ),
        (
            "line end in the authority",
            block(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a\r\nx: y")]),
        ),
        ("length without a body", with(&[("content-length", "5")])),
        ("length that is none", with(&[("content-length", "5, 5")])),
    ];
    for (kind, head) in rows {
        let mut frames = Frames::connect(address).await;
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &head).await;
        let (found, payload) = frames.next(&[HEADERS, RST_STREAM, GOAWAY]).await;
        // 0x8c: the table's `:status: 400`.
        assert!(found != HEADERS || payload[0] == 0x8c, "{kind}: {found} {payload:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

// S-44: bytes beyond the length that was said, and fewer; S-19: pseudo fields and reserved names in trailers.
#[tokio::test]
async fn bodies_that_are_not_what_their_head_says() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(quick(), plan(upstream.address, &[]));
    let head = |length: &'static str| {
        block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("content-length", length),
        ])
    };
    for (kind, length, body) in [("more", "3", "abcdef"), ("fewer", "9", "abc")] {
        let mut frames = Frames::connect(address).await;
        frames.send(HEADERS, END_HEADERS, 1, &head(length)).await;
        frames.send(DATA, END_STREAM, 1, body.as_bytes()).await;
        let (found, payload) = frames.next(&[HEADERS, RST_STREAM, GOAWAY]).await;
        assert!(found != HEADERS || payload[0] == 0x8c, "{kind}: {found} {payload:?}");
    }
    for (kind, trailers, fine) in [
        ("reserved", block(&[("x-consumer-id", "root"), ("x", "y")]), true),
        ("pseudo", block(&[(":path", "/other")]), false),
    ] {
        let mut frames = Frames::connect(address).await;
        frames.send(HEADERS, END_HEADERS, 1, &head("3")).await;
        frames.send(DATA, 0, 1, b"abc").await;
        frames.send(HEADERS, END_HEADERS | END_STREAM, 1, &trailers).await;
        let (found, _) = frames.next(&[HEADERS, RST_STREAM, GOAWAY]).await;
        if fine {
            assert_eq!(found, HEADERS, "{kind}");
            let (_, seen) = frames.next(&[DATA]).await;
            let seen = String::from_utf8_lossy(&seen).into_owned();
            assert!(seen.ends_with("\r\n\r\nabc") && !seen.contains("root"), "{seen}");
        }
    }
}

// S-45: floods end their connection.
#[tokio::test]
async fn floods() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(quick(), plan(upstream.address, &[]));
    let head = block(&[(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")]);
    // CONTINUATION without end.
    let mut frames = Frames::connect(address).await;
    frames.send(HEADERS, 0, 1, &head).await;
    let more = block(&[("x", "y")]).repeat(1000);
    let flood = async { while frames.try_send(CONTINUATION, 0, 1, &more).await {} };
    timeout(PATIENCE, flood).await.expect("the connection ends");
    // Resets that we are made to send: data on a stream that its own END_STREAM has closed.
    let mut frames = Frames::connect(address).await;
    let flood = async {
        let mut stream = 1;
        loop {
            let zero_window = 0_u32.to_be_bytes();
            let go_on = frames.try_send(HEADERS, END_HEADERS | END_STREAM, stream, &head).await
                && frames.try_send(8, 0, stream, &zero_window).await;
            if !go_on {
                return;
            }
            stream += 2;
        }
    };
    timeout(PATIENCE, flood).await.expect("the connection ends");
}

// S-45: more streams than allowed are refused one by one, and the connection serves on.
#[tokio::test]
async fn as_many_streams_as_allowed() {
    let (upstream, told, wait) = late().await;
    let limits = Limits { http2_max_streams: 2, ..quick() };
    let (_gateway, address) = start(limits, plan(upstream.address, &[]));
    let mut frames = Frames::connect(address).await;
    let head = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]);
    for stream in [1, 3] {
        frames.send(HEADERS, END_HEADERS | END_STREAM, stream, &head).await;
        told.notified().await;
    }
    frames.send(HEADERS, END_HEADERS | END_STREAM, 5, &head).await;
    // REFUSED_STREAM: it may be sent again.
    assert_eq!(frames.next(&[RST_STREAM, GOAWAY]).await, (RST_STREAM, 7_u32.to_be_bytes().to_vec()));
    for _ in 0..2 {
        wait.notify_one();
        frames.next(&[HEADERS]).await;
    }
    assert_eq!(upstream.connections(), 2);
}

// S-45: a storm of requests taken back ends its connection, and reaches the upstream no further.
#[tokio::test]
async fn rapid_reset() {
    let upstream = Upstream::echo().await;
    let limits = Limits { http2_max_streams: 8, ..quick() };
    let (gateway, address) = start(limits, plan(upstream.address, &["linger"]));
    let mut frames = Frames::connect(address).await;
    let head = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]);
    let mut sent = 0_u32;
    let storm = async {
        loop {
            let stream = 2 * sent + 1;
            let both = frames.try_send(HEADERS, END_HEADERS | END_STREAM, stream, &head).await
                && frames.try_send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
            if !both || frames.has_ended() {
                return;
            }
            sent += 1;
            if sent.is_multiple_of(4) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    timeout(PATIENCE, storm).await.expect("the connection ends");
    assert_eq!(upstream.connections(), 0, "none of {sent} requests has come this far");
    // Others are served as before.
    drop(gateway);
}
