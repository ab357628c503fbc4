//! Upstreams: several targets under one name, which services use as their host.

use super::health::{self, HealthChecks};
use super::names::{CREATED_AT, ID, TAGS, UPDATED_AT};
use super::{Reference, Table, hosts, is_empty, paths};
use crate::check::REQUIRED;
use crate::problem::{Path, Problems};
use crate::schema::{Default, Field, Rule};
use http::HeaderName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub const TABLE: Table = Table { name: "upstreams", key: "name", fields: FIELDS, check };

/// Kong's list, in Kong's order; what is not built is refused by the rule after it.
const HASHED: &[Rule] = &[
    Rule::OneOf(&["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"]),
    Rule::Check(hash_is_built),
];
const HEADER: &[Rule] = &[Rule::Check(header_name)];
const COOKIE: &[Rule] = &[Rule::Check(cookie_name)];
const NOT_EMPTY: &[Rule] = &[Rule::MinLength(1)];
const URI_CAPTURE: &str = "hashing on uri_capture is not built yet";

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name")
        .required()
        .rules(&[Rule::MinLength(1), Rule::Check(hosts::upstream_name)])
        .example("orders.upstream")
        .says("Unique; a service whose `host` is this name sends its requests to the targets."),
    Field::string("algorithm")
        .rules(&[
            Rule::OneOf(&["consistent-hashing", "least-connections", "round-robin", "latency", "sticky-sessions"]),
            Rule::Check(algorithm_is_built),
        ])
        .default(Default::Str("round-robin"))
        .example("least-connections")
        .says("`round-robin`, `least-connections` or `consistent-hashing`; a `hash_on` other than `none` makes it the last."),
    Field::string("hash_on")
        .rules(HASHED)
        .default(Default::Str("none"))
        .example("ip")
        .says("What of a request is hashed: `none`, `consumer`, `ip`, `header`, `cookie`, `path` or `query_arg`."),
    Field::string("hash_fallback")
        .rules(HASHED)
        .default(Default::Str("none"))
        .example("ip")
        .says("What is hashed of a request that has nothing of the first kind; `none`: round-robin."),
    Field::string("hash_on_header").rules(HEADER).example("x-session").says("Header of `hash_on: header`."),
    Field::string("hash_fallback_header").rules(HEADER).example("x-user").says("Header of `hash_fallback: header`."),
    Field::string("hash_on_cookie")
        .rules(COOKIE)
        .example("target")
        .says("Cookie of `cookie`, as `hash_on` or as `hash_fallback`; set on the answer when the client has none."),
    Field::string("hash_on_cookie_path")
        .rules(&[Rule::Check(paths::service_path)])
        .default(Default::Str("/"))
        .says("Path of that cookie."),
    Field::string("hash_on_query_arg").rules(NOT_EMPTY).example("user").says("Argument of `hash_on: query_arg`."),
    Field::string("hash_fallback_query_arg")
        .rules(NOT_EMPTY)
        .example("user")
        .says("Argument of `hash_fallback: query_arg`."),
    Field::string("hash_on_uri_capture").not_built(URI_CAPTURE).says("Name of a capture of the route's path."),
    Field::string("hash_fallback_uri_capture").not_built(URI_CAPTURE).says("Name of a capture of the route's path."),
    Field::string("sticky_sessions_cookie")
        .not_built("sticky sessions are not built; hash_on: cookie keeps a client at its target")
        .says("Cookie of the algorithm `sticky-sessions`."),
    Field::string("sticky_sessions_cookie_path")
        .default(Default::Str("/"))
        .ignored("sticky_sessions_cookie_path has no effect")
        .says("Path of that cookie."),
    Field::integer("slots")
        .rules(&[Rule::Between(10.0, 65_536.0)])
        .default(Default::Int(10_000))
        .says("Places on the ring of `consistent-hashing`; about 100 for each target spread requests evenly."),
    Field::record("healthchecks", health::FIELDS).says("How it is found out which targets can take requests."),
    TAGS,
    Field::string("host_header")
        .rules(&[Rule::Check(hosts::host_header)])
        .example("orders.internal")
        .says("Host that is sent to targets, rather than the service's; with `preserve_host` of a route, the client's."),
    Field::foreign("client_certificate", "certificates")
        .says("Certificate shown to targets, where the service has none of its own."),
    Field::boolean("use_srv_name")
        .default(Default::Bool(false))
        .not_built("SRV records are not read")
        .says("Whether the host that is sent is the name of an SRV record."),
];

