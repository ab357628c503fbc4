//! Upstreams with their targets, by the name that services have as their host.

use super::tls::Pems;
use crate::entities::health::{Active, HealthChecks, Healthy, Passive, Unhealthy};
use crate::entities::upstream::{Algorithm, HashInput};
use crate::entities::{Entities, Target, Upstream, target};
use crate::plan::{self, ActiveChecks, HashOn, HealthCounts, PassiveChecks};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub(super) fn all<'e>(entities: &'e Entities, pems: &Pems) -> HashMap<&'e str, Arc<plan::Upstream>> {
    let mut targets: HashMap<Uuid, Vec<plan::Target>> = HashMap::new();
    for written in &entities.targets {
        targets.entry(written.upstream.id).or_default().extend(lower_target(written));
    }
    let lowered = |upstream: &'e Upstream| {
        let mut targets = targets.remove(&upstream.id).unwrap_or_default();
        targets.sort_unstable_by_key(|target| target.id);
        (upstream.name.as_str(), Arc::new(lower_upstream(upstream, targets, pems)))
    };
    entities.upstreams.iter().map(lowered).collect()
}

/// Nothing for a target that takes no requests.
fn lower_target(written: &Target) -> Option<plan::Target> {
    // What is no address has been refused by the table.
    let (host, port) = target::address(&written.target).ok()?;
    (written.weight > 0).then_some(plan::Target { id: written.id, host, port, weight: written.weight })
}

fn lower_upstream(upstream: &Upstream, targets: Vec<plan::Target>, pems: &Pems) -> plan::Upstream {
    plan::Upstream {
        id: upstream.id,
        name: upstream.name.clone(),
        algorithm: algorithm(upstream),
        host_header: upstream.host_header.clone(),
        client_certificate: pems.of_client(upstream.client_certificate),
        targets,
        health: health(&upstream.healthchecks),
    }
}

fn algorithm(upstream: &Upstream) -> plan::Algorithm {
    let cookie = || HashOn::Cookie {
        name: upstream.hash_on_cookie.clone().unwrap_or_default(),
        path: upstream.hash_on_cookie_path.clone(),
    };
    let hashed = |input, header: &Option<String>, query_arg: &Option<String>| match input {
        HashInput::None => HashOn::None,
        HashInput::Consumer => HashOn::Consumer,
        HashInput::Ip => HashOn::Ip,
        HashInput::Header => HashOn::Header(header.clone().unwrap_or_default().to_ascii_lowercase()),
        HashInput::Cookie => cookie(),
        HashInput::Path => HashOn::Path,
        HashInput::QueryArg => HashOn::QueryArg(query_arg.clone().unwrap_or_default()),
    };
    match upstream.algorithm {
        Algorithm::LeastConnections => plan::Algorithm::LeastConnections,
        // With nothing to hash, hashing leaves nothing but taking turns.
        Algorithm::ConsistentHashing if upstream.hash_on != HashInput::None => plan::Algorithm::ConsistentHashing {
            on: hashed(upstream.hash_on, &upstream.hash_on_header, &upstream.hash_on_query_arg),
            fallback: hashed(upstream.hash_fallback, &upstream.hash_fallback_header, &upstream.hash_fallback_query_arg),
            slots: upstream.slots,
        },
        Algorithm::RoundRobin | Algorithm::ConsistentHashing => plan::Algorithm::RoundRobin,
    }
}

fn health(checks: &HealthChecks) -> plan::HealthChecks {
    plan::HealthChecks {
        active: active(&checks.active),
        passive: passive(&checks.passive),
        threshold: checks.threshold,
    }
}

fn active(active: &Active) -> ActiveChecks {
    let headers = active.headers.iter().flatten();
    ActiveChecks {
        kind: active.kind,
        timeout: seconds(active.timeout),
        concurrency: usize::try_from(active.concurrency).unwrap_or(usize::MAX),
        http_path: active.http_path.clone(),
        https_verify_certificate: active.https_verify_certificate,
        https_sni: active.https_sni.clone(),
        headers: headers.map(|(name, values)| (name.to_ascii_lowercase(), values.clone())).collect(),
        healthy_interval: seconds(active.healthy.interval.unwrap_or_default()),
        unhealthy_interval: seconds(active.unhealthy.interval.unwrap_or_default()),
        counts: counts(&active.healthy, &active.unhealthy),
    }
}

fn passive(passive: &Passive) -> PassiveChecks {
    PassiveChecks { kind: passive.kind, counts: counts(&passive.healthy, &passive.unhealthy) }
}

fn counts(healthy: &Healthy, unhealthy: &Unhealthy) -> HealthCounts {
    HealthCounts {
        healthy_statuses: healthy.http_statuses.clone(),
        successes: healthy.successes,
        unhealthy_statuses: unhealthy.http_statuses.clone(),
        http_failures: unhealthy.http_failures,
        tcp_failures: unhealthy.tcp_failures,
        timeouts: unhealthy.timeouts,
    }
}

/// The table allows 0 to 65535.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
