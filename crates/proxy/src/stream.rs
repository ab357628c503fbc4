//! Byte streams under time limits: what both sides of the proxy read from and write to.
//!
//! A timer per request and direction would cost more than the rest of a request's bookkeeping. Instead every
//! stream notes in a [`Watch`] until when its next read or write must have made progress, and the worker's tick
//! looks at all of them. A stream that is late is woken and answers with [`io::ErrorKind::TimedOut`], so a time limit
//! is an I/O error like any other to the engine above. Limits are as exact as the tick.

mod clock;
mod watch;

pub(crate) use clock::Clock;
pub(crate) use watch::{Late, Overdue, Watch};

use crate::listener::Transport;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Every watched stream of one worker.
#[derive(Debug)]
pub(crate) struct Watches {
    clock: Rc<Clock>,
    all: RefCell<Vec<Weak<Watch>>>,
}

impl Watches {
    pub(crate) fn new(clock: Rc<Clock>) -> Self {
        Self { clock, all: RefCell::new(Vec::new()) }
    }

    /// Puts `io` under watch, without limits yet.
    pub(crate) fn watch<S>(&self, io: S) -> (Watched<S>, Rc<Watch>) {
        let watch = Rc::new(Watch::new(self.clock.clone(), false));
        self.all.borrow_mut().push(Rc::downgrade(&watch));
        (Watched { io: TokioIo::new(io), unread: Bytes::new(), watch: watch.clone() }, watch)
    }

    /// A watch for one HTTP/2 stream, whose client may leave its answer unread for `unread`.
    pub(crate) fn of_stream(&self, unread: Duration) -> Rc<Watch> {
        let watch = Rc::new(Watch::new(self.clock.clone(), true));
        watch.limit_writes(unread);
        self.all.borrow_mut().push(Rc::downgrade(&watch));
        watch
    }

    /// Wakes the streams that are late, and forgets those that are gone.
    pub(crate) fn sweep(&self) {
        self.all.borrow_mut().retain(|watch| match watch.upgrade() {
            Some(watch) => {
                watch.expire_if_late();
                true
            }
            None => false,
        });
    }

    /// How many streams there are.
    #[cfg(test)]
    pub(crate) fn alive(&self) -> usize {
        self.all.borrow().iter().filter(|watch| watch.strong_count() > 0).count()
    }

    /// Wakes every stream.
    pub(crate) fn wake_all(&self) {
        for watch in self.all.borrow().iter().filter_map(Weak::upgrade) {
            watch.wake();
        }
    }
}

/// A stream and its watch.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    io: TokioIo<S>,
    /// Was read before, and comes first.
    unread: Bytes,
    watch: Rc<Watch>,
}

impl Watched<Transport> {
    /// See [`Transport::reset`].
    pub(crate) fn reset(self) {
        self.io.into_inner().reset();
    }

    /// Waits until there is something to read; `false` at the end, when `given_up` says so, or when a limit has passed.
    pub(crate) async fn readable(&mut self, given_up: impl Fn() -> bool) -> bool {
        self.watch.has_fallen_asleep();
        poll_fn(|cx| {
            if given_up() || self.watch.expired() {
                return Poll::Ready(false);
            }
            if !self.unread.is_empty() {
                return Poll::Ready(true);
            }
            let readable = self.io.inner().poll_readable(cx);
            if readable.is_pending() {
                self.watch.read_waits(cx);
            }
            readable
        })
        .await
    }

    /// Reads for as long as it is what `wanted` begins with, and puts it back. `None` at the end, or when a limit has
    /// passed or `given_up` says so.
    pub(crate) async fn begins_with(&mut self, wanted: &[u8], given_up: impl Fn() -> bool) -> Option<bool> {
        let mut read = Vec::with_capacity(wanted.len());
        while read.len() < wanted.len() && wanted.starts_with(&read) {
            let mut buffer = vec![0; wanted.len() - read.len()];
            let mut buffer = hyper::rt::ReadBuf::new(&mut buffer);
            poll_fn(|cx| match given_up() {
                true => Poll::Ready(Err(io::ErrorKind::Interrupted.into())),
                false => Pin::new(&mut *self).poll_read(cx, buffer.unfilled()),
            })
            .await
            .ok()?;
            if buffer.filled().is_empty() {
                return None;
            }
            read.extend_from_slice(buffer.filled());
        }
        let begins = read == wanted;
        self.unread(read.into());
        Some(begins)
    }
}

impl<S> Watched<S> {
    /// Puts back what was read too much.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    /// A stream whose reads are late can still be written to: a client whose body stopped gets its answer.
    fn late(&self, late: &Cell<bool>) -> Option<io::Error> {
        (late.get() || self.watch.write_late.get()).then(|| io::ErrorKind::TimedOut.into())
    }

    fn wrote<T>(&self, outcome: Poll<io::Result<T>>, cx: &Context<'_>) -> Poll<io::Result<T>> {
        match &outcome {
            Poll::Ready(_) => self.watch.write_progressed(),
            Poll::Pending => self.watch.write_waits(cx),
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> Read for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if let Some(late) = self.late(&self.watch.read_late) {
            return Poll::Ready(Err(late));
        }
        if !self.unread.is_empty() {
            let fits = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.unread.split_to(fits));
            return Poll::Ready(Ok(()));
        }
        let outcome = Pin::new(&mut self.io).poll_read(cx, buf);
        match &outcome {
            Poll::Ready(Ok(())) => self.watch.read_progressed(),
            // It brought nothing.
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.watch.read_waits(cx),
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> Write for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(late) = self.late(&self.watch.write_late) {
            return Poll::Ready(Err(late));
        }
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch.keep(&outcome, [buf]);
        self.wrote(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(late) = self.late(&self.watch.write_late) {
            return Poll::Ready(Err(late));
        }
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch.keep(&outcome, bufs.iter().map(|buf| &**buf));
        self.wrote(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(late) = self.late(&self.watch.write_late) {
            return Poll::Ready(Err(late));
        }
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        if outcome.is_pending() {
            self.watch.write_waits(cx);
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(late) = self.late(&self.watch.write_late) {
            return Poll::Ready(Err(late));
        }
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.wrote(outcome, cx)
    }
}
