//! The head of a request, checked and taken apart: what the router, the steps and the upstream see of it.
//!
//! The HTTP engine has parsed it, and lets through what RFC 9112 leaves to whoever forwards: framing that another
//! server might read otherwise, and hosts that do not agree. That is refused here, before anything is decided by it
//! (S-43).

use crate::target;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use portcullis_model::plan::Protocol;
use std::net::IpAddr;
use std::sync::Arc;

/// A request's head that is fit to be judged and forwarded.
#[derive(Debug)]
pub struct Head {
    pub method: Method,
    /// The request target as sent, without a fragment.
    pub uri: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    pub arrival: Arrival,
    host: Host,
    /// The path in its one form, where that is not the form in which it was sent.
    normal_path: Option<Box<str>>,
}

/// What is known of a request before it says anything: how it came, and from whom.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub protocol: Protocol,
    pub peer: IpAddr,
    /// The name that the TLS handshake asked for, in lower case and without a trailing dot; empty when it asked for
    /// none; `None` on a plain connection.
    pub sni: Option<Arc<str>>,
    /// The peer is one whose forwarded headers are believed (S-29).
    pub trusted: bool,
}

/// Why a head is answered with an error at once; the connection is closed after it, since where the next request
/// would begin may be in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// `TRACE` would reflect credentials; `CONNECT` asks for a tunnel, which this is not.
    #[error("method not allowed")]
    Method,
    /// Missing (but on HTTP/1.0), repeated, malformed, or not the target's own authority.
    #[error("the host is missing, repeated, malformed or contradicts the target")]
    Host,
    /// Not one number; of HTTP/2, where the engine compares it with the body but lets others stand beside it.
    #[error("the content length is not one number")]
    ContentLength,
    /// `Transfer-Encoding` is anything but `chunked`, once.
    #[error("the transfer encoding is not exactly chunked")]
    TransferEncoding,
    #[error(transparent)]
    Target(#[from] target::BadTarget),
}

impl Head {
    /// Checks what the engine parsed.
    pub fn read(mut parts: Parts, arrival: Arrival) -> Result<Head, BadHead> {
        if parts.method == Method::TRACE || parts.method == Method::CONNECT {
            return Err(BadHead::Method);
        }
        check_transfer_encoding(&parts.headers)?;
        if parts.version == Version::HTTP_2 {
            settle_http2(&mut parts)?;
        }
        let host = Host::read(&parts.headers, &parts.uri, parts.version)?;
        if parts.version == Version::HTTP_2 {
            // The host has been compared; from here on a target is a target.
            parts.uri = parts.uri.into_parts().path_and_query.map(Uri::from).unwrap_or_default();
        }
        let normal_path = match target::normalise(parts.uri.path())? {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(path) => Some(path.into()),
        };
        Ok(Head {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers,
            arrival,
            host,
            normal_path,
        })
    }

    /// The path as it is matched and forwarded (kong.md 3.8).
    pub fn path(&self) -> &str {
        match &self.normal_path {
            Some(path) => path,
            // An absolute-form target may have no path at all.
            None if self.uri.path().is_empty() => "/",
            None => self.uri.path(),
        }
    }

    /// The host that the client asked for, without port; empty when an HTTP/1.0 client named none.
    pub fn host(&self) -> &str {
        self.host.name()
    }

    /// The host without the brackets of an IPv6 address.
    pub fn host_name(&self) -> &str {
        let host = self.host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port that the client asked for: its `Host`'s, or the protocol's own.
    pub fn port(&self) -> u16 {
        self.host.port.unwrap_or(match self.arrival.protocol {
            Protocol::Http => 80,
            Protocol::Https => 443,
        })
    }

    /// How the client came as far as is known: a trusted peer may have ended its TLS (S-29).
    pub fn client_protocol(&self) -> Protocol {
        let https = || self.told("x-forwarded-proto").is_some_and(|value| value.eq_ignore_ascii_case(b"https"));
        if self.arrival.protocol == Protocol::Http && https() { Protocol::Https } else { self.arrival.protocol }
    }

    /// The host by which the client called this gateway, with the port where a trusted peer says one: where it can be
    /// sent to come again.
    pub fn public_host(&self) -> &str {
        let told = self.told("x-forwarded-host").filter(|host| split_host(host).is_some());
        told.and_then(|host| std::str::from_utf8(host).ok()).unwrap_or(self.host())
    }

    /// What a trusted peer tells by this header; nothing where it contradicts itself by several values.
    fn told(&self, name: &'static str) -> Option<&[u8]> {
        if !self.arrival.trusted {
            return None;
        }
        let mut values = self.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
    }

    /// The client's `Host`, whole.
    pub fn host_header(&self) -> Option<&HeaderValue> {
        self.host.value.as_ref()
    }
}

/// `Host`, checked. The value is shared with the header map, not copied.
#[derive(Debug)]
struct Host {
    value: Option<HeaderValue>,
    name_length: usize,
    port: Option<u16>,
}

impl Host {
    fn read(headers: &HeaderMap, uri: &Uri, version: Version) -> Result<Host, BadHead> {
        let mut values = headers.get_all(header::HOST).iter();
        let host = match (values.next(), values.next()) {
            (Some(value), None) => {
                let (name_length, port) = split_host(value.as_bytes()).ok_or(BadHead::Host)?;
                Host { value: Some(value.clone()), name_length, port }
            }
            (None, _) if version == Version::HTTP_10 => Host { value: None, name_length: 0, port: None },
            _ => return Err(BadHead::Host),
        };
        match uri.authority() {
            Some(authority) if !host.is_authority(authority.as_str(), uri.scheme_str()) => Err(BadHead::Host),
            _ => Ok(host),
        }
    }

