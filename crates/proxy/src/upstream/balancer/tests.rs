use super::*;
use crate::telemetry::Metrics;
use portcullis_model::plan::{ActiveChecks, CheckKind, HashOn, HealthChecks, HealthCounts, PassiveChecks};
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

fn counts(http_failures: u8) -> HealthCounts {
    HealthCounts {
        healthy_statuses: vec![200],
        successes: 1,
        unhealthy_statuses: vec![500],
        http_failures,
        tcp_failures: 1,
        timeouts: 1,
    }
}

fn upstream(algorithm: Algorithm, weights: &[u16]) -> Arc<Upstream> {
    let target = |(number, weight): (u8, &u16)| Target {
        id: Uuid::from_u128(number.into()),
        host: format!("10.0.0.{number}"),
        port: 80,
        weight: *weight,
    };
    Arc::new(Upstream {
        id: Uuid::nil(),
        name: "up".into(),
        algorithm,
        host_header: None,
        client_certificate: None,
        targets: (0..).zip(weights).map(target).collect(),
        health: HealthChecks {
            active: ActiveChecks {
                kind: CheckKind::Http,
                timeout: Duration::from_secs(1),
                concurrency: 1,
                http_path: "/".into(),
                https_verify_certificate: true,
                https_sni: None,
                headers: Vec::new(),
                healthy_interval: Duration::ZERO,
                unhealthy_interval: Duration::ZERO,
                counts: counts(0),
            },
            passive: PassiveChecks { kind: CheckKind::Http, counts: counts(1) },
            threshold: 0,
        },
    })
}

fn balancer(upstream: Arc<Upstream>, previous: Option<&Balancer>) -> Balancer {
    // Addresses alone: nobody is asked, and nothing runs there.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let names = Names::new(Vec::new(), runtime.handle().clone(), Metrics::new(1));
    Balancer::new(upstream, &names, None, previous)
}

/// How many of so many picks each place gets.
fn picks(balancer: &Balancer, wish: &Wish, number: usize) -> BTreeMap<usize, usize> {
    let mut picks = BTreeMap::new();
    for _ in 0..number {
        *picks.entry(balancer.pick(&balancer.peers(), wish, &Tried::new()).unwrap()).or_default() += 1;
    }
    picks
}

fn peer(balancer: &Balancer, place: usize) -> Arc<Peer> {
    balancer.peers().members[place].peer.clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_robin_by_weight(weights in prop::collection::vec(1..20_u16, 1..6), rounds in 1..4_usize) {
        let round: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
        let balancer = balancer(upstream(Algorithm::RoundRobin, &weights), None);
        let had = picks(&balancer, &Wish::default(), round * rounds);
        for (place, weight) in weights.iter().enumerate() {
            prop_assert_eq!(had.get(&place).copied().unwrap_or(0), usize::from(*weight) * rounds);
        }
    }

    /// Requests that last are spread by weight.
    #[test]
    fn least_connections_by_weight(weights in prop::collection::vec(1..10_u16, 1..6)) {
        let balancer = balancer(upstream(Algorithm::LeastConnections, &weights), None);
        let total: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
        let mut had = vec![0; weights.len()];
        let mut held = Vec::new();
        for _ in 0..total * 10 {
            let place = balancer.pick(&balancer.peers(), &Wish::default(), &Tried::new()).unwrap();
            had[place] += 1;
            held.push(peer(&balancer, place).ticket());
        }
        for (had, weight) in had.iter().zip(&weights) {
            prop_assert!(usize::abs_diff(*had, usize::from(*weight) * 10) <= usize::from(*weight), "{had} of {weight}");
        }
    }
}

#[test]
fn a_ticket_counts_until_it_is_dropped() {
    let balancer = balancer(upstream(Algorithm::LeastConnections, &[1, 1]), None);
    let held = [peer(&balancer, 0).ticket(), peer(&balancer, 0).ticket()];
    assert_eq!(picks(&balancer, &Wish::default(), 10), BTreeMap::from([(1, 10)]));
    drop(held);
    assert_eq!(picks(&balancer, &Wish::default(), 10), BTreeMap::from([(0, 5), (1, 5)]));
}

