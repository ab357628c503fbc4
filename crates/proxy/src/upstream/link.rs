//! One upstream connection.
//!
//! A connection does nothing unless somebody polls it. For a request without a body, the task that waits for the
//! answer does, which saves a task switch each way. A request with a body cannot have it so: when the upstream
//! answers while the client still uploads, nobody might poll the one while waiting for the other (S-67). Then the
//! connection becomes a task of its own, and comes back when the exchange is over.

use super::body::Outbound;
use super::connect::Transport;
use crate::stream::{Watch, Watched};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Connection, SendRequest};
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub(crate) type Wire = Connection<Watched<Transport>, Outbound>;

/// An upstream connection. Dropped, it is closed.
pub(crate) struct Link {
    pub(super) origin: usize,
    pub(super) peer: SocketAddr,
    pub(super) resting_since: Instant,
    pub(super) watch: Rc<Watch>,
    sender: SendRequest<Outbound>,
    driver: Driver,
}

/// Who polls the connection.
#[expect(clippy::large_enum_variant, reason = "it only ever stands in a link, which is boxed")]
enum Driver {
    Holder(Wire),
    Task {
        wire: Rc<RefCell<Option<Wire>>>,
        task: AbortHandle,
    },
    /// It has ended, or goes on without a holder.
    Nobody,
}

impl Link {
    pub(super) fn new(
        origin: usize,
        peer: SocketAddr,
        now: Instant,
        watch: Rc<Watch>,
        (sender, wire): (SendRequest<Outbound>, Wire),
    ) -> Box<Self> {
        Box::new(Self { origin, peer, resting_since: now, watch, sender, driver: Driver::Holder(wire) })
    }

    /// Whether it is open and has nothing left to do.
    pub(super) fn is_ready(&self) -> bool {
        !matches!(self.driver, Driver::Nobody) && self.sender.is_ready()
    }

    /// Moves the connection on, if that is the holder's business.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if self.poll_wire(cx).is_ready() {
            self.driver = Driver::Nobody;
        }
    }

    /// Not to be asked again once it is ready: the connection has nothing left to do.
    fn poll_wire(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.driver {
            Driver::Holder(wire) => Pin::new(wire).poll(cx).map(drop),
            Driver::Task { .. } | Driver::Nobody => Poll::Pending,
        }
    }

    /// Sends a request and waits for the head of its answer. An error that carries the request says that nothing of
    /// it was sent.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Outbound>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outbound>>> {
        if request.body().is_upload() {
            self.drive_by_task();
        }
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| -> Poll<_> {
            let ended = self.poll_wire(cx).is_ready();
            let polled = answer.as_mut().poll(cx);
            // One that has been switched is kept for what comes behind the answer's head.
            let switched =
                matches!(&polled, Poll::Ready(Ok(answer)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS);
            if !ended || switched {
                return polled;
            }
            // A request that it has not taken any more comes back when it is dropped.
            self.driver = Driver::Nobody;
            if polled.is_pending() { answer.as_mut().poll(cx) } else { polled }
        })
        .await
    }

    /// After the answer's end: back to the holder, if it can take another request.
    pub(super) fn reclaim(mut self: Box<Self>) -> Option<Box<Self>> {
        self.watch.read_freely();
        if !self.is_ready() {
            self.let_upload_end();
            return None;
        }
        if let Driver::Task { wire, task } = &self.driver {
            task.abort();
            let wire = wire.take();
            self.driver = wire.map_or(Driver::Nobody, Driver::Holder);
        }
        Some(self)
    }

    /// After a 101: the bytes below HTTP, those first that came behind the answer's head. `None` where that is not
    /// possible, as after a request with a body.
    pub(super) fn switch(mut self: Box<Self>) -> Option<(Watched<Transport>, Rc<Watch>)> {
        match std::mem::replace(&mut self.driver, Driver::Nobody) {
            Driver::Holder(wire) => {
                let parts = wire.into_parts();
                let mut io = parts.io;
                io.unread(parts.read_buf);
                Some((io, self.watch.clone()))
            }
            Driver::Task { .. } | Driver::Nobody => None,
        }
    }

    fn drive_by_task(&mut self) {
        let driver = match std::mem::replace(&mut self.driver, Driver::Nobody) {
            Driver::Holder(wire) => {
                let wire = Rc::new(RefCell::new(Some(wire)));
                let polled = wire.clone();
                let task = tokio::task::spawn_local(poll_fn(move |cx| {
                    let mut wire = polled.borrow_mut();
                    let ended = wire.as_mut().is_none_or(|wire| Pin::new(wire).poll(cx).is_ready());
                    if !ended {
                        return Poll::Pending;
                    }
                    // A request that it never took up comes back to its sender only when the connection is dropped.
                    let over = wire.take();
                    drop(wire);
                    drop(over);
                    Poll::Ready(())
                }));
                Driver::Task { wire, task: task.abort_handle() }
            }
            other => other,
        };
        self.driver = driver;
    }

    /// The answer is complete, the upload is not: it goes on for as long as the upstream takes it, and the
    /// connection ends with it.
    fn let_upload_end(&mut self) {
        if matches!(self.driver, Driver::Task { .. }) {
            self.driver = Driver::Nobody;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Driver::Task { task, .. } = &self.driver {
            task.abort();
        }
    }
}
