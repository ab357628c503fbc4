//! Names and the addresses behind them.
//!
//! A name is asked for when it is first needed, and from then on again whenever its answer has run out, for as long
//! as the configuration has it: always beside the requests, which use what is known. Only those that come before the
//! first answer wait. An answer stays in use while nobody gives a newer one, for at most an hour.

use crate::net::Lookup;
use crate::telemetry::Metrics;
use hickory_resolver::net::NetError;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Answers are good for one second at least: a ttl of 0 must not become a question per connection.
const SHORTEST: Duration = Duration::from_secs(1);
/// The first pause after a failure; it doubles up to the second. So long a name without an answer stays without one.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// How long an answer is used beyond its time while no newer one can be had. An hour, as Kong's `dns_stale_ttl`.
const STALE: Duration = Duration::from_secs(3600);
/// One lookup, whatever it takes.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(20);

/// Where a host is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Address(IpAddr),
    Name(Arc<Name>),
}

/// Every name that the configuration needs.
pub(crate) struct Names {
    upkeep: Handle,
    lookup: Arc<Lookup>,
    metrics: Metrics,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    names: HashMap<Box<str>, Weak<Name>>,
    /// So many names at which those that nobody needs are looked for.
    sweep_at: usize,
}

/// One name and what is known of it.
pub(crate) struct Name {
    host: Box<str>,
    answer: watch::Sender<Answer>,
    asked: AtomicBool,
    turn: AtomicUsize,
    upkeep: Handle,
    lookup: Arc<Lookup>,
    metrics: Metrics,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// None has come yet.
    Awaited,
    Addresses(Arc<[IpAddr]>),
    /// There are none, or nobody can be asked.
    Nothing,
}

/// No address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name has no known address")]
pub(crate) struct Unresolved;

impl Names {
    pub(crate) fn new(servers: Vec<SocketAddr>, upkeep: Handle, metrics: Metrics) -> Self {
        let lookup = Arc::new(Lookup::new(servers));
        Self { upkeep, lookup, metrics, known: Mutex::default() }
    }

    /// Where `host` is: nobody is asked about addresses, nor about `localhost`, which is 127.0.0.1 (RFC 6761).
    pub(crate) fn place(&self, host: &str) -> Place {
        if let Ok(address) = host.parse() {
            return Place::Address(address);
        }
        if host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost") {
            return Place::Address(Ipv4Addr::LOCALHOST.into());
        }
        let host: Box<str> = host.to_ascii_lowercase().into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.names.get(&host).and_then(Weak::upgrade) {
            return Place::Name(name);
        }
        if known.names.len() >= known.sweep_at {
            known.names.retain(|_, name| name.strong_count() > 0);
            known.sweep_at = (known.names.len() * 2).max(64);
        }
        let name = Arc::new(Name {
            host: host.clone(),
            answer: watch::Sender::new(Answer::Awaited),
            asked: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
            upkeep: self.upkeep.clone(),
            lookup: self.lookup.clone(),
            metrics: self.metrics.clone(),
        });
        known.names.insert(host, Arc::downgrade(&name));
        Place::Name(name)
    }
}

impl Place {
    /// The addresses as they are known now, in a fixed order.
    pub(crate) fn known(&self) -> Option<Arc<[IpAddr]>> {
        match self {
            Place::Address(address) => Some(Arc::new([*address])),
            Place::Name(name) => match &*name.answer.borrow() {
                Answer::Addresses(addresses) => Some(addresses.clone()),
                Answer::Awaited | Answer::Nothing => None,
            },
        }
    }

    /// The addresses, each time beginning with the next one. Waits only for a name's first answer.
    pub(crate) async fn addresses(&self) -> Result<SmallVec<[IpAddr; 4]>, Unresolved> {
        match self {
            Place::Address(address) => Ok(SmallVec::from_slice(&[*address])),
            Place::Name(name) => {
                let mut addresses = SmallVec::from_slice(&name.addresses().await?);
                let first = name.turn.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
                addresses.rotate_left(first);
                Ok(addresses)
            }
        }
    }