#[test]
fn an_unhealthy_one_is_passed_over_and_its_share_spread() {
    let balancer = balancer(upstream(Algorithm::RoundRobin, &[1, 1, 1]), None);
    let first = peer(&balancer, 0);
    balancer.answered(&first, 500);
    assert!(!first.health.is_healthy());
    // At once, before anybody has made the turns anew, and evenly once somebody has.
    assert!(!picks(&balancer, &Wish::default(), 9).contains_key(&0));
    balancer.renew();
    assert_eq!(picks(&balancer, &Wish::default(), 10), BTreeMap::from([(1, 5), (2, 5)]));
    balancer.checked(&first, Ok(Some(200)));
    balancer.renew();
    assert_eq!(picks(&balancer, &Wish::default(), 9), BTreeMap::from([(0, 3), (1, 3), (2, 3)]));
    assert_eq!(first.changes.load(Ordering::Relaxed), 2);
}

#[test]
fn too_few_are_none() {
    let mut upstream = (*upstream(Algorithm::RoundRobin, &[50, 30, 20])).clone();
    upstream.health.threshold = 50;
    let balancer = balancer(Arc::new(upstream), None);
    let pick = || balancer.pick(&balancer.peers(), &Wish::default(), &Tried::new());
    balancer.seen(&peer(&balancer, 1), Event::Timeout);
    balancer.renew();
    assert!(pick().is_ok(), "70 of 100 are healthy");
    balancer.seen(&peer(&balancer, 2), Event::TcpFailure);
    balancer.renew();
    assert!(pick().is_ok(), "50 of 100 are healthy");
    balancer.seen(&peer(&balancer, 0), Event::TcpFailure);
    balancer.checked(&peer(&balancer, 1), Ok(Some(200)));
    balancer.renew();
    assert_eq!(pick(), Err(NoPeer::Unhealthy), "30 of 100 are healthy");
}

#[test]
fn hashes_stay_and_go_on() {
    let hashing = Algorithm::ConsistentHashing { on: HashOn::Path, fallback: HashOn::None, slots: 1000 };
    let balancer = balancer(upstream(hashing, &[100, 100, 100]), None);
    let wish = Wish { hash: Some(7), cookie: None };
    let had = picks(&balancer, &wish, 20);
    assert_eq!(had.len(), 1);
    let first = *had.keys().next().unwrap();
    let next = balancer.pick(&balancer.peers(), &wish, &Tried::from_iter([peer(&balancer, first)])).unwrap();
    assert_ne!(first, next);
    balancer.seen(&peer(&balancer, first), Event::Timeout);
    assert_eq!(picks(&balancer, &wish, 20), BTreeMap::from([(next, 20)]));
    // A request without anything to hash takes turns.
    assert_eq!(picks(&balancer, &Wish::default(), 20).len(), 2);
}

#[test]
fn what_is_known_of_an_address_outlives_a_reload() {
    let before = balancer(upstream(Algorithm::LeastConnections, &[1, 1, 1]), None);
    before.seen(&peer(&before, 2), Event::TcpFailure);
    let _held = peer(&before, 0).ticket();
    let mut changed = (*before.upstream).clone();
    // The first one goes, and all others move.
    changed.targets.rotate_left(1);
    changed.targets.pop();
    changed.targets.push(Target { host: "10.0.0.9".into(), ..changed.targets[0].clone() });
    changed.targets.push(before.upstream.targets[0].clone());
    let after = balancer(Arc::new(changed), Some(&before));
    let hosts: Vec<_> = after.peers().members.iter().map(|member| member.peer.host.to_string()).collect();
    assert_eq!(hosts, ["10.0.0.1", "10.0.0.2", "10.0.0.9", "10.0.0.0"]);
    assert!(!peer(&after, 1).health.is_healthy());
    // The unhealthy one is out, and the busy one is busier than the others.
    assert_eq!(picks(&after, &Wish::default(), 10), BTreeMap::from([(0, 5), (2, 5)]));
    assert!(Arc::ptr_eq(&before.changed, &after.changed));
}
