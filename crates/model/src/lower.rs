//! Entities into the plan: everything that Kong's language leaves implicit is decided here, and nothing downstream
//! knows Kong's rules.

mod order;
mod steps;
mod tls;
mod upstream;

use crate::catalog::Catalog;
use crate::entities::{self, Entities, Route, host_match};
use crate::plan::{self, Consumer, Consumers, Endpoint, HeaderMatch, Matcher, PathMatch, Plan, Protocols};
use order::Rank;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use steps::Steps;
use tls::Pems;
use uuid::Uuid;

/// Makes the plan. Time and memory are linear in the entities: services, plugin configurations and consumers stand
/// in it once, however many routes they count for.
pub fn lower(entities: &Entities, catalog: &dyn Catalog) -> Plan {
    let pems = Pems::new(entities);
    let upstreams = upstream::all(entities, &pems);
    let services: HashMap<Uuid, Option<Arc<plan::Service>>> = entities
        .services
        .iter()
        .map(|written| {
            let lowered = || Arc::new(service(written, &upstreams, pems.of_service(written)));
            (written.id, written.enabled.then(lowered))
        })
        .collect();
    let steps = Steps::new(&entities.plugins, catalog);
    let mut ranked: Vec<(Rank, Endpoint)> = Vec::with_capacity(entities.routes.len());
    for written in &entities.routes {
        let service = match written.service.and_then(|to| services.get(&to.id)) {
            // A disabled service takes its routes with it.
            Some(None) => continue,
            found => found.cloned().flatten(),
        };
        let lowered = Arc::new(route(written, service, &steps));
        for paths in order::split_paths(written) {
            let rank = Rank::of(written, &paths);
            ranked.push((rank, Endpoint { matcher: matcher(written, paths), route: lowered.clone() }));
        }
    }
    ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
    Plan {
        endpoints: ranked.into_iter().map(|(_, endpoint)| endpoint).collect(),
        consumers: Arc::new(Consumers::new(entities.consumers.iter().map(consumer))),
        certificates: tls::certificates(entities, &pems),
    }
}

fn route(route: &Route, service: Option<Arc<plan::Service>>, steps: &Steps) -> plan::Route {
    plan::Route {
        id: route.id,
        name: route.name.clone(),
        protocols: Protocols::from_names(&route.protocols),
        https_redirect_status: route.https_redirect_status_code,
        strip_path: route.strip_path,
        preserve_host: route.preserve_host,
        request_buffering: route.request_buffering,
        response_buffering: route.response_buffering,
        service,
        steps: steps.of_route(route.id, route.service.map(|to| to.id)),
    }
}

fn matcher(route: &Route, paths: Vec<PathMatch>) -> Matcher {
    let hosts = route.hosts.iter().flatten();
    let headers = route.headers.iter().flatten();
    let snis = route.snis.iter().flatten();
    Matcher {
        // What is no host has been refused by the table.
        hosts: hosts.filter_map(|text| host_match(text).ok()).collect(),
        paths,
        methods: route.methods.clone().unwrap_or_default(),
        headers: headers.map(|(name, values)| header(name, values)).collect(),
        snis: snis.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()).collect(),
    }
}

fn header(name: &str, values: &[String]) -> HeaderMatch {
    let regex = match values {
        [one] => one.strip_prefix("~*").map(str::to_owned),
        _ => None,
    };
    let values = if regex.is_some() { Vec::new() } else { values.iter().map(|v| v.to_ascii_lowercase()).collect() };
    HeaderMatch { name: name.to_ascii_lowercase(), values, regex }
}

fn service(
    service: &entities::Service,
    upstreams: &HashMap<&str, Arc<plan::Upstream>>,
    tls: Arc<plan::ServiceTls>,
) -> plan::Service {
    let bare = service.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    plan::Service {
        id: service.id,
        name: service.name.clone(),
        protocol: service.protocol,
        host: bare.unwrap_or(&service.host).to_owned(),
        port: service.port,
        upstream: upstreams.get(service.host.as_str()).cloned(),
        tls,
        path: service.path.clone(),
        retries: service.retries,
        connect_timeout: Duration::from_millis(service.connect_timeout),
        write_timeout: Duration::from_millis(service.write_timeout),
        read_timeout: Duration::from_millis(service.read_timeout),
    }
}

fn consumer(consumer: &entities::Consumer) -> Consumer {
    Consumer { id: consumer.id, username: consumer.username.clone(), custom_id: consumer.custom_id.clone() }
}
