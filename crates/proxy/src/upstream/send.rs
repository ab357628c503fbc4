//! One request to the upstream, one answer's head back.
//!
//! # What is sent again
//! A request moves into its connection, so a copy of it would be paid for by every request and needed by nearly none.
//! What can be had without one:
//! - Where no connection could be made, nothing was sent: the next address, or the next target, gets it, `retries`
//!   times at most, and none of them twice.
//! - A connection that was kept alive may turn out to be closed when the request is about to go. The engine notices
//!   what the system has told this worker, gives the request back, and it goes over another one.
//! - The upstream may close such a connection while the request is on its way. Then it may have acted on it, and only
//!   a request without a body whose method may be repeated (RFC 9110 section 9.2.2) is sent again, once, over a new
//!   connection, if not a byte came back. Such a request's head is read back from the bytes that were written, which
//!   the connection keeps in a buffer of its own: copying some hundred bytes, no allocation, and only over
//!   connections that were used before.

use super::balancer::{NoPeer, Tried, Wish};
use super::body::{Outbound, Upload};
use super::connect::{NoConnection, connect};
use super::destination::{Balanced, Destination};
use super::health::Event;
use super::link::Link;
use super::origin::Origin;
use super::relay::Relay;
use crate::core::Core;
use crate::render::Failure;
use crate::stream::Watch;
use bytes::Bytes;
use futures_util::future::Either;
use http::header::HOST;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use portcullis_model::plan::Service;
use std::rc::Rc;

/// Where a request should go, and how its answer is waited for.
pub(crate) struct Way<'a> {
    pub(crate) destination: &'a Destination,
    pub(crate) service: &'a Service,
    pub(crate) wish: &'a Wish,
    /// The route keeps the client's `Host`.
    pub(crate) preserve_host: bool,
}

/// Sends `request` over an unused connection or a new one.
pub(crate) fn send<'a>(
    core: &'a Core,
    way: Way<'a>,
    client: &'a Rc<Watch>,
    request: Request<Outbound>,
) -> impl Future<Output = Result<Response<Relay>, Lost>> + use<'a> {
    match way.destination {
        Destination::Host(origin) => Either::Left(to_origin(core, origin, way.service, client, request)),
        // Boxed, so that the future of a request to a plain host stays as small as it is.
        Destination::Balanced(balanced) => {
            Either::Right(Box::pin(async move { to_target(core, balanced, &way, client, request).await }))
        }
    }
}

/// To one of several targets, and to the next where nobody can have got it.
async fn to_target(
    core: &Core,
    balanced: &Balanced,
    way: &Way<'_>,
    client: &Rc<Watch>,
    mut request: Request<Outbound>,
) -> Result<Response<Relay>, Lost> {
    let balancer = &balanced.balancer;
    let mut tried = Tried::new();
    let mut last = None;
    loop {
        let peers = {
            let peers = balancer.peers();
            balancer.pick(&peers, way.wish, &tried).map(|place| (peers.members.clone(), place))
        };
        let (members, place) = match peers {
            Ok(picked) => picked,
            Err(NoPeer::NoAddress) if last.is_none() => {
                balancer.first_address(way.service.connect_timeout).await;
                let peers = balancer.peers();
                match balancer.pick(&peers, way.wish, &tried) {
                    Ok(place) => (peers.members.clone(), place),
                    Err(why) => return Err(Lost::unsent(no_peer(balanced, why), None, request)),
                }
            }
            Err(why) => {
                let failure = last.unwrap_or_else(|| no_peer(balanced, why));
                return Err(Lost::unsent(failure, None, request));
            }
        };
        let peer = &members[place].peer;
        let Some(door) = balanced.door(&core.shared, &members, place) else {
            tried.push(peer.clone());
            last.get_or_insert(Failure::UpstreamRefused);
            continue;
        };
        if let Some(host) = balanced.host_header(&door).filter(|_| !way.preserve_host) {
            request.headers_mut().insert(HOST, host);
        }
        let ticket = peer.ticket();
        match to_origin(core, &door.origin, way.service, client, request).await {
            Ok(mut answer) => {
                balancer.answered(peer, answer.status().as_u16());
                answer.body_mut().hold(ticket);
                return Ok(answer);
            }
            Err(lost) => {
                if let Some(event) = lost.event {
                    balancer.seen(peer, event);
                }
                tried.push(peer.clone());
                match lost.unsent {
                    Some(unsent) if tried.len() <= usize::from(way.service.retries) => {
                        (request, last) = (*unsent, Some(lost.failure));
                    }
                    unsent => return Err(Lost { unsent, ..lost }),
                }
            }
        }
    }
}

/// Why there is no answer.
pub(crate) struct Lost {
    pub(crate) failure: Failure,
    /// What it says about the health of the upstream.
    event: Option<Event>,
    /// Nothing of it was sent.
    unsent: Option<Box<Request<Outbound>>>,
}

impl Lost {
    fn unsent(failure: Failure, event: Option<Event>, request: Request<Outbound>) -> Self {
        Self { failure, event, unsent: Some(Box::new(request)) }
    }

    /// The body that went nowhere, for whoever has to get the client's connection past it.
    pub(crate) fn upload(&mut self) -> Option<Box<Upload>> {
        match self.unsent.take()?.into_body() {
            Outbound::Upload(upload) => Some(upload),
            Outbound::Nothing => None,
        }
    }
}

