//! Several targets behind one name.

use crate::gateway::{plan_with, quick, service, start, start_with};
use crate::wire::{PATIENCE, Upstream, Wire, answer};
use portcullis_model::plan::{
    ActiveChecks, Algorithm, CheckKind, HashOn, HealthChecks, HealthCounts, PassiveChecks, Plan, Service, Target,
    Upstream as Entity,
};
use portcullis_proxy::{DataPlane, Settings};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use uuid::Uuid;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An upstream that says its name, with the status that it is told.
pub(crate) struct Named {
    pub(crate) upstream: Upstream,
    pub(crate) status: Arc<AtomicU16>,
}

impl Named {
    pub(crate) async fn start(name: &'static str) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let now = status.clone();
        let upstream = Upstream::start(move |_, mut wire| {
            let now = now.clone();
            async move {
                while wire.request().await.is_some() {
                    wire.send(answer(now.load(Ordering::SeqCst), name.as_bytes())).await;
                }
            }
        });
        Self { upstream: upstream.await, status }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.upstream.address
    }
}

pub(crate) fn target(host: &str, port: u16, weight: u16) -> Target {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{host}:{port}").as_bytes());
    Target { id, host: host.into(), port, weight }
}

pub(crate) fn at(address: SocketAddr) -> Target {
    target(&address.ip().to_string(), address.port(), 100)
}

pub(crate) fn entity(algorithm: Algorithm, targets: Vec<Target>) -> Entity {
    Entity {
        id: Uuid::from_u128(7),
        name: "up".into(),
        algorithm,
        host_header: None,
        client_certificate: None,
        targets,
        health: HealthChecks { active: unasked(), passive: passive(0, 0, 0), threshold: 0 },
    }
}

fn counts(successes: u8, http_failures: u8, tcp_failures: u8, timeouts: u8) -> HealthCounts {
    HealthCounts {
        healthy_statuses: vec![200],
        successes,
        unhealthy_statuses: vec![500],
        http_failures,
        tcp_failures,
        timeouts,
    }
}

fn passive(http_failures: u8, tcp_failures: u8, timeouts: u8) -> PassiveChecks {
    PassiveChecks { kind: CheckKind::Http, counts: counts(0, http_failures, tcp_failures, timeouts) }
}

fn unasked() -> ActiveChecks {
    ActiveChecks {
        kind: CheckKind::Http,
        timeout: Duration::from_secs(5),
        concurrency: 2,
        http_path: "/health".into(),
        https_verify_certificate: true,
        https_sni: None,
        headers: vec![("X-Probe".into(), vec!["yes".into()])],
        healthy_interval: Duration::ZERO,
        unhealthy_interval: Duration::ZERO,
        counts: counts(1, 1, 1, 1),
    }
}

fn asked() -> ActiveChecks {
    let often = Duration::from_millis(20);
    ActiveChecks { healthy_interval: often, unhealthy_interval: often, ..unasked() }
}

pub(crate) fn balanced(entity: Entity) -> Service {
    let unused = SocketAddr::from(([127, 0, 0, 1], 80));
    Service { host: "up".into(), upstream: Some(Arc::new(entity)), ..service(unused) }
}

fn plan(entity: Entity) -> Plan {
    plan_with(balanced(entity))
}

/// Who answers so many requests over one connection.
async fn answers(wire: &mut Wire<tokio::net::TcpStream>, number: usize) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..number {
        *seen.entry(wire.ask(GET).await.text()).or_default() += 1;
    }
    seen
}

fn counted(rows: &[(&str, usize)]) -> BTreeMap<String, usize> {
    rows.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}

