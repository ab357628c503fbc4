//! Raw HTTP/1 on both sides of the gateway: what is sent and what arrives, byte by byte.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than anything here may take; a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A message as it came off the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Every value of a header, in order; names are compared without regard to case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The one value of a header.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} came {} times:\n{}", all.len(), self.head);
        all.first().copied()
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{}", self.head))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, read as a message's head: what the echo upstream saw.
    pub(crate) fn seen(&self) -> Message {
        Message { head: self.text(), body: Vec::new() }
    }
}

/// Bytes of a connection that have not been looked at yet.
pub(crate) struct Wire<S> {
    pub(crate) io: S,
    pub(crate) buffer: Vec<u8>,
}

impl Wire<TcpStream> {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { io: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.answer().await
    }

    /// The next answer, whole.
    pub(crate) async fn answer(&mut self) -> Message {
        timeout(PATIENCE, self.message(true)).await.expect("an answer in time").expect("an answer")
    }

    /// The next request, or `None` when the connection has ended.
    pub(crate) async fn request(&mut self) -> Option<Message> {
        self.message(false).await
    }

    /// The next request's head alone; what has come of its body stays in the buffer.
    pub(crate) async fn request_head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8_lossy(&self.buffer.drain(..end + 4).collect::<Vec<_>>()).into_owned();
            }
            assert!(fill(&mut self.io, &mut self.buffer).await, "a head");
        }
    }

    /// Whether the peer closes now, without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty()
            && !timeout(PATIENCE, fill(&mut self.io, &mut self.buffer)).await.expect("an end in time")
    }

    async fn message(&mut self, answer: bool) -> Option<Message> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if !fill(&mut self.io, &mut self.buffer).await {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        let mut message = Message { head, body: Vec::new() };
        if answer && message.status() == 100 {
            return Some(message);
        }
        if message.one("transfer-encoding").is_some() {
            message.body = self.chunks().await?;
        } else if let Some(length) = message.one("content-length") {
            message.body = self.exactly(length.parse().unwrap()).await?;
        } else if answer && message.one("connection") == Some("close") {
            while fill(&mut self.io, &mut self.buffer).await {}
            message.body = std::mem::take(&mut self.buffer);
        }
        Some(message)
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            if !fill(&mut self.io, &mut self.buffer).await {
                return None;
            }
        }
        Some(self.buffer.drain(..length).collect())
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.drain(..end + 2).collect::<Vec<_>>();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !fill(&mut self.io, &mut self.buffer).await {
                return None;
            }
        }
    }

    /// A chunked body; trailers are kept at its end, so that a test would see them.
    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(self.line().await?.trim(), 16).unwrap();
            if size == 0 {
                loop {
                    match self.line().await?.as_str() {
                        "" => return Some(body),
                        trailer => body.extend_from_slice(trailer.as_bytes()),
                    }
                }
            }
            body.extend(self.exactly(size).await?);
            self.line().await?;
        }
    }
}

/// Reads more; `false` at the end.
async fn fill(io: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> bool {
    let mut chunk = vec![0; 64 * 1024];
    match io.read(&mut chunk).await {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            buffer.extend_from_slice(&chunk[..read]);
            true
        }
    }
}

/// A server that runs a script on every connection.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) async fn start<F, W>(script: F) -> Self
    where
        F: Fn(usize, Wire<TcpStream>) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, Wire { io, buffer: Vec::new() }));
            }
        });
        Self { address, connections }
    }

    /// Answers every request with its head as the body (its own body behind it).
    pub(crate) async fn echo() -> Self {
        Self::start(|_, mut wire| async move {
            while let Some(request) = wire.request().await {
                let body = [request.head.as_bytes(), &request.body].concat();
                if wire.io.write_all(&answer(200, &body)).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// Answers every connection's first request with these bytes, then ends it.
    pub(crate) async fn once(bytes: &'static [u8]) -> Self {
        Self::start(move |_, mut wire| async move {
            wire.request().await;
            let _ = wire.io.write_all(bytes).await;
        })
        .await
    }

    /// How many connections have come.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An answer with this body.
pub(crate) fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}
