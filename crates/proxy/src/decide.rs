//! The decision about a request, which every door asks for: which route, and do its steps let it pass.
//!
//! This file names no engine. It reads the head, takes out of it what no client may send, runs the steps and says
//! what is to be done; what the steps want changed on the way to the upstream stands in the [`Context`].

use crate::head::Head;
use crate::peek::{Peek, peek};
use crate::render::Failure;
use crate::router::Criteria;
use crate::snapshot::{Instance, Lane, Options, Snapshot, Step};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use portcullis_model::plan::{Condition, Protocol};
use portcullis_plugins::fold;
use portcullis_plugins::{Context, Flow, Reason, Refusal, Seen};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is to be done with a request.
#[derive(Debug)]
pub enum Decision {
    /// Every step agreed.
    Forward(Found),
    /// A step answered.
    Answer(Box<Response<Bytes>>),
    /// A step refused.
    Refuse(Box<Refusal>),
    /// There is nowhere to go.
    Fail(Failure),
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Place in the snapshot's routes.
    pub endpoint: usize,
    /// Bytes of the normalised path that the route's prefix or regex took.
    pub matched: usize,
}

/// Finds the route, removes forged names from the head, looks at the body if a step wants to see it, runs the steps.
/// The route is said even when the answer is no, by `route`, for whoever counts.
pub async fn decide(
    snapshot: &Snapshot,
    head: &mut Head,
    body: &mut impl Peek,
    cx: &mut Context,
    route: &mut Option<usize>,
) -> Decision {
    let Some(router) = &snapshot.router else {
        return Decision::Fail(Failure::NotReady);
    };
    // The router sees the head as the client sent it.
    let criteria = Criteria {
        host: head.host_name(),
        port: head.port(),
        path: head.path(),
        method: &head.method,
        headers: &head.headers,
        sni: head.arrival.sni.as_deref(),
    };
    let Some(found) = router.find(&criteria) else {
        return Decision::Fail(Failure::NoRoute);
    };
    let found = Found { endpoint: found.endpoint, matched: found.matched };
    *route = Some(found.endpoint);
    let lane = &snapshot.lanes[found.endpoint];
    // A phase of its own: whatever happens below, nothing forged is left (S-23).
    remove_forged(&mut head.headers, lane);
    if head.client_protocol() == Protocol::Http && !lane.route.protocols.http {
        return Decision::Fail(https_required(head, lane));
    }
    let body = match lane.body_limit {
        None => None,
        Some(limit) => match peek(head, limit, body).await {
            Ok(body) => body,
            Err(failure) => return Decision::Fail(failure),
        },
    };
    for step in &lane.steps {
        let Some(instance) = candidate(step, cx, head.arrival.protocol) else {
            continue;
        };
        match run(instance, &see(head, body.as_deref(), snapshot), cx).await {
            Flow::Continue => {}
            Flow::Answer(answer) => return Decision::Answer(answer),
            Flow::Refuse(refusal) => return Decision::Refuse(refusal),
            // `run` has awaited it.
            Flow::Wait(_) => return internal(cx),
        }
    }
    match &lane.destination {
        Some(_) => Decision::Forward(found),
        None => Decision::Fail(Failure::NoService),
    }
}

fn see<'a>(head: &'a Head, body: Option<&'a [u8]>, snapshot: &'a Snapshot) -> Seen<'a> {
    Seen {
        method: &head.method,
        raw_path: head.uri.path(),
        query: head.uri.query(),
        headers: &head.headers,
        body,
        protocol: head.arrival.protocol,
        peer: head.arrival.peer,
        consumers: &snapshot.consumers,
    }
}

/// The configuration that counts for this request at this step, if any does.
fn candidate<'a>(step: &'a Step, cx: &Context, protocol: Protocol) -> Option<&'a Instance> {
    step.candidates.iter().find_map(|options| {
        let instance = match options {
            Options::Any(instance) => instance,
            Options::ByConsumer(instances) => instances.of.get(&cx.consumer.as_ref()?.id)?,
        };
        holds(&instance.config.when, protocol).then_some(&**instance)
    })
}

fn holds(condition: &Condition, protocol: Protocol) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Protocols(protocols) => protocols.contains(protocol),
    }
}

/// Runs one step to its verdict. A panic in it is a refusal, and the upstream is not called (S-36).
async fn run(instance: &Instance, seen: &Seen<'_>, cx: &mut Context) -> Flow {
    let plugin = &*instance.plugin;
    let mut flow = guarded(cx, |cx| plugin.step(seen, cx));
    while let Flow::Wait(future) = flow {
        flow = match AssertUnwindSafe(future).catch_unwind().await {
            Ok(value) => guarded(cx, |cx| plugin.resume(seen, value, cx)),
            Err(_) => cx.refuse(Reason::Internal),
        };
    }
    flow
}

/// What the step left half done in the context goes nowhere: a refusal ends the request.
fn guarded(cx: &mut Context, step: impl FnOnce(&mut Context) -> Flow) -> Flow {
    let outcome = catch_unwind(AssertUnwindSafe(|| step(cx)));
    outcome.unwrap_or_else(|_| cx.refuse(Reason::Internal))
}

fn internal(cx: &mut Context) -> Decision {
    cx.facts.reason = Some(Reason::Internal);
    Decision::Refuse(Box::new(Reason::Internal.into()))
}

fn https_required(head: &Head, lane: &Lane) -> Failure {
    match lane.route.https_redirect_status {
        426 => Failure::HttpsRequired,
        status => {
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let location = HeaderValue::try_from(format!("https://{}{target}", head.public_host()));
            match (StatusCode::from_u16(status), location) {
                (Ok(status), Ok(location)) => Failure::RedirectToHttps { status, location },
                _ => Failure::HttpsRequired,
            }
        }
    }
}

/// Removes every header that folds to a reserved name, or to one that a plugin of this route sets (I-151). The
/// ordinary request has none, which costs one look at each name and no allocation.
fn remove_forged(headers: &mut HeaderMap, lane: &Lane) {
    let forged = |name: &HeaderName| {
        let name = name.as_str();
        (lane.removes_reserved && fold::is_reserved(name)) || lane.owned.iter().any(|owned| fold::folds_to(name, owned))
    };
    if headers.keys().any(forged) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| forged(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peek::Unread;

    /// Other doors run on runtimes that move tasks between threads.
    #[test]
    fn a_decision_can_move_between_threads() {
        fn is_send<T: Send>(_: &T) {}
        fn check(snapshot: &Snapshot, head: &mut Head, cx: &mut Context) {
            is_send(&decide(snapshot, head, &mut Unread, cx, &mut None));
        }
        let _ = check;
    }
}
