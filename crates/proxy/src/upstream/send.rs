//! One request to the upstream, one answer's head back.

use super::body::Outbound;
use super::connect::{NoConnection, connect};
use super::destination::Destination;
use super::link::Link;
use super::origin::Origin;
use super::relay::Relay;
use crate::core::Core;
use crate::render::Failure;
use crate::stream::Watch;
use http::{Request, Response};
use portcullis_model::plan::Service;
use std::rc::Rc;

/// Sends `request` over an unused connection or a new one. It moves into the connection; when the connection turns
/// out to have been closed before anything was sent, it moves back and goes over another (never after that: then the
/// upstream may have acted on it).
pub(crate) async fn send(
    core: &Core,
    destination: &Destination,
    service: &Service,
    client: &Rc<Watch>,
    mut request: Request<Outbound>,
) -> Result<Response<Relay>, Failure> {
    let origin = &**destination.pick();
    loop {
        let (mut link, used_before) = match core.pools.take(origin) {
            Some(link) => (link, true),
            None => {
                // Boxed: it is large and rare, and would make every request's future as large.
                let connecting = Box::pin(connect(core, origin, service));
                (connecting.await.map_err(|why| unconnected(origin, &why))?, false)
            }
        };
        link.watch.limit_reads(service.read_timeout);
        link.watch.limit_writes(service.write_timeout);
        request.body_mut().goes_to(&link.watch);
        match link.exchange(request).await {
            Ok(answer) => return Ok(answer.map(|incoming| Relay::new(incoming, link))),
            Err(mut error) => match error.take_message() {
                Some(unsent) if used_before => request = unsent,
                _ => return Err(blame(error.error(), &link, origin, client)),
            },
        }
    }
}

fn unconnected(origin: &Origin, why: &NoConnection) -> Failure {
    tracing::warn!(host = %origin.host, port = origin.port, error = why as &dyn std::error::Error, "no upstream connection");
    match why {
        NoConnection::Name(_) => Failure::NameResolution,
        NoConnection::Tcp(_) | NoConnection::Tls(_) | NoConnection::Engine(_) => Failure::UpstreamRefused,
        NoConnection::TimedOut => Failure::UpstreamTimeout,
    }
}

/// A client's broken body surfaces as an error of the call, and is not the upstream's fault.
fn blame(error: &hyper::Error, link: &Link, origin: &Origin, client: &Rc<Watch>) -> Failure {
    if error.is_user() {
        return if client.expired() { Failure::RequestTimeout } else { Failure::BadRequest };
    }
    tracing::warn!(host = %origin.host, port = origin.port, error = error as &dyn std::error::Error, "no upstream answer");
    if link.watch.expired() { Failure::UpstreamTimeout } else { Failure::BadUpstreamResponse }
}