/// A port that nobody else gets and nobody listens on.
pub(crate) fn deaf() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Polls until `holds`.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn health(gateway: &DataPlane, target: SocketAddr) -> Option<char> {
    let metrics = gateway.metrics().encode();
    let wanted =
        format!("portcullis_upstream_target_health{{upstream=\"up\",target=\"{target}\",address=\"127.0.0.1\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&wanted)?.chars().next())
}

#[tokio::test]
async fn turns_by_weight() {
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    let targets = vec![Target { weight: 300, ..at(a.address()) }, at(b.address())];
    let (_gateway, address) = start(plan(entity(Algorithm::RoundRobin, targets)));
    let mut wire = Wire::connect(address).await;
    assert_eq!(answers(&mut wire, 40).await, counted(&[("a", 30), ("b", 10)]));
    // Connections are kept, one to each.
    assert_eq!((a.upstream.connections(), b.upstream.connections()), (1, 1));
}

#[tokio::test]
async fn the_least_busy_one() {
    let (asked, go) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (told, wait) = (asked.clone(), go.clone());
    let slow = Upstream::start(move |_, mut wire| {
        let (asked, go) = (asked.clone(), go.clone());
        async move {
            while wire.request().await.is_some() {
                // The head at once, the body much later.
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
                asked.notify_one();
                go.notified().await;
                let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.io, b"slow").await;
            }
        }
    })
    .await;
    let (gateway, address) = start(plan(entity(Algorithm::LeastConnections, vec![at(slow.address)])));
    let mut waiting = Wire::connect(address).await;
    waiting.send(GET).await;
    told.notified().await;
    let quick = Named::start("quick").await;
    let both = vec![at(slow.address), at(quick.address())];
    gateway.load(plan(entity(Algorithm::LeastConnections, both))).unwrap();
    // The head has been relayed; the request is under way until its body has ended, over a reload too.
    let mut wire = Wire::connect(address).await;
    assert_eq!(answers(&mut wire, 10).await, counted(&[("quick", 10)]));
    wait.notify_one();
    assert_eq!(waiting.answer().await.text(), "slow");
    wait.notify_one();
    until("the slow one gets requests again", async || {
        wait.notify_one();
        wire.ask(GET).await.text() == "slow"
    })
    .await;

    // A client that leaves ends its request as well.
    while tokio::time::timeout(Duration::from_millis(1), told.notified()).await.is_ok() {}
    let mut leaving = [Wire::connect(address).await, Wire::connect(address).await];
    for wire in &mut leaving {
        wire.send(GET).await;
    }
    drop(leaving);
    until("the slow one is idle again", async || {
        wait.notify_one();
        wire.ask(GET).await.text() == "slow"
    })
    .await;
}

#[tokio::test]
async fn the_same_input_to_the_same_target() {
    let all = [Named::start("a").await, Named::start("b").await, Named::start("c").await];
    let targets: Vec<_> = all.iter().map(|named| at(named.address())).collect();
    let hashing = |on, fallback| Algorithm::ConsistentHashing { on, fallback, slots: 1000 };
    for (on, with) in [
        (HashOn::Header("x-user".into()), "GET / HTTP/1.1\r\nHost: a\r\nX-User: #\r\n\r\n"),
        (HashOn::Path, "GET /p/# HTTP/1.1\r\nHost: a\r\n\r\n"),
        (HashOn::QueryArg("u".into()), "GET /?x=1&u=# HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            HashOn::Cookie { name: "c".into(), path: "/".into() },
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: b=1; c=#\r\n\r\n",
        ),
    ] {
        let (_gateway, address) = start(plan(entity(hashing(on.clone(), HashOn::None), targets.clone())));
        let mut wire = Wire::connect(address).await;
        let mut seen = BTreeMap::<_, usize>::new();
        for user in 0..30 {
            let request = with.replace('#', &format!("user-{user}"));
            let first = wire.ask(&request).await;
            assert_eq!(first.one("set-cookie"), None);
            assert_eq!(wire.ask(&request).await.text(), first.text(), "{on:?} {user}");
            *seen.entry(first.text()).or_default() += 1;
        }
        assert_eq!(seen.len(), 3, "{on:?}: {seen:?}");
        if !matches!(on, HashOn::Cookie { .. } | HashOn::Path) {
            // Nothing to hash: turns.
            assert_eq!(answers(&mut wire, 9).await.len(), 3, "{on:?}");
        }
    }
    for (on, fallback) in [(HashOn::Ip, HashOn::None), (HashOn::Consumer, HashOn::Ip)] {
        let (_gateway, address) = start(plan(entity(hashing(on, fallback), targets.clone())));
        let mut wire = Wire::connect(address).await;
        assert_eq!(answers(&mut wire, 10).await.len(), 1);
    }
}

