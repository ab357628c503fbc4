//! What is sent to the upstream after the head.

use crate::render::Failure;
use crate::stream::{Late, Watch};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What is read of a body at most before the upstream is asked: what Kong keeps in memory before it writes a body to
/// a file, doubled; with every connection that the limits allow in use, that is 1 GiB.
const SMALL: usize = 16 * 1024;

/// What follows a request's head to the upstream.
pub(crate) enum Outbound {
    Nothing,
    /// The client's body.
    Upload(Box<Upload>),
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The client has left, is late, or has broken the rules of its protocol.
    #[error("the client's body broke off")]
    Engine(#[source] hyper::Error),
    /// The client of an HTTP/2 stream is late. Of HTTP/1 the connection says so.
    #[error("the client's body has stopped")]
    Late,
}

/// A client's body. Trailers are dropped: they could carry what was removed from the head (S-19).
pub(crate) struct Upload {
    incoming: Incoming,
    client: Rc<Watch>,
    /// What was read of it before it went anywhere; sent first.
    kept: Bytes,
    /// Nothing comes after what is kept.
    complete: bool,
    /// What is kept is not what came, and is all there is.
    replaced: bool,
    /// The client was told to send it.
    asked_for: bool,
    /// Where it goes, once that is known.
    upstream: Option<Rc<Watch>>,
}

impl Upload {
    /// `None` for a request without a body. From here on the client must not pause for longer than `idle`.
    pub(crate) fn new(incoming: Incoming, client: &Rc<Watch>, idle: std::time::Duration) -> Option<Box<Self>> {
        if incoming.is_end_stream() {
            return None;
        }
        client.limit_reads(idle);
        client.expect_body(true);
        Some(Box::new(Self {
            incoming,
            client: client.clone(),
            kept: Bytes::new(),
            complete: false,
            replaced: false,
            asked_for: false,
            upstream: None,
        }))
    }

    /// Its length, where the client has said it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    /// Reads it to its end and keeps it. `None` when it is longer than `limit`: then a part may have been read and
    /// kept, and the rest follows it when it is sent.
    pub(crate) async fn peek(&mut self, limit: usize) -> Result<Option<Bytes>, Failure> {
        if self.length().is_some_and(|length| length > limit as u64) {
            return Ok(None);
        }
        self.asked_for = true;
        let mut read = BytesMut::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) if self.complete && read.is_empty() => {
                    // Nearly always it comes in one piece.
                    self.kept = data;
                    break;
                }
                Ok(Ok(data)) => read.extend_from_slice(&data),
                // Trailers are dropped.
                Ok(Err(_)) => {}
                Err(_) if self.client.expired() => return Err(Failure::RequestTimeout),
                Err(_) => return Err(Failure::BadRequest),
            }
            if self.complete || read.len() > limit {
                break;
            }
        }
        if !read.is_empty() {
            self.kept = read.freeze();
        }
        Ok((self.complete && self.kept.len() <= limit).then(|| self.kept.clone()))
    }

    /// Reads a small body to its end before anything is asked of the upstream, so that a client that sends slowly
    /// holds no connection there (`request_buffering`). One that is long, or whose length is not known, streams.
    pub(crate) async fn gather(&mut self) -> Result<(), Failure> {
        if !self.complete && self.length().is_some_and(|length| length <= SMALL as u64) {
            self.peek(SMALL).await?;
        }
        Ok(())
    }

    /// Sends `body` instead; for one that was read to its end.
    pub(crate) fn replace(&mut self, body: Bytes) {
        self.kept = body;
        self.replaced = true;
    }

    /// Whether the client knows that its body is wanted, even if it asked first.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.asked_for
    }

    /// Reads and forgets it, up to `limit` bytes: after an early answer, so that the connection can go on. Dropping
    /// what is left makes the engine close the connection (S-41).
    pub(crate) async fn drain(mut self: Box<Self>, limit: u64) {
        let mut read = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > limit {
                return;
            }
        }
    }

    fn ended(&mut self) {
        self.complete = true;
        self.client.unlimit_reads();
        if let Some(upstream) = &self.upstream {
            upstream.uploading(false);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.client.expect_body(false);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            if self.complete {
                self.ended();
            }
            return Poll::Ready(Some(Ok(Frame::data(kept))));
        }
        if self.complete {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if let Err(Late) = self.client.body_asked(polled.is_pending(), cx) {
            return Poll::Ready(Some(Err(Broken::Late)));
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                if self.incoming.is_end_stream() {
                    self.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Ok(_)) | None) => {
                self.ended();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Broken::Engine(error)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.kept.is_empty() && (self.complete || self.incoming.is_end_stream())
    }

    /// Exact where the client has said a length. A body that came in chunks goes on in chunks, also when it is known.
    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.len() as u64;
        let exact = if self.replaced { Some(kept) } else { self.incoming.size_hint().exact().map(|rest| kept + rest) };
        exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Outbound {
    pub(super) fn is_upload(&self) -> bool {
        matches!(self, Outbound::Upload(_))
    }

    /// Says where it goes: until its end, that upstream's silence is nobody's fault.
    pub(super) fn goes_to(&mut self, upstream: &Rc<Watch>) {
        if let Outbound::Upload(upload) = self
            && !upload.is_end_stream()
        {
            upstream.uploading(true);
            upload.upstream = Some(upstream.clone());
        }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Outbound::Upload(upload) => Pin::new(&mut **upload).poll_frame(cx),
            Outbound::Nothing => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outbound::Upload(upload) => upload.is_end_stream(),
            Outbound::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outbound::Upload(upload) => upload.size_hint(),
            Outbound::Nothing => SizeHint::with_exact(0),
        }
    }
}
