//! THE FIRST TRUNK: one request, from its head to its log line, in the order in which things happen.

use crate::core::{Core, View};
use crate::decide::{Decision, Found, decide};
use crate::head::{BadHead, Head};
use crate::headers;
use crate::listener::Client;
use crate::peek::Uploading;
use crate::render::Failure;
use crate::scope::{Answer, Body, Scope};
use crate::snapshot::Snapshot;
use crate::stream::Overdue;
use crate::upstream::{self, Shown, Upload, Way};
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use std::mem;
use std::pin::pin;
use std::rc::Rc;

/// Answers one request. Whatever happens, there is an answer; only a client that leaves gets none.
pub(crate) async fn handle(core: &Rc<Core>, client: &Rc<Client>, request: Request<Incoming>) -> Response<Body> {
    // One immutable view for as long as it takes to answer: a reload in between changes nothing half-way.
    let snapshot = core.snapshot();
    let (mut head, mut upload, mut scope) = open(core, client, request);
    let mut answer = match &mut head {
        // Before anything is decided by a head that another server might read otherwise.
        Err(bad) => refuse_head(bad, &mut upload, &mut scope),
        Ok(head) => respond(&snapshot, head, &mut upload, &mut scope).await,
    };
    // Also on refusals: what a step says about answers (CORS) holds for every answer.
    headers::apply(answer.headers_mut(), mem::take(&mut scope.cx.response));
    if let Some(upload) = upload {
        leave(upload, &mut answer, &scope);
    }
    if scope.version == Version::HTTP_2 {
        headers::for_http2(answer.headers_mut());
    }
    // The scope lives as long as the answer's body.
    scope.close_with(answer)
}

/// Takes a request apart: what is decided by, what comes behind it, and what is needed after both have moved on.
fn open(
    core: &Rc<Core>,
    client: &Rc<Client>,
    request: Request<Incoming>,
) -> (Result<Head, BadHead>, Option<Box<Upload>>, Box<Scope>) {
    let (parts, body) = request.into_parts();
    // The client has had its say; from here on it may only be late with its body.
    client.watch.read_freely();
    client.watch.limit_request(core.limits().request_total);
    let upload = Upload::new(body, &client.watch, core.limits().body_idle);
    // Counts and logs when it is dropped, so from here on nobody is forgotten, not even a client that leaves.
    let scope = Scope::open(core, client, &parts);
    (Head::read(parts, client.arrival.clone()), upload, scope)
}

/// Decides what becomes of a request, and has it done, in the time that it may take.
async fn respond(
    snapshot: &View,
    head: &mut Head,
    upload: &mut Option<Box<Upload>>,
    scope: &mut Scope,
) -> Response<Answer> {
    let client = scope.client.clone();
    // Other doors ask exactly this.
    let mut endpoint = None;
    let mut body = Uploading(upload.as_deref_mut());
    let decision = {
        let deciding = pin!(decide(snapshot, head, &mut body, &mut scope.cx, &mut endpoint));
        client.watch.in_time(deciding).await
    };
    if let Some(endpoint) = endpoint {
        scope.found(snapshot, endpoint);
    }
    match decision {
        Ok(Decision::Forward(found)) => {
            let forwarded = {
                let forwarding = pin!(forward(snapshot, found, head, upload, scope));
                client.watch.in_time(forwarding).await
            };
            match forwarded {
                Ok(Ok(answer)) => answer,
                Ok(Err(failure)) => scope.failure(&failure),
                Err(overdue) => give_up(overdue, upload, scope),
            }
        }
        Ok(Decision::Answer(answer)) => scope.answer(*answer),
        Ok(Decision::Refuse(refusal)) => scope.refusal(&refusal),
        Ok(Decision::Fail(failure)) => scope.failure(&failure),
        Err(overdue) => give_up(overdue, upload, scope),
    }
}

/// To the upstream and back.
async fn forward(
    snapshot: &Snapshot,
    found: Found,
    head: &mut Head,
    upload: &mut Option<Box<Upload>>,
    scope: &mut Scope,
) -> Result<Response<Answer>, Failure> {
    let lane = &snapshot.lanes[found.endpoint];
    let (Some(destination), Some(service)) = (&lane.destination, &lane.route.service) else {
        return Err(Failure::NoService);
    };
    let (core, client) = (scope.core.clone(), scope.client.clone());
    let shown = Shown { head, consumer: scope.cx.consumer.as_deref(), peer: client.arrival.peer };
    let mut wish = destination.wish(shown);
    let version = head.version;
    let edits = mem::take(&mut scope.cx.edits);
    if lane.route.request_buffering
        && let Some(upload) = upload
    {
        upload.gather().await?;
    }
    let (request, allowed) = headers::outgoing(head, found, lane, edits, upload.take(), &client, scope.id)?;
    scope.sent = Some(core.clock.read());
    let way = Way { destination, service, wish: &wish, preserve_host: lane.route.preserve_host };
    let mut answer = match upstream::send(&core, way, &client.watch, request).await {
        Ok(answer) => answer,
        Err(mut lost) => {
            *upload = lost.upload();
            return Err(lost.failure);
        }
    };
    let latency = scope.answered_by(answer.body().peer());
    let switches = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    match switches {
        false => headers::incoming(&mut answer, scope.is_head, allowed)?,
        true if allowed.switch => headers::switching(answer.headers_mut())?,
        // Nobody asked for it.
        true => return Err(Failure::BadUpstreamResponse),
    }
    headers::mark_proxied(answer.headers_mut(), version, scope.id, latency);
    if let Some(cookie) = wish.cookie.take() {
        answer.headers_mut().append(header::SET_COOKIE, *cookie);
    }
    let (head, relay) = answer.into_parts();
    let answer = match switches {
        false => Answer::Relay(relay),
        true => Answer::Switch(relay.switch(service.read_timeout).ok_or(Failure::BadUpstreamResponse)?),
    };
    Ok(Response::from_parts(head, answer))
}

/// A body that nobody read must not become the next request (S-41). Where that ends the connection, the client is told,
/// so that it sends no other request over it.
fn leave(upload: Box<Upload>, answer: &mut Response<Answer>, scope: &Scope) {
    let limit = scope.core.limits().drain_body_bytes;
    let comes = upload.is_asked_for() || !scope.expects_continue;
    if !comes || upload.length().is_some_and(|length| length > limit) {
        answer.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if comes {
        tokio::task::spawn_local(upload.drain(limit));
    }
}

/// The request has had its whole time. Nothing more of it is read, and its connection ends with this answer.
fn give_up(overdue: Overdue, upload: &mut Option<Box<Upload>>, scope: &mut Scope) -> Response<Answer> {
    *upload = None;
    let mut answer = scope.failure(match overdue.by_client {
        true => &Failure::RequestTimeout,
        false => &Failure::UpstreamTimeout,
    });
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// The connection ends with this answer: where the next request would begin may be in doubt.
fn refuse_head(bad: &BadHead, upload: &mut Option<Box<Upload>>, scope: &mut Scope) -> Response<Answer> {
    tracing::debug!(reason = %bad, "a request is refused by its head");
    *upload = None;
    let failure = match bad {
        BadHead::Method => Failure::MethodNotAllowed,
        BadHead::Host | BadHead::TransferEncoding | BadHead::ContentLength | BadHead::Target(_) => Failure::BadRequest,
    };
    let mut answer = scope.failure(&failure);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
