//! `docs/errors.md`: every answer that the gateway makes itself, from the two tables that make them.

use crate::markdown::{GENERATED, code, table};
use crate::{Failure, Page, read};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use portcullis_plugins::reason::{Blame, TABLE};
use portcullis_proxy::render::{self, Asked, Failure as Fault, To};
use std::time::Duration;

pub(crate) fn page() -> Result<Page, Failure> {
    let refusals = table(
        ["code", "status", "`error`", "`message`", "`error_description`", "challenge", "whose fault"],
        TABLE.iter().map(|row| {
            [
                code(row.code),
                row.status.as_u16().to_string(),
                code(row.error),
                row.message.to_owned(),
                row.description.to_owned(),
                code(challenge(row.challenge)),
                blame(row.blame).to_owned(),
            ]
        }),
    );
    let mut rows = Vec::new();
    for fault in faults() {
        rows.push([code(fault.code()), fault.status().as_u16().to_string(), message(&fault)?]);
    }
    let failures = table(["code", "status", "`message`"], rows);
    let prose = read("docs/errors.prose.md")?;
    let text = prose.trim_start().replace("{{refusals}}\n", &refusals).replace("{{failures}}\n", &failures);
    Ok(Page { path: "docs/errors.md".into(), text: format!("{GENERATED}{text}") })
}

/// A challenge without its description, which is a column of its own.
fn challenge(whole: Option<&'static str>) -> &'static str {
    whole.map_or("", |whole| whole.split_once(", error_description").map_or(whole, |(before, _)| before))
}

fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Client => "client",
        Blame::AuthorizationServer => "authorization server",
        Blame::Gateway => "gateway",
    }
}

/// Every kind, in the order of [`Fault::index`].
fn faults() -> [Fault; Fault::COUNT] {
    let redirect =
        Fault::RedirectToHttps { status: StatusCode::MOVED_PERMANENTLY, location: HeaderValue::from_static("/") };
    [
        Fault::NoRoute,
        Fault::NoService,
        Fault::HttpsRequired,
        redirect,
        Fault::NameResolution,
        Fault::UpstreamRefused,
        Fault::BadUpstreamResponse,
        Fault::UpstreamTimeout,
        Fault::UpstreamUnavailable,
        Fault::BadRequest,
        Fault::MethodNotAllowed,
        Fault::RequestTimeout,
        Fault::LengthRequired,
        Fault::PayloadTooLarge,
        Fault::UriTooLong,
        Fault::HeadTooLarge,
        Fault::Internal,
        Fault::NotReady,
        Fault::NoHealthyTarget,
    ]
}

/// What a client that asks for JSON reads.
fn message(fault: &Fault) -> Result<String, Failure> {
    let headers = HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static("application/json"))]);
    let asked = Asked::of(&Method::GET, &headers);
    let body = render::failure(fault, To { asked: &asked, request_id: "", elapsed: Duration::ZERO }).into_body();
    if body.is_empty() {
        return Ok(String::new());
    }
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    Ok(body["message"].as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Fault, faults};

    #[test]
    fn every_failure_has_its_line() {
        let faults = faults();
        assert!(faults.iter().enumerate().all(|(place, fault)| fault.index() == place));
        assert!(Fault::codes().eq(faults.iter().map(Fault::code)));
    }
}
