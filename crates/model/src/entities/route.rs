//! Routes: which requests go to a service.

use super::names::{CREATED_AT, ID, NAME_RULES, TAGS, UPDATED_AT};
use super::{Reference, Table, hosts, is_empty, paths};
use crate::problem::{Path, Problems};
use crate::schema::{Default, Element, Field, Rule};
use http::HeaderName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

pub const TABLE: Table = Table { name: "routes", key: "name", fields: FIELDS, check };

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("name").rules(NAME_RULES).says("Unique; plugins may refer to it."),
    Field::set(
        "protocols",
        Element::STRING.rules(&[
            Rule::OneOf(&["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"]),
            Rule::Check(protocol_is_built),
        ]),
    )
    .required()
    .rules(&[Rule::MinLength(1)])
    .default(Default::Strs(&["http", "https"]))
    .example("[http, https]")
    .says("`http` and `https`; a plain request to a route of `https` alone is sent to TLS."),
    Field::set("methods", Element::STRING.rules(&[Rule::Check(method)]))
        .example("[GET, POST]")
        .says("Methods, in upper case."),
    Field::set("hosts", Element::STRING.rules(&[Rule::Check(hosts::route_host)]))
        .example("[api.example.com]")
        .says("Hosts, each with at most one `*` as its first or last label, with or without a port."),
    Field::set("paths", Element::STRING.rules(&[Rule::Check(paths::route_path)]))
        .example("[/api]")
        .says("Prefixes of the normalised path (`/foo`), or regular expressions anchored at its start (`~/foo/\\d+`)."),
    Field::map_of_arrays("headers")
        .example("{x-version: [v1, v2]}")
        .rules(&[Rule::Check(headers)])
        .says("Per header name the values it may have; a single value that begins with `~*` is a regular expression."),
    Field::set("snis", Element::STRING.rules(&[Rule::Check(hosts::server_name)]))
        .example("[api.example.com]")
        .says("TLS server names; of TLS connections alone, a plain request is not asked for one."),
    Field::set("sources", Element::STRING)
        .not_built("cannot set 'sources' when 'protocols' is 'http' or 'https'")
        .says("Of stream routes alone."),
    Field::set("destinations", Element::STRING)
        .not_built("cannot set 'destinations' when 'protocols' is 'http' or 'https'")
        .says("Of stream routes alone."),
    Field::integer("https_redirect_status_code")
        .required()
        .rules(&[Rule::Check(redirect_status)])
        .default(Default::Int(426))
        .example("308")
        .says("Answer to a plain request that must come by TLS: 426, or a redirect by 301, 302, 307 or 308."),
    Field::integer("regex_priority")
        .default(Default::Int(0))
        .says("Among routes whose regular expressions match, the higher one wins."),
    Field::boolean("strip_path")
        .required()
        .default(Default::Bool(true))
        .says("Whether the matched prefix is cut off before the request goes on."),
    Field::string("path_handling")
        .rules(&[Rule::OneOf(&["v0", "v1"])])
        .default(Default::Str("v0"))
        .ignored("path_handling v1 is not built; v0 is used")
        .says("How the path upstream is put together."),
    Field::boolean("preserve_host")
        .required()
        .default(Default::Bool(false))
        .says("Whether the client's host goes upstream, rather than the service's."),
    Field::boolean("request_buffering")
        .required()
        .default(Default::Bool(true))
        .says("Whether a request's body is read before the service is asked, as far as it has at most 16 KiB and says so; a longer one, and one in chunks, is passed on as it comes."),
    Field::boolean("response_buffering")
        .required()
        .default(Default::Bool(true))
        .says("Known; answers are passed on as they come with either value, through buffers of a fixed size."),
    TAGS,
    Field::foreign("service", "services").says("Where requests go; without one they are answered with 503."),
];

/// A route that has passed its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub id: Uuid,
    pub name: Option<String>,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub protocols: Vec<String>,
    pub methods: Option<Vec<String>>,
    pub hosts: Option<Vec<String>>,
    pub paths: Option<Vec<String>>,
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    pub snis: Option<Vec<String>>,
    pub https_redirect_status_code: u16,
    pub regex_priority: i64,
    pub strip_path: bool,
    pub preserve_host: bool,
    pub request_buffering: bool,
    pub response_buffering: bool,
    pub service: Option<Reference>,
    pub tags: Option<Vec<String>>,
    /// Its place among the routes of a file: of two without `created_at`, the earlier counts as older. 0 where an
    /// order of writing is not known.
    #[serde(default)]
    pub ordinal: usize,
}

fn check(route: &Map<String, Value>, path: &Path, problems: &mut Problems) {
    let protocols = route.get("protocols").and_then(Value::as_array);
    let https = protocols.is_some_and(|list| list.iter().any(|protocol| protocol == "https"));
    let has_snis = !is_empty(route.get("snis"));
    if has_snis && !https {
        let message = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'";
        problems.error_hint(path.key("snis"), message, "add https to the route's protocols, or leave snis out");
    } else if !has_snis && ["methods", "hosts", "headers", "paths"].iter().all(|field| is_empty(route.get(*field))) {
        let message = if https {
            "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'"
        } else {
            "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'"
        };
        problems.error_hint(path.clone(), message, "write for example paths: [/api]");
    }
}

/// Rule for protocols of routes and services that are Kong's but not ours.
pub(super) fn protocol_is_built(value: &Value) -> Result<(), String> {
    match value.as_str().unwrap_or_default() {
        "http" | "https" => Ok(()),
        grpc @ ("grpc" | "grpcs") => Err(format!("{grpc} is not supported yet; use http or https")),
        stream => Err(format!("{stream} is not supported: only HTTP is; use http or https")),
    }
}

fn method(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase());
    if valid { Ok(()) } else { Err(format!("invalid value: {text}")) }
}

fn redirect_status(value: &Value) -> Result<(), String> {
    let valid = value.as_u64().is_some_and(|code| [426, 301, 302, 307, 308].contains(&code));
    if valid { Ok(()) } else { Err("expected one of: 426, 301, 302, 307, 308".to_owned()) }
}

fn headers(value: &Value) -> Result<(), String> {
    let mut seen = std::collections::HashSet::new();
    for (name, values) in value.as_object().into_iter().flatten() {
        if name.eq_ignore_ascii_case("host") {
            return Err("cannot contain 'host' header, which must be specified in the 'hosts' attribute".to_owned());
        }
        HeaderName::try_from(name)
            .map_err(|_| format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"))?;
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(format!("header '{name}' stands twice"));
        }
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        match values {
            [] => return Err(format!("header '{name}': length must be at least 1")),
            [one] => {
                if let Some(pattern) = one.as_str().and_then(|text| text.strip_prefix("~*")) {
                    paths::compiles(pattern).map_err(|message| format!("header '{name}': {message}"))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
