//! The only place where a refusal or a failure becomes HTTP.
//!
//! A *refusal* is a plugin's verdict; its status and texts stand in the one table of `portcullis_plugins::reason`. A
//! [`Failure`] is the gateway's own: no route, no upstream, a request it does not take. Both become JSON, plain text
//! or HTML, whichever the client [`Asked`] for.
//!
//! What it is not: it does not see the answers of upstreams, and no text of a request, an upstream or an authorization
//! server ever gets into a body made here.

mod accept;
mod failure;

pub use accept::Asked;
pub use failure::Failure;

use accept::Format;
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER, SERVER, UPGRADE,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use portcullis_plugins::Refusal;
use std::time::{Duration, SystemTime};

/// `portcullis/<version>`, for `Server` and `Via`.
pub const PRODUCT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
/// Name of the header that carries the request's id, to the upstream and to the client.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-kong-request-id");
/// Milliseconds that an answer of the gateway's own took.
pub const RESPONSE_LATENCY: HeaderName = HeaderName::from_static("x-kong-response-latency");

/// Seconds after which a client may try again, when nobody has said otherwise (I-43).
const RETRY_AFTER_DEFAULT: u32 = 5;

/// The request that an answer is for.
#[derive(Debug, Clone, Copy)]
pub struct To<'a> {
    pub asked: &'a Asked,
    /// 32 hexadecimal digits.
    pub request_id: &'a str,
    /// Since the request's head was read.
    pub elapsed: Duration,
}

/// A plugin's refusal, as kong.md 1.8 and introspection.md section 4 lay it out.
pub fn refusal(refusal: &Refusal, to: To<'_>) -> Response<Bytes> {
    let row = refusal.reason.row();
    let members = [
        ("message", row.message),
        ("error", row.error),
        ("error_description", row.description),
        ("request_id", to.request_id),
    ];
    let format = to.asked.format().unwrap_or(Format::Json);
    let body = match format {
        Format::Json => json_line(&members),
        Format::Text => text(&members),
        Format::Html => html(&members),
    };
    let mut response = answer(row.status, format, body, to);
    let headers = response.headers_mut();
    if let Some(challenge) = row.challenge {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if row.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, refusal.retry_after.unwrap_or(RETRY_AFTER_DEFAULT).into());
    }
    stamp_latency(headers, to);
    response
}

/// A step's own answer, with what every answer of the gateway's own has; what it has itself stays.
pub fn step_answer(mut response: Response<Bytes>, to: To<'_>) -> Response<Bytes> {
    let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = response.body().len();
    if to.asked.is_head() || bodiless {
        *response.body_mut() = Bytes::new();
    }
    let headers = response.headers_mut();
    headers.entry(DATE).or_insert_with(date);
    headers.entry(SERVER).or_insert(HeaderValue::from_static(PRODUCT));
    headers.remove(CONTENT_LENGTH);
    if !bodiless {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if let Ok(id) = HeaderValue::from_str(to.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    stamp_latency(headers, to);
    response
}

/// The gateway's own failure, as kong.md 3.10 lays it out.
///
/// A failure that [counts as proxied](Failure::is_proxied) gets no latency header here: whoever calls knows the two
/// that it has (kong.md 3.9).
pub fn failure(failure: &Failure, to: To<'_>) -> Response<Bytes> {
    let row = failure.row();
    let format = match to.asked.format() {
        Some(format) => format,
        None if row.by_proxy_layer => to.asked.sent_format().unwrap_or(Format::Text),
        None => Format::Json,
    };
    let members = [("message", row.message), ("request_id", to.request_id)];
    let body = match (failure, format) {
        (Failure::RedirectToHttps { .. }, _) => String::new(),
        (_, Format::Json) => json_block(&members),
        (_, Format::Text) => text(&members),
        (_, Format::Html) => html(&members),
    };
    let mut response = answer(failure.status(), format, body, to);
    let headers = response.headers_mut();
    match failure {
        Failure::HttpsRequired => {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
        }
        Failure::RedirectToHttps { location, .. } => {
            headers.remove(CONTENT_TYPE);
            headers.insert(LOCATION, location.clone());
        }
        // RFC 9110 section 15.5.6 wants it.
        Failure::MethodNotAllowed => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        Failure::NotReady => {
            headers.insert(RETRY_AFTER, RETRY_AFTER_DEFAULT.into());
        }
        _ => {}
    }
    if !failure.is_proxied() {
        stamp_latency(headers, to);
    }
    response
}

/// What all of them have. A `HEAD` is told the length of the body that it does not get.
fn answer(status: StatusCode, format: Format, body: String, to: To<'_>) -> Response<Bytes> {
    let length = body.len();
    let mut response = Response::new(if to.asked.is_head() { Bytes::new() } else { Bytes::from(body) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(10);
    headers.insert(DATE, date());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(CONTENT_LENGTH, length.into());
    // Also on what RFC 9111 lets caches keep by default (404, 405, 414): a verdict ends with the configuration.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(SERVER, HeaderValue::from_static(PRODUCT));
    if let Ok(id) = HeaderValue::from_str(to.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn stamp_latency(headers: &mut HeaderMap, to: To<'_>) {
    let milliseconds = u64::try_from(to.elapsed.as_millis()).unwrap_or(u64::MAX);
    headers.insert(RESPONSE_LATENCY, milliseconds.into());
}

/// hyper sets no date for us (`auto_date_header` is off, since proxied answers have their own).
fn date() -> HeaderValue {
    HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now())).unwrap_or(HeaderValue::from_static(""))
}

type Members<'a> = [(&'static str, &'a str)];

fn json_line(members: &Members<'_>) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{}", quoted(value))).collect();
    format!("{{{}}}", members.join(","))
}

fn json_block(members: &Members<'_>) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("  \"{name}\":{}", quoted(value))).collect();
    format!("{{\n{}\n}}", members.join(",\n"))
}

fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// The message, then `name: value` lines.
fn text(members: &Members<'_>) -> String {
    let mut body = String::new();
    for (name, value) in members {
        match *name {
            "message" => body.push_str(value),
            name => body.extend([name, ": ", value]),
        }
        body.push('\n');
    }
    body
}

fn html(members: &Members<'_>) -> String {
    let mut lines = String::new();
    for (name, value) in members {
        match *name {
            "message" => lines.extend(["<h1>", value, "</h1>\n"]),
            name => lines.extend(["<p>", name, ": ", value, "</p>\n"]),
        }
    }
    let title = members.first().map_or("", |(_, message)| *message);
    format!(
        "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title></head><body>\n{lines}</body></html>\n"
    )
}

#[cfg(test)]
mod tests;
