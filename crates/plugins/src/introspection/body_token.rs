//! A token in a request's body: finding it, and taking it out (kong.md 1.4, I-57, I-62).
//!
//! A form's argument or a JSON object's top-level member `access_token`. What is no such thing holds no token; it is
//! never an error of ours (K-13). One that comes twice is refused, as everywhere.

use crate::body::Kind;
use bytes::Bytes;
use portcullis_introspection::bearer::{QUERY_NAME, Unusable};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The one token of `body`, decoded and not checked any further; an empty one is none.
pub(super) fn find(kind: Kind, body: &[u8]) -> Result<Option<Cow<'_, str>>, Unusable> {
    let token = match kind {
        Kind::Form => in_form(body)?,
        Kind::Json => in_json(body)?,
    };
    Ok(token.filter(|token| !token.is_empty()))
}

/// `body` without its token: the other arguments of a form byte for byte, the other members of an object each byte
/// for byte.
pub(super) fn without_token(kind: Kind, body: &[u8]) -> Bytes {
    let left = match kind {
        Kind::Form => form_without_token(body),
        Kind::Json => json_without_token(body),
    };
    left.into()
}

fn in_form(body: &[u8]) -> Result<Option<Cow<'_, str>>, Unusable> {
    let mut found = form_urlencoded::parse(body).filter(|(name, _)| name == QUERY_NAME);
    let first = found.next();
    match found.next() {
        Some(_) => Err(Unusable::Ambiguous),
        None => Ok(first.map(|(_, token)| token)),
    }
}

/// Arguments of a raw form or query without the token.
pub(super) fn form_without_token(form: &[u8]) -> Vec<u8> {
    let is_token = |argument: &&[u8]| form_urlencoded::parse(argument).any(|(name, _)| name == QUERY_NAME);
    let kept: Vec<&[u8]> = form.split(|byte| *byte == b'&').filter(|argument| !is_token(argument)).collect();
    kept.join(&b'&')
}

fn in_json(body: &[u8]) -> Result<Option<Cow<'_, str>>, Unusable> {
    let Ok(object) = serde_json::from_slice::<Object<'_>>(body) else {
        return Ok(None);
    };
    let mut found = object.members.iter().filter(|member| member.is_token());
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(Unusable::Ambiguous),
        (Some(member), None) if member.value.get().starts_with('"') => {
            // A string that cannot be decoded (half a surrogate pair) is a token, and one that cannot be right.
            decode(member.value).map(Some).ok_or(Unusable::Malformed)
        }
        _ => Ok(None),
    }
}

fn json_without_token(body: &[u8]) -> Vec<u8> {
    let Ok(object) = serde_json::from_slice::<Object<'_>>(body) else {
        return body.to_vec();
    };
    let mut left = Vec::with_capacity(body.len());
    for member in object.members.iter().filter(|member| !member.is_token()) {
        left.push(if left.is_empty() { b'{' } else { b',' });
        left.extend_from_slice(member.name.get().as_bytes());
        left.push(b':');
        left.extend_from_slice(member.value.get().as_bytes());
    }
    left.extend_from_slice(if left.is_empty() { b"{}" } else { b"}" });
    left
}

/// A string, decoded.
fn decode(text: &RawValue) -> Option<Cow<'_, str>> {
    /// `Cow` alone would always copy.
    #[derive(serde::Deserialize)]
    struct Borrowing<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Borrowing<'_>>(text.get()).ok().map(|text| text.0)
}

/// An object as it is written.
struct Object<'a> {
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    /// With its quotes and escapes.
    name: &'a RawValue,
    value: &'a RawValue,
}

