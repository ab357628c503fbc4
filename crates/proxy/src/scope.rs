//! What a request carries beyond its [`Context`]: whom to answer and how, and what will be counted and logged.
//!
//! A scope is opened when a head has arrived and lives until the answer's last byte has been handed over, inside
//! the answer's body. Its end counts and logs the request, whichever way it ends.

use crate::core::{Core, View};
use crate::headers::{self, Latency};
use crate::ids::RequestId;
use crate::listener::Client;
use crate::render::{self, Asked, Failure, To};
use crate::stream::Watched;
use crate::telemetry::{Entry, RouteMetrics};
use crate::upstream::{Relay, Tunnel};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Uri, Version, header};
use http_body::{Frame, SizeHint};
use portcullis_model::plan::Route;
use portcullis_plugins::context::CacheUse;
use portcullis_plugins::{Context, Reason, Refusal};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// One request, from its head to the end of its answer.
pub(crate) struct Scope {
    pub(crate) core: Rc<Core>,
    pub(crate) client: Rc<Client>,
    pub(crate) id: RequestId,
    pub(crate) cx: Context,
    pub(crate) is_head: bool,
    /// The client waits to be told before it sends its body.
    pub(crate) expects_continue: bool,
    pub(crate) started: Instant,
    /// When it went to the upstream.
    pub(crate) sent: Option<Instant>,
    /// Where it is counted, once it has a route.
    pub(crate) route: Option<Rc<RouteMetrics>>,
    pub(crate) version: Version,
    asked: Asked,
    status: Option<StatusCode>,
    bytes: u64,
    /// When its answer's head came.
    answered: Option<Instant>,
    /// Only when there is a log.
    line: Option<Box<Line>>,
}

/// What the log line says and nothing else keeps.
struct Line {
    time: SystemTime,
    method: Method,
    host: HeaderValue,
    uri: Uri,
    route: Option<Arc<Route>>,
    upstream: Option<SocketAddr>,
    /// Code of a failure.
    failure: Option<&'static str>,
}

/// Counted for clients that left before they had an answer.
const LEFT: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

impl Scope {
    /// Boxed, since it moves from the handler into the answer.
    pub(crate) fn open(core: &Rc<Core>, client: &Rc<Client>, parts: &Parts) -> Box<Self> {
        Box::new(Self {
            core: core.clone(),
            client: client.clone(),
            id: core.ids.next(),
            cx: Context::default(),
            is_head: parts.method == Method::HEAD,
            expects_continue: parts.headers.contains_key(header::EXPECT),
            started: core.clock.read(),
            sent: None,
            route: None,
            version: parts.version,
            asked: Asked::of(&parts.method, &parts.headers),
            status: None,
            bytes: 0,
            answered: None,
            line: core.shared.access_log.is_some().then(|| Line::of(parts)),
        })
    }

    /// It has a route.
    pub(crate) fn found(&mut self, view: &View, endpoint: usize) {
        self.route = view.metrics(endpoint);
        if let Some(line) = &mut self.line {
            line.route = view.lanes.get(endpoint).map(|lane| lane.route.clone());
        }
    }

    /// The head of the upstream's answer has come.
    pub(crate) fn answered_by(&mut self, upstream: SocketAddr) -> Latency {
        let now = self.core.clock.read();
        self.answered = Some(now);
        if let Some(line) = &mut self.line {
            line.upstream = Some(upstream);
        }
        self.latency(now)
    }

    fn latency(&self, answered: Instant) -> Latency {
        let sent = self.sent.unwrap_or(answered);
        Latency { proxy: sent - self.started, upstream: answered - sent }
    }

    /// A step's own answer.
    pub(crate) fn answer(&self, answer: Response<Bytes>) -> Response<Answer> {
        render::step_answer(answer, self.to()).map(Answer::Whole)
    }

    /// A step's refusal, as HTTP.
    pub(crate) fn refusal(&self, refusal: &Refusal) -> Response<Answer> {
        self.core.metrics.refused(refusal.reason);
        render::refusal(refusal, self.to()).map(Answer::Whole)
    }

    /// The gateway's own failure, as HTTP.
    pub(crate) fn failure(&mut self, failure: &Failure) -> Response<Answer> {
        self.core.metrics.failed(failure);
        if let Some(line) = &mut self.line {
            line.failure = Some(failure.code());
        }
        let mut answer = render::failure(failure, self.to()).map(Answer::Whole);
        if failure.is_proxied() {
            let latency = self.latency(self.core.clock.read());
            headers::mark_proxied(answer.headers_mut(), self.version, self.id, latency);
        }
        answer
    }

