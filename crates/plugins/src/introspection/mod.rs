//! Token introspection (RFC 7662) as a step: one plugin, several dialects.
//!
//! ```text
//! take the token -> ask the cache -> (miss: wait for the authorization server) -> judge -> consumer -> headers
//! ```
//! The cache holds what the authorization server said. What this route makes of it (times, kind, issuer, consumer,
//! headers) is worked out on every request, hits included: that is what keeps one route's verdict from becoming
//! another's (I-27, S-1, S-2).

mod body_token;
pub mod consumer;
pub mod dialects;
pub mod propagate;
pub mod source;

use crate::context::{CacheUse, Context, Digest, HeaderEdit};
use crate::{Flow, Plugin, Reason, Refusal, Seen, Value, body};
use consumer::ConsumerBy;
use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, Method};
use portcullis_introspection::{Answer, Call, Failure, Introspector, Lookup, Requirement, TokenDigest, Unmet};
use propagate::Propagation;
use source::{Place, Sources};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const REQUEST_PATH: HeaderName = HeaderName::from_static("x-request-path");
const REQUEST_METHOD: HeaderName = HeaderName::from_static("x-request-http-method");

/// What a dialect makes of its configuration.
#[derive(Debug)]
pub struct Parts {
    pub introspector: Introspector,
    /// How long an answer is used; zero sets no limit of its own (D1).
    pub ttl: Duration,
    /// How long this route's requests wait for the authorization server.
    pub wait: Duration,
    pub sources: Sources,
    pub requirement: Requirement,
    pub consumer_by: ConsumerBy,
    pub propagation: Propagation,
    /// Consumer that takes over when authentication fails.
    pub anonymous: Option<String>,
    /// `OPTIONS` requests are not authenticated (D6).
    pub skip_options: bool,
    /// Tell the authorization server path and method of the request.
    pub describe_request: bool,
    /// Remove the token before the request goes on.
    pub hide_credentials: bool,
}

/// The plugin.
#[derive(Debug)]
pub struct Introspection {
    parts: Parts,
    /// The configuration names an anonymous consumer that does not exist: said once, not per request.
    anonymous_missing: AtomicBool,
}

/// What the future of a cold token gives to `resume`.
type Fetched = Result<Arc<Answer>, Arc<Failure>>;

impl Introspection {
    pub fn new(parts: Parts) -> Self {
        Self { parts, anonymous_missing: AtomicBool::new(false) }
    }
}

impl Plugin for Introspection {
    fn step(&self, seen: &Seen<'_>, cx: &mut Context) -> Flow {
        if self.parts.skip_options && seen.method == Method::OPTIONS {
            return Flow::Continue;
        }
        // Kong's logical OR: with `anonymous`, somebody who is authenticated already needs nothing from us.
        if self.parts.anonymous.is_some() && cx.authenticated {
            return Flow::Continue;
        }
        let taken = match source::take(seen, &self.parts.sources) {
            Ok(Some(taken)) => taken,
            Ok(None) => return self.fail(Reason::NoToken, seen, cx),
            Err(refused) => {
                // Also one that cannot be a token does not go on with an anonymous request.
                if let Some(place) = refused.place.filter(|_| self.parts.hide_credentials) {
                    source::hide(place, seen, &mut cx.edits);
                }
                return self.fail(refused.reason, seen, cx);
            }
        };
        if taken.place == Place::Query {
            // What answers a URL with a token in it is nobody else's to store (RFC 6750 section 2.3).
            cx.response.push(HeaderEdit::Append(CACHE_CONTROL, HeaderValue::from_static("private")));
        }
        if self.parts.hide_credentials {
            source::hide(taken.place, seen, &mut cx.edits);
        }
        let described = self.parts.describe_request.then(|| describe(seen));
        let mut call = Call::new(&taken.token);
        for (name, value) in described.iter().flatten() {
            call = call.with_header(name, value);
        }
        match self.parts.introspector.lookup(&call, self.parts.ttl) {
            Lookup::Hit(hit) => {
                cx.facts.token = Some(digest(hit.token));
                cx.facts.cache = Some(if hit.negative { CacheUse::Negative } else { CacheUse::Hit });
                self.judge(&hit.answer, seen, cx)
            }
            Lookup::Miss(miss) => {
                cx.facts.token = Some(digest(miss.token()));
                cx.facts.cache = Some(CacheUse::Miss);
                let fetch = self.parts.introspector.fetch(miss, self.parts.ttl, self.parts.wait);
                Flow::Wait(Box::pin(async move { Box::new(fetch.await) as Value }))
            }
        }
    }

