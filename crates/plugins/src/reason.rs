//! The one table: why a request ends, and what its client sees of that.
//!
//! A reason is a public code: log field, metric label, and the thing that tests assert. Its row says the status,
//! the OAuth error code (RFC 6750 section 3.1), the two texts of the body and who is to blame. Nothing else in the
//! gateway chooses a status for a refusal. The rows are those of introspection.md section 4 (I-44 to I-49, I-53)
//! and kong.md 1.8.

use http::StatusCode;

/// Why a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    NoToken,
    AmbiguousToken,
    MalformedToken,
    Inactive,
    Expired,
    NotYetValid,
    WrongKind,
    WrongIssuer,
    WrongAudience,
    BindingMissing,
    BindingMismatch,
    BindingUnknown,
    StepUpRequired,
    InsufficientScope,
    ClaimForbidden,
    AsRefusedToken,
    AsRefusedClient,
    AsThrottled,
    AsRedirect,
    AsUnreachable,
    AsBusy,
    AsTimeout,
    AsTls,
    AsStatus,
    AsBadAnswer,
    AsAnswerTooLarge,
    Internal,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    Client,
    AuthorizationServer,
    Gateway,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub reason: Reason,
    /// Stable code: log field and metric label.
    pub code: &'static str,
    pub status: StatusCode,
    /// Member `error` of the body.
    pub error: &'static str,
    pub message: &'static str,
    pub description: &'static str,
    /// Value of `WWW-Authenticate`, whole: it depends on nothing but the reason until scopes or realms do.
    pub challenge: Option<&'static str>,
    pub blame: Blame,
}

const INVALID_TOKEN: &str = "The access token is invalid or has expired";
const INVALID_TOKEN_CHALLENGE: &str =
    r#"Bearer error="invalid_token", error_description="The access token is invalid or has expired""#;
const UNAVAILABLE: &str = "The authorization server is unavailable";
const UNEXPECTED: &str = "An unexpected error occurred";

const fn unauthorized(reason: Reason, code: &'static str) -> Row {
    Row {
        reason,
        code,
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_token",
        message: "Unauthorized",
        description: INVALID_TOKEN,
        challenge: Some(INVALID_TOKEN_CHALLENGE),
        blame: Blame::Client,
    }
}

const fn forbidden(reason: Reason, code: &'static str, description: &'static str, challenge: &'static str) -> Row {
    Row {
        reason,
        code,
        status: StatusCode::FORBIDDEN,
        error: "insufficient_scope",
        message: "Forbidden",
        description,
        challenge: Some(challenge),
        blame: Blame::Client,
    }
}

const fn unavailable(reason: Reason, code: &'static str) -> Row {
    Row {
        reason,
        code,
        status: StatusCode::SERVICE_UNAVAILABLE,
        error: "temporarily_unavailable",
        message: UNAVAILABLE,
        description: UNAVAILABLE,
        challenge: None,
        blame: Blame::AuthorizationServer,
    }
}

