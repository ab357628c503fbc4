//! Sockets of a simulation: two ends of a pipe that behave as those of a TCP connection on a perfect wire.

use super::chronicle::note;
use super::network::{Dialed, dial};
use bytes::{Buf, BytesMut};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the buffers of both ends hold together.
const ROOM: usize = 64 * 1024;

thread_local! {
    /// The gateway's ends that have not been closed.
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// How many connections the gateway has.
pub(super) fn open() -> usize {
    OPEN.get()
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct TcpStream {
    pipe: Arc<Mutex<[Lane; 2]>>,
    side: Side,
    /// As the party at the other end is called.
    name: String,
    local: SocketAddr,
    aborts: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Gateway,
    Party,
}

/// What one end sends to the other.
#[derive(Debug, Default)]
struct Lane {
    bytes: BytesMut,
    ended: bool,
    /// It broke off: what was sent can be read, then an error.
    reset: bool,
    /// Whoever read it has closed.
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl TcpStream {
    /// The gateway's end, and the other, of a connection with the party of this name.
    pub(super) fn pair(name: &str, local: SocketAddr) -> (Self, Self) {
        let pipe = Arc::<Mutex<[Lane; 2]>>::default();
        OPEN.set(OPEN.get() + 1);
        let end = |side| Self { pipe: pipe.clone(), side, name: name.to_owned(), local, aborts: false.into() };
        (end(Side::Gateway), end(Side::Party))
    }

    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        match dial(address) {
            Dialed::Connected(stream) => Ok(stream),
            Dialed::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Dialed::Nothing => std::future::pending().await,
        }
    }

    pub(crate) fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// From now on closing it is a reset.
    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        self.aborts.store(true, Relaxed);
        Ok(())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    pub(crate) fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        self.read(cx, buf, false).map_ok(|()| buf.filled().len() - before)
    }

    /// A read that may leave the bytes where they are.
    fn read(&self, cx: &Context<'_>, buf: &mut ReadBuf<'_>, takes: bool) -> Poll<io::Result<()>> {
        let mut pipe = self.lock();
        let lane = &mut pipe[self.reads()];
        if !lane.bytes.is_empty() {
            let length = lane.bytes.len().min(buf.remaining());
            buf.put_slice(&lane.bytes[..length]);
            if takes {
                lane.bytes.advance(length);
                if let Some(writer) = lane.writer.take() {
                    writer.wake();
                }
            }
            return Poll::Ready(Ok(()));
        }
        if lane.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if lane.ended {
            return Poll::Ready(Ok(()));
        }
        lane.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn reads(&self) -> usize {
        usize::from(self.side == Side::Gateway)
    }

    fn writes(&self) -> usize {
        1 - self.reads()
    }

    fn lock(&self) -> MutexGuard<'_, [Lane; 2]> {
        self.pipe.lock().unwrap()
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.read(cx, buf, true)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.lock();
        if pipe[self.reads()].reset || pipe[self.writes()].ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if pipe[self.writes()].deaf {
            // The system takes it, and hears from the other one's that nobody wants it.
            let back = &mut pipe[self.reads()];
            back.reset = true;
            back.wake();
            return Poll::Ready(Ok(buf.len()));
        }
        let lane = &mut pipe[self.writes()];
        let length = buf.len().min(ROOM - lane.bytes.len());
        if length == 0 && !buf.is_empty() {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        lane.bytes.extend_from_slice(&buf[..length]);
        if let Some(reader) = lane.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.lock();
        let lane = &mut pipe[self.writes()];
        lane.ended = true;
        lane.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    /// Closes it. As with TCP that is a reset where something was not read.
    fn drop(&mut self) {
        let mut pipe = self.lock();
        let unread = !pipe[self.reads()].bytes.is_empty();
        let resets = unread || self.aborts.load(Relaxed);
        let ours = &mut pipe[self.writes()];
        ours.ended = true;
        ours.reset |= resets;
        ours.wake();
        let theirs = &mut pipe[self.reads()];
        theirs.deaf = true;
        theirs.bytes.clear();
        theirs.wake();
        drop(pipe);
        if self.side == Side::Gateway {
            OPEN.set(OPEN.get() - 1);
            note(format_args!("gateway {} {}", if resets { "resets" } else { "closes" }, self.name));
        }
    }
}

/// Nothing listens in a simulation: its clients are handed to the listener as the connections that they are.
#[derive(Debug)]
pub(crate) enum TcpListener {}

impl TcpListener {
    pub(crate) fn from_std(_: std::net::TcpListener) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match *self {}
    }
}