/// An upstream that has passed its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    pub id: Uuid,
    pub name: String,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub algorithm: Algorithm,
    pub hash_on: HashInput,
    pub hash_fallback: HashInput,
    pub hash_on_header: Option<String>,
    pub hash_fallback_header: Option<String>,
    pub hash_on_cookie: Option<String>,
    pub hash_on_cookie_path: String,
    pub hash_on_query_arg: Option<String>,
    pub hash_fallback_query_arg: Option<String>,
    pub slots: u32,
    pub healthchecks: HealthChecks,
    pub host_header: Option<String>,
    pub client_certificate: Option<Reference>,
    pub tags: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    RoundRobin,
    LeastConnections,
    ConsistentHashing,
}

/// What of a request is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashInput {
    None,
    Consumer,
    Ip,
    Header,
    Cookie,
    Path,
    QueryArg,
}

/// Asking for a hash is asking for the algorithm that hashes, whatever is written beside it.
pub(crate) fn settle_algorithm(fields: &mut Map<String, Value>) {
    if fields.get("hash_on").and_then(Value::as_str).is_some_and(|on| on != "none") {
        fields.insert("algorithm".to_owned(), "consistent-hashing".into());
    }
}

fn check(upstream: &Map<String, Value>, path: &Path, problems: &mut Problems) {
    hash_has_its_name(upstream, path, problems);
    hash_and_fallback_differ(upstream, path, problems);
    health::check(upstream.get("healthchecks").unwrap_or(&Value::Null), &path.key("healthchecks"), problems);
}

fn hash_has_its_name(upstream: &Map<String, Value>, path: &Path, problems: &mut Problems) {
    let rows = [
        ("hash_on", "header", "hash_on_header"),
        ("hash_on", "cookie", "hash_on_cookie"),
        ("hash_on", "query_arg", "hash_on_query_arg"),
        ("hash_fallback", "header", "hash_fallback_header"),
        ("hash_fallback", "cookie", "hash_on_cookie"),
        ("hash_fallback", "query_arg", "hash_fallback_query_arg"),
    ];
    for (by, what, name) in rows {
        if upstream.get(by).is_some_and(|value| value == what) && is_empty(upstream.get(name)) {
            problems.error_hint(path.key(name), REQUIRED, format!("{by}: {what} needs its name"));
        }
    }
}

fn hash_and_fallback_differ(upstream: &Map<String, Value>, path: &Path, problems: &mut Problems) {
    let text = |field| upstream.get(field).and_then(Value::as_str).unwrap_or("none");
    let path = |field| path.key(field);
    match (text("hash_on"), text("hash_fallback")) {
        (_, "none") => {}
        ("none", _) => {
            problems.error_hint(
                path("hash_fallback"),
                "expected one of: none",
                "hash_on is none: name what comes first",
            );
        }
        ("cookie", _) => {
            let hint = "a client without the cookie is given one, so nothing is left for a fallback";
            problems.error_hint(path("hash_fallback"), "expected one of: none", hint);
        }
        (on @ ("header" | "query_arg"), fallback) if on == fallback => {
            let fields = [format!("hash_on_{on}"), format!("hash_fallback_{on}")];
            let [one, other] = fields.each_ref().map(|field| upstream.get(field).and_then(Value::as_str));
            let same =
                |one: &str, other: &str| if on == "header" { one.eq_ignore_ascii_case(other) } else { one == other };
            if one.zip(other).is_some_and(|(one, other)| same(one, other)) {
                let message = format!("values of these fields must be distinct: '{}', '{}'", fields[0], fields[1]);
                problems.error_hint(
                    path(&fields[1]),
                    message,
                    format!("name another {on}, or leave hash_fallback out"),
                );
            }
        }
        (on, fallback) if on == fallback => {
            let hint = format!("hash_on is {on} already; name something else, or leave it out");
            problems.error_hint(path("hash_fallback"), "must not be the same as hash_on", hint);
        }
        _ => {}
    }
}

fn algorithm_is_built(value: &Value) -> Result<(), String> {
    match value.as_str().unwrap_or_default() {
        "latency" => Err("latency is not built yet; use least-connections".to_owned()),
        "sticky-sessions" => Err("sticky-sessions is not built; use hash_on: cookie".to_owned()),
        _ => Ok(()),
    }
}

fn hash_is_built(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some("uri_capture") => Err("uri_capture is not built yet; use path".to_owned()),
        _ => Ok(()),
    }
}

fn header_name(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    HeaderName::try_from(text).map(drop).map_err(|_| format!("bad header name '{text}'"))
}

/// A token of RFC 9110, as a header's name is.
fn cookie_name(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    HeaderName::try_from(text).map(drop).map_err(|_| format!("bad cookie name '{text}'"))
}
