//! Targets: places that take an upstream's requests.

use super::names::{ID, TAGS};
use super::{Reference, Table, hosts, nothing_more};
use crate::schema::{Default, Field, Rule};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::Ipv6Addr;
use uuid::Uuid;

pub const TABLE: Table = Table { name: "targets", key: "id", fields: FIELDS, check: nothing_more };

/// Kong's, for a target that is written without a port.
const PORT: u16 = 8000;

const FIELDS: &[Field] = &[
    ID,
    Field::number("created_at").says("Seconds since 1970, with milliseconds."),
    Field::number("updated_at").says("Seconds since 1970, with milliseconds."),
    Field::foreign("upstream", "upstreams").required().says("Whose requests it takes."),
    Field::string("target")
        .required()
        .rules(&[Rule::Check(is_target)])
        .example("\"10.0.0.1:8080\"")
        .says("Name or address, and port; 8000 without one. Unique in its upstream."),
    Field::integer("weight")
        .rules(&[Rule::Between(0.0, 65_535.0)])
        .default(Default::Int(100))
        .says("Share of the requests among the weights of all targets; 0: none."),
    TAGS,
    Field::boolean("failover").ignored("failover has no effect").says("Known, without effect."),
];

/// A target that has passed its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub id: Uuid,
    pub created_at: Option<f64>,
    pub updated_at: Option<f64>,
    pub upstream: Reference,
    /// With its port.
    pub target: String,
    pub weight: u16,
    pub tags: Option<Vec<String>>,
}

/// Appends the port to a target that was written without one, as Kong stores it.
pub(crate) fn append_port(fields: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = fields.get_mut("target") {
        if text.parse::<Ipv6Addr>().is_ok() {
            *text = format!("[{text}]:{PORT}");
        } else if let Ok((host, None)) = hosts::split_port(text)
            && !host.is_empty()
        {
            *text = format!("{host}:{PORT}");
        }
    }
}

/// Host without brackets, and port.
pub(crate) fn address(text: &str) -> Result<(String, u16), String> {
    let (host, port) = hosts::split_port(text)?;
    hosts::service_host(&Value::from(host))?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match port {
        Some(0) => Err("port 0 cannot be connected to".to_owned()),
        port => Ok((bare.unwrap_or(host).to_owned(), port.unwrap_or(PORT))),
    }
}

fn is_target(value: &Value) -> Result<(), String> {
    address(value.as_str().unwrap_or_default()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_has_a_port() {
        let rows = [
            ("a.com", "a.com:8000", Ok(("a.com", 8000))),
            ("a.com:80", "a.com:80", Ok(("a.com", 80))),
            ("10.0.0.1", "10.0.0.1:8000", Ok(("10.0.0.1", 8000))),
            ("::1", "[::1]:8000", Ok(("::1", 8000))),
            ("[::1]", "[::1]:8000", Ok(("::1", 8000))),
            ("[::1]:1", "[::1]:1", Ok(("::1", 1))),
            ("a.com:0", "a.com:0", Err("port 0 cannot be connected to")),
            ("a.com:", "a.com:", Err("invalid value: a.com:")),
            ("a.com:70000", "a.com:70000", Err("invalid value: a.com:70000")),
            ("*.a.com", "*.a.com:8000", Err("invalid value: *.a.com")),
            ("", "", Err("invalid value: ")),
            ("http://a", "http://a", Err("invalid value: http://a")),
        ];
        for (text, normal, expected) in rows {
            let mut fields = Map::from_iter([("target".to_owned(), json!(text))]);
            append_port(&mut fields);
            assert_eq!(fields["target"], normal, "{text}");
            let expected = expected.map(|(host, port)| (host.to_owned(), port)).map_err(str::to_owned);
            assert_eq!(address(normal), expected, "{text}");
        }
    }
}
