//! A service whose host names an upstream entity.

use portcullis_testkit::{Gateway, Upstream, until};
use serde_json::{Value, json};

use crate::stage::{BINARY, declarative};

/// A file with one upstream behind everything; `more` are its fields besides the targets.
fn file(targets: &[&Upstream], more: Value) -> String {
    let services = json!([{"name": "svc", "host": "pool", "routes": [{"name": "all", "paths": ["/"]}]}]);
    let mut file: Value = serde_json::from_str(&declarative(services, json!([]))).unwrap();
    let targets: Vec<Value> = targets.iter().map(|target| json!({"target": target.addr().to_string()})).collect();
    let mut upstream = json!({"name": "pool", "targets": targets});
    upstream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    file["upstreams"] = json!([upstream]);
    file.to_string()
}

/// How many of so many requests each target got.
fn shares(gateway: &Gateway, targets: &[&Upstream], requests: usize) -> Vec<usize> {
    let seen = |target: &&Upstream| target.requests().iter().filter(|one| one.target == "/").count();
    let before: Vec<usize> = targets.iter().map(seen).collect();
    for _ in 0..requests {
        assert_eq!(gateway.get("/", &[]).status, 200);
    }
    targets.iter().zip(before).map(|(target, before)| seen(target) - before).collect()
}

fn health(gateway: &Gateway, target: &Upstream) -> f64 {
    let address = target.addr();
    let labels = format!("upstream=\"pool\",target=\"{address}\",address=\"{}\"", address.ip());
    gateway.metric("portcullis_upstream_target_health", &labels)
}

#[test]
fn targets_that_come_and_go() {
    let (mut a, b) = (Upstream::start(), Upstream::start());
    let checks = json!({"healthchecks": {"active": {
        "http_path": "/health",
        "healthy": {"interval": 0.1, "successes": 1},
        "unhealthy": {"interval": 0.1, "http_failures": 1, "tcp_failures": 1, "timeouts": 1},
    }}});
    let gateway = Gateway::builder(BINARY, &file(&[&a, &b], checks.clone())).start();
    assert_eq!(shares(&gateway, &[&a, &b], 10), [5, 5]);
    assert_eq!(a.requests()[0].header("host"), Some(&*a.addr().to_string()));

    // Nobody notices: what cannot be sent to one goes to the other, and soon nothing is sent there.
    a.kill();
    assert_eq!(shares(&gateway, &[&b], 10), [10]);
    until("the dead one is unhealthy", || (health(&gateway, &a) == 0.0).then_some(()));
    assert!(gateway.output().contains("a target is unhealthy"));
    assert_eq!(health(&gateway, &b), 1.0);

    // Another configuration of the same upstream knows it still.
    let mut more = checks.clone();
    more["algorithm"] = json!("least-connections");
    more["healthchecks"]["active"]["unhealthy"]["interval"] = json!(0);
    gateway.reload(&file(&[&b, &a], more));
    assert_eq!(health(&gateway, &a), 0.0);

    gateway.reload(&file(&[&a, &b], checks));
    a.restart();
    until("it is healthy again", || (health(&gateway, &a) == 1.0).then_some(()));
    until("it gets requests again", || (shares(&gateway, &[&a, &b], 2) == [1, 1]).then_some(()));
}

#[test]
fn the_same_header_to_the_same_target() {
    let (a, b) = (Upstream::start(), Upstream::start());
    let hashing = json!({"hash_on": "header", "hash_on_header": "X-User"});
    let gateway = Gateway::builder(BINARY, &file(&[&a, &b], hashing)).start();
    for user in 0..20 {
        let before = [a.requests().len(), b.requests().len()];
        for _ in 0..3 {
            assert_eq!(gateway.get("/", &[("X-User", &format!("user-{user}"))]).status, 200);
        }
        let after = [a.requests().len() - before[0], b.requests().len() - before[1]];
        assert!(after == [3, 0] || after == [0, 3], "{user}: {after:?}");
    }
    assert!(!a.requests().is_empty() && !b.requests().is_empty());
}

#[test]
fn no_target_takes_a_request() {
    // A name server that is not there.
    let nobody = "dns: {servers: '127.0.0.1:1'}";
    let gateway = Gateway::builder(BINARY, &file(&[], json!({}))).settings(nobody).start();
    let refused = gateway.get("/", &[]);
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["message"], "failure to get a peer from the ring-balancer");

    let nowhere = json!({"targets": [{"target": "does-not-exist.invalid:80"}]});
    gateway.reload(&file(&[], nowhere));
    let refused = gateway.get("/", &[]);
    assert_eq!((refused.status, &refused.json()["message"]), (503, &json!("name resolution failed")));
}
