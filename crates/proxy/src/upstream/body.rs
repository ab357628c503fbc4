//! What is sent to the upstream after the head.

use crate::stream::Watch;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The client's body on its way to the upstream, or none.
pub(crate) struct Outbound(Option<Box<Upload>>);

/// A client's body. Trailers are dropped: they could carry what was removed from the head (S-19).
pub(crate) struct Upload {
    incoming: Incoming,
    client: Rc<Watch>,
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
        Some(Box::new(Self { incoming, client: client.clone(), upstream: None }))
    }

    /// Its length, where the client has said it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Reads and forgets it, up to `limit` bytes: after an early answer, so that the connection can go on. Dropping
    /// what is left makes the engine close the connection (S-41).
    pub(crate) async fn drain(mut self: Box<Self>, limit: u64) {
        let mut read = 0;
        while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > limit {
                return;
            }
        }
    }

    fn ended(&self) {
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
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
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
            Poll::Ready(Some(Err(broken))) => Poll::Ready(Some(Err(broken))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Outbound {
    pub(crate) fn new(upload: Option<Box<Upload>>) -> Self {
        Self(upload)
    }

    pub(super) fn is_upload(&self) -> bool {
        self.0.is_some()
    }

    /// Says where it goes: until its end, that upstream's silence is nobody's fault.
    pub(super) fn goes_to(&mut self, upstream: &Rc<Watch>) {
        if let Some(upload) = &mut self.0 {
            upstream.uploading(true);
            upload.upstream = Some(upstream.clone());
        }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(upload) => Pin::new(&mut **upload).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|upload| upload.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |upload| upload.size_hint())
    }
}
