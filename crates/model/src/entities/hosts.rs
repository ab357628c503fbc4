//! Texts that name hosts: of services (no port, no wildcard) and of routes (both).

use crate::plan::{HostMatch, HostName};
use serde_json::Value;
use std::net::{IpAddr, Ipv6Addr};

/// Rule for `services.host`: a name or an address without a port.
pub(super) fn service_host(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    let (host, port) = split_port(text)?;
    match port {
        Some(_) => Err("must not have a port".to_owned()),
        None if is_host(host) => Ok(()),
        None => Err(format!("invalid value: {text}")),
    }
}

/// Rule for `upstreams.name`: a name that could be a host's, so that a service can have it as its host.
pub(super) fn upstream_name(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.parse::<IpAddr>().is_ok() || text.starts_with('[') {
        return Err("Invalid name; no ip addresses allowed".to_owned());
    }
    match split_port(text)? {
        (_, Some(_)) => Err("Invalid name; no port allowed".to_owned()),
        (host, None) if is_host(host) => Ok(()),
        _ => Err(format!("Invalid name ('{text}'); must be a valid hostname")),
    }
}

/// Rule for `upstreams.host_header`: a host, with or without a port.
pub(super) fn host_header(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let (host, _) = split_port(text)?;
    if is_host(host) { Ok(()) } else { Err(format!("invalid value: {text}")) }
}

/// Rule for `snis.name`: a server name with at most one wildcard label, or `*` alone.
pub(super) fn certificate_name(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text == "*" {
        return Ok(());
    }
    let matched = host_match(text)?;
    match matched.name {
        _ if matched.port.is_some() => Err("must not have a port".to_owned()),
        HostName::Exact(name) => server_name(&Value::from(name)),
        HostName::Suffix(_) | HostName::Prefix(_) => Ok(()),
    }
}

/// Rule for names that a TLS handshake asks for: never an address (RFC 6066), never a wildcard.
pub(super) fn server_name(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    match split_port(text)? {
        (_, Some(_)) => Err("must not have a port".to_owned()),
        (host, None) if host.parse::<IpAddr>().is_ok() || host.starts_with('[') => Err("must not be an IP".to_owned()),
        (host, None) if is_host(host) => Ok(()),
        _ => Err(format!("invalid value: {text}")),
    }
}

/// Rule for an element of `routes.hosts`.
pub(super) fn route_host(value: &Value) -> Result<(), String> {
    host_match(value.as_str().unwrap_or_default()).map(drop)
}

/// What an element of `routes.hosts` asks of a request: `example.com`, `*.example.com`, `example.*`, each with or
/// without a port.
pub fn host_match(text: &str) -> Result<HostMatch, String> {
    let (host, port) = split_port(text)?;
    let host = host.to_ascii_lowercase();
    let name = match host.matches('*').count() {
        0 => HostName::Exact(host.clone()),
        1 => match (host.strip_prefix("*."), host.strip_suffix(".*")) {
            (Some(rest), _) => HostName::Suffix(format!(".{rest}")),
            (_, Some(rest)) => HostName::Prefix(format!("{rest}.")),
            _ => return Err("invalid wildcard: must be placed at leftmost or rightmost label".to_owned()),
        },
        _ => return Err("invalid wildcard: only one wildcard may be specified".to_owned()),
    };
    if !is_host(&host.replace('*', "any")) {
        return Err(format!("invalid value: {text}"));
    }
    Ok(HostMatch { name, port })
}

/// `host`, `host:80`, `[::1]`, `[::1]:80`; brackets stay.
pub(super) fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let invalid = || format!("invalid value: {text}");
    let end_of_host = match text.find(']') {
        Some(end) => end + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end_of_host);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        None => Err(invalid()),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().map(|port| (host, Some(port))).map_err(|_| invalid())
        }
        Some(_) => Err(invalid()),
    }
}

fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_host_is_a_name_with_at_most_one_wildcard_label() {
        let exact = |s: &str| HostName::Exact(s.to_owned());
        let rows = [
            ("Example.COM", Ok((exact("example.com"), None))),
            ("example.com:8443", Ok((exact("example.com"), Some(8443)))),
            ("*.a.com", Ok((HostName::Suffix(".a.com".into()), None))),
            ("a.*:80", Ok((HostName::Prefix("a.".into()), Some(80)))),
            ("10.0.0.1", Ok((exact("10.0.0.1"), None))),
            ("[::1]:80", Ok((exact("[::1]"), Some(80)))),
            ("a_b.local", Ok((exact("a_b.local"), None))),
            ("*", Err("invalid wildcard: must be placed at leftmost or rightmost label")),
            ("a.*.com", Err("invalid wildcard: must be placed at leftmost or rightmost label")),
            ("*a.com", Err("invalid wildcard: must be placed at leftmost or rightmost label")),
            ("*.a.*", Err("invalid wildcard: only one wildcard may be specified")),
            ("a b", Err("invalid value: a b")),
            ("a.com:99999", Err("invalid value: a.com:99999")),
            ("a.com:", Err("invalid value: a.com:")),
            ("", Err("invalid value: ")),
            ("a..b", Err("invalid value: a..b")),
            ("http://a", Err("invalid value: http://a")),
        ];
        for (text, expected) in rows {
            let expected = expected.map(|(name, port)| HostMatch { name, port }).map_err(str::to_owned);
            assert_eq!(host_match(text), expected, "{text}");
        }
    }

    #[test]
    fn a_service_host_has_no_port() {
        let rows = [
            ("a.com", Ok(())),
            ("::1", Ok(())),
            ("[::1]", Ok(())),
            ("127.0.0.1", Ok(())),
            ("a.com:80", Err("must not have a port")),
            ("[::1]:80", Err("must not have a port")),
            ("*.a.com", Err("invalid value: *.a.com")),
        ];
        for (text, expected) in rows {
            assert_eq!(service_host(&json!(text)), expected.map_err(str::to_owned), "{text}");
        }
    }
}
