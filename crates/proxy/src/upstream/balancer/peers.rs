//! The addresses behind an upstream, ready to be picked from.

use super::ring::Ring;
use super::wheel;
use crate::upstream::health::Health;
use portcullis_model::plan::{Algorithm, Upstream};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// One address of a target, and what it has shown. The same one over reloads and over new answers of its name.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    pub(crate) address: IpAddr,
    pub(crate) health: Health,
    /// How often it became healthy or unhealthy.
    pub(crate) changes: AtomicU64,
    /// Requests under way.
    busy: AtomicU32,
}

/// A request that is under way; it has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Peer>);

/// Those that this request was sent to in vain.
pub(crate) type Tried = SmallVec<[Arc<Peer>; 2]>;

/// One of the peers.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) peer: Arc<Peer>,
    /// Place among the upstream's targets.
    pub(crate) target: usize,
    pub(crate) weight: u16,
}

/// All peers, with what the algorithm needs. Immutable; any change makes a new one.
#[derive(Debug)]
pub(crate) struct Peers {
    /// The same list as before when only health has changed.
    pub(crate) members: Arc<[Member]>,
    by_address: Arc<HashMap<(u16, IpAddr), Vec<u32>>>,
    ring: Option<Arc<Ring>>,
    /// Turns of those that were healthy.
    wheel: Box<[u32]>,
    too_few: bool,
}

impl Peers {
    pub(super) fn new(members: Vec<Member>, upstream: &Upstream) -> Self {
        let ring = match upstream.algorithm {
            Algorithm::ConsistentHashing { slots, .. } => {
                let named = |member: &Member| {
                    (member.peer.host.to_string(), member.peer.port, member.peer.address, member.weight)
                };
                let named: Vec<_> = members.iter().map(named).collect();
                let places = named.iter().map(|(host, port, address, weight)| (&**host, *port, *address, *weight));
                Some(Arc::new(Ring::new(slots, places)))
            }
            Algorithm::RoundRobin | Algorithm::LeastConnections => None,
        };
        let mut by_address: HashMap<_, Vec<u32>> = HashMap::with_capacity(members.len());
        for (place, member) in (0..).zip(&members) {
            by_address.entry((member.peer.port, member.peer.address)).or_default().push(place);
        }
        Self::with(members.into(), Arc::new(by_address), ring, upstream)
    }

    /// With these members instead, or, where they are the same, with their health as it is now.
    pub(super) fn renewed(&self, members: Vec<Member>, upstream: &Upstream) -> Self {
        let same =
            |(a, b): (&Member, &Member)| Arc::ptr_eq(&a.peer, &b.peer) && (a.target, a.weight) == (b.target, b.weight);
        if members.len() == self.members.len() && members.iter().zip(&*self.members).all(same) {
            return Self::with(self.members.clone(), self.by_address.clone(), self.ring.clone(), upstream);
        }
        Self::new(members, upstream)
    }

    fn with(
        members: Arc<[Member]>,
        by_address: Arc<HashMap<(u16, IpAddr), Vec<u32>>>,
        ring: Option<Arc<Ring>>,
        upstream: &Upstream,
    ) -> Self {
        let healthy = |member: &Member| if member.peer.health.is_healthy() { member.weight } else { 0 };
        let weights: Vec<u16> = members.iter().map(healthy).collect();
        let sum = |weights: &mut dyn Iterator<Item = u16>| weights.map(u64::from).sum::<u64>();
        let (all, able) = (sum(&mut members.iter().map(|member| member.weight)), sum(&mut weights.iter().copied()));
        let too_few = able == 0 || able * 100 < u64::from(upstream.health.threshold) * all;
        Self { wheel: wheel::turns(&weights), members, by_address, ring, too_few }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Fewer are healthy than the threshold wants, or none.
    pub(super) fn too_few(&self) -> bool {
        self.too_few
    }

    /// The peer at this address of this target's name.
    pub(super) fn find(&self, host: &str, port: u16, address: IpAddr) -> Option<Arc<Peer>> {
        let places = self.by_address.get(&(port, address))?;
        let peers = places.iter().map(|place| &self.members[*place as usize].peer);
        peers.into_iter().find(|peer| *peer.host == *host).cloned()
    }

    /// The one whose turn it is, or the next that can.
    pub(super) fn in_turn(&self, turn: usize, tried: &Tried) -> Option<usize> {
        let start = turn % self.wheel.len().max(1);
        let (before, after) = self.wheel.split_at(start);
        after.iter().chain(before).map(|place| *place as usize).find(|place| self.may(*place, tried))
    }

    /// The one with the fewest requests under way for its weight; of several, each in turn.
    pub(super) fn least_busy(&self, turn: usize, tried: &Tried) -> Option<usize> {
        let count = self.members.len();
        // One more than there are: an idle peer of little weight is not taken before an idle one of much.
        let load = |place: usize| {
            let member = &self.members[place];
            (u64::from(member.peer.busy.load(Relaxed)) + 1, u64::from(member.weight))
        };
        let places = (0..count).map(|n| (turn + n) % count).filter(|place| self.may(*place, tried));
        places.min_by(|a, b| {
            let ((a, of_a), (b, of_b)) = (load(*a), load(*b));
            (a * of_b).cmp(&(b * of_a))
        })
    }

    /// The one that this hash belongs to, or the next on the ring that can.
    pub(super) fn on_ring(&self, hash: u64, tried: &Tried) -> Option<usize> {
        self.ring.as_ref()?.find(hash, |place| self.may(place as usize, tried)).map(|place| place as usize)
    }

    fn may(&self, place: usize, tried: &Tried) -> bool {
        let member = &self.members[place];
        member.weight > 0
            && member.peer.health.is_healthy()
            && !tried.iter().any(|tried| Arc::ptr_eq(tried, &member.peer))
    }
}

impl Peer {
    pub(super) fn new(host: &str, port: u16, address: IpAddr) -> Self {
        Self {
            host: host.into(),
            port,
            address,
            health: Health::default(),
            changes: AtomicU64::new(0),
            busy: AtomicU32::new(0),
        }
    }

    /// `host:port`, as a user writes it.
    pub(crate) fn target(&self) -> impl fmt::Display {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// How many requests are under way to it.
    #[cfg(test)]
    pub(crate) fn busy(&self) -> u32 {
        self.busy.load(Relaxed)
    }

    /// Counts a request that goes to it.
    pub(crate) fn ticket(self: &Arc<Self>) -> Ticket {
        self.busy.fetch_add(1, Relaxed);
        Ticket(self.clone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}
