//! Health checks of upstreams.

use super::{is_empty, paths};
use crate::problem::{Path, Problems};
use crate::schema::{Default, Element, Field, Rule};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const COUNT: &[Rule] = &[Rule::Between(0.0, 255.0)];
const SECONDS: &[Rule] = &[Rule::Between(0.0, 65_535.0)];
const STATUS: Element = Element::INTEGER.rules(&[Rule::Between(100.0, 999.0)]);
const KIND: &[Rule] = &[Rule::OneOf(&["tcp", "http", "https", "grpc", "grpcs"]), Rule::Check(kind_is_built)];

pub(super) const FIELDS: &[Field] = &[
    Field::record("active", ACTIVE).says("Requests of our own, at intervals."),
    Field::record("passive", PASSIVE).says("What the requests of clients show."),
    Field::integer("threshold")
        .rules(&[Rule::Between(0.0, 100.0)])
        .default(Default::Int(0))
        .says("Percentage of the weight that must be healthy, or no target gets requests; 0: any is enough."),
];

const ACTIVE: &[Field] = &[
    Field::string("type")
        .rules(KIND)
        .default(Default::Str("http"))
        .says("`tcp`: to a connection; `http` and `https`: to the status of an answer."),
    Field::number("timeout").rules(SECONDS).default(Default::Int(1)).says("Seconds that a check may take."),
    Field::integer("concurrency")
        .rules(&[Rule::Between(1.0, 2_147_483_648.0)])
        .default(Default::Int(10))
        .says("Checks at the same time."),
    Field::string("http_path")
        .rules(&[Rule::Check(check_path)])
        .default(Default::Str("/"))
        .says("What is asked for, by GET."),
    Field::boolean("https_verify_certificate")
        .required()
        .default(Default::Bool(true))
        .says("Whether a target's certificate is verified by checks of type `https`."),
    Field::string("https_sni")
        .rules(&[Rule::Check(super::hosts::server_name)])
        .example("orders.internal")
        .says("Server name of checks of type `https`; without one the target's own."),
    Field::map_of_arrays("headers")
        .rules(&[Rule::Check(headers)])
        .example("{x-check: [portcullis]}")
        .says("Headers of checks."),
    Field::record("healthy", ACTIVE_HEALTHY).says("Of targets that are healthy, and what makes one so."),
    Field::record("unhealthy", ACTIVE_UNHEALTHY).says("Of targets that are not, and what makes one so."),
];

const INTERVAL: Field = Field::number("interval").rules(SECONDS).default(Default::Int(0));

const ACTIVE_HEALTHY: &[Field] = &[
    INTERVAL.says("Seconds between checks of a healthy target; 0: none."),
    Field::set("http_statuses", STATUS)
        .default(Default::Ints(&[200, 302]))
        .example("[200, 302]")
        .says("Statuses that count as success."),
    SUCCESSES,
];

const ACTIVE_UNHEALTHY: &[Field] = &[
    INTERVAL.says("Seconds between checks of an unhealthy target; 0: none."),
    Field::set("http_statuses", STATUS)
        .default(Default::Ints(&[429, 404, 500, 501, 502, 503, 504, 505]))
        .example("[500, 503]")
        .says("Statuses that count as failure."),
    TCP_FAILURES,
    TIMEOUTS,
    HTTP_FAILURES,
];

const PASSIVE: &[Field] = &[
    Field::string("type")
        .rules(KIND)
        .default(Default::Str("http"))
        .says("`tcp`: connections alone are counted; `http` and `https`: statuses too."),
    Field::record("healthy", PASSIVE_HEALTHY).says("What makes a target healthy."),
    Field::record("unhealthy", PASSIVE_UNHEALTHY).says("What makes a target unhealthy."),
];

const PASSIVE_HEALTHY: &[Field] = &[
    Field::set("http_statuses", STATUS)
        .default(Default::Ints(&[
            200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308,
        ]))
        .example("[200, 204]")
        .says("Statuses that count as success."),
    SUCCESSES,
];

const PASSIVE_UNHEALTHY: &[Field] = &[
    Field::set("http_statuses", STATUS)
        .default(Default::Ints(&[429, 500, 503]))
        .example("[500, 503]")
        .says("Statuses that count as failure."),
    TCP_FAILURES,
    TIMEOUTS,
    HTTP_FAILURES,
];

const SUCCESSES: Field = count("successes").says("Successes in a row that make a target healthy; 0: they never do.");
const TCP_FAILURES: Field =
    count("tcp_failures").says("Failed connections in a row that make a target unhealthy; 0: they never do.");
