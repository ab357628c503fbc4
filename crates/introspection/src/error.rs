//! What can go wrong at load ([`ConfigError`]) and during a call ([`Failure`]).
//!
//! Neither ever holds a token, a secret or text that the authorization server sent.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use thiserror::Error as ThisError;

/// A configuration that this library does not run with. Found at load, never during a request.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("the endpoint is no URL")]
    Endpoint(#[source] url::ParseError),
    #[error("the endpoint must be an https URL with a host (http only with `allow_http`)")]
    Scheme,
    #[error("the endpoint must not carry a user name, a password or a fragment")]
    EndpointParts,
    #[error("the endpoint is a link-local or metadata address, where no authorization server is")]
    ForbiddenAddress,
    #[error("no client authentication is set (RFC 7662 section 2.1 demands one)")]
    NoClientAuth,
    #[error("the authorization value cannot stand in a header")]
    AuthorizationValue,
    #[error("the client id must not be empty")]
    ClientId,
    #[error("the header `{0}` belongs to the request itself and cannot be added")]
    ReservedHeader(http::HeaderName),
    #[error("the parameter `{0}` belongs to the request itself and cannot be added")]
    ReservedParameter(String),
    #[error("`{setting}` must be {wanted}")]
    OutOfRange { setting: &'static str, wanted: &'static str },
    #[error("the CA certificates are no PEM bundle with at least one certificate")]
    CaCertificates,
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
    #[error("no runtime handle was given, and none is current")]
    NoRuntime,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Whoever sent the token.
    Client,
    /// The authorization server, the way to it, or what we are configured to send it.
    AuthorizationServer,
    /// This library, or the runtime under it.
    Ours,
}

/// What kind of failure it is; one stable code each (I-53).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FailureKind {
    /// 400 with a JSON object that holds a string `error`: about this token (I-34).
    RefusedToken,
    /// 401 or 403: our own credentials were refused (I-35).
    RefusedClient,
    /// 429 (I-37).
    Throttled,
    /// 3xx; redirects are never followed (I-7, I-38).
    Redirect,
    /// DNS, refused, reset, closed without an answer (I-39).
    Unreachable,
    /// The call was never made: too many others wait or run (I-90).
    Busy,
    /// The call, or the wait for it, took too long (I-39).
    Timeout,
    /// The TLS handshake failed (I-39).
    Tls,
    /// Any other status (I-36, I-39, I-40).
    Status,
    /// Not JSON, or JSON of the wrong shape (I-39, I-40).
    BadAnswer,
    /// Over a limit on bytes, depth or members (I-8, I-40).
    AnswerTooLarge,
    /// A fault of ours.
    Internal,
}

impl FailureKind {
    pub(crate) const COUNT: usize = 12;

    /// The public code: log field, metric label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::RefusedToken => "as_refused_token",
            Self::RefusedClient => "as_refused_client",
            Self::Throttled => "as_throttled",
            Self::Redirect => "as_redirect",
            Self::Unreachable => "as_unreachable",
            Self::Busy => "as_busy",
            Self::Timeout => "as_timeout",
            Self::Tls => "as_tls",
            Self::Status => "as_status",
            Self::BadAnswer => "as_bad_answer",
            Self::AnswerTooLarge => "as_answer_too_large",
            Self::Internal => "internal",
        }
    }

    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::RefusedToken,
        Self::RefusedClient,
        Self::Throttled,
        Self::Redirect,
        Self::Unreachable,
        Self::Busy,
        Self::Timeout,
        Self::Tls,
        Self::Status,
        Self::BadAnswer,
        Self::AnswerTooLarge,
        Self::Internal,
    ];
}

/// Why there is no answer. Shared by everyone who waited for the same call, and never stored.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    /// Seconds the server asked for, already clamped.
    retry_after: Option<u32>,
    cause: Option<Cause>,
}

/// Seconds to wait that the client of a 503 is told, unless the server said otherwise (I-43).
const RETRY_AFTER: u32 = 5;

