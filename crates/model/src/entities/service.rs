//! Services: where requests go.

use super::names::{CREATED_AT, ID, NAME_RULES, TAGS, UPDATED_AT};
use super::{Reference, Table, hosts, is_empty, paths};
use crate::check::MUST_BE_NULL;
use crate::plan::Protocol;
use crate::problem::{Path, Problems, Segment};
use crate::schema::{Default, Element, Field, Rule};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub const TABLE: Table = Table { name: "services", key: "name", fields: FIELDS, check };

/// Milliseconds, up to what fits Kong's integers.
const TIMEOUT: &[Rule] = &[Rule::Between(1.0, 2_147_483_646.0)];

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name").rules(NAME_RULES).says("Unique; routes and plugins may refer to it."),
    Field::integer("retries")
        .rules(&[Rule::Between(0.0, 32_767.0)])
        .default(Default::Int(5))
        .says("How often a request that the service certainly did not receive is sent again."),
    Field::string("protocol")
        .required()
        .rules(&[
            Rule::OneOf(&["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"]),
            Rule::Check(super::route::protocol_is_built),
        ])
        .default(Default::Str("http"))
        .example("https")
        .says("`http` or `https`."),
    Field::string("host")
        .required()
        .rules(&[Rule::MinLength(1), Rule::Check(hosts::service_host)])
        .example("api.internal")
        .says("Name or address, without a port."),
    Field::integer("port")
        .required()
        // Kong has 0 too, to which nothing can connect.
        .rules(&[Rule::Between(1.0, 65_535.0)])
        .default(Default::Int(80))
        .says("Port; 80 also for `https`, unless the service is written as `url`."),
    Field::string("path")
        .rules(&[Rule::Check(paths::service_path)])
        .example("/base")
        .says("Put before the path that is forwarded."),
    Field::integer("connect_timeout")
        .rules(TIMEOUT)
        .default(Default::Int(60_000))
        .says("Milliseconds until a connection must stand."),
    Field::integer("write_timeout")
        .rules(TIMEOUT)
        .default(Default::Int(60_000))
        .says("Milliseconds between two successful writes."),
    Field::integer("read_timeout")
        .rules(TIMEOUT)
        .default(Default::Int(60_000))
        .says("Milliseconds between two successful reads."),
    TAGS,
    Field::foreign("client_certificate", "certificates")
        .says("Certificate shown to the service when it asks; only with `https`, as the three below."),
    Field::boolean("tls_verify").says(
        "Whether the service's certificate is verified. It is where nothing is said, other than in Kong, whose default depends on a setting of the gateway that is off.",
    ),
    Field::integer("tls_verify_depth")
        .rules(&[Rule::Between(0.0, 64.0)])
        .says("How many certificates may stand between the service's and a trusted one; without it the limit of the TLS library."),
    Field::array("ca_certificates", Element::STRING.rules(&[Rule::Check(super::names::uuid)]))
        .example("[12d1d38f-9a48-4c83-8f3e-43f4fbb5f6c6]")
        .says("Ids of the `ca_certificates` that are trusted instead of the bundled ones."),
    Field::boolean("enabled").default(Default::Bool(true)).says("The routes of a disabled service do not match."),
    Field::set("tls_sans", Element::STRING).ignored("tls_sans has no effect").says("Known, without effect."),
];

/// A service that has passed its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub id: Uuid,
    pub name: Option<String>,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub retries: u16,
    pub protocol: Protocol,
    pub host: String,
    pub port: u16,
    pub path: Option<String>,
    /// Milliseconds, as the two below.
    pub connect_timeout: u64,
    pub write_timeout: u64,
    pub read_timeout: u64,
    pub client_certificate: Option<Reference>,
    pub tls_verify: Option<bool>,
    pub tls_verify_depth: Option<u8>,
    pub ca_certificates: Option<Vec<Uuid>>,
    pub enabled: bool,
    pub tags: Option<Vec<String>>,
}

/// What is said about TLS is said of a service that speaks it.
fn check(service: &Map<String, Value>, path: &Path, problems: &mut Problems) {
    if service.get("protocol").is_some_and(|protocol| protocol == "https") {
        return;
    }
    for field in ["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"] {
        if !is_empty(service.get(field)) {
            problems.error_hint(
                path.key(field),
                MUST_BE_NULL,
                "only with protocol: https; write that, or leave it out",
            );
        }
    }
}

/// Replaces the write-only `url` by the fields it stands for; it overrides those that are written beside it. Says
/// whether there was one, for [`blame_url`].
pub fn expand_url(service: &mut Map<String, Value>, path: &Path, problems: &mut Problems) -> bool {
    let Some(url) = service.shift_remove("url").filter(|url| !url.is_null()) else { return false };
    let parts = url.as_str().ok_or("expected a string".to_owned()).and_then(split_url);
    match parts {
        Ok(parts) => service.extend(parts),
        Err(message) => {
            let hint = "write for example url: http://api.internal:8080/base";
            problems.error_hint(path.key("url"), message, hint);
            // What the address would have given is unknown, not missing.
            service.extend([("host".to_owned(), Value::from("unknown"))]);
        }
    }
    true
}

/// Moves problems of the fields that came from `url` to where they were written.
pub fn blame_url(path: &Path, problems: &mut Problems, since: usize) {
    for problem in problems.0.iter_mut().skip(since) {
        let came_from_url = match problem.path.0.strip_prefix(path.0.as_slice()) {
            Some([Segment::Key(key)]) => ["protocol", "host", "port", "path"].contains(&key.as_str()),
            _ => false,
        };
        if came_from_url {
            problem.path = path.key("url");
        }
    }
}

fn split_url(url: &str) -> Result<[(String, Value); 4], String> {
    let (scheme, rest) = url.split_once("://").ok_or("missing scheme in url")?;
    if scheme.is_empty() {
        return Err("missing scheme in url".to_owned());
    }
    if url.contains(['?', '#']) {
        return Err("a service has no query and no fragment".to_owned());
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("a service has no user and password in its url".to_owned());
    }
    let (host, port) = hosts::split_port(authority)?;
    if host.is_empty() {
        return Err("missing host in url".to_owned());
    }
    let port = port.unwrap_or(if scheme == "https" { 443 } else { 80 });
    let path = if path.is_empty() { Value::Null } else { Value::from(path) };
    let parts = [("protocol", Value::from(scheme)), ("host", host.into()), ("port", port.into()), ("path", path)];
    Ok(parts.map(|(name, value)| (name.to_owned(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn url_stands_for_four_fields() {
        let parts = |protocol: &str, host: &str, port: u16, path: Value| {
            Ok(json!({"protocol": protocol, "host": host, "port": port, "path": path}))
        };
        let rows = [
            ("http://a.com", parts("http", "a.com", 80, Value::Null)),
            ("https://a.com/", parts("https", "a.com", 443, json!("/"))),
            ("https://a.com:8443/v1", parts("https", "a.com", 8443, json!("/v1"))),
            ("http://[::1]:9/x", parts("http", "[::1]", 9, json!("/x"))),
            ("a.com", Err("missing scheme in url")),
            ("http://", Err("missing host in url")),
            ("http:///x", Err("missing host in url")),
            ("http://a.com/?q", Err("a service has no query and no fragment")),
            ("http://u:p@a.com", Err("a service has no user and password in its url")),
        ];
        for (url, expected) in rows {
            let found = split_url(url).map(|parts| Value::Object(parts.into_iter().collect()));
            assert_eq!(found, expected.map_err(str::to_owned), "{url}");
        }
    }
}