#[tokio::test]
async fn a_cookie_is_made_where_there_is_none() {
    let all = [Named::start("a").await, Named::start("b").await, Named::start("c").await];
    let on = HashOn::Cookie { name: "seat".into(), path: "/shop".into() };
    let hashing = Algorithm::ConsistentHashing { on, fallback: HashOn::None, slots: 100 };
    let (_gateway, address) = start(plan(entity(hashing, all.iter().map(|named| at(named.address())).collect())));
    let mut wire = Wire::connect(address).await;
    for _ in 0..10 {
        let first = wire.ask(GET).await;
        let cookie = first.one("set-cookie").unwrap();
        let (pair, attributes) = cookie.split_once(';').unwrap();
        assert!(pair.starts_with("seat=") && attributes.contains("Path=/shop"), "{cookie}");
        let again = wire.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {pair}\r\n\r\n")).await;
        assert_eq!((again.one("set-cookie"), again.text()), (None, first.text()));
    }
}

#[tokio::test]
async fn requests_show_who_is_unhealthy_and_a_reload_keeps_it() {
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    let mut up = entity(Algorithm::RoundRobin, vec![at(a.address()), at(b.address())]);
    up.health.passive = passive(2, 0, 0);
    let (gateway, address) = start(plan(up.clone()));
    let mut wire = Wire::connect(address).await;
    a.status.store(500, Ordering::SeqCst);
    assert_eq!(answers(&mut wire, 4).await, counted(&[("a", 2), ("b", 2)]));
    a.status.store(200, Ordering::SeqCst);
    assert_eq!(answers(&mut wire, 10).await, counted(&[("b", 10)]));
    assert_eq!((health(&gateway, a.address()), health(&gateway, b.address())), (Some('0'), Some('1')));

    // Neither the same configuration again nor another one of the same upstream heals it.
    gateway.load(plan(up.clone())).unwrap();
    assert_eq!(answers(&mut wire, 10).await, counted(&[("b", 10)]));
    up.targets.reverse();
    up.targets[0].weight = 10;
    gateway.load(plan(up.clone())).unwrap();
    assert_eq!(answers(&mut wire, 10).await, counted(&[("b", 10)]));

    // The last one goes as well.
    b.status.store(500, Ordering::SeqCst);
    assert_eq!(answers(&mut wire, 2).await, counted(&[("b", 2)]));
    let refused = wire.ask(GET).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("failure to get a peer from the ring-balancer"), "{}", refused.text());
    assert_eq!(refused.one("content-type"), Some("application/json; charset=utf-8"));

    // An upstream that leaves the configuration is forgotten with all that was known of it.
    gateway.load(Plan::default()).unwrap();
    assert_eq!(health(&gateway, a.address()), None);
}

#[tokio::test]
async fn silence_and_dead_ends_count_each_for_themselves() {
    let silent = Upstream::start(|_, mut wire| async move { while wire.request().await.is_some() {} }).await;
    let good = Named::start("good").await;
    let (_socket, dead) = deaf();
    let mut up = entity(Algorithm::RoundRobin, vec![at(silent.address), at(dead), at(good.address())]);
    up.health.passive = passive(0, 1, 1);
    let service = Service { read_timeout: Duration::from_millis(100), ..balanced(up) };
    let (gateway, address) = start(plan_with(service));
    let mut wire = Wire::connect(address).await;
    // Whose request was read in silence may have been acted on: it is not sent again.
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(wire.ask(GET).await.status());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 504]);
    let seen = [silent.address, dead, good.address()].map(|target| health(&gateway, target));
    assert_eq!(seen, [Some('0'), Some('0'), Some('1')]);
}

#[tokio::test]
async fn checks_find_out_who_is_unhealthy_and_who_is_back() {
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    let mut up = entity(Algorithm::RoundRobin, vec![at(a.address()), at(b.address())]);
    up.health.active = asked();
    let (gateway, address) = start(plan(up.clone()));
    let mut wire = Wire::connect(address).await;
    a.status.store(500, Ordering::SeqCst);
    until("a is unhealthy", async || health(&gateway, a.address()) == Some('0')).await;
    assert_eq!(answers(&mut wire, 10).await, counted(&[("b", 10)]));
    a.status.store(200, Ordering::SeqCst);
    until("a is healthy", async || health(&gateway, a.address()) == Some('1')).await;
    until("a gets requests", async || answers(&mut wire, 10).await == counted(&[("a", 5), ("b", 5)])).await;
    assert!(gateway.metrics().encode().contains(&format!(
        "portcullis_upstream_target_changes_total{{upstream=\"up\",target=\"{}\",address=\"127.0.0.1\"}} 2",
        a.address()
    )));

    // Without the upstream there are no checks: what is under way ends, and no other comes.
    gateway.load(Plan::default()).unwrap();
    let mut before = usize::MAX;
    until("the checks end", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = a.upstream.connections();
        std::mem::replace(&mut before, now) == now
    })
    .await;
}