impl Failure {
    pub(crate) fn new(kind: FailureKind, cause: impl Into<Option<Cause>>) -> Self {
        Self { kind, retry_after: None, cause: cause.into() }
    }

    pub(crate) fn throttled(retry_after: Option<u32>) -> Self {
        Self { kind: FailureKind::Throttled, retry_after, cause: Some(Cause::Status(StatusCode::TOO_MANY_REQUESTS)) }
    }

    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Shorthand for `kind().code()`.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    pub fn blame(&self) -> Blame {
        match self.kind {
            FailureKind::RefusedToken => Blame::Client,
            FailureKind::Internal => Blame::Ours,
            _ => Blame::AuthorizationServer,
        }
    }

    /// Seconds after which asking again makes sense, 1 to 60; none where it does not, or where we cannot know.
    pub fn retry_after(&self) -> Option<u32> {
        match self.blame() {
            Blame::AuthorizationServer => Some(self.retry_after.unwrap_or(RETRY_AFTER)),
            Blame::Client | Blame::Ours => None,
        }
    }

    /// Whether the server as a whole is in trouble, or our access to it; else it is about this one call.
    pub(crate) fn is_outage(&self) -> bool {
        match self.kind {
            FailureKind::RefusedClient
            | FailureKind::Throttled
            | FailureKind::Redirect
            | FailureKind::Unreachable
            | FailureKind::Timeout
            | FailureKind::Tls => true,
            FailureKind::Status => !matches!(self.cause, Some(Cause::Status(status)) if status.is_success()),
            FailureKind::BadAnswer => matches!(self.cause, Some(Cause::MediaType | Cause::NotJson | Cause::Encoding)),
            FailureKind::RefusedToken | FailureKind::Busy | FailureKind::AnswerTooLarge | FailureKind::Internal => {
                false
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            FailureKind::RefusedToken => "the authorization server refused the token",
            FailureKind::RefusedClient => "the authorization server refused our credentials",
            FailureKind::Throttled => "the authorization server throttles us",
            FailureKind::Redirect => "the authorization server answered with a redirect",
            FailureKind::Unreachable => "the authorization server cannot be reached",
            FailureKind::Busy => "too many calls to the authorization server are waiting",
            FailureKind::Timeout => "the authorization server did not answer in time",
            FailureKind::Tls => "the TLS handshake with the authorization server failed",
            FailureKind::Status => "the authorization server answered with an unexpected status",
            FailureKind::BadAnswer => "the answer of the authorization server is invalid",
            FailureKind::AnswerTooLarge => "the answer of the authorization server is too large",
            FailureKind::Internal => "the call broke off inside this process",
        })
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// The next level below a [`Failure`]: for logs. Says what was wrong, never with the server's own words.
#[derive(Debug, ThisError)]
pub(crate) enum Cause {
    #[error("status {0}")]
    Status(StatusCode),
    #[error("the media type is not JSON")]
    MediaType,
    #[error("the body is not JSON")]
    NotJson,
    #[error("the body cannot be decompressed")]
    Encoding,
    #[error("{0}")]
    Shape(&'static str),
    #[error("more than {0} bytes")]
    Bytes(usize),
    #[error("nested deeper than {0} levels")]
    Depth(usize),
    #[error("more than {0} members")]
    Members(usize),
    #[error("no answer within {0:?}")]
    Elapsed(Duration),
    #[error(transparent)]
    Transport(reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_of_the_server_are_worth_another_try() {
        for kind in FailureKind::ALL {
            let expected = match kind {
                FailureKind::RefusedToken | FailureKind::Internal => None,
                _ => Some(5), // I-43
            };
            assert_eq!(Failure::new(kind, None).retry_after(), expected, "{kind:?}");
        }
        assert_eq!(Failure::throttled(Some(17)).retry_after(), Some(17));
    }

    #[test]
    fn codes_are_distinct() {
        for (place, kind) in FailureKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            assert!(FailureKind::ALL[..place].iter().all(|other| other.code() != kind.code()), "{kind:?}");
        }
    }
}
