//! A tower layer that lets a request through only with a token that passes (feature `tower`).
//!
//! The layer takes the bearer token out of the request ([`bearer::take`]), asks the
//! [`Introspector`] and checks a [`Requirement`]. A request that passes reaches the service with an [`Introspected`]
//! among its extensions; any other is answered here and never reaches it. Errors stay what they were: a refusal is a
//! response, so a service that cannot fail still cannot.
//!
//! ```no_run
//! use portcullis_introspection::layer::{Introspected, IntrospectionLayer};
//! use portcullis_introspection::{Introspector, Requirement};
//!
//! # fn example(introspector: Introspector) -> axum::Router {
//! async fn whoami(axum::Extension(token): axum::Extension<Introspected>) -> String {
//!     token.sub().unwrap_or("somebody").to_owned()
//! }
//!
//! axum::Router::new()
//!     .route("/whoami", axum::routing::get(whoami))
//!     .layer(IntrospectionLayer::new(introspector).requirement(Requirement::default().scopes(["read"])))
//! # }
//! ```
//!
//! It works with every service over `http` types: axum and hyper as they are, tonic with refusals shaped as gRPC
//! statuses by [`on_refusal`](IntrospectionLayer::on_refusal). The `examples` folder has one program for each.
//!
//! What is refused, and how (RFC 6750 section 3):
//!
//! | what | status | `WWW-Authenticate` | `error` in the body |
//! |---|---|---|---|
//! | no token | 401 | `Bearer` | `invalid_request` |
//! | more than one token, malformed `Authorization` | 400 | `error="invalid_request"` | `invalid_request` |
//! | inactive, expired, malformed, another issuer or audience | 401 | `error="invalid_token"` | `invalid_token` |
//! | scope missing | 403 | `error="insufficient_scope"`, `scope` | `insufficient_scope` |
//! | the authorization server fails, or refuses our credentials | 503, `Retry-After` | none | `temporarily_unavailable` |
//! | a fault of ours | 500 | none | `server_error` |
//!
//! All of them carry `Cache-Control: no-store`. An outage is never a 401: clients would throw good tokens away.
//!
//! A token that is in the cache costs no allocation and no boxed future; one that is not boxes one, beside a call.
//!
//! What it does not do: answer CORS preflights (put the CORS layer outside), take tokens from bodies, or remove the
//! token from the request.

mod future;
mod refusal;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

pub use future::{ResponseBody, ResponseFuture};
pub use refusal::Refusal;

use crate::answer::Answer;
use crate::bearer::{self, Sources};
use crate::error::Failure;
use crate::introspector::{Introspector, Lookup};
use crate::request::Call;
use crate::requirement::Requirement;

/// What the authorization server said about the token of a request that passed: an extension of the request.
#[derive(Debug, Clone)]
pub struct Introspected(pub Arc<Answer>);

impl Deref for Introspected {
    type Target = Answer;

    fn deref(&self) -> &Answer {
        &self.0
    }
}

