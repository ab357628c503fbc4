//! Bodies that steps can read: what they are, and how much of them is looked at.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method};

/// Bytes of a body that are looked at (kong.md 1.4): far beyond any form that carries a token, and all that one
/// request may make the gateway hold.
pub const INSPECTION_CAP: usize = 64 * 1024;

/// The two kinds of bodies in which arguments travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`, and what ends in `+json`.
    Json,
}

/// What a request's head says of its body; `None` for one that no step reads: another method than POST, PUT and
/// PATCH, another media type, none or several of them, or one that is compressed.
pub fn kind(method: &Method, headers: &HeaderMap) -> Option<Kind> {
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) || headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return None;
    };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
    let suffix = essence.len().checked_sub(b"+json".len()).and_then(|start| essence.get(start..));
    if is(b"application/x-www-form-urlencoded") {
        Some(Kind::Form)
    } else if is(b"application/json") || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json")) {
        Some(Kind::Json)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    // I-57, K-12: by method and media type; multipart is never read.
    #[test]
    fn kinds() {
        let form = "application/x-www-form-urlencoded";
        type Row<'a> = (&'a str, &'a [(&'static str, &'static str)], Option<Kind>);
        let rows: &[Row<'_>] = &[
            ("POST", &[("content-type", form)], Some(Kind::Form)),
            ("PUT", &[("content-type", "Application/X-WWW-Form-Urlencoded ; charset=utf-8")], Some(Kind::Form)),
            ("PATCH", &[("content-type", "application/json")], Some(Kind::Json)),
            ("POST", &[("content-type", "application/vnd.api+JSON;v=1")], Some(Kind::Json)),
            ("GET", &[("content-type", form)], None),
            ("DELETE", &[("content-type", form)], None),
            ("post", &[("content-type", form)], None),
            ("POST", &[("content-type", "multipart/form-data; boundary=a")], None),
            ("POST", &[("content-type", "text/json")], None),
            ("POST", &[("content-type", "+jso")], None),
            ("POST", &[("content-type", form), ("content-type", form)], None),
            ("POST", &[("content-type", form), ("content-encoding", "gzip")], None),
            ("POST", &[], None),
        ];
        for (method, headers, expected) in rows {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            assert_eq!(kind(&method.parse().unwrap(), &map), *expected, "{method} {headers:?}");
        }
    }
}
