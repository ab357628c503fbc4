//! One configuration in place of another.

use crate::gateway::{endpoint, plan, quick, route, service, start, start_with};
use crate::wire::{Upstream, Wire, answer};
use portcullis_model::plan::Plan;
use portcullis_proxy::{DataPlane, Settings};
use std::sync::Arc;
use tokio::sync::Notify;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_request_ends_under_the_configuration_it_began_with() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (asked.clone(), go.clone());
    let slow = Upstream::start(move |_, mut wire| {
        let (asked, go) = (asked.clone(), go.clone());
        async move {
            wire.request().await;
            asked.notify_one();
            go.notified().await;
            wire.send(answer(200, b"old")).await;
        }
    })
    .await;
    let other = Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.send(answer(200, b"new")).await;
        }
    })
    .await;
    let (gateway, address) = start(plan(slow.address, &[]));
    assert_eq!(gateway.revision(), 1);
    let mut before = Wire::connect(address).await;
    before.send(GET).await;
    told.notified().await;
    let loaded = gateway.load(plan(other.address, &["wait"])).unwrap();
    assert_eq!((loaded.revision, gateway.revision()), (2, 2));
    let counts = |change: portcullis_proxy::snapshot::Change| (change.added, change.changed, change.removed);
    assert_eq!(counts(loaded.changes.routes), (0, 1, 0));
    assert_eq!(counts(loaded.changes.services), (0, 1, 0));
    assert_eq!(counts(loaded.changes.plugins), (1, 0, 0));
    assert_eq!(Wire::connect(address).await.ask(GET).await.text(), "new");
    wait.notify_one();
    assert_eq!(before.answer().await.text(), "old");
    assert_eq!(before.ask(GET).await.text(), "new");
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing() {
    let upstream = Upstream::echo().await;
    let (gateway, address) = start(plan(upstream.address, &[]));
    let problems = gateway.load(plan(upstream.address, &["unheard_of", "never_seen"])).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "services[0].plugins[1].config.name: no fake called unheard_of",
            "services[0].plugins[1].config.name: no fake called never_seen"
        ]
    );
    assert_eq!(gateway.revision(), 1);
    assert_eq!(Wire::connect(address).await.ask(GET).await.status(), 200);
}

#[tokio::test]
async fn before_any_configuration() {
    let upstream = Upstream::echo().await;
    let gateway = DataPlane::start(
        Settings { limits: quick(), ..Settings::default() },
        &[crate::gateway::anywhere(), crate::gateway::anywhere()],
        crate::gateway::fakes(),
        None,
    )
    .unwrap();
    let addresses = gateway.addresses();
    let mut wires = [Wire::connect(addresses[0]).await, Wire::connect(addresses[1]).await];
    for wire in &mut wires {
        assert_eq!(wire.ask(GET).await.status(), 503);
    }
    gateway.load(plan(upstream.address, &[])).unwrap();
    for wire in &mut wires {
        assert_eq!(wire.ask(GET).await.status(), 200);
    }
}

// Connections spread over workers, and every worker sees the change.
#[tokio::test]
async fn every_worker_sees_a_change() {
    let upstream = Upstream::echo().await;
    let settings = Settings { workers: 2, limits: quick(), ..Settings::default() };
    let (gateway, address) = start_with(settings, plan(upstream.address, &[]));
    let mut wires = Vec::new();
    for _ in 0..16 {
        wires.push(Wire::connect(address).await);
    }
    gateway
        .load(Plan {
            endpoints: vec![endpoint("/new", route(Some(service(upstream.address)), &[]))],
            ..Plan::default()
        })
        .unwrap();
    for wire in &mut wires {
        assert_eq!(wire.ask(GET).await.status(), 404);
        assert_eq!(wire.ask("GET /new HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
    }
}