/// Shapes a refusal, given the headers of the request.
type Shape = dyn Fn(&Refusal<'_>, &HeaderMap) -> Response<Bytes> + Send + Sync;

/// Configures [`Introspect`]. Cheap to clone: clones share introspector and cache.
#[derive(Clone)]
pub struct IntrospectionLayer {
    guard: Guard,
}

/// Everything that a request is judged by.
#[derive(Clone)]
struct Guard {
    introspector: Introspector,
    requirement: Arc<Requirement>,
    sources: Sources<'static>,
    realm: Option<Arc<str>>,
    ttl: Duration,
    wait: Duration,
    shape: Option<Arc<Shape>>,
}

impl IntrospectionLayer {
    /// Guards with the default [`Requirement`], [`Sources`], and the ttl and timeout of the introspector.
    pub fn new(introspector: Introspector) -> Self {
        let (ttl, wait) = (introspector.ttl(), introspector.timeout());
        let requirement = Arc::new(Requirement::default());
        let sources = Sources::default();
        Self { guard: Guard { introspector, requirement, sources, realm: None, ttl, wait, shape: None } }
    }

    /// What is demanded of a token. Default: active, at its time, an access token, bound to no key.
    pub fn requirement(mut self, requirement: Requirement) -> Self {
        self.guard.requirement = Arc::new(requirement);
        self
    }

    /// Where tokens may come from. Default: the `Authorization` header alone, with the query searched for a second one.
    pub fn sources(mut self, sources: Sources<'static>) -> Self {
        self.guard.sources = sources;
        self
    }

    /// The `realm` of challenges. Default: none.
    pub fn realm(mut self, realm: &str) -> Self {
        self.guard.realm = Some(realm.into());
        self
    }

    /// For how long an answer is reused at most; zero: no limit of its own. Default: that of the introspector.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.guard.ttl = ttl;
        self
    }

    /// For how long a request waits for an answer at most, queueing included. Default: the introspector's timeout.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.guard.wait = wait;
        self
    }

    /// Shapes refusals in another format; gets the refusal and the headers of the request. Default:
    /// [`Refusal::to_response`].
    pub fn on_refusal<F>(mut self, shape: F) -> Self
    where
        F: Fn(&Refusal<'_>, &HeaderMap) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.guard.shape = Some(Arc::new(shape));
        self
    }
}

impl<S> Layer<S> for IntrospectionLayer {
    type Service = Introspect<S>;

    fn layer(&self, inner: S) -> Introspect<S> {
        Introspect { guard: self.guard.clone(), inner }
    }
}

/// Serves what [`IntrospectionLayer`] guards.
#[derive(Clone)]
pub struct Introspect<S> {
    guard: Guard,
    inner: S,
}

impl<S> Introspect<S> {
    /// The guarded service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Introspect<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let guard = &self.guard;
        let lookup = match bearer::take(request.headers(), request.uri().query(), &guard.sources) {
            Err(unusable) => return ResponseFuture::refused(guard.refuse(&unusable.into(), request.headers())),
            Ok(None) => return ResponseFuture::refused(guard.refuse(&Refusal::no_token(), request.headers())),
            Ok(Some(taken)) => guard.introspector.lookup(&Call::new(&taken.token), guard.ttl),
        };
        match lookup {
            Lookup::Hit(hit) => match guard.judge(Ok(hit.answer), &mut request) {
                None => ResponseFuture::answering(self.inner.call(request)),
                Some(refused) => ResponseFuture::refused(refused),
            },
            Lookup::Miss(miss) => {
                let asking = guard.introspector.fetch(miss, guard.ttl, guard.wait);
                // The service that was polled ready serves this request; the next one is polled anew.
                let next = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, next);
                ResponseFuture::asking(Box::pin(asking), guard.clone(), ready, request)
            }
        }
    }
}

impl Guard {
    /// Judges what there is about a request's token: a refusal, or nothing, and the request carries the answer.
    fn judge<B>(&self, landed: Result<Arc<Answer>, Arc<Failure>>, request: &mut Request<B>) -> Option<Response<Bytes>> {
        let answer = match landed {
            Ok(answer) => answer,
            Err(failure) => return Some(self.refuse(&(&*failure).into(), request.headers())),
        };
        let now = self.introspector.cache().clock().wall();
        if let Err(unmet) = self.requirement.check(&answer, now) {
            return Some(self.refuse(&(&unmet).into(), request.headers()));
        }
        request.extensions_mut().insert(Introspected(answer));
        None
    }

    fn refuse(&self, refusal: &Refusal<'_>, headers: &HeaderMap) -> Response<Bytes> {
        let refusal = refusal.clone().in_realm(self.realm.as_deref());
        match &self.shape {
            Some(shape) => shape(&refusal, headers),
            None => refusal.to_response(),
        }
    }
}

impl fmt::Debug for IntrospectionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt_as("IntrospectionLayer", f)
    }
}

impl<S> fmt::Debug for Introspect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt_as("Introspect", f)
    }
}

impl Guard {
    fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("introspector", &self.introspector)
            .field("requirement", &self.requirement)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}
