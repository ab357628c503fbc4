//! A gateway with fake plugins, and plans for it.

use http::{HeaderName, HeaderValue};
use portcullis_model::plan::{
    Candidate, Condition, Endpoint, Matcher, PathMatch, Plan, PluginConfig, Protocol, Protocols, Route, Service, Step,
};
use portcullis_model::problem::{Path, Problems};
use portcullis_plugins::reason::TABLE;
use portcullis_plugins::registry::Build;
use portcullis_plugins::{Context, Flow, Plugin, Reason, Seen, Value};
use portcullis_proxy::{DataPlane, Limits, Listen, Settings};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Starts a gateway with one worker on a free port.
/// A free port of loopback, plain.
pub(crate) fn anywhere() -> Listen {
    SocketAddr::from(([127, 0, 0, 1], 0)).into()
}

pub(crate) fn start(plan: Plan) -> (DataPlane, SocketAddr) {
    start_with(Settings { limits: quick(), ..Settings::default() }, plan)
}

pub(crate) fn start_with(settings: Settings, plan: Plan) -> (DataPlane, SocketAddr) {
    let gateway = DataPlane::start(settings, &[anywhere()], fakes(), None).unwrap();
    gateway.load(plan).unwrap();
    let address = gateway.addresses()[0];
    (gateway, address)
}

/// Limits that are looked at often, so that tests of them end soon.
pub(crate) fn quick() -> Limits {
    Limits { tick: Duration::from_millis(10), ..Limits::default() }
}

/// Everything under `/` to one upstream, past these fake plugins.
pub(crate) fn plan(upstream: SocketAddr, plugins: &[&str]) -> Plan {
    Plan { endpoints: vec![endpoint("/", route(Some(service(upstream)), plugins))], ..Plan::default() }
}

pub(crate) fn plan_with(service: Service) -> Plan {
    Plan { endpoints: vec![endpoint("/", route(Some(service), &[]))], ..Plan::default() }
}

pub(crate) fn endpoint(path: &str, route: Route) -> Endpoint {
    let matcher = Matcher { paths: vec![PathMatch::Prefix(path.into())], ..Matcher::default() };
    Endpoint { matcher, route: Arc::new(Route { id: id(path), name: Some(path.into()), ..route }) }
}

pub(crate) fn route(service: Option<Service>, plugins: &[&str]) -> Route {
    Route {
        id: Uuid::nil(),
        name: None,
        protocols: Protocols::ALL,
        https_redirect_status: 426,
        strip_path: true,
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        service: service.map(Arc::new),
        steps: plugins.iter().map(|plugin| step(plugin)).collect(),
    }
}

pub(crate) fn service(upstream: SocketAddr) -> Service {
    Service {
        id: id("service"),
        name: Some("service".into()),
        protocol: Protocol::Http,
        host: upstream.ip().to_string(),
        port: upstream.port(),
        upstream: None,
        tls: Arc::default(),
        path: None,
        retries: 5,
        connect_timeout: Duration::from_secs(10),
        write_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(10),
    }
}

pub(crate) fn step(plugin: &str) -> Step {
    Step { plugin: plugin.into(), candidates: vec![Candidate::Any(config(plugin, Condition::Always))] }
}

pub(crate) fn config(plugin: &str, when: Condition) -> Arc<PluginConfig> {
    Arc::new(PluginConfig {
        id: id(&format!("{plugin}{when:?}")),
        plugin: plugin.into(),
        when,
        config: json!({}),
        origin: "services[0].plugins[1]".into(),
    })
}

pub(crate) fn fakes() -> Arc<dyn Build> {
    Arc::new(Fakes)
}

fn id(name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
}

/// Builds the fakes below by their names.
#[derive(Debug)]
struct Fakes;

