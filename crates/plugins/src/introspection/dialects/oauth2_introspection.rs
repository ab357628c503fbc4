//! Kong's `oauth2-introspection`, first and current generation (kong.md section 1).

use crate::Built;
use crate::Env;
use crate::fold::fold;
use crate::introspection::consumer::ConsumerBy;
use crate::introspection::propagate::{Propagation, claim_header};
use crate::introspection::source::Sources;
use crate::introspection::{Introspection, Parts};
use http::{HeaderName, HeaderValue};
use portcullis_introspection::{ClientAuth, Config as Profile, is_reserved_header};
use portcullis_model::catalog::PluginFacts;
use portcullis_model::problem::{Path, Problems};
use portcullis_model::schema::{Default, Element, Field, Rule};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Name, order and schema (kong.md 1.1, 1.2).
pub const FACTS: PluginFacts =
    PluginFacts { name: "oauth2-introspection", priority: 1700, config: FIELDS, consumer_scope: false };

const FIELDS: &[Field] = &[
    Field::string("introspection_url")
        .required()
        .example("https://as.example.com/introspect")
        .rules(&[Rule::Check(url_rule)])
        .says(
            "Full URL of the authorization server's introspection endpoint (RFC 7662); a query string is allowed. \
         `http://` is accepted with one warning, since tokens and credentials then travel in clear.",
        ),
    Field::string("authorization_value")
        .required()
        .example("Basic Z2F0ZXdheTpzZWNyZXQ=")
        .secret()
        .rules(&[Rule::Check(header_value_rule)])
        .says(
            "Value of the `Authorization` header of the introspection call, sent byte for byte, scheme included: \
         `Basic …` or `Bearer …`.",
        ),
    Field::string("token_type_hint").says(
        "Form parameter `token_type_hint`; left out when unset, since some servers fail on hints they do not know.",
    ),
    Field::number("ttl").default(Default::Int(60)).example("30").rules(&[Rule::Check(not_negative)]).says(
        "Seconds for which an answer is used, fractions allowed; `exp` ends it earlier. 0 means no time limit of its \
         own: until `exp`, or without one until `cache.max_lifetime`. The default bounds how long a revoked token \
         still passes to one minute.",
    ),
    Field::boolean("hide_credentials")
        .default(Default::Bool(false))
        .says("Removes the token from the place that carried it before the request goes to the upstream."),
    Field::integer("timeout").default(Default::Int(10_000)).rules(&[Rule::Between(1.0, 2_147_483_646.0)]).says(
        "Milliseconds that a request waits for the authorization server, in all: connecting, queueing and the answer.",
    ),
    Field::integer("keepalive")
        .default(Default::Int(60_000))
        .rules(&[Rule::Between(0.0, 2_147_483_646.0)])
        .says("Milliseconds after which an idle connection to the introspection endpoint is closed."),
    Field::string("anonymous").default(Default::Str("")).says(
        "Consumer (id or username, never custom_id) that takes over when authentication fails; empty means that the \
         request is refused. Never used when the token was sent twice or the authorization server is at fault.",
    ),
    Field::boolean("run_on_preflight").default(Default::Bool(true)).says(
        "Whether `OPTIONS` requests are authenticated. Identity headers that a client sent are removed either way.",
    ),
    Field::string("consumer_by")
        .default(Default::Str("username"))
        .example("client_id")
        .rules(&[Rule::OneOf(&["username", "client_id"])])
        .says(
            "How a consumer is found: by its `username`, or by its `custom_id` (which is compared with `client_id`).",
        ),
    Field::boolean("introspect_request").default(Default::Bool(false)).says(
        "Sends `X-Request-Path` (without the query) and `X-Request-Http-Method` with the introspection call. Answers \
         are then cached per path and method.",
    ),
    Field::map("custom_introspection_headers")
        .default(Default::EmptyMap)
        .example("{x-tenant: blue}")
        .secret()
        .rules(&[Rule::Check(headers_rule)])
        .says("Further headers of the introspection call, name to value. Values count as secrets: some servers take keys here."),
    Field::set("custom_claims_forward", Element::STRING)
        .default(Default::EmptyList)
        .example("[tenant]")
        .rules(&[Rule::Check(claims_rule)])
        .says("Members of the answer that go to the upstream as `X-Credential-{claim}`, beside the standard ones."),
];

