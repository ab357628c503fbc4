//! What goes on beside the requests: names that are asked for again, health checks, peers that are made anew. One
//! thread with a runtime of its own, so that a worker never waits for any of it, nor a call to an authorization
//! server.

use super::balancer::Balancer;
use super::probe;
use super::resolve::Names;
use crate::telemetry::TargetNumbers;
use portcullis_model::plan::Upstream;
use rustls::ClientConfig;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use uuid::Uuid;

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Upkeep {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("upkeep".into()).spawn(move || {
            // An error says that the other end is gone, which is what is waited for.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _end: end })
    }
}

/// The balancers of the live configuration. Requests that began before it may still use others; nobody looks after
/// those.
pub(crate) struct Balancers {
    live: Mutex<HashMap<Uuid, Live>>,
    upkeep: Handle,
}

struct Live {
    balancer: Arc<Balancer>,
    task: AbortHandle,
}

impl Balancers {
    pub(crate) fn new(upkeep: Handle) -> Self {
        Self { live: Mutex::default(), upkeep }
    }

    /// The one for this upstream: that which is live, or one that takes over what that knows.
    pub(crate) fn of(
        &self,
        upstream: &Arc<Upstream>,
        names: &Names,
        probe_tls: Option<Arc<ClientConfig>>,
    ) -> Arc<Balancer> {
        let live = self.lock();
        match live.get(&upstream.id) {
            Some(live) if live.balancer.upstream == *upstream => live.balancer.clone(),
            live => Arc::new(Balancer::new(upstream.clone(), names, probe_tls, live.map(|live| &*live.balancer))),
        }
    }

    /// These are live from now on, and no others.
    pub(crate) fn publish(&self, balancers: &HashMap<Uuid, Arc<Balancer>>) {
        let mut live = self.lock();
        live.retain(|id, live| {
            let stays = balancers.get(id).is_some_and(|balancer| Arc::ptr_eq(balancer, &live.balancer));
            if !stays {
                live.task.abort();
            }
            stays
        });
        for (id, balancer) in balancers {
            live.entry(*id).or_insert_with(|| {
                let kept = balancer.clone();
                let task = self.upkeep.spawn(async move {
                    let (healthy, unhealthy) = (probe::keep_checking(&kept, true), probe::keep_checking(&kept, false));
                    tokio::join!(kept.keep_up(), healthy, unhealthy);
                });
                Live { balancer: balancer.clone(), task: task.abort_handle() }
            });
        }
    }

    /// Those that are live, in the order of their names.
    pub(crate) fn live(&self) -> Vec<Arc<Balancer>> {
        let mut live: Vec<_> = self.lock().values().map(|live| live.balancer.clone()).collect();
        live.sort_by(|a, b| a.upstream.name.cmp(&b.upstream.name));
        live
    }

    /// How each of their targets is.
    pub(crate) fn numbers(&self) -> Vec<TargetNumbers> {
        let of = |balancer: Arc<Balancer>| {
            let members = balancer.peers().members.clone();
            let numbers = members.iter().map(|member| TargetNumbers {
                upstream: balancer.upstream.name.clone(),
                target: member.peer.target().to_string(),
                address: member.peer.address.to_string(),
                healthy: member.peer.health.is_healthy(),
                changes: member.peer.changes.load(Ordering::Relaxed),
            });
            numbers.collect::<Vec<_>>()
        };
        self.live().into_iter().flat_map(of).collect()
    }

    /// The map is whole at any moment.
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