impl Member<'_> {
    /// By the decoded name: `"access\u005ftoken"` is the same member to whoever reads it.
    fn is_token(&self) -> bool {
        decode(self.name).is_some_and(|name| name == QUERY_NAME)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    members.push(Member { name, value });
                }
                Ok(Object { members })
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
                Err(E::custom("null is no object"))
            }
        }

        let object = deserializer.deserialize_map(Members)?;
        // A name is a string, whatever stands in its place.
        if object.members.iter().any(|member| !member.name.get().starts_with('"')) {
            return Err(D::Error::custom("a name that is no string"));
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // I-57, I-59, K-12, K-13
    #[test]
    fn tokens_in_json() {
        let rows: &[(&str, Result<Option<&str>, Unusable>)] = &[
            (r#"{"access_token":"t"}"#, Ok(Some("t"))),
            (r#" {"a":[{"access_token":"x"}], "access_token" : "t" , "b":null} "#, Ok(Some("t"))),
            (r#"{"access\u005ftoken":"t"}"#, Ok(Some("t"))),
            (r#"{"access_token":"\u0074"}"#, Ok(Some("t"))),
            (r#"{"access_token":""}"#, Ok(None)),
            (r#"{"access_token":1}"#, Ok(None)),
            (r#"{"access_token":null}"#, Ok(None)),
            (r#"{"access_token":["t"]}"#, Ok(None)),
            (r#"{"access_token":{"t":"t"}}"#, Ok(None)),
            (r#"{"access_token":"t","access_token":"t"}"#, Err(Unusable::Ambiguous)),
            (r#"{"access_token":1,"access\u005ftoken":"t"}"#, Err(Unusable::Ambiguous)),
            (r#"{"access_token":"\ud800"}"#, Err(Unusable::Malformed)),
            (r#"{"a":{"access_token":"t"}}"#, Ok(None)),
            (r#"[{"access_token":"t"}]"#, Ok(None)),
            (r#""access_token""#, Ok(None)),
            ("1", Ok(None)),
            ("null", Ok(None)),
            ("true", Ok(None)),
            ("[]", Ok(None)),
            ("{}", Ok(None)),
            ("", Ok(None)),
            (r#"{"access_token":"t""#, Ok(None)),
            (r#"{"access_token":"t"} x"#, Ok(None)),
            (r#"{access_token:"t"}"#, Ok(None)),
            (r#"{1:"t"}"#, Ok(None)),
        ];
        for (body, expected) in rows {
            let found = find(Kind::Json, body.as_bytes());
            assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{body}");
        }
        assert_eq!(find(Kind::Json, b"{\"access_token\":\"\xff\"}"), Ok(None));
        // S-52
        for deep in ["[", "{\"a\":"] {
            assert_eq!(find(Kind::Json, deep.repeat(60_000 / deep.len()).as_bytes()), Ok(None));
        }
    }

    // I-57, I-59, K-12
    #[test]
    fn tokens_in_forms() {
        type Row<'a> = (&'a [u8], Result<Option<&'a str>, Unusable>);
        let rows: &[Row<'_>] = &[
            (b"access_token=t", Ok(Some("t"))),
            (b"a=1&access%5Ftoken=%74&b", Ok(Some("t"))),
            (b"access_token=", Ok(None)),
            (b"access_token", Ok(None)),
            (b"a=access_token=t", Ok(None)),
            (b"", Ok(None)),
            (b"\xff\xfe&%zz&==", Ok(None)),
            (b"access_token=t&access_token=", Err(Unusable::Ambiguous)),
            (b"access_token=t&access%5ftoken=u", Err(Unusable::Ambiguous)),
        ];
        for (body, expected) in rows {
            let found = find(Kind::Form, body);
            assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{body:?}");
        }
    }

    // I-62, K-42
    #[test]
    fn the_body_loses_its_token_and_nothing_else() {
        let rows: &[(Kind, &[u8], &[u8])] = &[
            (Kind::Form, b"access_token=t", b""),
            (Kind::Form, b"a=1&access_token=t&b=%2F+x&\xff", b"a=1&b=%2F+x&\xff"),
            (Kind::Form, b"access%5Ftoken=t&&a", b"&a"),
            (Kind::Json, br#"{"access_token":"t"}"#, b"{}"),
            (
                Kind::Json,
                br#"{ "a\u0062": 1.50 ,"access_token": "t", "n": {"access_token" : 1e400}}"#,
                br#"{"a\u0062":1.50,"n":{"access_token" : 1e400}}"#,
            ),
            (Kind::Json, br#"{"access\u005ftoken":"t","a":"a","a":"b"}"#, br#"{"a":"a","a":"b"}"#),
        ];
        for (kind, body, left) in rows {
            let found = without_token(*kind, body);
            assert_eq!(found, *left, "{}", String::from_utf8_lossy(&found));
        }
    }
}