    fn to(&self) -> To<'_> {
        To { asked: &self.asked, request_id: self.id.as_str(), elapsed: self.core.clock.read() - self.started }
    }

    /// Moves into the answer's body.
    pub(crate) fn close_with(mut self: Box<Self>, answer: Response<Answer>) -> Response<Body> {
        self.status = Some(answer.status());
        self.client.watch.answer_begins();
        answer.map(|answer| Body { answer, scope: Some(self) })
    }
}

impl Line {
    fn of(parts: &Parts) -> Box<Self> {
        // HTTP/2 says it in the target.
        let authority = || HeaderValue::try_from(parts.uri.authority()?.as_str()).ok();
        let host = parts.headers.get(header::HOST).cloned().or_else(authority);
        Box::new(Self {
            time: SystemTime::now(),
            method: parts.method.clone(),
            host: host.unwrap_or_else(|| HeaderValue::from_static("")),
            uri: parts.uri.clone(),
            route: None,
            upstream: None,
            failure: None,
        })
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // nginx's status for a client that did not wait.
        let status = self.status.unwrap_or(LEFT);
        let total = self.core.clock.read() - self.started;
        self.core.metrics.answered(self.route.as_deref(), status, total);
        if let (Some(log), Some(line)) = (&self.core.shared.access_log, &self.line) {
            let facts = &self.cx.facts;
            log.log(&Entry {
                time: line.time,
                request_id: self.id.as_str(),
                client: self.client.arrival.peer,
                version: self.version,
                method: line.method.as_str(),
                host: line.host.to_str().unwrap_or_default(),
                path: line.uri.path(),
                status: status.as_u16(),
                route: line.route.as_deref(),
                upstream: line.upstream,
                total,
                upstream_time: self.sent.zip(self.answered).map(|(sent, answered)| answered - sent),
                bytes_sent: self.bytes,
                reason: facts.reason.map(Reason::code).or(line.failure),
                cache: facts.cache.map(CacheUse::as_str),
                token: facts.token,
                consumer: self.cx.consumer.as_deref(),
            });
        }
        let limits = self.core.limits();
        self.client.watch.request_ended();
        self.client.watch.rest(limits.awake, limits.keep_alive_idle, limits.header_timeout);
    }
}

/// The bytes of an answer: made here, or on their way from an upstream; or what comes instead of HTTP after it.
pub(crate) enum Answer {
    Whole(Bytes),
    Relay(Relay),
    Switch(Tunnel),
}

/// An answer's body and the scope that ends with it.
pub(crate) struct Body {
    answer: Answer,
    /// Gone once it belongs to a tunnel.
    scope: Option<Box<Scope>>,
}

/// A tunnel and the scope that ends with it.
pub(crate) struct Switched {
    tunnel: Tunnel,
    scope: Box<Scope>,
}

impl Body {
    /// What follows this answer's head instead of a body and further requests.
    pub(crate) fn switched(&mut self) -> Option<Switched> {
        if !matches!(self.answer, Answer::Switch(_)) {
            return None;
        }
        match std::mem::replace(&mut self.answer, Answer::Whole(Bytes::new())) {
            Answer::Switch(tunnel) => Some(Switched { tunnel, scope: self.scope.take()? }),
            Answer::Whole(_) | Answer::Relay(_) => None,
        }
    }
}

impl Switched {
    /// Carries bytes between `client` and the upstream until one of them ends it.
    pub(crate) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(mut self, client: Watched<S>) {
        let watch = self.scope.client.clone();
        self.tunnel.carry(client, &watch.watch, &mut self.scope.bytes).await;
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(scope) = &self.scope {
            scope.client.watch.answer_taken();
        }
        let polled = match &mut self.answer {
            Answer::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Answer::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Answer::Relay(relay) => Pin::new(relay).poll_frame(cx),
            Answer::Switch(_) => Poll::Ready(None),
        };
        match (&polled, &mut self.scope) {
            (Poll::Ready(Some(Ok(frame))), Some(scope)) => {
                scope.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                scope.client.watch.answer_given();
            }
            (Poll::Ready(Some(Err(_))), Some(scope)) if scope.version == Version::HTTP_10 => scope.client.watch.cut(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.answer {
            Answer::Whole(bytes) => bytes.is_empty(),
            Answer::Relay(relay) => relay.is_end_stream(),
            Answer::Switch(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Answer::Relay(relay) => relay.size_hint(),
            Answer::Switch(_) => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let (Answer::Relay(relay), Some(scope)) = (&mut self.answer, &self.scope) {
            relay.close(&scope.core.pools);
        }
    }
}
