//! Somebody at the other end of a connection: a client, or an upstream that has been connected to. It says bytes.

use super::chronicle::note;
use super::socket::TcpStream;
use bytes::BytesMut;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) struct Party {
    name: String,
    io: TcpStream,
    /// Came, and was not looked at.
    read: BytesMut,
}

impl Party {
    pub(super) fn new(name: String, io: TcpStream) -> Self {
        Self { name, io, read: BytesMut::new() }
    }

    /// Which connection of this kind it is, from 1.
    pub(super) fn number(&self) -> usize {
        self.name.rsplit('#').next().unwrap().parse().unwrap()
    }

    /// Sends `bytes`, all of them; `false` where nobody takes them any more. Told is their first line.
    pub(super) async fn says(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        let line = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\r').next().unwrap());
        note(format_args!("{} says {}", self.name, shown(line.as_bytes())));
        let heard = self.io.write_all(bytes).await.is_ok();
        if !heard {
            note(format_args!("{} is not heard", self.name));
        }
        heard
    }

    /// Reads the head of one request; `false` at the end.
    pub(super) async fn asked(&mut self) -> bool {
        match self.head().await {
            Ok(Some(head)) => {
                note(format_args!("{} is asked {}", self.name, asked_by(&head)));
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Reads a request, and answers it; `false` at the end.
    pub(super) async fn answers(&mut self) -> bool {
        let Ok(Some(head)) = self.head().await else { return false };
        let length = field(&head, "content-length: ").map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            if !self.more().await.is_ok_and(|more| more) {
                return false;
            }
        }
        let body = self.read.split_to(length);
        let body = if body.is_empty() { String::new() } else { format!(" {}", shown(&body)) };
        note(format_args!("{} answers {}{body}", self.name, asked_by(&head)));
        self.io.write_all(super::scenarios::OK.as_bytes()).await.is_ok()
    }

    /// Reads so many bytes.
    pub(super) async fn gets(&mut self, length: usize) {
        while self.read.len() < length && self.more().await.is_ok_and(|more| more) {}
        let got = self.read.split_to(length.min(self.read.len()));
        note(format_args!("{} gets {}", self.name, shown(&got)));
    }

    /// Reads one answer, as far as it comes.
    pub(super) async fn answered(&mut self) {
        let (head, mut ending) = match self.head().await {
            Ok(Some(head)) => (head, None),
            end => (String::new(), Some(end_of(end.map(|_| false)))),
        };
        if let Some(end) = ending {
            return note(format_args!("{} gets {end}", self.name));
        }
        let chunked = field(&head, "transfer-encoding: chunked").is_some();
        let length: Option<usize> = field(&head, "content-length: ").map(|length| length.parse().unwrap());
        let status = head.split(' ').nth(1).unwrap();
        let is_whole = |read: &[u8]| match length {
            Some(length) => read.len() >= length,
            None if status == "101" => true,
            None => chunked && read.ends_with(b"0\r\n\r\n"),
        };
        while ending.is_none() && !is_whole(&self.read) {
            let more = self.more().await;
            ending = (!matches!(more, Ok(true))).then(|| end_of(more));
        }
        let body = self.read.split();
        // What the gateway itself says has a number in it that nobody can know.
        let body =
            if status.starts_with('2') && !body.is_empty() { format!(" {}", shown(&body)) } else { String::new() };
        let ending = ending.map(|end| format!(" and {end}")).unwrap_or_default();
        note(format_args!("{} gets {status}{body}{ending}", self.name));
    }

    /// Waits for the end, whatever comes before it, and says nothing of it.
    pub(super) async fn listens(mut self) {
        while self.more().await.is_ok_and(|more| more) {
            self.read.clear();
        }
    }

    /// Waits for the end.
    pub(super) async fn ends(&mut self) {
        let end = loop {
            match self.more().await {
                Ok(true) => {}
                end => break end_of(end),
            }
        };
        note(format_args!("{} gets {end}", self.name));
    }

    pub(super) fn closes(self) {
        note(format_args!("{} closes", self.name));
    }

    pub(super) fn resets(self) {
        note(format_args!("{} resets", self.name));
        self.io.set_zero_linger().unwrap();
    }

    async fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.read.split_to(end + 4);
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.io.read_buf(&mut self.read).await? > 0)
    }
}

/// Method and target.
fn asked_by(head: &str) -> &str {
    head.lines().next().unwrap().rsplit_once(' ').unwrap().0
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name))
}

fn end_of(end: io::Result<bool>) -> &'static str {
    if end.is_ok() { "the end" } else { "a reset" }
}

/// Short and on one line.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= 40 => text.escape_default().to_string(),
        _ => format!("{} bytes", bytes.len()),
    }
}