/// What was written, completed by the schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    introspection_url: String,
    authorization_value: String,
    token_type_hint: Option<String>,
    ttl: Option<f64>,
    hide_credentials: Option<bool>,
    timeout: Option<u64>,
    keepalive: Option<u64>,
    anonymous: Option<String>,
    run_on_preflight: Option<bool>,
    consumer_by: Option<ConsumerBy>,
    introspect_request: Option<bool>,
    custom_introspection_headers: Option<BTreeMap<String, String>>,
    custom_claims_forward: Option<Vec<String>>,
}

/// Warnings: what loads, but deserves a word (I-5, I-83).
pub(crate) fn check(config: &Value) -> Problems {
    let mut problems = Problems::new();
    if config["ttl"].as_f64() == Some(0.0) {
        problems.warn(
            Path::root().key("ttl"),
            "0 sets no time limit of its own: a revoked token passes until its exp, or without one until cache.max_lifetime",
        );
    }
    if config["introspection_url"].as_str().is_some_and(|url| url.starts_with("http://")) {
        problems.warn(
            Path::root().key("introspection_url"),
            "http: tokens and credentials travel to the authorization server in clear",
        );
    }
    problems
}

/// Makes the plugin. Only what depends on the environment can still fail here: an unresolved secret, a certificate.
pub(crate) fn build(config: &Value, env: &Env) -> Result<Introspection, Problems> {
    let written = Written::deserialize(config).map_err(|error| one(Path::root(), error.to_string()))?;
    // A reference passed the schema unseen: what it stood for is judged here.
    header_value_rule(&written.authorization_value.as_str().into())
        .map_err(|error| one(Path::root().key("authorization_value"), error))?;

    let at_url = |error: String| one(Path::root().key("introspection_url"), error);
    let timeout = Duration::from_millis(written.timeout.unwrap_or(10_000));
    let mut profile = Profile::new(&written.introspection_url)
        .map_err(|error| at_url(error.to_string()))?
        .allow_http(true)
        .client_auth(ClientAuth::authorization(written.authorization_value))
        .timeout(timeout)
        .keep_alive(Duration::from_millis(written.keepalive.unwrap_or(60_000)));
    if let Some(hint) = &written.token_type_hint {
        profile = profile.token_type_hint(hint.as_str());
    }
    for (name, value) in written.custom_introspection_headers.unwrap_or_default() {
        // `headers_rule` saw the name, and the value unless that was a reference.
        let at = |error: String| one(Path::root().key("custom_introspection_headers").key(name.as_str()), error);
        let value =
            HeaderValue::try_from(value).map_err(|_| at("holds a character that no header value may hold".into()))?;
        profile = profile.header(HeaderName::try_from(name.as_str()).map_err(|error| at(error.to_string()))?, value);
    }
    let server = env.authorization_server(&written.introspection_url);
    let introspector = env.introspector(server.apply(profile)).map_err(|error| at_url(error.to_string()))?;

    Ok(Introspection::new(Parts {
        introspector,
        ttl: Duration::from_secs_f64(written.ttl.unwrap_or(60.0).min(MAX_SECONDS)),
        wait: timeout,
        sources: Sources::kong(env.body_tokens()),
        requirement: server.requirement(),
        consumer_by: written.consumer_by.unwrap_or_default(),
        propagation: Propagation::kong(written.custom_claims_forward.as_deref().unwrap_or_default()),
        anonymous: written.anonymous.filter(|name| !name.is_empty()),
        skip_options: !written.run_on_preflight.unwrap_or(true),
        describe_request: written.introspect_request.unwrap_or(false),
        hide_credentials: written.hide_credentials.unwrap_or(false),
    }))
}

/// A hundred years: far beyond any token, and safe to add to any clock (I-84).
const MAX_SECONDS: f64 = 100.0 * 365.25 * 86_400.0;

fn one(path: Path, message: String) -> Problems {
    let mut problems = Problems::new();
    problems.error(path, message);
    problems
}

fn url_rule(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    let parsed = match Url::parse(text) {
        Ok(parsed) => parsed,
        Err(url::ParseError::RelativeUrlWithoutBase) => return Err("missing scheme in url".into()),
        Err(url::ParseError::EmptyHost) => return Err("missing host in url".into()),
        Err(error) => return Err(format!("could not parse url. {error}")),
    };
    match parsed.scheme() {
        _ if !parsed.has_host() => Err("missing host in url".into()),
        "http" | "https" => Ok(()),
        scheme => Err(format!("could not parse url. scheme '{scheme}' is neither http nor https")),
    }
}

fn header_value_rule(value: &Value) -> Result<(), String> {
    match HeaderValue::try_from(value.as_str().unwrap_or_default()) {
        Ok(value) if !value.is_empty() => Ok(()),
        Ok(_) => Err("length must be at least 1".into()),
        Err(_) => Err("holds a character that no header value may hold".into()),
    }
}