/// The table, in the order of [`Reason`].
pub const TABLE: [Row; 27] = [
    Row {
        error: "invalid_request",
        description: "The access token is missing",
        challenge: Some("Bearer"),
        ..unauthorized(Reason::NoToken, "no_token")
    },
    Row {
        reason: Reason::AmbiguousToken,
        code: "ambiguous_token",
        status: StatusCode::BAD_REQUEST,
        error: "invalid_request",
        message: "Bad request",
        description: "The access token must be sent exactly once",
        challenge: Some(
            r#"Bearer error="invalid_request", error_description="The access token must be sent exactly once""#,
        ),
        blame: Blame::Client,
    },
    unauthorized(Reason::MalformedToken, "malformed_token"),
    unauthorized(Reason::Inactive, "inactive"),
    unauthorized(Reason::Expired, "expired"),
    unauthorized(Reason::NotYetValid, "not_yet_valid"),
    unauthorized(Reason::WrongKind, "wrong_kind"),
    unauthorized(Reason::WrongIssuer, "wrong_issuer"),
    unauthorized(Reason::WrongAudience, "wrong_audience"),
    unauthorized(Reason::BindingMissing, "binding_missing"),
    unauthorized(Reason::BindingMismatch, "binding_mismatch"),
    unauthorized(Reason::BindingUnknown, "binding_unknown"),
    Row {
        error: "insufficient_user_authentication",
        description: "A stronger or more recent authentication is required",
        challenge: Some(
            r#"Bearer error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required""#,
        ),
        ..unauthorized(Reason::StepUpRequired, "step_up_required")
    },
    forbidden(
        Reason::InsufficientScope,
        "insufficient_scope",
        "The access token does not have the required scope",
        r#"Bearer error="insufficient_scope", error_description="The access token does not have the required scope""#,
    ),
    forbidden(
        Reason::ClaimForbidden,
        "claim_forbidden",
        "The access token carries a claim that is not allowed here",
        r#"Bearer error="insufficient_scope", error_description="The access token carries a claim that is not allowed here""#,
    ),
    unauthorized(Reason::AsRefusedToken, "as_refused_token"),
    unavailable(Reason::AsRefusedClient, "as_refused_client"),
    unavailable(Reason::AsThrottled, "as_throttled"),
    unavailable(Reason::AsRedirect, "as_redirect"),
    unavailable(Reason::AsUnreachable, "as_unreachable"),
    unavailable(Reason::AsBusy, "as_busy"),
    unavailable(Reason::AsTimeout, "as_timeout"),
    unavailable(Reason::AsTls, "as_tls"),
    unavailable(Reason::AsStatus, "as_status"),
    unavailable(Reason::AsBadAnswer, "as_bad_answer"),
    unavailable(Reason::AsAnswerTooLarge, "as_answer_too_large"),
    Row {
        reason: Reason::Internal,
        code: "internal",
        status: StatusCode::INTERNAL_SERVER_ERROR,
        error: "server_error",
        message: UNEXPECTED,
        description: UNEXPECTED,
        challenge: None,
        blame: Blame::Gateway,
    },
];

impl Reason {
    /// This reason's row.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Log field and metric label.
    pub fn code(self) -> &'static str {
        self.row().code
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_stands_at_the_place_of_its_reason() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(row.reason as usize, place, "{}", row.code);
        }
        assert_eq!(TABLE.iter().map(|row| row.code).collect::<HashSet<_>>().len(), TABLE.len());
    }

    // I-42, I-48: the authorization server's faults are 503 without a challenge, but for its verdict on the token.
    #[test]
    fn faults_of_the_authorization_server_are_never_401() {
        for row in TABLE.iter().filter(|row| row.code.starts_with("as_") && row.reason != Reason::AsRefusedToken) {
            assert_eq!((row.status.as_u16(), row.challenge), (503, None), "{}", row.code);
            assert_eq!(row.blame, Blame::AuthorizationServer);
        }
    }

    // I-61: 400, 401 and 403 carry a challenge whose values hold no quote, backslash, control or non-ASCII.
    #[test]
    fn challenges_are_well_formed() {
        for row in TABLE.iter().filter(|row| matches!(row.status.as_u16(), 400 | 401 | 403)) {
            let challenge = row.challenge.unwrap_or_default();
            let parameters = challenge.strip_prefix("Bearer").unwrap_or_else(|| panic!("{}: {challenge}", row.code));
            if row.reason == Reason::NoToken {
                assert_eq!(parameters, "", "I-44: no error where no token was sent");
                continue;
            }
            assert_eq!(
                parameters,
                format!(r#" error="{}", error_description="{}""#, row.error, row.description),
                "{}",
                row.code
            );
            let plain = |text: &str| text.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\');
            assert!(plain(row.error) && plain(row.description), "{}", row.code);
        }
    }
}
