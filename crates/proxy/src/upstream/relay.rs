//! An upstream's body on its way to the client, with the connection it comes from.

use super::balancer::Ticket;
use super::link::Link;
use super::pool::Pools;
use super::trailers;
use super::tunnel::Tunnel;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// The body of an upstream's answer. It moves its connection on whenever it is polled.
pub(crate) struct Relay {
    incoming: Incoming,
    complete: bool,
    /// The client takes trailers.
    trailers: bool,
    peer: SocketAddr,
    /// Gone once the exchange is over.
    link: Option<Box<Link>>,
    /// Under way at a target until this is gone.
    ticket: Option<Ticket>,
}

impl Relay {
    pub(super) fn new(incoming: Incoming, link: Box<Link>) -> Self {
        Self {
            complete: incoming.is_end_stream(),
            incoming,
            trailers: false,
            peer: link.peer,
            link: Some(link),
            ticket: None,
        }
    }

    /// Counts as under way for as long as this body lives.
    pub(super) fn hold(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// Where it comes from.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// From here on trailers go to the client, those that may.
    pub(crate) fn pass_trailers(&mut self) {
        self.trailers = true;
    }

    /// After a 101: what is below HTTP. Its connection belongs to no pool any more.
    pub(crate) fn switch(mut self, idle: Duration) -> Option<Tunnel> {
        let (upstream, watch) = self.link.take()?.switch()?;
        Some(Tunnel::new(upstream, watch, idle, self.ticket.take()))
    }

    /// The client has the answer's end, or has left: the connection goes back to its pool if the body is complete
    /// and it can take another request, and is closed otherwise.
    pub(crate) fn close(&mut self, pools: &Pools) {
        self.ticket = None;
        if let Some(link) = self.link.take()
            && self.complete
            && let Some(link) = link.reclaim()
        {
            pools.put(link);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(link) = &mut self.link {
            link.drive(cx);
        }
        let polled = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if !frame.is_data() => {
                self.complete = true;
                let trailers = frame.into_trailers().ok().filter(|_| self.trailers).and_then(trailers::allowed);
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
            polled => polled,
        };
        self.complete = match &polled {
            // A body of known length is complete with its last byte: nobody asks for more.
            Poll::Ready(Some(Ok(_))) => self.incoming.is_end_stream(),
            Poll::Ready(None) => true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
