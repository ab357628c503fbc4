//! Several targets behind one name: which of them takes a request, and which can.
//!
//! A balancer belongs to an upstream entity and is shared by all workers. Its [`Peers`] (the addresses of its targets)
//! are replaced whole when names, health or configuration change, beside the requests; a pick reads them and counts
//! with atomics. What an address has shown (its health, its requests under way) outlives every reload that keeps it.

mod hash;
mod peers;
mod ring;
mod wheel;

pub(crate) use hash::Shown;
pub(crate) use peers::{Member, Peer, Peers, Ticket, Tried};

use super::health::Event;
use super::resolve::{Names, Place};
use arc_swap::{ArcSwap, Guard};
use futures_util::future::{join_all, select_ok};
use http::HeaderValue;
use portcullis_model::plan::{Algorithm, Target, Upstream};
use rustls::ClientConfig;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// One upstream entity at work.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) upstream: Arc<Upstream>,
    /// How active checks speak TLS, where they do.
    pub(crate) probe_tls: Option<Arc<ClientConfig>>,
    places: Box<[Place]>,
    peers: ArcSwap<Peers>,
    /// Taken while the peers are made anew.
    making: Mutex<()>,
    turn: AtomicUsize,
    /// Something that the peers hang on is different. The same over reloads, so that a request that began before
    /// one tells the balancer that is live.
    changed: Arc<Notify>,
}

/// What a request says about where it should go.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    hash: Option<u64>,
    /// To be set on the answer.
    pub(crate) cookie: Option<Box<HeaderValue>>,
}

/// Why no target takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPeer {
    /// No name of a target has an address.
    NoAddress,
    /// None is healthy, or too few are.
    Unhealthy,
    /// All that could be asked have been.
    AllTried,
}

impl Balancer {
    /// With what `previous`, the same upstream as it was configured before, knows of addresses that are still there.
    pub(crate) fn new(
        upstream: Arc<Upstream>,
        names: &Names,
        probe_tls: Option<Arc<ClientConfig>>,
        previous: Option<&Balancer>,
    ) -> Self {
        let places: Box<[Place]> = upstream.targets.iter().map(|target| names.place(&target.host)).collect();
        let known = previous.map(|previous| previous.peers.load_full());
        let members = members(&upstream, &places, known.as_deref());
        Self {
            peers: ArcSwap::from_pointee(Peers::new(members, &upstream)),
            places,
            probe_tls,
            making: Mutex::new(()),
            turn: AtomicUsize::new(previous.map_or(0, |previous| previous.turn.load(Ordering::Relaxed))),
            changed: previous.map_or_else(Arc::default, |previous| previous.changed.clone()),
            upstream,
        }
    }

    pub(crate) fn peers(&self) -> Guard<Arc<Peers>> {
        self.peers.load()
    }

    /// What of the request decides where it goes, if anything does.
    pub(crate) fn wish(&self, shown: Shown<'_>) -> Wish {
        let Algorithm::ConsistentHashing { on, fallback, .. } = &self.upstream.algorithm else {
            return Wish::default();
        };
        let hashed = hash::hashed(on, shown).or_else(|| hash::hashed(fallback, shown));
        hashed
            .map_or_else(Wish::default, |hashed| Wish { hash: Some(hashed.hash), cookie: hashed.cookie.map(Box::new) })
    }

    /// The place, among `peers`, of the one that takes this request.
    pub(crate) fn pick(&self, peers: &Peers, wish: &Wish, tried: &Tried) -> Result<usize, NoPeer> {
        if peers.is_empty() && !self.places.is_empty() {
            return Err(NoPeer::NoAddress);
        }
        if peers.too_few() {
            return Err(NoPeer::Unhealthy);
        }
        let picked = match (&self.upstream.algorithm, wish.hash) {
            (Algorithm::LeastConnections, _) => peers.least_busy(self.turn(), tried),
            (Algorithm::ConsistentHashing { .. }, Some(hash)) => peers.on_ring(hash, tried),
            (Algorithm::RoundRobin | Algorithm::ConsistentHashing { .. }, _) => peers.in_turn(self.turn(), tried),
        };
        picked.ok_or(if tried.is_empty() { NoPeer::Unhealthy } else { NoPeer::AllTried })
    }

    /// Waits for the first address of any target, and takes it up.
    pub(crate) async fn first_address(&self, limit: Duration) {
        let names = self.places.iter().filter_map(Place::name);
        let asking: Vec<_> = names.map(|name| Box::pin(name.addresses())).collect();
        if !asking.is_empty() {
            // Who has waited in vain sees it at the next pick.
            let _ = timeout(limit, select_ok(asking)).await;
            self.renew();
        }
    }

    /// A request of a client has shown this of `peer`.
    pub(crate) fn seen(&self, peer: &Peer, event: Event) {
        self.tell(peer, peer.health.count(event, &self.upstream.health.passive.counts), "requests");
    }

    /// A client's request has got an answer.
    pub(crate) fn answered(&self, peer: &Peer, status: u16) {
        let checks = &self.upstream.health.passive;
        self.tell(peer, peer.health.count_status(status, checks.kind, &checks.counts), "requests");
    }

    /// A check of our own has shown this.
    pub(crate) fn checked(&self, peer: &Peer, shown: Result<Option<u16>, Event>) {
        let checks = &self.upstream.health.active;
        let change = match shown {
            // It was reached, which is all that was asked.
            Ok(None) => peer.health.count(Event::Success, &checks.counts),
            Ok(Some(status)) => peer.health.count_status(status, checks.kind, &checks.counts),
            Err(event) => peer.health.count(event, &checks.counts),
        };
        self.tell(peer, change, "checks");
    }

    fn tell(&self, peer: &Peer, change: Option<bool>, by: &'static str) {
        let Some(healthy) = change else { return };
        peer.changes.fetch_add(1, Ordering::Relaxed);
        let (upstream, address) = (&self.upstream.name, peer.address);
        if healthy {
            tracing::info!(%upstream, target = %peer.target(), %address, by, "a target is healthy again");
        } else {
            tracing::warn!(%upstream, target = %peer.target(), %address, by, "a target is unhealthy and gets no requests");
        }
        self.changed.notify_one();
    }

    /// Keeps the peers up to date with names and health, for ever.
    pub(crate) async fn keep_up(&self) {
        let names =
            join_all(self.places.iter().filter_map(Place::name).map(|name| name.follow(|| self.changed.notify_one())));
        let renewing = async {
            loop {
                self.changed.notified().await;
                self.renew();
            }
        };
        tokio::join!(names, renewing);
    }

    fn renew(&self) {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.peers.load_full();
        let members = members(&self.upstream, &self.places, Some(&known));
        self.peers.store(Arc::new(known.renewed(members, &self.upstream)));
    }

    /// A number that no other request has, for turns.
    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }
}

/// Every address of every target; what is known of one already stays with it.
fn members(upstream: &Upstream, places: &[Place], known: Option<&Peers>) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::with_capacity(places.len());
    for (number, (target, place)) in upstream.targets.iter().zip(places).enumerate() {
        let Target { host, port, weight, .. } = target;
        for address in place.known().iter().flat_map(|addresses| addresses.iter().copied()) {
            let old = known.and_then(|known| known.find(host, *port, address));
            let peer = old.unwrap_or_else(|| Arc::new(Peer::new(host, *port, address)));
            members.push(Member { peer, target: number, weight: *weight });
        }
    }
    members
}

#[cfg(test)]
mod tests;