    fn resume(&self, seen: &Seen<'_>, value: Value, cx: &mut Context) -> Flow {
        match value.downcast::<Fetched>().map(|fetched| *fetched) {
            Ok(Ok(answer)) => self.judge(&answer, seen, cx),
            Ok(Err(failure)) => self.fail(refusal(&failure), seen, cx),
            Err(_) => cx.refuse(Reason::Internal),
        }
    }

    fn owned_headers(&self) -> Vec<String> {
        self.parts.propagation.headers().map(|name| name.to_string()).collect()
    }

    fn body_limit(&self) -> Option<usize> {
        self.parts.sources.body.then_some(body::INSPECTION_CAP)
    }
}

impl Introspection {
    /// What this route makes of an answer, cached or fresh.
    fn judge(&self, answer: &Answer, seen: &Seen<'_>, cx: &mut Context) -> Flow {
        if let Err(unmet) = self.parts.requirement.check(answer, self.parts.introspector.cache().clock().wall()) {
            return self.fail(reason(&unmet), seen, cx);
        }
        cx.authenticated = true;
        cx.credential = cx.facts.token;
        if let Some(consumer) = self.parts.consumer_by.find(answer, seen.consumers) {
            propagate::consumer(consumer, cx);
            cx.consumer = Some(consumer.clone());
        }
        self.parts.propagation.apply(answer, cx);
        Flow::Continue
    }

    /// Refuses, or lets the anonymous consumer take over: on failures of authentication alone, which are the rows
    /// that say 401; never on 400, 403 or 5xx (I-51).
    fn fail(&self, refusal: impl Into<Refusal>, seen: &Seen<'_>, cx: &mut Context) -> Flow {
        let refusal = refusal.into();
        let Some(name) = self.parts.anonymous.as_deref().filter(|_| refusal.reason.row().status == 401) else {
            return cx.refuse(refusal);
        };
        let Some(consumer) = consumer::anonymous(name, seen.consumers) else {
            if !self.anonymous_missing.swap(true, Ordering::Relaxed) {
                tracing::error!(anonymous = name, "the anonymous consumer does not exist: such requests get 500");
            }
            return cx.refuse(Reason::Internal);
        };
        cx.facts.reason = Some(refusal.reason);
        propagate::consumer(consumer, cx);
        cx.set_header(propagate::ANONYMOUS_CONSUMER, HeaderValue::from_static("true"));
        cx.consumer = Some(consumer.clone());
        Flow::Continue
    }
}

/// Path (as received, without the query) and method, as headers of the introspection call (I-4).
fn describe(seen: &Seen<'_>) -> [(HeaderName, HeaderValue); 2] {
    let value = |text: &str| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    [(REQUEST_PATH, value(seen.raw_path)), (REQUEST_METHOD, value(seen.method.as_str()))]
}

/// A token's digest, as the log line and later steps have it.
fn digest(token: TokenDigest) -> Digest {
    Digest(token.as_u64().to_be_bytes())
}

/// What a failure to get an answer is to the client.
fn refusal(failure: &Failure) -> Refusal {
    use portcullis_introspection::FailureKind as Kind;
    let reason = match failure.kind() {
        Kind::RefusedToken => Reason::AsRefusedToken,
        Kind::RefusedClient => Reason::AsRefusedClient,
        Kind::Throttled => Reason::AsThrottled,
        Kind::Redirect => Reason::AsRedirect,
        Kind::Unreachable => Reason::AsUnreachable,
        Kind::Busy => Reason::AsBusy,
        Kind::Timeout => Reason::AsTimeout,
        Kind::Tls => Reason::AsTls,
        Kind::Status => Reason::AsStatus,
        Kind::BadAnswer => Reason::AsBadAnswer,
        Kind::AnswerTooLarge => Reason::AsAnswerTooLarge,
        Kind::Internal => Reason::Internal,
    };
    Refusal { reason, retry_after: failure.retry_after() }
}

/// What an unmet requirement is to the client.
fn reason(unmet: &Unmet) -> Reason {
    match unmet {
        Unmet::Inactive => Reason::Inactive,
        Unmet::Expired => Reason::Expired,
        Unmet::NotYetValid => Reason::NotYetValid,
        Unmet::WrongKind => Reason::WrongKind,
        Unmet::WrongIssuer => Reason::WrongIssuer,
        Unmet::BindingUnknown => Reason::BindingUnknown,
        Unmet::WrongAudience => Reason::WrongAudience,
        Unmet::InsufficientScope { .. } => Reason::InsufficientScope,
        // A demand that this table does not know is not met, whatever it is.
        _ => Reason::Internal,
    }
}