const TIMEOUTS: Field = count("timeouts").says("Timeouts in a row that make a target unhealthy; 0: they never do.");
const HTTP_FAILURES: Field =
    count("http_failures").says("Failures in a row, by status, that make a target unhealthy; 0: they never do.");

const fn count(name: &'static str) -> Field {
    Field::integer(name).rules(COUNT).default(Default::Int(0))
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthChecks {
    pub active: Active,
    pub passive: Passive,
    pub threshold: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Active {
    #[serde(rename = "type")]
    pub kind: CheckKind,
    /// Seconds, as the intervals.
    pub timeout: f64,
    pub concurrency: u32,
    pub http_path: String,
    pub https_verify_certificate: bool,
    pub https_sni: Option<String>,
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    pub healthy: Healthy,
    pub unhealthy: Unhealthy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passive {
    #[serde(rename = "type")]
    pub kind: CheckKind,
    pub healthy: Healthy,
    pub unhealthy: Unhealthy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Healthy {
    /// Of active checks alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
    pub http_statuses: Vec<u16>,
    pub successes: u8,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unhealthy {
    /// Of active checks alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<f64>,
    pub http_statuses: Vec<u16>,
    pub tcp_failures: u8,
    pub timeouts: u8,
    pub http_failures: u8,
}

pub use crate::plan::CheckKind;

/// Refuses health checks that contradict themselves, and warns of those that can do nothing.
pub(super) fn check(checks: &Value, path: &Path, problems: &mut Problems) {
    for side in ["active", "passive"] {
        statuses_are_one_thing(&checks[side], &path.key(side), problems);
    }
    intervals_lead_somewhere(&checks["active"], &path.key("active"), problems);
}

fn statuses_are_one_thing(side: &Value, path: &Path, problems: &mut Problems) {
    let statuses = |of: &str| side[of]["http_statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let healthy = statuses("healthy");
    if let Some(both) = statuses("unhealthy").iter().find(|status| healthy.contains(status)) {
        let message = format!("{both} stands among the healthy statuses too");
        let hint = "a status is a success or a failure: take it out of one of the lists; both have defaults";
        problems.error_hint(path.key("unhealthy").key("http_statuses"), message, hint);
    }
}

fn intervals_lead_somewhere(active: &Value, path: &Path, problems: &mut Problems) {
    let above_zero = |of: &str, field: &str| active[of][field].as_f64().is_some_and(|n| n > 0.0);
    let asks = |of| above_zero(of, "interval");
    let fails = ["tcp_failures", "timeouts", "http_failures"].into_iter().find(|count| above_zero("unhealthy", count));
    let (healthy, unhealthy) = (path.key("healthy"), path.key("unhealthy"));
    match (asks("healthy"), fails) {
        (true, None) => problems.warn(
            healthy.key("interval"),
            "healthy targets are checked, but nothing makes one unhealthy: all counts of active.unhealthy are 0",
        ),
        (false, Some(count)) => problems.warn(
            unhealthy.key(count),
            "has no effect: healthy targets are not checked, since active.healthy.interval is 0",
        ),
        _ => {}
    }
    match (asks("unhealthy"), above_zero("healthy", "successes")) {
        (true, false) => problems.warn(
            unhealthy.key("interval"),
            "unhealthy targets are checked, but nothing makes one healthy: active.healthy.successes is 0",
        ),
        (false, true) => problems.warn(
            healthy.key("successes"),
            "has no effect: unhealthy targets are not checked, since active.unhealthy.interval is 0",
        ),
        _ => {}
    }
}

fn kind_is_built(value: &Value) -> Result<(), String> {
    match value.as_str().unwrap_or_default() {
        grpc @ ("grpc" | "grpcs") => Err(format!("health checks of type {grpc} are not built yet; use http or tcp")),
        _ => Ok(()),
    }
}

/// A path, with or without a query.
fn check_path(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    paths::service_path(&Value::from(path))?;
    let visible = query.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if visible { Ok(()) } else { Err(format!("invalid path: '{text}'")) }
}

fn headers(value: &Value) -> Result<(), String> {
    for (name, values) in value.as_object().into_iter().flatten() {
        HeaderName::try_from(name).map_err(|_| format!("bad header name '{name}'"))?;
        if is_empty(Some(values)) {
            return Err(format!("header '{name}': length must be at least 1"));
        }
        for text in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
            HeaderValue::try_from(text).map_err(|_| format!("header '{name}' has a value that no header can have"))?;
        }
    }
    Ok(())
}