#[tokio::test]
async fn what_a_check_sends() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = seen.clone();
    let upstream = Upstream::start(move |_, mut wire| {
        let kept = kept.clone();
        async move {
            if let Some(request) = wire.request().await {
                kept.lock().unwrap().push(request);
                wire.send(answer(200, b"")).await;
            }
        }
    })
    .await;
    let mut up = entity(Algorithm::RoundRobin, vec![at(upstream.address)]);
    up.health.active = asked();
    up.host_header = Some("svc.example".into());
    let (_gateway, _) = start(plan(up));
    until("a check comes", async || !seen.lock().unwrap().is_empty()).await;
    let seen = seen.lock().unwrap();
    assert!(seen[0].head.starts_with("GET /health HTTP/1.0\r\n"), "{}", seen[0].head);
    assert_eq!((seen[0].one("host"), seen[0].one("x-probe")), (Some("svc.example"), Some("yes")));
}

#[tokio::test]
async fn a_check_of_the_connection_alone() {
    let (socket, address) = deaf();
    let mut up = entity(Algorithm::RoundRobin, vec![at(address)]);
    up.health.active = ActiveChecks { kind: CheckKind::Tcp, ..asked() };
    let (gateway, _) = start(plan(up));
    until("it is unhealthy", async || health(&gateway, address) == Some('0')).await;
    let _listener = socket.listen(8).unwrap();
    until("it is healthy", async || health(&gateway, address) == Some('1')).await;
}

#[tokio::test]
async fn the_host_that_targets_see() {
    let upstream = Upstream::echo().await;
    let mut up = entity(Algorithm::RoundRobin, vec![target("localhost", upstream.address.port(), 1)]);
    let (gateway, address) = start(plan(up.clone()));
    let mut wire = Wire::connect(address).await;
    let own = format!("localhost:{}", upstream.address.port());
    assert_eq!(wire.ask(GET).await.seen().one("host"), Some(&*own));
    up.host_header = Some("svc.example".into());
    gateway.load(plan(up.clone())).unwrap();
    assert_eq!(wire.ask(GET).await.seen().one("host"), Some("svc.example"));
    let mut kept = plan(up);
    let endpoint = &mut kept.endpoints[0];
    endpoint.route = Arc::new(portcullis_model::plan::Route { preserve_host: true, ..(*endpoint.route).clone() });
    gateway.load(kept).unwrap();
    assert_eq!(wire.ask(GET).await.seen().one("host"), Some("a"));
}

#[tokio::test]
async fn one_balancer_for_all_workers() {
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    let up = entity(Algorithm::RoundRobin, vec![at(a.address()), at(b.address())]);
    let (_gateway, address) = start_with(Settings { workers: 3, limits: quick(), ..Settings::default() }, plan(up));
    let mut seen = BTreeMap::new();
    for _ in 0..30 {
        for (name, number) in answers(&mut Wire::connect(address).await, 1).await {
            *seen.entry(name).or_insert(0) += number;
        }
    }
    assert_eq!(seen, counted(&[("a", 15), ("b", 15)]));
}

#[tokio::test]
async fn no_target_at_all() {
    let (_gateway, address) = start(plan(entity(Algorithm::RoundRobin, Vec::new())));
    let refused = Wire::connect(address).await.ask(GET).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("failure to get a peer"), "{}", refused.text());
}

#[tokio::test]
async fn checks_that_cannot_be_are_refused() {
    let mut up = entity(Algorithm::RoundRobin, Vec::new());
    up.health.active.headers.push(("a b".into(), vec!["c".into()]));
    up.health.active.http_path = "/a b".into();
    let gateway = DataPlane::start(Settings::default(), &[], crate::gateway::fakes(), None).unwrap();
    let said: Vec<String> = gateway.load(plan(up)).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("upstreams.up.healthchecks.active.headers.a b: "), "{said:?}");
}