impl Build for Fakes {
    fn build(&self, config: &PluginConfig) -> Result<Arc<dyn Plugin>, Problems> {
        Ok(Arc::new(match &*config.plugin {
            "identify" => Fake::Identify,
            "refuse" => Fake::Refuse,
            "panic" => Fake::Panic,
            "panic_late" => Fake::PanicLate,
            "answer" => Fake::Answer,
            "wait" => Fake::Wait,
            "consumer" => Fake::Consumer,
            "linger" => Fake::Linger,
            "read" => Fake::Read,
            "rewrite" => Fake::Rewrite("new"),
            "empty" => Fake::Rewrite(""),
            unknown => {
                let row = TABLE.iter().find(|row| unknown.strip_prefix("refuse ") == Some(row.code));
                if let Some(row) = row {
                    return Ok(Arc::new(Fake::RefuseFor(row.reason)));
                }
                let mut problems = Problems::new();
                problems.error(Path::root().key("name"), format!("no fake called {unknown}"));
                return Err(problems);
            }
        }))
    }
}

#[derive(Debug)]
enum Fake {
    /// Sets identity headers on every request, but for `OPTIONS`; owns `x-tenant`.
    Identify,
    Refuse,
    Panic,
    /// Panics in the future it waits for.
    PanicLate,
    Answer,
    /// Waits a turn, then goes on.
    Wait,
    /// Finds the consumer that the query names.
    Consumer,
    /// Waits longer than any short limit, then goes on.
    Linger,
    /// Looks at bodies of up to 64 bytes and says in `x-body` what is in them.
    Read,
    /// Looks at bodies, and sends this instead.
    Rewrite(&'static str),
    RefuseFor(Reason),
}

impl Plugin for Fake {
    fn step(&self, seen: &Seen<'_>, cx: &mut Context) -> Flow {
        let names = seen.headers.keys().map(HeaderName::as_str);
        let forged = names.filter(|name| portcullis_plugins::fold::is_reserved(name)).count();
        assert_eq!(forged, 0, "no step sees a forged name");
        match self {
            Fake::Identify if seen.method == http::Method::OPTIONS => Flow::Continue,
            Fake::Identify => {
                cx.set_header(HeaderName::from_static("x-consumer-id"), HeaderValue::from_static("ours"));
                cx.set_header(HeaderName::from_static("x-credential-sub"), HeaderValue::from_static("ours"));
                Flow::Continue
            }
            Fake::Consumer => {
                cx.consumer = seen.consumers.by_username(seen.query.unwrap_or_default()).cloned();
                Flow::Continue
            }
            Fake::Refuse => cx.refuse(Reason::NoToken),
            Fake::Panic => panic!("a step that panics"),
            Fake::PanicLate => Flow::Wait(Box::pin(async { panic!("a future that panics") })),
            Fake::Answer => Flow::Answer(Box::new(http::Response::new(bytes::Bytes::from_static(b"from a step")))),
            Fake::Wait => Flow::Wait(Box::pin(async {
                tokio::task::yield_now().await;
                Box::new(()) as Value
            })),
            Fake::Linger => Flow::Wait(Box::pin(async {
                tokio::time::sleep(Duration::from_millis(400)).await;
                Box::new(()) as Value
            })),
            Fake::Read => {
                let body = HeaderValue::from_bytes(seen.body.unwrap_or(b"none")).unwrap();
                cx.set_header(HeaderName::from_static("x-body"), body);
                Flow::Continue
            }
            Fake::Rewrite(body) => {
                cx.edits.body = seen.body.map(|_| bytes::Bytes::from_static(body.as_bytes()));
                Flow::Continue
            }
            Fake::RefuseFor(reason) => cx.refuse(*reason),
        }
    }

    fn resume(&self, _seen: &Seen<'_>, _value: Value, _cx: &mut Context) -> Flow {
        Flow::Continue
    }

    fn body_limit(&self) -> Option<usize> {
        matches!(self, Fake::Read | Fake::Rewrite(_)).then_some(64)
    }

    fn owned_headers(&self) -> Vec<String> {
        match self {
            Fake::Identify => vec!["X-Tenant".into()],
            _ => Vec::new(),
        }
    }
}
