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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const NOW: u64 = 1_784_111_777_000; // Wed, 15 Jul 2026 10:36:17 GMT
    const ACTIVE: &str = r#"{"active":true}"#;

    fn reply(status: u16, media_type: &str, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        if !media_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(media_type).unwrap());
        }
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn every_reply_has_one_meaning() {
        const JSON: &str = "application/json";
        const OAUTH: &str = r#"{"error":"invalid_request"}"#;
        let rows = [
            (200, JSON, ACTIVE, "active"), // I-31
            (200, "application/json; charset=utf-8", ACTIVE, "active"),
            (200, "Application/JSON ;charset=utf-8", ACTIVE, "active"),
            (200, "application/vnd.as+json", ACTIVE, "active"),
            (200, JSON, r#"{"active":false,"scope":7}"#, "inactive"), // I-32
            (204, "", "", "as_status"),                               // I-33, I-40: no preset defines it here
            (400, JSON, OAUTH, "as_refused_token"),                   // I-34
            (400, "text/plain", OAUTH, "as_refused_token"),
            // I-36, A-28
            (400, "text/plain", "Client sent an HTTP request to an HTTPS server.", "as_status"),
            (400, JSON, r#"{"error":7}"#, "as_status"),
            (400, JSON, r#"[{"error":"invalid_request"}]"#, "as_status"),
            (400, JSON, r#"{"message":"x"}"#, "as_status"),
            (401, JSON, OAUTH, "as_refused_client"), // I-35
            (403, JSON, ACTIVE, "as_refused_client"),
            (404, JSON, ACTIVE, "as_status"), // I-36
            (405, JSON, OAUTH, "as_status"),
            (415, "", "", "as_status"),
            (429, JSON, ACTIVE, "as_throttled"), // I-37
            (301, "", "", "as_redirect"),        // I-38
            (307, JSON, ACTIVE, "as_redirect"),
            (500, JSON, ACTIVE, "as_status"), // I-39, I-42
            (503, JSON, r#"{"active":false}"#, "as_status"),
            (200, "text/html", ACTIVE, "as_bad_answer"), // I-39
            (200, "text/html", "<html>", "as_bad_answer"),
            (200, "", ACTIVE, "as_bad_answer"),
            (200, "application/jsonp", ACTIVE, "as_bad_answer"),
            (200, "application/+json", ACTIVE, "as_bad_answer"),
            (200, "application/token-introspection+jwt", "e30.e30.", "as_bad_answer"),
            (200, JSON, "", "as_bad_answer"),
            (200, JSON, "<html>", "as_bad_answer"),
            (200, JSON, "{}", "as_bad_answer"), // I-40, I-17
            (200, JSON, r#"{"active":"true"}"#, "as_bad_answer"),
            (201, JSON, ACTIVE, "as_status"), // I-40
            (202, JSON, ACTIVE, "as_status"),
        ];
        for (status, media_type, body, expected) in rows {
            let got = match judge(&reply(status, media_type, body), &Reading::default(), NOW) {
                Ok(answer) if answer.active() => "active",
                Ok(_) => "inactive",
                Err(failure) => failure.code(),
            };
            assert_eq!(got, expected, "{status} {media_type} {body}");
        }
    }

    // I-43
    #[test]
    fn a_throttling_server_says_when_to_come_back() {
        let rows = [
            (None, 5),
            (Some("17"), 17),
            (Some("0"), 1),
            (Some("61"), 60),
            (Some("99999999999999999999999"), 60),
            (Some("Wed, 15 Jul 2026 10:36:47 GMT"), 30),
            (Some("Wed, 15 Jul 2026 09:00:00 GMT"), 1),
            (Some("Thu, 16 Jul 2026 10:36:17 GMT"), 60),
            (Some("-3"), 5),
            (Some("soon"), 5),
            (Some(""), 5),
        ];
        for (value, expected) in rows {
            let mut reply = reply(429, "", "");
            if let Some(value) = value {
                reply.headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            }
            let failure = judge(&reply, &Reading::default(), NOW).unwrap_err();
            assert_eq!(failure.retry_after(), Some(expected), "{value:?}");
        }
    }
}