    /// Whether `address` is one of those that are known now. While none is, any may be.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match self {
            Place::Address(_) => true,
            Place::Name(name) => match &*name.answer.borrow() {
                Answer::Addresses(addresses) => addresses.contains(&address),
                Answer::Awaited | Answer::Nothing => true,
            },
        }
    }

    pub(crate) fn name(&self) -> Option<&Arc<Name>> {
        match self {
            Place::Address(_) => None,
            Place::Name(name) => Some(name),
        }
    }
}

impl Name {
    /// What is known, or the first answer.
    pub(crate) async fn addresses(self: &Arc<Self>) -> Result<Arc<[IpAddr]>, Unresolved> {
        self.ask();
        let mut answer = self.answer.subscribe();
        let answer = answer.wait_for(|answer| *answer != Answer::Awaited).await;
        match answer.as_deref() {
            Ok(Answer::Addresses(addresses)) => Ok(addresses.clone()),
            _ => Err(Unresolved),
        }
    }

    /// Calls `changed` whenever the answer is another one, the first included.
    pub(crate) async fn follow(self: &Arc<Self>, changed: impl Fn()) {
        self.ask();
        let mut answer = self.answer.subscribe();
        answer.mark_changed();
        while answer.changed().await.is_ok() {
            answer.borrow_and_update();
            changed();
        }
    }

    /// Begins to keep it fresh, once.
    fn ask(self: &Arc<Self>) {
        if !self.asked.load(Ordering::Relaxed) && !self.asked.swap(true, Ordering::Relaxed) {
            self.upkeep.spawn(keep_fresh(Arc::downgrade(self)));
        }
    }

    /// Says when to ask again.
    fn note(&self, found: Result<Found, NetError>, state: &mut Keeping) -> Duration {
        match found {
            Ok(found) => {
                if std::mem::replace(&mut state.failing, false) {
                    tracing::info!(name = %self.host, "the name resolves again");
                }
                state.pause = AGAIN.0;
                state.good_until = Some(Instant::now() + found.good_for + STALE);
                self.set(Answer::Addresses(found.addresses));
                found.good_for
            }
            Err(error) => {
                self.metrics.name_not_resolved();
                let kept = state.good_until.is_some_and(|until| Instant::now() < until);
                if !std::mem::replace(&mut state.failing, true) {
                    let kept = if kept { "; its last addresses are used on" } else { "" };
                    tracing::warn!(name = %self.host, error = &error as &dyn std::error::Error, "the name does not resolve{kept}");
                }
                if !kept {
                    self.set(Answer::Nothing);
                }
                let pause = state.pause;
                state.pause = (pause * 2).min(AGAIN.1);
                pause
            }
        }
    }

    fn set(&self, new: Answer) {
        self.answer.send_if_modified(|answer| {
            let other = *answer != new;
            if other {
                *answer = new;
            }
            other
        });
    }
}

struct Keeping {
    failing: bool,
    pause: Duration,
    good_until: Option<Instant>,
}

/// Asks for a name again and again until nobody has it any more.
async fn keep_fresh(name: Weak<Name>) {
    let mut state = Keeping { failing: false, pause: AGAIN.0, good_until: None };
    loop {
        let Some(alive) = name.upgrade() else { return };
        let found = find(&alive.lookup, &alive.host).await;
        let pause = alive.note(found, &mut state);
        drop(alive);
        sleep(pause).await;
    }
}

struct Found {
    /// Sorted, so that a server that turns its list says nothing new.
    addresses: Arc<[IpAddr]>,
    good_for: Duration,
}

async fn find(lookup: &Lookup, host: &str) -> Result<Found, NetError> {
    // It has time limits of its own; this one is for the day they fail.
    let (mut addresses, ttl) = timeout(LOOKED_UP_WITHIN, lookup.ask(host)).await.map_err(|_| NetError::Timeout)??;
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(NetError::from("the answer has no address"));
    }
    Ok(Found { addresses: addresses.into(), good_for: ttl.max(SHORTEST) })
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Name").field("host", &self.host).field("answer", &*self.answer.borrow()).finish_non_exhaustive()
    }
}
