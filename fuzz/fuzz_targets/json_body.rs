//! A JSON document as a request's body: no token, one or too many, as another reader counts them; and taking the token
//! out leaves every other member as it was sent, in a document that is still one.
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
use serde_json::value::RawValue;

const PLACE: Place = Place::Body(Kind::Json);

/// Name and value as they are written.
type Member<'a> = (&'a str, &'a str);

fuzz_target!(|body: &[u8]| {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
    let found = take(&seen, &Sources::kong(true)).map(|taken| taken.map(|taken| (taken.token, taken.place)));
    let mut edits = Edits::default();
    hide(PLACE, &seen, &mut edits);
    let left = edits.body.expect("a body stays a body");
    let again = take(&Seen { body: Some(&left), ..seen }, &Sources::kong(true));
    assert!(matches!(again, Ok(None)), "a token is left");

    let Some(members) = members(body) else {
        assert_eq!(found, Ok(None), "a token in what is no object");
        assert_eq!(left, body, "what is no object was written anew");
        return;
    };
    let (tokens, others): (Vec<Member<'_>>, Vec<Member<'_>>) =
        members.into_iter().partition(|(name, _)| is_token(name));
    match (tokens.as_slice(), found) {
        ([], found) => assert_eq!(found, Ok(None), "no token"),
        ([(_, value)], found) if !value.starts_with('"') => assert_eq!(found, Ok(None), "only a text is a token"),
        ([(_, value)], Ok(found)) => {
            let token: String = serde_json::from_str(value).expect("what is taken is a text");
            assert!(token.is_empty() || check(&token, MAX_BYTES).is_ok(), "what is taken is a token");
            assert_eq!(found, (!token.is_empty()).then(|| (token.into(), PLACE)), "the one token");
        }
        ([(_, value)], Err(refused)) => {
            let token: Result<String, _> = serde_json::from_str(value);
            assert!(token.is_err() || check(&token.unwrap(), MAX_BYTES).is_err(), "what is refused is none");
            assert_eq!((refused.reason, refused.place), (Reason::MalformedToken, Some(PLACE)));
        }
        (_, found) => assert_eq!(found.expect_err("more than one").reason, Reason::AmbiguousToken),
    }
    assert_eq!(self::members(&left).expect("it is an object still"), others, "the other members");
});

/// However the name is written.
fn is_token(name: &str) -> bool {
    serde_json::from_str::<String>(name).is_ok_and(|name| name == "access_token")
}

/// The members of an object, found without a parser: in a document that is right, quotes and brackets are enough.
fn members(body: &[u8]) -> Option<Vec<Member<'_>>> {
    let text = serde_json::from_slice::<&RawValue>(body).ok()?.get();
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut members = Vec::new();
    let mut rest = inside;
    while !blank(rest).is_empty() {
        let (name, after) = until(rest, b':');
        let (value, after) = until(after, b',');
        members.push((blank(name), blank(value)));
        rest = after;
    }
    Some(members)
}

fn blank(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// What stands before the first `end` that is in no text and no brackets, and what stands behind it.
fn until(text: &str, end: u8) -> (&str, &str) {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ if byte == end && depth == 0 => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}
