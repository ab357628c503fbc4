//! Kong's `request-termination`: answers requests itself, whole routes or single consumers. Bound to the anonymous
//! consumer it is the documented way to refuse callers whom no plugin could authenticate (kong.md 1.8).

use crate::Built;
use crate::{Context, Env, Flow, Plugin, Seen};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use portcullis_model::catalog::PluginFacts;
use portcullis_model::plan::Protocol;
use portcullis_model::problem::{Path, Problems};
use portcullis_model::schema::{Default, Field, Rule};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Name, order and schema. The lowest priority: every other plugin has had its say.
pub const FACTS: PluginFacts =
    PluginFacts { name: "request-termination", priority: 2, config: FIELDS, consumer_scope: true };

const FIELDS: &[Field] = &[
    Field::integer("status_code")
        .default(Default::Int(503))
        .example("403")
        .rules(&[Rule::Between(100.0, 599.0), Rule::Check(final_status)])
        .says("Status of the answer. 503 by default, since a closed door is most often a service under maintenance."),
    Field::string("message")
        .example("Not today")
        .says("Text of the answer `{\"message\": …}`; without it, the status in words. Not together with `body`."),
    Field::string("body").example("<h1>Closed</h1>").says("The answer's body as it is, instead of a message."),
    Field::string("content_type")
        .example("text/html")
        .rules(&[Rule::Check(header_value)])
        .says("Type of `body`; without it, `application/json; charset=utf-8`."),
    Field::boolean("echo").default(Default::Bool(false)).says(
        "Answers with what the gateway saw of the request, for debugging: scheme, host, method, path, query and \
         headers. Values that may be secrets are left out.",
    ),
    Field::string("trigger")
        .example("x-debug")
        .rules(&[Rule::Check(header_name)])
        .says("Name of a header or a query argument: only requests that carry it are answered, all others pass."),
];

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// In place of a value that may be a secret.
const LEFT_OUT: &str = "(left out)";
/// Parts of names whose values may be secrets.
const SECRETS: [&str; 12] = [
    "auth",
    "token",
    "cookie",
    "secret",
    "passw",
    "key",
    "dpop",
    "assertion",
    "credential",
    "session",
    "jwt",
    "signature",
];

/// What was written, completed by the schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    status_code: Option<u16>,
    message: Option<String>,
    body: Option<String>,
    content_type: Option<String>,
    echo: Option<bool>,
    trigger: Option<String>,
}

/// The plugin.
#[derive(Debug)]
struct Termination {
    status: StatusCode,
    content_type: HeaderValue,
    answer: Answer,
    /// Only requests that carry a header or an argument of this name.
    trigger: Option<Trigger>,
}

#[derive(Debug)]
enum Answer {
    Fixed(Bytes),
    /// The request's facts, under this message.
    Echo(String),
}

#[derive(Debug)]
struct Trigger {
    header: HeaderName,
    /// As it was written: arguments are told apart by case.
    argument: Box<str>,
}

