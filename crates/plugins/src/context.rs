//! What one request carries from step to step: plain facts, `Send`, without a `Drop`, so that the edits can move out.

use crate::{Flow, Reason, Refusal};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use portcullis_model::plan::Consumer;
use std::sync::Arc;

/// Facts of one request.
#[derive(Debug, Default)]
pub struct Context {
    /// What changes on the way to the upstream.
    pub edits: Edits,
    /// What changes on the way to the client, in the order in which the steps asked for it.
    pub response: Vec<HeaderEdit>,
    /// Whom an authentication step found.
    pub consumer: Option<Arc<Consumer>>,
    /// An authentication step has accepted a credential (with or without a consumer).
    pub authenticated: bool,
    /// Digest of the credential that was accepted, for later steps that count by credential.
    pub credential: Option<Digest>,
    /// For the log line and the metrics.
    pub facts: Facts,
}

/// First bytes of a keyed digest of a token: enough to find a request again, not enough to find the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 8]);

/// What the log line says about how the decision was made.
#[derive(Debug, Default, Clone, Copy)]
pub struct Facts {
    pub reason: Option<Reason>,
    pub cache: Option<CacheUse>,
    pub token: Option<Digest>,
}

/// Where the answer about a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheUse {
    Hit,
    /// A stored inactive answer.
    Negative,
    /// The authorization server was asked, by this request or by one it waited with.
    Miss,
}

impl CacheUse {
    pub fn as_str(self) -> &'static str {
        match self {
            CacheUse::Hit => "hit",
            CacheUse::Negative => "negative",
            CacheUse::Miss => "miss",
        }
    }
}

/// Changes to the request, as data: the reverse proxy applies them, another door translates them.
#[derive(Debug, Default)]
pub struct Edits {
    pub headers: Vec<HeaderEdit>,
    /// The query to send instead of the client's (without the question mark; `Some(None)` removes it).
    pub query: Option<Option<String>>,
    /// The body to send instead of the client's, with its length in place of what the client said of it. Only a step
    /// that saw the body whole ([`Seen::body`](crate::Seen::body)) may set it.
    pub body: Option<Bytes>,
}

/// One change to a header map. There is no removal by pattern: forged names are gone before the first step.
#[derive(Debug, Clone)]
pub enum HeaderEdit {
    /// Replaces every value of that name.
    Set(HeaderName, HeaderValue),
    /// Adds a value.
    Append(HeaderName, HeaderValue),
    Remove(HeaderName),
}

impl Context {
    /// Ends the request with this reason, and notes it for the log.
    pub fn refuse(&mut self, refusal: impl Into<Refusal>) -> Flow {
        let refusal = refusal.into();
        self.facts.reason = Some(refusal.reason);
        Flow::Refuse(Box::new(refusal))
    }

    /// Adds a header for the upstream, in place of any that is there.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.headers.push(HeaderEdit::Set(name, value));
    }
}
