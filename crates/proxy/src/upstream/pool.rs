//! Unused upstream connections of one worker, by the number of their address.

use super::link::Link;
use super::origin::Origin;
use crate::settings::Limits;
use crate::stream::Clock;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

/// The pools of one worker.
pub(crate) struct Pools {
    idle: RefCell<Vec<Slot>>,
    clock: Rc<Clock>,
    limit: usize,
    keep: Duration,
}

#[derive(Default)]
struct Slot {
    /// The one used last is taken first, so that those that are too many grow old.
    #[expect(clippy::vec_box, reason = "links come and go in their boxes; moving them out of these would copy them")]
    links: Vec<Box<Link>>,
}

impl Pools {
    pub(crate) fn new(limits: &Limits, clock: Rc<Clock>) -> Self {
        Self { idle: RefCell::default(), clock, limit: limits.upstream_idle_connections, keep: limits.upstream_idle }
    }

    /// A connection that was open when last looked at, and leads to where the host is now: under load, those to an
    /// address that its name no longer has would never rest long enough to be closed.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Box<Link>> {
        let mut idle = self.idle.borrow_mut();
        let links = &mut idle.get_mut(origin.index)?.links;
        std::iter::from_fn(|| links.pop()).find(|link| link.is_ready() && origin.place.has(link.peer.ip()))
    }

    /// Keeps a connection that waits for a request; closes it when there are enough.
    pub(crate) fn put(&self, mut link: Box<Link>) {
        link.resting_since = self.clock.coarse();
        let index = link.origin;
        let mut idle = self.idle.borrow_mut();
        let links = &mut slot(&mut idle, index).links;
        if links.len() < self.limit {
            links.push(link);
        }
    }

    /// Where the unused connections lead.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> Vec<std::net::SocketAddr> {
        self.idle.borrow().iter().flat_map(|slot| &slot.links).map(|link| link.peer).collect()
    }

    /// Closes those that nobody used for long, and notices those that the upstream has closed.
    pub(crate) fn sweep(&self) {
        let now = self.clock.coarse();
        let mut cx = Context::from_waker(Waker::noop());
        for slot in self.idle.borrow_mut().iter_mut() {
            slot.links.retain_mut(|link| {
                link.drive(&mut cx);
                link.is_ready() && now.saturating_duration_since(link.resting_since) < self.keep
            });
        }
    }
}

fn slot(idle: &mut Vec<Slot>, index: usize) -> &mut Slot {
    if idle.len() <= index {
        idle.resize_with(index + 1, Slot::default);
    }
    &mut idle[index]
}
