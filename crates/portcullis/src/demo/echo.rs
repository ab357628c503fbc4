//! The demo's upstream: says what arrived.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};
use axum::{Router, routing::any};
use serde_json::{Map, Value, json};

/// Answers every request with its method, target and headers, as JSON.
pub(crate) fn app() -> Router {
    Router::new().fallback(any(echo))
}

/// Indented and ended by a line end: a person reads it in a terminal.
async fn echo(request: Request) -> ([(HeaderName, &'static str); 1], String) {
    let arrived = json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": headers(request.headers()),
    });
    ([(header::CONTENT_TYPE, "application/json")], format!("{arrived:#}\n"))
}

/// Each name once, its values joined as RFC 9110 section 5.3 allows, in alphabetical order.
fn headers(map: &HeaderMap) -> Map<String, Value> {
    let mut names: Vec<_> = map.keys().collect();
    names.sort_by_key(|name| name.as_str());
    let joined = |name| map.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect::<Vec<_>>();
    names.into_iter().map(|name| (name.to_string(), json!(joined(name).join(", ")))).collect()
}
