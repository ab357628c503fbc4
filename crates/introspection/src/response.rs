//! Status, media type and body into an answer or a failure: section 4 of the contract, row by row.
//!
//! The status decides before the body (I-42): a 500 that carries `active: true` is a 500.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use crate::answer::{Answer, Reading};
use crate::error::{Cause, Failure, FailureKind};
use crate::json;
use crate::transport::Reply;

/// What a server's reply means. `now` is the wall clock in milliseconds, for a `Retry-After` that is a date.
pub(crate) fn judge(reply: &Reply, reading: &Reading, now: u64) -> Result<Arc<Answer>, Failure> {
    match reply.status {
        StatusCode::OK => usable(reply, reading),
        StatusCode::BAD_REQUEST if is_oauth_error(&reply.body, reading) => {
            Err(Failure::new(FailureKind::RefusedToken, Cause::Status(reply.status)))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Failure::new(FailureKind::RefusedClient, Cause::Status(reply.status)))
        }
        StatusCode::TOO_MANY_REQUESTS => Err(Failure::throttled(retry_after(&reply.headers, now))),
        status if status.is_redirection() => Err(Failure::new(FailureKind::Redirect, Cause::Status(status))),
        status => Err(Failure::new(FailureKind::Status, Cause::Status(status))),
    }
}

fn usable(reply: &Reply, reading: &Reading) -> Result<Arc<Answer>, Failure> {
    if !is_json(&reply.headers) {
        return Err(Failure::new(FailureKind::BadAnswer, Cause::MediaType));
    }
    let answer = Answer::read(&reply.body, reading)?;
    Ok(if answer.active() { Arc::new(answer) } else { Answer::inactive() })
}

/// `application/json` or any type with the suffix `+json`, whatever parameters follow.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (values.next().map(|value| value.to_str()), values.next()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || essence
            .split_once('/')
            .is_some_and(|(kind, subtype)| !kind.is_empty() && subtype.len() > 5 && subtype.ends_with("+json"))
}

/// Whether a 400 speaks about the token (I-34): a JSON object with a string `error`. Any other is a proxy's page, or
/// plain http that met a TLS port.
fn is_oauth_error(body: &[u8], reading: &Reading) -> bool {
    json::object(body, reading.limits())
        .is_ok_and(|members| members.iter().any(|(name, value)| name == "error" && value.get().starts_with('"')))
}

/// Seconds or an HTTP date, clamped to 1 to 60 (I-43); nothing if it is neither.
fn retry_after(headers: &HeaderMap, now: u64) -> Option<u32> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().unwrap_or(u64::MAX)
    } else {
        let then = httpdate::parse_http_date(value).ok()?;
        then.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().saturating_sub(now / 1000)
    };
    u32::try_from(seconds.clamp(1, 60)).ok()
}
