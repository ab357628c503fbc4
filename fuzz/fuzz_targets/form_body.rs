//! A form as a request's body: no token, one or too many, as another reader counts them; and taking the token out
//! leaves every other argument as it was sent.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use portcullis_introspection::bearer::{MAX_BYTES, check};
use portcullis_model::plan::{Consumers, Protocol};
use portcullis_plugins::body::Kind;
use portcullis_plugins::context::Edits;
use portcullis_plugins::introspection::source::{Place, Sources, hide, take};
use portcullis_plugins::{Reason, Seen};

const PLACE: Place = Place::Body(Kind::Form);

fuzz_target!(|body: &[u8]| {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let consumers = Consumers::default();
    let seen = Seen {
        method: &Method::POST,
        raw_path: "/",
        query: None,
        headers: &headers,
        body: Some(body),
        protocol: Protocol::Http,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        consumers: &consumers,
    };
    let arguments: Vec<(String, String, &[u8])> = body.split(|byte| *byte == b'&').map(argument).collect();
    let tokens: Vec<&str> =
        arguments.iter().filter(|(name, ..)| is_token(name)).map(|(_, value, _)| &**value).collect();
    let found = take(&seen, &Sources::kong(true)).map(|taken| taken.map(|taken| (taken.token, taken.place)));
    match (tokens.as_slice(), found) {
        ([], found) | ([""], found) => assert_eq!(found, Ok(None), "no token"),
        ([token], Ok(found)) => {
            check(token, MAX_BYTES).expect("what is taken is a token");
            assert_eq!(found, Some(((*token).into(), PLACE)), "the one token");
        }
        ([token], Err(refused)) => {
            check(token, MAX_BYTES).expect_err("what is refused is none");
            assert_eq!((refused.reason, refused.place), (Reason::MalformedToken, Some(PLACE)));
        }
        (_, found) => assert_eq!(found.expect_err("more than one").reason, Reason::AmbiguousToken),
    }

    let mut edits = Edits::default();
    hide(PLACE, &seen, &mut edits);
    let left = edits.body.expect("a body stays a body");
    let others: Vec<&[u8]> = arguments.iter().filter(|(name, ..)| !is_token(name)).map(|(.., raw)| *raw).collect();
    if others.is_empty() {
        assert!(left.is_empty(), "something is left of nothing else");
    } else {
        assert_eq!(left.split(|byte| *byte == b'&').collect::<Vec<_>>(), others, "the other arguments");
    }
    let again = take(&Seen { body: Some(&left), ..seen }, &Sources::kong(true));
    assert!(matches!(again, Ok(None)), "a token is left");
});

fn is_token(name: &str) -> bool {
    name == "access_token"
}

/// Name and value, decoded, and the argument as it is written.
fn argument(raw: &[u8]) -> (String, String, &[u8]) {
    let end = raw.iter().position(|byte| *byte == b'=').unwrap_or(raw.len());
    (decoded(&raw[..end]), decoded(raw.get(end + 1..).unwrap_or_default()), raw)
}

/// By the URL standard: a plus is a space, a percent sign that no two digits follow is itself.
fn decoded(mut raw: &[u8]) -> String {
    let mut bytes = Vec::new();
    loop {
        raw = match raw {
            [] => return String::from_utf8_lossy(&bytes).into_owned(),
            [b'+', rest @ ..] => {
                bytes.push(b' ');
                rest
            }
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).expect("digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
                rest
            }
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}
