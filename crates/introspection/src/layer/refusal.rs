//! Why a request does not pass, and what its client is told.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use crate::bearer::{Challenge, Unusable};
use crate::error::{Blame, Failure};
use crate::requirement::Unmet;

/// A request that does not pass. Says nothing that the client may not know, and nothing in the server's words.
#[derive(Debug, Clone)]
pub struct Refusal<'a> {
    status: StatusCode,
    code: &'static str,
    error: &'static str,
    description: &'static str,
    /// Scopes that would have sufficed.
    scope: Option<&'a str>,
    realm: Option<&'a str>,
    /// Seconds.
    retry_after: Option<u32>,
}

impl<'a> Refusal<'a> {
    pub(super) fn no_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "no_token", "invalid_request", "this resource needs a bearer token")
    }

    const fn new(
        status: StatusCode,
        code: &'static str,
        error: &'static str,
        description: &'static str,
    ) -> Refusal<'static> {
        Refusal { status, code, error, description, scope: None, realm: None, retry_after: None }
    }

    pub(super) fn in_realm(self, realm: Option<&'a str>) -> Self {
        Self { realm, ..self }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code of the reason, for logs and metrics: `no_token`, `expired`, `as_timeout`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The `error` of OAuth: `invalid_request`, `invalid_token`, `insufficient_scope`, `temporarily_unavailable` or
    /// `server_error`.
    pub fn error(&self) -> &'static str {
        self.error
    }

    /// A sentence for the developer of the client.
    pub fn error_description(&self) -> &'static str {
        self.description
    }

    /// Seconds after which asking again makes sense; with status 503.
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// `WWW-Authenticate`, which a 400, 401 or 403 must carry. A request without a token is not told of an error
    /// (RFC 6750 section 3.1).
    pub fn challenge(&self) -> Option<HeaderValue> {
        if self.status.is_server_error() {
            return None;
        }
        let tried = self.code != "no_token";
        let challenge = Challenge {
            realm: self.realm,
            scope: self.scope,
            error: tried.then_some(self.error),
            error_description: tried.then_some(self.description),
            error_uri: None,
        };
        Some(challenge.to_value())
    }

    /// The response: status, challenge, `Cache-Control: no-store`, `Retry-After`, and a JSON body with `error` and
    /// `error_description`.
    pub fn to_response(&self) -> Response<Bytes> {
        let Self { error, description, .. } = self;
        let body = serde_json::json!({ "error": error, "error_description": description }).to_string();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<Unusable> for Refusal<'static> {
    fn from(unusable: Unusable) -> Self {
        let (status, error, description) = match unusable {
            Unusable::Ambiguous => {
                (StatusCode::BAD_REQUEST, "invalid_request", "send one token, in one Authorization header: Bearer")
            }
            Unusable::Malformed => (StatusCode::UNAUTHORIZED, "invalid_token", "the token is malformed"),
        };
        Refusal::new(status, unusable.code(), error, description)
    }
}

impl<'a> From<&'a Unmet> for Refusal<'a> {
    fn from(unmet: &'a Unmet) -> Self {
        let description = match unmet {
            Unmet::InsufficientScope { scope } => {
                let refusal = Refusal::new(
                    StatusCode::FORBIDDEN,
                    unmet.code(),
                    "insufficient_scope",
                    "the scope of the token does not suffice",
                );
                return Refusal { scope: Some(scope), ..refusal };
            }
            Unmet::Inactive => "the token is not active",
            Unmet::WrongKind => "the token is no access token",
            Unmet::Expired => "the token has expired",
            Unmet::NotYetValid => "the token is not valid yet",
            Unmet::WrongIssuer => "the token comes from another issuer",
            Unmet::BindingUnknown => "the token is bound to a key whose possession cannot be verified here",
            Unmet::WrongAudience => "the token is meant for another audience",
        };
        Refusal::new(StatusCode::UNAUTHORIZED, unmet.code(), "invalid_token", description)
    }
}

impl From<&Failure> for Refusal<'static> {
    fn from(failure: &Failure) -> Self {
        let (status, error, description) = match failure.blame() {
            Blame::Client => (StatusCode::UNAUTHORIZED, "invalid_token", "the token was refused"),
            Blame::AuthorizationServer => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "the token cannot be checked now")
            }
            Blame::Ours => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the token could not be checked"),
        };
        Refusal { retry_after: failure.retry_after(), ..Refusal::new(status, failure.code(), error, description) }
    }
}