/// To one address, or to one name with all of its addresses.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its request twice: as its argument and as its variable")]
fn to_origin<'a>(
    core: &'a Core,
    origin: &'a Origin,
    service: &'a Service,
    client: &'a Rc<Watch>,
    mut request: Request<Outbound>,
) -> impl Future<Output = Result<Response<Relay>, Lost>> + use<'a> {
    async move {
        let mut pooled = true;
        loop {
            let (mut link, used_before) = match core.pools.take(origin).filter(|_| pooled) {
                Some(link) => (link, true),
                None => {
                    // Boxed: it is large and rare, and would make every request's future as large.
                    match Box::pin(connect(core, origin, service)).await {
                        Ok(link) => (link, false),
                        Err(why) => return Err(unconnected(origin, &why, request)),
                    }
                }
            };
            link.watch.limit_reads(service.read_timeout);
            link.watch.limit_writes(service.write_timeout);
            link.watch.keep_written(used_before && pooled && may_repeat(&request));
            request.body_mut().goes_to(&link.watch);
            let mut error = match link.exchange(request).await {
                Ok(answer) => return Ok(answer.map(|incoming| Relay::new(incoming, link))),
                Err(error) => error,
            };
            request = match error.take_message() {
                Some(unsent) if used_before => unsent,
                Some(unsent) => {
                    let lost = blame(error.error(), &link, origin, client);
                    return Err(Lost { unsent: Some(Box::new(unsent)), ..lost });
                }
                None => match repeated(error.error(), &link) {
                    Some(again) => {
                        pooled = false;
                        again
                    }
                    None => return Err(blame(error.error(), &link, origin, client)),
                },
            };
        }
    }
}

fn may_repeat(request: &Request<Outbound>) -> bool {
    !request.body().is_upload() && request.method().is_idempotent()
}

/// The request that was sent, if the upstream has closed the connection instead of answering it and it may be sent
/// once more.
fn repeated(error: &hyper::Error, link: &Link) -> Option<Request<Outbound>> {
    if error.is_user() || error.is_parse() || error.is_timeout() || link.watch.expired() {
        return None;
    }
    read_back(link.watch.written_in_vain(error.is_incomplete_message())?)
}

/// The head as the engine has written it.
fn read_back(written: Vec<u8>) -> Option<Request<Outbound>> {
    let written = Bytes::from(written);
    // The client's head had at most 100 fields, which the engine sees to; a few are ours.
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut head = httparse::Request::new(&mut fields);
    let whole = head.parse(&written).ok()?.is_complete();
    let mut request = Request::new(Outbound::Nothing);
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(written.slice_ref(head.path?.as_bytes())).ok()?;
    for field in head.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(written.slice_ref(field.value)).ok()?;
        request.headers_mut().append(name, value);
    }
    whole.then_some(request)
}

fn no_peer(balanced: &Balanced, why: NoPeer) -> Failure {
    tracing::debug!(upstream = %balanced.balancer.upstream.name, ?why, "no target takes a request");
    match why {
        NoPeer::NoAddress => Failure::NameResolution,
        NoPeer::Unhealthy | NoPeer::AllTried => Failure::NoHealthyTarget,
    }
}

fn unconnected(origin: &Origin, why: &NoConnection, request: Request<Outbound>) -> Lost {
    tracing::warn!(host = %origin.host, port = origin.port, error = why as &dyn std::error::Error, "no upstream connection");
    let (failure, event) = match why {
        NoConnection::Name(_) => (Failure::NameResolution, None),
        NoConnection::Tcp(_) | NoConnection::Tls(_) | NoConnection::Engine(_) => {
            (Failure::UpstreamRefused, Some(Event::TcpFailure))
        }
        NoConnection::TimedOut => (Failure::UpstreamTimeout, Some(Event::Timeout)),
    };
    Lost::unsent(failure, event, request)
}

/// A client's broken body surfaces as an error of the call, and is not the upstream's fault.
fn blame(error: &hyper::Error, link: &Link, origin: &Origin, client: &Rc<Watch>) -> Lost {
    if error.is_user() {
        let failure = if client.expired() { Failure::RequestTimeout } else { Failure::BadRequest };
        return Lost { failure, event: None, unsent: None };
    }
    // Told apart, since a log of JSON shows no sources.
    let reason = std::error::Error::source(error).map(tracing::field::display);
    tracing::warn!(host = %origin.host, port = origin.port, %error, reason, "no upstream answer");
    let (failure, event) = if link.watch.expired() {
        (Failure::UpstreamTimeout, Event::Timeout)
    } else {
        (Failure::BadUpstreamResponse, Event::TcpFailure)
    };
    Lost { failure, event: Some(event), unsent: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_read_back() {
        let written = b"DELETE /a?b=c HTTP/1.1\r\nhost: a\r\nx-empty: \r\nx-two: 1\r\nx-two: \xff:2\r\n\r\n";
        let request = read_back(written.to_vec()).unwrap();
        assert_eq!((request.method(), request.uri().to_string()), (&Method::DELETE, "/a?b=c".to_owned()));
        let headers: Vec<_> = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(headers, [("host", &b"a"[..]), ("x-empty", b""), ("x-two", b"1"), ("x-two", b"\xff:2")]);
        // Not written to its end.
        assert!(read_back(written[..written.len() - 1].to_vec()).is_none());
    }
}
