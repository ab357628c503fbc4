//! The gateway of a simulation: one worker, without the thread that it has elsewhere.

use super::chronicle::note;
use super::party::Party;
use super::plugins::Plugins;
use super::socket::TcpStream;
use crate::core::{Core, Shared};
use crate::listener::{self, Stop};
use crate::settings::{Listen, Settings};
use crate::snapshot::{self, Snapshot};
use portcullis_model::formats::declarative;
use portcullis_model::lower::lower;
use portcullis_model::problem::Problems;
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const LISTENS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

pub(super) struct Gateway {
    core: Rc<Core>,
    stop: watch::Sender<Stop>,
    worker: JoinHandle<()>,
    clients: Cell<usize>,
}

impl Gateway {
    pub(super) fn start(settings: Settings, plan: &str) -> Self {
        let shared = Arc::new(Shared::new(settings, None, Handle::current()).unwrap());
        let core = Core::new(shared, 0);
        let (stop, stopped) = watch::channel(Stop::Not);
        let worker = tokio::task::spawn_local(run(core.clone(), stopped));
        let gateway = Self { core, stop, worker, clients: Cell::new(0) };
        assert_eq!(gateway.load(plan), "", "{plan}");
        gateway
    }

    /// Loads a configuration in the declarative format. Says the problems when it does not load.
    pub(super) fn load(&self, text: &str) -> String {
        let shared = &self.core.shared;
        let loaded = declarative::read(text, &Plugins);
        let Some(entities) = &loaded.entities else {
            return listed(&loaded.problems);
        };
        let previous = shared.current();
        match snapshot::compile(lower(entities, &Plugins), &Plugins, &previous, shared) {
            Ok(compiled) => {
                shared.publish(Arc::new(compiled));
                String::new()
            }
            Err(problems) => listed(&problems),
        }
    }

    /// A client that has just connected, to the plain port.
    pub(super) fn client(&self) -> Party {
        self.connected(Listen::from(LISTENS))
    }

    /// As above, to the port of TLS.
    pub(super) fn tls_client(&self) -> Party {
        self.connected(Listen { tls: true, ..Listen::from(LISTENS) })
    }

    fn connected(&self, listen: Listen) -> Party {
        self.clients.set(self.clients.get() + 1);
        let name = format!("client#{}", self.clients.get());
        let (ours, theirs) = TcpStream::pair(&name, listen.address);
        listener::open(&self.core, listen, ours, SocketAddr::from(([192, 0, 2, 1], 50_000)));
        Party::new(name, theirs)
    }

    /// Tells the worker to stop, as on SIGTERM.
    pub(super) fn drain(&self, limit: Duration) {
        note("gateway drains");
        self.stop.send_replace(Stop::Drain(limit));
    }

    /// The value of a metric, by its name and labels as they are written; 0 where there is none.
    pub(super) fn metric(&self, name: &str) -> u64 {
        let metrics = self.core.shared.metrics.encode();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or(0)
    }

    /// The targets that get no requests.
    pub(super) fn unhealthy(&self) -> Vec<String> {
        let numbers = self.core.shared.balancers.numbers().into_iter();
        numbers.filter(|target| !target.healthy).map(|target| target.address).collect()
    }

    /// What it holds when all of its clients have left: the connections that it keeps, and what it thinks of targets.
    pub(super) fn at_rest(&self) -> String {
        let Core { connections, pools, watches, shared, .. } = &*self.core;
        assert_eq!(connections.get(), 0, "clients are left");
        let kept = pools.kept();
        assert_eq!(watches.alive(), kept.len(), "watches are left");
        for balancer in shared.balancers.live() {
            for member in &*balancer.peers().members {
                assert_eq!(member.peer.busy(), 0, "requests are left at {}", member.peer.target());
            }
        }
        let mut left: String = kept.iter().map(|address| format!("kept: {}\n", address.ip())).collect();
        left.extend(self.unhealthy().iter().map(|address| format!("unhealthy: {address}\n")));
        left
    }

    /// Ends it, with everything that belongs to it.
    pub(super) async fn end(self) {
        let Self { core, stop, worker, .. } = self;
        stop.send_replace(Stop::Drain(Duration::ZERO));
        worker.await.unwrap();
        // As if the handle were dropped: nothing is live any more.
        core.shared.publish(Arc::new(Snapshot::empty()));
        core.tick();
        let shared = Arc::downgrade(&core.shared);
        let core = {
            let weak = Rc::downgrade(&core);
            drop(core);
            weak
        };
        assert_eq!(core.strong_count(), 0, "somebody holds the worker");
        tokio::task::yield_now().await;
        assert_eq!(shared.strong_count(), 0, "somebody holds what workers share");
    }
}

async fn run(core: Rc<Core>, stopped: watch::Receiver<Stop>) {
    listener::run(core, Vec::new(), stopped).await;
    note("gateway has ended");
}

/// A configuration in which every request goes to the service at `url`.
pub(super) fn plan(url: &str) -> String {
    format!(
        "_format_version: \"3.0\"\nservices:\n- name: service\n  url: {url}\n  connect_timeout: 1000\n  read_timeout: 2000\n  \
         write_timeout: 3000\n  routes:\n  - name: all\n    paths: [/]\n"
    )
}

fn listed(problems: &Problems) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}
