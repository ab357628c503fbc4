//! What the parts of a request with a cached token cost, in instructions, each for itself: head, route, look-up, step.
//!
//! Each is run once before it is counted, so that what only the first request does is not in the figure.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use http::request::Parts;
use http::{HeaderMap, Method, Request};
use portcullis_introspection::{Cache, CacheConfig, Call, ClientAuth, Clients, Config, Introspector, Lookup};
use portcullis_model::plan::{
    Condition, Consumers, Endpoint, HostMatch, HostName, Matcher, PathMatch, PluginConfig, Protocol, Protocols, Route,
};
use portcullis_plugins::env::EnvSettings;
use portcullis_plugins::registry::{Build, Registry};
use portcullis_plugins::{Context, Env, Flow, Plugin, Seen};
use portcullis_proxy::router::{Criteria, Found, Router};
use portcullis_proxy::{Arrival, Head};
use portcullis_testkit::{AuthServer, Reply};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// As long as 256 bits in base64url.
const TOKEN: &str = "mF_9B5f-4.1JqM2YotnFZFEjr1zCsicMWpAAxyz0123";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A server that knows the one token, with an answer of ordinary size.
fn server() -> AuthServer {
    let server = AuthServer::start();
    let claims = json!({
        "client_id": "shop", "username": "alice", "sub": "Z5O3upPC88QrAjx00dis", "scope": "read write",
        "aud": "https://api.example", "iss": "https://as.example", "exp": 4_000_000_000_u64,
    });
    server.on(TOKEN, Reply::active(claims));
    server
}

/// A request as browsers and their like send it.
fn request() -> Parts {
    let request = Request::get("/orders/42?page=2")
        .header("host", "shop-500.example")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, br")
        .header("authorization", format!("Bearer {TOKEN}"));
    request.body(()).unwrap().into_parts().0
}

fn arrival() -> Arrival {
    Arrival { protocol: Protocol::Http, peer: PEER, sni: None, trusted: false }
}

#[library_benchmark]
#[bench::request(args = (), setup = request)]
fn head(parts: Parts) -> Head {
    black_box(Head::read(black_box(parts), arrival())).unwrap()
}

struct Routed {
    router: Router,
    headers: HeaderMap,
}

impl Routed {
    fn find(&self) -> Option<Found> {
        self.router.find(&Criteria {
            host: "shop-500.example",
            port: 80,
            path: "/orders/42",
            method: &Method::GET,
            headers: &self.headers,
            sni: None,
        })
    }
}

/// 1,000 routes, each of its own host.
fn routed() -> Routed {
    let route = Arc::new(Route {
        id: Uuid::nil(),
        name: None,
        protocols: Protocols::ALL,
        https_redirect_status: 426,
        strip_path: true,
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        service: None,
        steps: Vec::new(),
    });
    let endpoint = |number: usize| {
        let host = HostMatch { name: HostName::Exact(format!("shop-{number}.example")), port: None };
        let paths = vec![PathMatch::Prefix("/orders".into())];
        Endpoint { matcher: Matcher { hosts: vec![host], paths, ..Matcher::default() }, route: route.clone() }
    };
    let endpoints: Vec<Endpoint> = (0..1_000).map(endpoint).collect();
    let routed = Routed { router: Router::compile(&endpoints).unwrap(), headers: request().headers };
    assert_eq!(routed.find().unwrap().endpoint, 500);
    routed
}

#[library_benchmark]
#[bench::of_1_000(args = (), setup = routed)]
fn route(routed: Routed) -> (Option<Found>, Routed) {
    (black_box(black_box(&routed).find()), routed)
}

/// With what it needs to stay as it is.
struct Known {
    introspector: Introspector,
    _runtime: Runtime,
}

fn known() -> Known {
    let (runtime, server) = (runtime(), server());
    let config = Config::new(&server.url()).unwrap().allow_http(true).client_auth(ClientAuth::basic("api", "secret"));
    let cache = Cache::new(CacheConfig::default());
    let introspector = Introspector::new(config, &cache, &Clients::new(), runtime.handle().clone()).unwrap();
    assert!(runtime.block_on(introspector.introspect(TOKEN)).unwrap().active());
    let known = Known { introspector, _runtime: runtime };
    assert!(matches!(known.look_up(), Lookup::Hit(_)));
    known
}

impl Known {
    fn look_up(&self) -> Lookup {
        self.introspector.lookup(&Call::new(black_box(TOKEN)), self.introspector.ttl())
    }
}

#[library_benchmark]
#[bench::hit(args = (), setup = known)]
fn look_up(known: Known) -> (Lookup, Known) {
    (black_box(black_box(&known).look_up()), known)
}

/// The plugin as a route has it, a request, and the token in the cache.
struct Guarded {
    plugin: Arc<dyn Plugin>,
    head: Head,
    consumers: Consumers,
    _runtime: Runtime,
}

fn guarded() -> Guarded {
    let (runtime, server) = (runtime(), server());
    let registry = Registry::new(Arc::new(Env::new(EnvSettings {
        runtime: runtime.handle().clone(),
        cache: CacheConfig::default(),
        concurrent_calls: None,
        queued_calls: None,
        authorization_servers: Vec::new(),
        body_tokens: true,
        variables: [].into(),
    })));
    let config = PluginConfig {
        id: Uuid::nil(),
        plugin: "oauth2-introspection".into(),
        when: Condition::Always,
        config: json!({"introspection_url": server.url(), "authorization_value": "Basic YTpi"}),
        origin: "plugins[0]".into(),
    };
    let plugin = registry.build(&config).unwrap();
    let head = Head::read(request(), arrival()).unwrap();
    let guarded = Guarded { plugin, head, consumers: Consumers::default(), _runtime: runtime };
    let mut cx = Context::default();
    let Flow::Wait(answer) = guarded.step(&mut cx) else { panic!("the token is known already") };
    let answer = guarded._runtime.block_on(answer);
    assert!(matches!(guarded.plugin.resume(&guarded.seen(), answer, &mut cx), Flow::Continue));
    assert!(matches!(guarded.step(&mut Context::default()), Flow::Continue));
    guarded
}

impl Guarded {
    fn seen(&self) -> Seen<'_> {
        Seen {
            method: &self.head.method,
            raw_path: self.head.uri.path(),
            query: self.head.uri.query(),
            headers: &self.head.headers,
            body: None,
            protocol: Protocol::Http,
            peer: PEER,
            consumers: &self.consumers,
        }
    }

    fn step(&self, cx: &mut Context) -> Flow {
        self.plugin.step(&self.seen(), cx)
    }
}

#[library_benchmark]
#[bench::cached(args = (), setup = guarded)]
fn step(guarded: Guarded) -> (Flow, Context, Guarded) {
    let mut cx = Context::default();
    (black_box(black_box(&guarded).step(&mut cx)), cx, guarded)
}

library_benchmark_group!(name = hot_path, benchmarks = [head, route, look_up, step]);
main!(library_benchmark_groups = hot_path);
