//! Everything that may change, refuse or observe a request.
//!
//! A [`Plugin`] is built once per configuration and then judges requests: it sees the request's head after forged
//! identity headers were taken out of it ([`Seen`]), leaves facts and edits in the [`Context`], and says by its
//! [`Flow`] what happens next. It sees `http` types, its configuration and an [`Env`]; never the server engine's
//! session, so the same plugin runs in a unit test and behind any door.
//!
//! ```text
//! route found -> forged names removed -> step 1 -> step 2 -> ... -> upstream
//!                                          |  Flow::Continue: next step
//!                                          |  Flow::Answer, Flow::Refuse: no further step, no upstream
//!                                          '- Flow::Wait: the future is awaited, then Plugin::resume says again
//! ```
//! What a step left in [`Context::response`] is applied to whatever answer the client gets, refusals included.

pub mod body;
pub mod context;
pub mod env;
pub mod fold;
pub mod introspection;
pub mod reason;
pub mod registry;
pub mod request_termination;

pub use context::Context;
pub use env::Env;
pub use reason::Reason;

use bytes::Bytes;
use http::{HeaderMap, Method};
use portcullis_model::plan::{Consumers, Protocol};
use portcullis_model::problem::Problems;
use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// One configured plugin.
pub trait Plugin: Send + Sync + fmt::Debug {
    /// Judges a request. Takes no lock that is held across an await, decodes no configuration, and returns
    /// [`Flow::Wait`] only when it has to wait.
    fn step(&self, seen: &Seen<'_>, cx: &mut Context) -> Flow;

    /// Goes on with what the future of [`Flow::Wait`] gave. A plugin that never waits leaves it out.
    fn resume(&self, _seen: &Seen<'_>, _value: Value, cx: &mut Context) -> Flow {
        cx.refuse(Reason::Internal)
    }

    /// Request header names that this instance sets, and that no client may send on its routes, whatever the path
    /// of the request (I-151). The fixed reserved names need not be repeated.
    fn owned_headers(&self) -> Vec<String> {
        Vec::new()
    }

    /// The largest body that [`Plugin::step`] wants to see, in bytes; `None` when it looks at no body. Where routes have
    /// a plugin that does, requests of the right [`kind`](body::kind) wait for their body.
    fn body_limit(&self) -> Option<usize> {
        None
    }
}

/// A plugin, or why there is none; paths are relative to `config`.
pub type Built = Result<Arc<dyn Plugin>, Problems>;

/// What happens after a step.
pub enum Flow {
    /// The next step runs.
    Continue,
    /// This is the answer; no refusal, nothing is logged as one.
    Answer(Box<http::Response<Bytes>>),
    /// The request ends here, with an answer that the one renderer makes.
    Refuse(Box<Refusal>),
    /// Await this, then call [`Plugin::resume`]. Borrows neither head nor context.
    Wait(Pin<Box<dyn Future<Output = Value> + Send>>),
}

/// What a waiting step hands to its own `resume`.
pub type Value = Box<dyn Any + Send>;

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flow::Continue => f.write_str("Continue"),
            Flow::Answer(answer) => f.debug_tuple("Answer").field(&answer.status()).finish(),
            Flow::Refuse(refusal) => f.debug_tuple("Refuse").field(refusal).finish(),
            Flow::Wait(_) => f.write_str("Wait"),
        }
    }
}

/// Why a request ends, and what its answer needs beyond the reason's row in the one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// Seconds; only with a 503.
    pub retry_after: Option<u32>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after: None }
    }
}

/// The request as steps see it: the head after removal, and what this configuration knows of consumers.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub method: &'a Method,
    /// Path as the client sent it, without the query.
    pub raw_path: &'a str,
    /// Without the question mark.
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// The body, whole; `None` when there is none, nobody asked for it ([`Plugin::body_limit`]), it is of no
    /// [`kind`](body::kind) that steps read, or it is over the limit.
    pub body: Option<&'a [u8]>,
    pub protocol: Protocol,
    pub peer: IpAddr,
    pub consumers: &'a Consumers,
}
