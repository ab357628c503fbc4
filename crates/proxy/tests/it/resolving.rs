//! Names of upstreams.

use crate::balancing::{balanced, entity, target, until};
use crate::gateway::{plan_with, quick, service, start_with};
use crate::name_server::{Answer, NameServer};
use crate::wire::{Upstream, Wire, answer};
use portcullis_model::plan::{Algorithm, Service};
use portcullis_proxy::Settings;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// An upstream on each of the addresses, all at one port; each says its own address and ends the connection.
async fn everywhere(addresses: &[Ipv4Addr]) -> u16 {
    everywhere_with(addresses, "Connection: close\r\n").await
}

/// The same with this header in each answer.
async fn everywhere_with(addresses: &[Ipv4Addr], header: &'static str) -> u16 {
    // A port that is free on the first may be taken on another.
    'port: loop {
        let mut listeners = Vec::new();
        let mut port = 0;
        for address in addresses {
            let Ok(listener) = TcpListener::bind((*address, port)).await else { continue 'port };
            port = listener.local_addr().unwrap().port();
            listeners.push(listener);
        }
        for listener in listeners {
            let name = listener.local_addr().unwrap().ip().to_string();
            tokio::spawn(async move {
                while let Ok((io, _)) = listener.accept().await {
                    let (mut wire, name) = (Wire { io, buffer: Vec::new() }, name.clone());
                    tokio::spawn(async move {
                        while wire.request().await.is_some() {
                            let length = name.len();
                            let answer = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: {length}\r\n\r\n{name}");
                            wire.send(answer.into_bytes()).await;
                            if !header.is_empty() {
                                break;
                            }
                        }
                    });
                }
            });
        }
        return port;
    }
}

fn settings(server: &NameServer) -> Settings {
    Settings { limits: quick(), name_servers: vec![server.address], ..Settings::default() }
}

fn named(host: &str, port: u16) -> Service {
    Service { host: host.into(), port, ..service(SocketAddr::from((ONE, 1))) }
}

fn failures(gateway: &portcullis_proxy::DataPlane) -> u64 {
    let metrics = gateway.metrics().encode();
    let line = metrics.lines().find_map(|line| line.strip_prefix("portcullis_name_resolution_failures_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn all_addresses_of_a_host() {
    let server = NameServer::start().await;
    let port = everywhere(&[ONE, TWO]).await;
    server.set("svc.test", Answer::Addresses(vec![ONE, TWO], 3600));
    let (_gateway, address) = start_with(settings(&server), plan_with(named("svc.test", port)));
    let mut wire = Wire::connect(address).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(wire.ask(GET).await.text());
    }
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 2, "{seen:?}");
    assert_eq!((&seen[0], &seen[1]), (&seen[2], &seen[3]));
    assert_eq!(server.asked(), 1, "as long as the answer is good, nobody is asked again");
}

#[tokio::test]
async fn each_address_of_a_target_is_a_peer() {
    let server = NameServer::start().await;
    let port = everywhere(&[ONE, TWO]).await;
    server.set("svc.test", Answer::Addresses(vec![ONE, TWO], 1));
    let up = entity(Algorithm::RoundRobin, vec![target("svc.test", port, 10)]);
    let (gateway, address) = start_with(settings(&server), plan_with(balanced(up)));
    let mut wire = Wire::connect(address).await;
    let mut seen = [wire.ask(GET).await.text(), wire.ask(GET).await.text()];
    seen.sort();
    assert_eq!(seen, ["127.0.0.1", "127.0.0.2"]);
    let line = format!("{{upstream=\"up\",target=\"svc.test:{port}\",address=\"127.0.0.2\"}} 1");
    assert!(gateway.metrics().encode().contains(&line));
    // One goes.
    server.set("svc.test", Answer::Addresses(vec![ONE], 1));
    until("the other address gets no requests", async || !gateway.metrics().encode().contains(&line)).await;
    assert_eq!([wire.ask(GET).await.text(), wire.ask(GET).await.text()], ["127.0.0.1", "127.0.0.1"]);
}

#[tokio::test]
async fn answers_are_renewed_and_kept_when_nobody_answers() {
    let server = NameServer::start().await;
    let port = everywhere(&[ONE, TWO]).await;
    server.set("svc.test", Answer::Addresses(vec![ONE], 1));
    let (gateway, address) = start_with(settings(&server), plan_with(named("svc.test", port)));
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(GET).await.text(), "127.0.0.1");
    server.set("svc.test", Answer::Addresses(vec![TWO], 1));
    until("the new address is used", async || wire.ask(GET).await.text() == "127.0.0.2").await;
    server.set("svc.test", Answer::Failure);
    until("a lookup fails", async || failures(&gateway) > 1).await;
    for _ in 0..3 {
        assert_eq!(wire.ask(GET).await.text(), "127.0.0.2");
    }
    server.set("svc.test", Answer::Addresses(vec![ONE], 1));
    until("the server is believed again", async || wire.ask(GET).await.text() == "127.0.0.1").await;
}

#[tokio::test]
async fn kept_connections_do_not_outlive_their_address() {
    let server = NameServer::start().await;
    let port = everywhere_with(&[ONE, TWO], "").await;
    server.set("svc.test", Answer::Addresses(vec![ONE], 1));
    let (gateway, address) = start_with(settings(&server), plan_with(named("svc.test", port)));
    let mut wire = Wire::connect(address).await;
    assert_eq!(wire.ask(GET).await.text(), "127.0.0.1");
    server.set("svc.test", Answer::Addresses(vec![TWO], 1));
    // Requests all the while: the connection to the old address never rests.
    until("the new address is used", async || wire.ask(GET).await.text() == "127.0.0.2").await;
    server.set("svc.test", Answer::Failure);
    until("a lookup fails", async || failures(&gateway) > 1).await;
    assert_eq!(wire.ask(GET).await.text(), "127.0.0.2");
}

#[tokio::test]
async fn names_without_an_address() {
    let server = NameServer::start().await;
    let port = everywhere(&[ONE]).await;
    let up = entity(Algorithm::RoundRobin, vec![target("none.test", port, 10)]);
    for service in [named("none.test", port), balanced(up)] {
        let (gateway, address) = start_with(settings(&server), plan_with(service));
        let mut wire = Wire::connect(address).await;
        let failed = wire.ask(GET).await;
        assert_eq!(failed.status(), 503);
        assert!(failed.text().contains("name resolution failed"), "{}", failed.text());
        assert!(failures(&gateway) >= 1);
        // A negative answer is kept for a moment only.
        server.set("none.test", Answer::Addresses(vec![ONE], 1));
        until("it resolves", async || wire.ask(GET).await.status() == 200).await;
        server.set("none.test", Answer::Failure);
    }
}

#[tokio::test]
async fn addresses_and_localhost_ask_nobody() {
    let server = NameServer::start().await;
    let upstream = Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.send(answer(200, b"here")).await;
        }
    })
    .await;
    for host in ["127.0.0.1", "localhost", "a.localhost"] {
        let (_gateway, address) = start_with(settings(&server), plan_with(named(host, upstream.address.port())));
        assert_eq!(Wire::connect(address).await.ask(GET).await.text(), "here", "{host}");
    }
    assert_eq!(server.asked(), 0);
}