fn not_negative(value: &Value) -> Result<(), String> {
    match value.as_f64() {
        Some(number) if number.is_finite() && number >= 0.0 => Ok(()),
        _ => Err("value should be at least 0".into()),
    }
}

fn headers_rule(value: &Value) -> Result<(), String> {
    for (name, value) in value.as_object().into_iter().flatten() {
        let parsed = HeaderName::try_from(name).map_err(|_| format!("'{name}' is not a header name"))?;
        if is_reserved_header(&parsed) {
            return Err(format!("'{name}' is set by the call itself"));
        }
        HeaderValue::try_from(value.as_str().unwrap_or_default())
            .map_err(|_| format!("the value of '{name}' holds a character that no header value may hold"))?;
    }
    Ok(())
}

/// Two names that give one header are refused, and names of the standard headers (I-150, kong.md 1.5): by their
/// folded form, in which an upstream may read them.
fn claims_rule(value: &Value) -> Result<(), String> {
    let mut seen: BTreeMap<String, &str> =
        Propagation::standard_headers().map(|name| (fold(name.as_str()), "a standard header")).collect();
    for claim in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let header = claim_header(claim).ok_or_else(|| format!("'{claim}' does not give a header name"))?;
        if let Some(other) = seen.insert(fold(header.as_str()), claim) {
            return Err(format!("'{claim}' gives the header {header}, which {other} has already"));
        }
    }
    Ok(())
}

/// The plugin behind its trait object.
pub(crate) fn plugin(config: &Value, env: &Env) -> Built {
    build(config, env).map(|plugin| Arc::new(plugin) as _)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_model::check::complete;
    use serde_json::json;

    // K-5
    #[test]
    fn urls_without_host_or_scheme_are_refused_in_kongs_words() {
        let check = |url: &str| url_rule(&json!(url)).err().unwrap_or_default();
        assert_eq!(check("https://as.example/introspect?a=b"), "");
        assert_eq!(check("http://127.0.0.1:9000/introspect"), "");
        assert_eq!(check("foo"), "missing scheme in url");
        assert_eq!(check("https://"), "missing host in url");
        assert_eq!(check("mailto:a@b.example"), "missing host in url");
        assert!(check("ftp://as.example/").starts_with("could not parse url."));
    }

    // K-3, K-4
    #[test]
    fn the_defaults_are_the_documented_ones() {
        let required =
            json!({"introspection_url": "https://as.example/introspect", "authorization_value": "Basic eA=="});
        let mut problems = Problems::new();
        let completed = complete(FIELDS, &required, &Path::root(), &mut problems);
        assert_eq!(problems, Problems::new());
        let expected = json!({
            "introspection_url": "https://as.example/introspect", "authorization_value": "Basic eA==",
            "token_type_hint": null, "ttl": 60, "hide_credentials": false, "timeout": 10_000, "keepalive": 60_000,
            "anonymous": "", "run_on_preflight": true, "consumer_by": "username", "introspect_request": false,
            "custom_introspection_headers": {}, "custom_claims_forward": [],
        });
        assert_eq!(Value::Object(completed.clone()), expected);
        // The type and its table name the same fields.
        assert!(Written::deserialize(Value::Object(completed)).is_ok());
    }

    // I-150
    #[test]
    fn claims_that_give_one_header_twice_are_refused() {
        let check = |claims: &[&str]| claims_rule(&json!(claims)).err();
        assert_eq!(check(&["tenant", "urn:x:role"]), None);
        for claims in
            [&["a:b", "a/b"][..], &["Tenant", "tenant"], &["sub"], &["identifier"], &["username"], &["client_id"]]
        {
            assert!(check(claims).is_some(), "{claims:?}");
        }
    }

    // I-83, K-157, I-5
    #[test]
    fn ttl_zero_and_http_draw_one_warning_each() {
        let warnings = |config: Value| check(&config).0.len();
        assert_eq!(warnings(json!({"ttl": 0, "introspection_url": "https://a"})), 1);
        assert_eq!(warnings(json!({"ttl": 0.5, "introspection_url": "http://a"})), 1);
        assert_eq!(warnings(json!({"ttl": 60, "introspection_url": "https://a"})), 0);
    }

    // I-84
    #[test]
    fn negative_times_are_refused() {
        assert!(not_negative(&json!(-1)).is_err());
        assert!(not_negative(&json!(-0.001)).is_err());
        assert!(not_negative(&json!(0)).is_ok());
    }
}
