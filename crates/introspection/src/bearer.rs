//! Bearer tokens in requests (RFC 6750): finding the one token, and writing challenges.
//!
//! A token may come once and in one place. Whatever is ambiguous is refused, since the service behind may read the
//! other one.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use thiserror::Error;

/// Default cap on a token: four times what large JWTs take, and what a head of 16 KiB leaves room for.
pub const MAX_BYTES: usize = 8 * 1024;

/// Why a request has no usable token although it tries to present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unusable {
    /// More than one token or place, or an `Authorization` that is no single one: `invalid_request`, status 400.
    #[error("more than one token, or a malformed Authorization header")]
    Ambiguous,
    /// One token that is no `b64token` or too long: `invalid_token`, status 401.
    #[error("the token is malformed")]
    Malformed,
}

impl Unusable {
    /// The public code (I-53).
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous_token",
            Self::Malformed => "malformed_token",
        }
    }
}

/// Where a token may come from.
#[derive(Debug, Clone)]
pub struct Sources<'a> {
    /// `Authorization: Bearer`. Default on.
    pub header: bool,
    /// Whether `Authorization: token` is read too. Default off.
    pub token_scheme: bool,
    /// Names of the query parameter, if a query is a source. Default none (RFC 9700 section 4.3.2).
    pub query: &'a [&'a str],
    /// Whether a second token in a place that is not a source is refused too, since the service behind may read it.
    /// Default on: then [`QUERY_NAME`] is looked for in every query.
    pub search_all: bool,
    /// Cap on the token's bytes. Default [`MAX_BYTES`].
    pub max_bytes: usize,
}

/// The query parameter of RFC 6750 section 2.3.
pub const QUERY_NAME: &str = "access_token";

impl Default for Sources<'_> {
    fn default() -> Self {
        Self { header: true, token_scheme: false, query: &[], search_all: true, max_bytes: MAX_BYTES }
    }
}

/// Which place carried the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Header,
    Query,
}

/// The one token of a request: syntactically fine, and not checked any further.
#[derive(Clone, PartialEq, Eq)]
pub struct Taken<'a> {
    pub token: Cow<'a, str>,
    pub place: Place,
}

impl std::fmt::Debug for Taken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Taken").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Takes the token from a request's headers and raw query.
///
/// # Errors
/// There is more than one, or the one there is cannot be a token.
pub fn take<'a>(
    headers: &'a HeaderMap,
    query: Option<&'a str>,
    sources: &Sources<'_>,
) -> Result<Option<Taken<'a>>, Unusable> {
    let in_header =
        if sources.header || sources.search_all { in_authorization(headers, sources.token_scheme)? } else { None };
    let names = if sources.query.is_empty() && sources.search_all { &[QUERY_NAME] } else { sources.query };
    let in_query = match query {
        Some(query) if !names.is_empty() => in_query(query, names)?,
        _ => None,
    };
    let taken = match (in_header, in_query) {
        (Some(_), Some(_)) => return Err(Unusable::Ambiguous),
        (Some(token), None) if sources.header => Taken { token: Cow::Borrowed(token), place: Place::Header },
        (None, Some(token)) if !sources.query.is_empty() => Taken { token, place: Place::Query },
        _ => return Ok(None),
    };
    check(&taken.token, sources.max_bytes)?;
    Ok(Some(taken))
}

/// The token of the `Authorization` header: `Bearer` in any case, spaces, one part. Other schemes carry none.
///
/// # Errors
/// Two such headers, or more than one part behind the scheme.
pub fn in_authorization(headers: &HeaderMap, token_scheme: bool) -> Result<Option<&str>, Unusable> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unusable::Ambiguous);
    }
    let value = value.as_bytes();
    let scheme_ends = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(scheme_ends);
    if !(scheme.eq_ignore_ascii_case(b"bearer") || (token_scheme && scheme.eq_ignore_ascii_case(b"token"))) {
        return Ok(None);
    }
    let rest = rest.trim_ascii();
    if rest.iter().any(u8::is_ascii_whitespace) {
        return Err(Unusable::Ambiguous);
    }
    let token = str::from_utf8(rest).map_err(|_| Unusable::Malformed)?;
    Ok(Some(token).filter(|token| !token.is_empty()))
}

/// The token in a raw query. Names and values are compared and returned percent-decoded.
///
/// # Errors
/// One of the names comes twice, or two of them come.
pub fn in_query<'a>(query: &'a str, names: &[&str]) -> Result<Option<Cow<'a, str>>, Unusable> {
    let mut found = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| names.contains(&name.as_ref()));
    let first = found.next();
    if found.next().is_some() {
        return Err(Unusable::Ambiguous);
    }
    Ok(first.map(|(_, value)| value).filter(|value| !value.is_empty()))
}

/// Whether a token is a `b64token` (RFC 6750 section 2.1) of at most `max_bytes`.
///
/// # Errors
/// It is not.
pub fn check(token: &str, max_bytes: usize) -> Result<(), Unusable> {
    let body = token.trim_end_matches('=');
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    if body.is_empty() || token.len() > max_bytes || !body.bytes().all(fine) {
        return Err(Unusable::Malformed);
    }
    Ok(())
}

/// When a token that reads as a JWT says it was issued, in Unix milliseconds. Unverified: good for a hint alone.
pub(crate) fn jwt_issued_at(token: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Claims {
        iat: f64,
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let Claims { iat } = serde_json::from_slice(&payload).ok()?;
    Some((iat * 1000.0) as u64)
}

/// A `WWW-Authenticate` value (RFC 6750 section 3).
#[derive(Debug, Clone, Default)]
pub struct Challenge<'a> {
    pub realm: Option<&'a str>,
    pub error: Option<&'a str>,
    pub error_description: Option<&'a str>,
    pub error_uri: Option<&'a str>,
    /// Scopes needed, space-separated.
    pub scope: Option<&'a str>,
}

impl Challenge<'_> {
    /// Writes the challenge. What the grammar does not allow inside quotes is left out: `"`, `\`, controls, non-ASCII.
    pub fn to_value(&self) -> HeaderValue {
        let Self { realm, error, error_description, error_uri, scope } = self;
        let mut text = String::from("Bearer");
        let mut separator = " ";
        for (name, value) in [
            ("realm", realm),
            ("scope", scope),
            ("error", error),
            ("error_description", error_description),
            ("error_uri", error_uri),
        ] {
            let Some(value) = value else { continue };
            text.extend([separator, name, "=\""]);
            text.extend(value.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')));
            text.push('"');
            separator = ", ";
        }
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

#[cfg(test)]
mod tests;
