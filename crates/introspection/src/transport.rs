//! The way to the authorization server: pooled connections, no redirects, no proxy, bounded in time and bytes.

use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use reqwest::{Certificate, redirect};
use tower_layer::Layer;
use tower_service::Service;

use crate::address::Resolver;
use crate::config::Limits;
use crate::error::{Cause, ConfigError, Failure, FailureKind};
use crate::request::{Asked, Attempt, Inputs, attempt};

/// HTTP clients, shared by all profiles that trust and connect alike: a client with its own roots costs 74 kB.
///
/// A client lives as long as an [`Introspector`](crate::Introspector) uses it. Its pooled connections are driven by
/// the runtime that made them, so introspectors on runtimes of different lifetimes should not share this registry.
#[derive(Clone, Default)]
pub struct Clients {
    known: Arc<Mutex<HashMap<Spec, Weak<Transport>>>>,
}

/// What tells one client from another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Spec {
    tls: bool,
    ca_certificates: Vec<u8>,
    keep_alive: Duration,
    connect_timeout: Duration,
}

impl Clients {
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn transport(&self, inputs: &Inputs, limits: &Limits) -> Result<Arc<Transport>, ConfigError> {
        let spec = Spec {
            tls: inputs.endpoint.scheme() == "https",
            ca_certificates: inputs.ca_certificates.clone(),
            keep_alive: limits.keep_alive,
            connect_timeout: limits.connect_timeout,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = known.get(&spec).and_then(Weak::upgrade) {
            return Ok(transport);
        }
        let transport = Arc::new(Transport {
            client: build(&spec)?,
            #[cfg(test)]
            script: None,
        });
        known.retain(|_, other| other.strong_count() > 0);
        known.insert(spec, Arc::downgrade(&transport));
        Ok(transport)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// What came back: a status, and the body where the status makes it count.
pub(crate) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// One HTTP client.
pub(crate) struct Transport {
    client: reqwest::Client,
    #[cfg(test)]
    script: Option<Script>,
}

/// What a unit test makes of each attempt in place of a server.
#[cfg(test)]
pub(crate) type Script = Box<dyn Fn(Attempt) -> std::pin::Pin<Box<dyn Future<Output = Sent> + Send>> + Send + Sync>;

#[cfg(test)]
impl Transport {
    pub(crate) fn scripted(client: reqwest::Client, script: Script) -> Arc<Self> {
        Arc::new(Self { client, script: Some(script) })
    }
}

impl Transport {
    /// One exchange. Sent once more, inside the caller's time limit, if a pooled connection turns out to be dead (I-10).
    pub(crate) async fn exchange(&self, inputs: &Inputs, asked: &Asked) -> Result<Reply, Failure> {
        let response = match self.send(attempt(inputs, asked)).await {
            Err(Unsent { stale: true, .. }) => self.send(attempt(inputs, asked)).await,
            other => other,
        };
        read(response.map_err(|unsent| unsent.failure)?, inputs.reading.max_bytes).await
    }

    async fn send(&self, attempt: Attempt) -> Sent {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return script(attempt).await;
        }
        let Attempt { url, headers, body } = attempt;
        let request = self.client.post(url).headers(headers).body(body).send();
        let (result, dialed) = noticing_dials(request).await;
        result.map_err(|error| Unsent { stale: !dialed && !error.is_timeout(), failure: failure(error) })
    }
}

/// What came of one attempt.
pub(crate) type Sent = Result<reqwest::Response, Unsent>;

/// No response at all.
pub(crate) struct Unsent {
    pub failure: Failure,
    /// It went out on a connection from the pool, so the server may just have closed that one.
    pub stale: bool,
}

fn build(spec: &Spec) -> Result<reqwest::Client, ConfigError> {
    let mut roots = Vec::new();
    if spec.tls {
        // Always an explicit set: without one, reqwest fails on a host that has no certificate store.
        for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
            roots.push(Certificate::from_der(root).map_err(ConfigError::Client)?);
        }
        if !spec.ca_certificates.is_empty() {
            let own = Certificate::from_pem_bundle(&spec.ca_certificates).map_err(|_| ConfigError::CaCertificates)?;
            if own.is_empty() {
                return Err(ConfigError::CaCertificates);
            }
            roots.extend(own);
        }
    }
    reqwest::Client::builder()
        .tls_certs_only(roots)
        .https_only(spec.tls)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .dns_resolver(Resolver)
        .retry(reqwest::retry::never())
        .connect_timeout(spec.connect_timeout)
        .pool_idle_timeout(spec.keep_alive)
        .pool_max_idle_per_host(if spec.keep_alive.is_zero() { 0 } else { usize::MAX })
        .connector_layer(NoticeDials)
        .build()
        .map_err(ConfigError::Client)
}

/// Reads the body where it can matter (200 and 400), counted as it comes out of decompression.
async fn read(mut response: reqwest::Response, max_bytes: usize) -> Result<Reply, Failure> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    if matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST) {
        let too_large = || Failure::new(FailureKind::AnswerTooLarge, Cause::Bytes(max_bytes));
        let stated = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if stated.is_some_and(|length| length > max_bytes) {
            return Err(too_large());
        }
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            if chunk.len() > max_bytes - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
    }
    Ok(Reply { status, headers, body })
}

/// Which of our failures an error of the HTTP client is.
fn failure(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let kind = if comes_from(error.source(), &|cause| cause.is::<rustls::Error>()) {
        FailureKind::Tls
    } else if error.is_timeout() {
        FailureKind::Timeout
    } else {
        FailureKind::Unreachable
    };
    // Whatever goes wrong inside a body is called one of decoding, also a connection that breaks off.
    let broken_off =
        |cause: &Error| cause.is::<hyper::Error>() || cause.downcast_ref().is_some_and(reqwest::Error::is_body);
    if kind == FailureKind::Unreachable && error.is_decode() && !comes_from(error.source(), &broken_off) {
        return Failure::new(FailureKind::BadAnswer, Cause::Encoding);
    }
    Failure::new(kind, Cause::Transport(error))
}

type Error = dyn std::error::Error + 'static;

/// Whether one of an error's causes is such a one, however deep.
fn comes_from(error: Option<&Error>, such: &dyn Fn(&Error) -> bool) -> bool {
    let Some(error) = error else { return false };
    // An io::Error shows the error it wraps through `get_ref` alone: its `source` is that one's source.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|inner| inner as _);
    such(error) || comes_from(wrapped, such) || comes_from(error.source(), such)
}

tokio::task_local! {
    /// Whether the request that this task sends has opened a connection of its own.
    static DIALED: Cell<bool>;
}

/// Runs a request and tells whether a new connection was dialed for it; if not, it used one from the pool.
async fn noticing_dials<F: Future>(request: F) -> (F::Output, bool) {
    DIALED
        .scope(Cell::new(false), async {
            let result = request.await;
            (result, DIALED.with(Cell::get))
        })
        .await
}

/// Layer of the connector that notes each dial. The connector is called from the very task that sends the request.
#[derive(Clone)]
struct NoticeDials;

impl<S> Layer<S> for NoticeDials {
    type Service = DialNoticed<S>;

    fn layer(&self, inner: S) -> DialNoticed<S> {
        DialNoticed(inner)
    }
}

#[derive(Clone)]
struct DialNoticed<S>(S);

impl<S: Service<R>, R> Service<R> for DialNoticed<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        // Fails only outside `noticing_dials`, where nobody asks.
        let _ = DIALED.try_with(|dialed| dialed.set(true));
        self.0.call(request)
    }
}