    fn name(&self) -> &str {
        let value = self.value.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        // Only ASCII has passed the check.
        std::str::from_utf8(&value[..self.name_length]).unwrap_or_default()
    }

    /// Whether an absolute-form target names the same place; the default port may stand or be left out.
    fn is_authority(&self, authority: &str, scheme: Option<&str>) -> bool {
        let default = match scheme {
            Some("http") => 80,
            Some("https") => 443,
            _ => return false,
        };
        let Some((length, port)) = split_host(authority.as_bytes()) else {
            return false;
        };
        self.value.is_some()
            && authority[..length].eq_ignore_ascii_case(self.name())
            && port.unwrap_or(default) == self.port.unwrap_or(default)
    }
}

/// Where the name ends, and the port; `None` for what is no `uri-host [":" port]` (RFC 9110 section 7.2). Of the
/// characters that RFC 3986 allows in names, the comma is left out: it would make one host of two.
fn split_host(value: &[u8]) -> Option<(usize, Option<u16>)> {
    let name_length = match value.first()? {
        b'[' => {
            let end = value.iter().position(|&b| b == b']')?;
            let inside = &value[1..end];
            let valid = !inside.is_empty() && inside.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
            valid.then_some(end + 1)?
        }
        b':' => return None,
        _ => {
            let end = value.iter().position(|&b| b == b':').unwrap_or(value.len());
            value[..end].iter().all(|&b| is_name_byte(b)).then_some(end)?
        }
    };
    let port = match &value[name_length..] {
        b"" | b":" => None,
        [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
            let port = digits.iter().fold(0_u32, |port, &digit| port * 10 + u32::from(digit - b'0'));
            Some(u16::try_from(port).ok()?)
        }
        _ => return None,
    };
    Some((name_length, port))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
        )
}

/// Says in HTTP/1's words what HTTP/2 says in its own (S-44): the host, if only `:authority` names it; one line of
/// cookies (RFC 9113 section 8.2.3); one length, which the engine compares with the body.
fn settle_http2(parts: &mut Parts) -> Result<(), BadHead> {
    let headers = &mut parts.headers;
    if let Some(authority) = parts.uri.authority()
        && !headers.contains_key(header::HOST)
    {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| BadHead::Host)?;
        headers.insert(header::HOST, host);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (lengths.next().is_some() || length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit))
    {
        return Err(BadHead::ContentLength);
    }
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(cookies) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookies);
    }
    Ok(())
}

/// The engine reads any list that ends in `chunked` as chunked; another server may not.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), BadHead> {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(()),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(BadHead::TransferEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn read(target: &str, version: Version, headers: &[(&str, &str)]) -> Result<Head, BadHead> {
        let mut request = Request::builder().uri(target).version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let peer = IpAddr::from([127, 0, 0, 1]);
        Head::read(parts, Arrival { protocol: Protocol::Http, peer, sni: None, trusted: false })
    }

    // S-43, S-34: hosts of the origin form.
    #[test]
    fn hosts() {
        let check = |value: &str, expected: Option<(&str, Option<u16>)>| {
            let head = read("/", Version::HTTP_11, &[("host", value)]);
            let found = head.as_ref().ok().map(|head| (head.host(), head.host.port));
            assert_eq!(found, expected, "{value:?}");
        };
        check("a.example", Some(("a.example", None)));
        check("A.example:8000", Some(("A.example", Some(8000))));
        check("a.example:", Some(("a.example", None)));
        check("[::1]:80", Some(("[::1]", Some(80))));
        check("a_b-c.example", Some(("a_b-c.example", None)));
        for bad in [
            "", ":80", "a b", "a,b", "a/b", "a@b", "a:b", "a:123456", "a:65536", "a:80:80", "[::1", "[]", "[g]",
            "a\\b", "a?b", "a#b",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn missing_repeated_and_contradicting_hosts() {
        let check = |target, version, headers: &[(&str, &str)], fine: bool| {
            let head = read(target, version, headers);
            assert_eq!(head.is_ok(), fine, "{target} {headers:?}: {head:?}");
        };
        check("/", Version::HTTP_11, &[], false);
        check("/", Version::HTTP_10, &[], true);
        check("/", Version::HTTP_11, &[("host", "a"), ("host", "a")], false);
        check("http://a/", Version::HTTP_11, &[("host", "a")], true);
        check("http://A:80/", Version::HTTP_11, &[("host", "a")], true);
        check("http://a:81/", Version::HTTP_11, &[("host", "a")], false);
        check("http://b/", Version::HTTP_11, &[("host", "a")], false);
        check("http://a@b/", Version::HTTP_11, &[("host", "b")], false);
        check("ftp://a/", Version::HTTP_11, &[("host", "a")], false);
        check("http://a", Version::HTTP_11, &[("host", "a")], true);
    }

    // S-43: lists that merely end in chunked.
    #[test]
    fn transfer_encodings() {
        for (values, fine) in [
            (&["chunked"][..], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&[", chunked"], false),
            (&["chunked", "chunked"], false),
            (&["identity"], false),
            (&["chunked,"], false),
        ] {
            let headers: Vec<_> =
                [("host", "a")].into_iter().chain(values.iter().map(|v| ("transfer-encoding", *v))).collect();
            assert_eq!(read("/", Version::HTTP_11, &headers).is_ok(), fine, "{values:?}");
        }
    }
}
