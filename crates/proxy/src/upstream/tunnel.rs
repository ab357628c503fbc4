//! A connection that client and upstream have agreed to use for something else than HTTP (RFC 9110 section 7.8).

use super::balancer::Ticket;
use super::connect::Transport;
use crate::stream::{Watch, Watched};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is held of each direction; small, since tunnels are many and mostly silent.
const BUFFER: usize = 8 * 1024;

/// The upstream's end.
pub(crate) struct Tunnel {
    upstream: Watched<Transport>,
    watch: Rc<Watch>,
    /// How long neither side may say anything.
    idle: Duration,
    /// Under way at a target until the tunnel ends.
    ticket: Option<Ticket>,
}

impl Tunnel {
    pub(super) fn new(upstream: Watched<Transport>, watch: Rc<Watch>, idle: Duration, ticket: Option<Ticket>) -> Self {
        Self { upstream, watch, idle, ticket }
    }

    /// Carries bytes both ways until both sides have said their last, one has broken off, or neither has said
    /// anything for too long. Counts in `sent` what the client got.
    pub(crate) async fn carry<S>(self, client: Watched<S>, client_watch: &Watch, sent: &mut u64)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { upstream, watch, idle, ticket: _ticket } = self;
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let (mut up, mut down) = (Direction::new(), Direction::new());
        let mut carried = None;
        let ended = poll_fn(|cx| {
            let went_up = up.poll(cx, &mut client, &mut upstream)?;
            let went_down = down.poll(cx, &mut upstream, &mut client)?;
            *sent += std::mem::take(&mut down.carried);
            // Each byte gives both sides their time again.
            if carried != Some((up.carried, *sent)) {
                carried = Some((up.carried, *sent));
                client_watch.limit_reads(idle);
                watch.limit_reads(idle);
            }
            if went_up.is_ready() && went_down.is_ready() { Poll::Ready(Ok::<_, io::Error>(())) } else { Poll::Pending }
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, "a tunnel broke off");
        }
    }
}

/// Bytes on their way from one side to the other.
struct Direction {
    buffer: Box<[u8]>,
    /// What of the buffer is still to be written.
    from: usize,
    to: usize,
    carried: u64,
    flushed: bool,
    /// The sender has said its last.
    ended: bool,
    closed: bool,
}

impl Direction {
    fn new() -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { buffer, from: 0, to: 0, carried: 0, flushed: true, ended: false, closed: false }
    }

    /// Ready once the sender's end has been passed on.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, reader: &mut R, writer: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.closed {
            if self.from < self.to {
                let wrote = ready!(Pin::new(&mut *writer).poll_write(cx, &self.buffer[self.from..self.to]))?;
                if wrote == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.from += wrote;
                self.carried += wrote as u64;
                self.flushed = false;
            } else if self.ended {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                self.closed = true;
            } else {
                let mut read = ReadBuf::new(&mut self.buffer);
                match Pin::new(&mut *reader).poll_read(cx, &mut read) {
                    Poll::Ready(outcome) => {
                        outcome?;
                        (self.from, self.to) = (0, read.filled().len());
                        self.ended = self.to == 0;
                    }
                    Poll::Pending => {
                        if !self.flushed {
                            ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                            self.flushed = true;
                        }
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
