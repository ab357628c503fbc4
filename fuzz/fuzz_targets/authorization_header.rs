//! `Authorization` values and a query: one token or none, and whatever is taken stands in the request as it was taken.
//!
//! The input is up to three values and a query, one a line.
#![no_main]

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use portcullis_introspection::bearer::{MAX_BYTES, Place, QUERY_NAME, Sources, check, take};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let query = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let mut headers = HeaderMap::new();
    for line in lines.take(3) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(AUTHORIZATION, value);
    }
    let all = Sources { token_scheme: true, query: &[QUERY_NAME], ..Sources::default() };
    let native = Sources::default();
    for sources in [&all, &native] {
        let Ok(Some(taken)) = take(&headers, query, sources) else { continue };
        check(&taken.token, MAX_BYTES).expect("what is taken is a token");
        assert_eq!(taken.place == Place::Query, headers_without_token(&headers), "the place");
        if taken.place == Place::Header {
            assert_eq!(headers.get_all(AUTHORIZATION).iter().count(), 1, "a second header");
            assert!(headers[AUTHORIZATION].as_bytes().ends_with(taken.token.as_bytes()) || trailing(&headers));
        } else {
            assert!(!sources.query.is_empty(), "the query is no source");
        }
    }
});

/// Whether no header can have given a token: there is none, or it has another scheme or nothing behind the scheme.
fn headers_without_token(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(AUTHORIZATION) else { return true };
    let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    let (scheme, rest) = text.split_once(' ').unwrap_or((&text, ""));
    !(scheme == "bearer" || scheme == "token") || rest.trim_ascii().is_empty()
}

/// Whether spaces stand behind the token.
fn trailing(headers: &HeaderMap) -> bool {
    headers[AUTHORIZATION].as_bytes().last().is_some_and(u8::is_ascii_whitespace)
}