impl Plugin for Termination {
    fn step(&self, seen: &Seen<'_>, _cx: &mut Context) -> Flow {
        if self.trigger.as_ref().is_some_and(|trigger| !trigger.is_pulled(seen)) {
            return Flow::Continue;
        }
        let body = match &self.answer {
            _ if matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Bytes::new(),
            Answer::Fixed(body) => body.clone(),
            Answer::Echo(message) => echo(message, seen).to_string().into(),
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = self.status;
        if !answer.body().is_empty() {
            answer.headers_mut().insert(CONTENT_TYPE, self.content_type.clone());
        }
        Flow::Answer(Box::new(answer))
    }
}

impl Trigger {
    fn is_pulled(&self, seen: &Seen<'_>) -> bool {
        let mut arguments = seen.query.into_iter().flat_map(|query| form_urlencoded::parse(query.as_bytes()));
        seen.headers.contains_key(&self.header) || arguments.any(|(name, _)| *name == *self.argument)
    }
}

/// What the gateway saw. A name that repeats gives a list.
fn echo(message: &str, seen: &Seen<'_>) -> Value {
    let mut headers = Map::new();
    for (name, value) in seen.headers {
        add(&mut headers, name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
    }
    let mut query = Map::new();
    for (name, value) in seen.query.into_iter().flat_map(|query| form_urlencoded::parse(query.as_bytes())) {
        add(&mut query, &name, &value);
    }
    let scheme = match seen.protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    };
    let host = headers.get("host").cloned();
    json!({
        "message": message,
        "request": {
            "scheme": scheme, "host": host, "method": seen.method.as_str(), "path": seen.raw_path, "query": query,
            "headers": headers,
        },
    })
}

fn add(to: &mut Map<String, Value>, name: &str, value: &str) {
    let value = Value::from(if may_be_secret(name, value) { LEFT_OUT } else { value });
    match to.get_mut(name) {
        None => drop(to.insert(name.to_owned(), value)),
        Some(Value::Array(list)) => list.push(value),
        Some(first) => *first = json!([first.take(), value]),
    }
}

/// By its name, or because it looks like a credential or an address that holds one (`Referer`).
fn may_be_secret(name: &str, value: &str) -> bool {
    let (name, value) = (name.to_ascii_lowercase(), value.to_ascii_lowercase());
    SECRETS.iter().any(|part| name.contains(part))
        || ["bearer ", "basic ", "dpop "].iter().any(|scheme| value.starts_with(scheme))
        || value.contains("token")
}

/// Fields that depend on each other. An empty text counts as none.
pub(crate) fn check(config: &Value) -> Problems {
    let has = |field: &str| config[field].as_str().is_some_and(|text| !text.is_empty());
    let mut problems = Problems::new();
    if has("message") && (has("body") || has("content_type")) {
        problems.error_hint(
            Path::root().key("message"),
            "message cannot be used with content_type or body",
            "write either a message, or a body with its content_type",
        );
    }
    if has("content_type") && !has("body") {
        problems.error_hint(
            Path::root().key("content_type"),
            "content_type requires a body",
            "write the body that it is the type of",
        );
    }
    problems
}

pub(crate) fn plugin(config: &Value, _env: &Env) -> Built {
    let refused = |field: &str, message: String| {
        let mut problems = Problems::new();
        problems.error(Path::root().key(field), message);
        problems
    };
    let written = Written::deserialize(config).map_err(|error| {
        let mut problems = Problems::new();
        problems.error(Path::root(), error.to_string());
        problems
    })?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let status = StatusCode::from_u16(written.status_code.unwrap_or(503))
        .map_err(|error| refused("status_code", error.to_string()))?;
    let content_type = match given(written.content_type) {
        Some(text) => HeaderValue::try_from(text).map_err(|error| refused("content_type", error.to_string()))?,
        None => JSON,
    };
    let message = given(written.message).unwrap_or_else(|| in_words(status));
    let echoes = written.echo.unwrap_or(false);
    let (answer, content_type) = match given(written.body) {
        _ if echoes => (Answer::Echo(message), JSON),
        Some(body) => (Answer::Fixed(body.into()), content_type),
        None => (Answer::Fixed(json!({"message": message}).to_string().into()), JSON),
    };
    let trigger = match given(written.trigger) {
        Some(name) => Some(Trigger {
            header: HeaderName::try_from(&name).map_err(|error| refused("trigger", error.to_string()))?,
            argument: name.into(),
        }),
        None => None,
    };
    Ok(Arc::new(Termination { status, content_type, answer, trigger }))
}

/// `Not Found` as a sentence: `Not found`.
fn in_words(status: StatusCode) -> String {
    let mut sentence = String::new();
    for word in status.canonical_reason().unwrap_or("Request terminated").split(' ') {
        if sentence.is_empty() {
            sentence.push_str(word);
        } else {
            sentence.push(' ');
            sentence.push_str(&if word.len() > 1 && word == word.to_uppercase() {
                word.into()
            } else {
                word.to_lowercase()
            });
        }
    }
    sentence
}

/// A 1xx announces an answer and is none; a client would go on waiting.
fn final_status(value: &Value) -> Result<(), String> {
    match value.as_u64() {
        Some(100..200) => Err("a status below 200 ends no request".into()),
        _ => Ok(()),
    }
}

fn header_name(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some("") | None => Ok(()),
        Some(name) => HeaderName::try_from(name).map(drop).map_err(|_| format!("'{name}' is not a header name")),
    }
}

fn header_value(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    HeaderValue::try_from(text).map(drop).map_err(|_| "holds a character that no header value may hold".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_in_words() {
        for (status, words) in [
            (401, "Unauthorized"),
            (404, "Not found"),
            (405, "Method not allowed"),
            (414, "URI too long"),
            (503, "Service unavailable"),
            (599, "Request terminated"),
        ] {
            assert_eq!(in_words(StatusCode::from_u16(status).unwrap()), words);
        }
    }

    #[test]
    fn fields_that_exclude_each_other() {
        let errors = |config: Value| check(&config).0.len();
        assert_eq!(errors(json!({"message": "a"})), 0);
        assert_eq!(errors(json!({"body": "a", "content_type": "text/plain"})), 0);
        assert_eq!(errors(json!({"message": "a", "body": ""})), 0);
        assert_eq!(errors(json!({"message": "a", "body": "b"})), 1);
        assert_eq!(errors(json!({"content_type": "text/plain"})), 1);
        assert_eq!(errors(json!({"message": "a", "content_type": "text/plain"})), 2);
    }

    #[test]
    fn a_status_that_ends_nothing_is_refused() {
        assert!(final_status(&json!(100)).is_err() && final_status(&json!(199)).is_err());
        assert!(final_status(&json!(200)).is_ok());
    }
}
