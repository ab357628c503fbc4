//! THE FIRST TRUNK: one request, from its head to its log line, in the order in which things happen.

use crate::core::Core;
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
    let (parts, body) = request.into_parts();
    let version = parts.version;
    // The client has had its say; from here on it may only be late with its body.
    client.watch.read_freely();
    client.watch.limit_request(core.limits().request_total);
    let mut upload = Upload::new(body, &client.watch, core.limits().body_idle);
    // What is needed after the head has moved on. Counts and logs when it is dropped, so from here on nobody is
    // forgotten, not even a client that leaves.
    let mut scope = Scope::open(core, client, &parts);
    let mut answer = match Head::read(parts, client.arrival.clone()) {
        // Before anything is decided by a head that another server might read otherwise.
        Err(bad) => refuse_head(&bad, &mut upload, &mut scope),
        Ok(mut head) => {
            // Other doors ask exactly this.
            let mut endpoint = None;
            let mut body = Uploading(upload.as_deref_mut());
            let decision = {
                let deciding = pin!(decide(&snapshot, &mut head, &mut body, &mut scope.cx, &mut endpoint));
                client.watch.in_time(deciding).await
            };
            if let Some(endpoint) = endpoint {
                scope.found(&snapshot, endpoint);
            }
            match decision {
                Ok(Decision::Forward(found)) => {
                    let forwarded = {
                        let forwarding = pin!(forward(&snapshot, found, head, &mut upload, &mut scope));
                        client.watch.in_time(forwarding).await
                    };
                    match forwarded {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(failure)) => scope.failure(&failure),
                        Err(overdue) => give_up(overdue, &mut upload, &mut scope),
                    }
                }
                Ok(Decision::Answer(answer)) => scope.answer(*answer),
                Ok(Decision::Refuse(refusal)) => scope.refusal(&refusal),
                Ok(Decision::Fail(failure)) => scope.failure(&failure),
                Err(overdue) => give_up(overdue, &mut upload, &mut scope),
            }
        }
    };
    // Also on refusals: what a step says about answers (CORS) holds for every answer.
    headers::apply(answer.headers_mut(), mem::take(&mut scope.cx.response));
    // A body that nobody read must not become the next request (S-41). Where that ends the connection, the client is
    // told, so that it sends no other request over it.
    if let Some(upload) = upload {
        let limit = core.limits().drain_body_bytes;
        let comes = upload.is_asked_for() || !scope.expects_continue;
        if !comes || upload.length().is_some_and(|length| length > limit) {
            answer.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if comes {
            tokio::task::spawn_local(upload.drain(limit));
        }
    }
    if version == Version::HTTP_2 {
        headers::leave_connection_out(answer.headers_mut());
    }
    // The scope lives as long as the answer's body.
    scope.close_with(answer)
}

/// To the upstream and back.
async fn forward(
    snapshot: &Snapshot,
    found: Found,
    head: Head,
    upload: &mut Option<Box<Upload>>,
    scope: &mut Scope,
) -> Result<Response<Answer>, Failure> {
    let lane = &snapshot.lanes[found.endpoint];
    let (Some(destination), Some(service)) = (&lane.destination, &lane.route.service) else {
        return Err(Failure::NoService);
    };
    let (core, client) = (scope.core.clone(), scope.client.clone());
    let shown = Shown { head: &head, consumer: scope.cx.consumer.as_deref(), peer: client.arrival.peer };
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
