//! Which route a request takes, and which path the upstream gets.

use portcullis_testkit::{Client, Gateway, Upstream};
use serde_json::{Value, json};

use crate::stage::{BINARY, declarative};

/// A gateway whose every service has one route; the service's path is the route's name, so the echo tells who won.
struct Router {
    gateway: Gateway,
    _upstream: Upstream,
}

impl Router {
    fn new(routes: &[(&str, Value)]) -> Self {
        let upstream = Upstream::start();
        let service = |(name, route): &(&str, Value)| {
            let mut route = route.clone();
            route["name"] = json!(name);
            json!({"name": name, "url": format!("{}/{name}", upstream.url()), "routes": [route]})
        };
        let services: Vec<Value> = routes.iter().map(service).collect();
        let gateway = Gateway::builder(BINARY, &declarative(json!(services), json!([]))).start();
        Self { gateway, _upstream: upstream }
    }

    fn check(&self, host: &str, target: &str, winner: &str) {
        let answer = Client::connect(self.gateway.addr()).host(host).get(target, &[]);
        let won = match answer.status {
            200 => answer.json()["target"].as_str().unwrap().split(['/', '?']).nth(1).unwrap().to_owned(),
            status => status.to_string(),
        };
        assert_eq!(won, winner, "{host} {target}");
    }
}

#[test]
fn paths() {
    let router = Router::new(&[
        ("root", json!({"paths": ["/"]})),
        ("foo", json!({"paths": ["/foo"]})),
        ("long", json!({"paths": ["/foo/longer/than/this"]})),
        ("regex", json!({"paths": ["~/foo/[a-z]+/x$"]})),
        ("first", json!({"paths": ["~/number/\\d"], "regex_priority": 10})),
        ("second", json!({"paths": ["~/number/\\d+"], "regex_priority": 5})),
    ]);
    // K-125, K-127, K-129
    for (target, winner) in [
        ("/", "root"),
        ("/bar", "root"),
        ("/foo", "foo"),
        ("/foobar", "foo"),
        ("/foo/bar", "foo"),
        ("/FOO", "root"),
        ("/foo/longer/than/this/one", "long"),
        ("/foo/abc/x", "regex"),
        ("/foo/abc/x/y", "foo"),
        ("/number/12", "first"),
        ("//foo", "foo"),
        ("/a/../foo", "foo"),
        ("/%66oo", "foo"),
        ("/foo?x=/number/1", "foo"),
    ] {
        router.check("any.test", target, winner);
    }
}

#[test]
fn a_regex_beats_a_longer_prefix() {
    let router =
        Router::new(&[("prefix", json!({"paths": ["/aa/bb/cc/dd"]})), ("regex", json!({"paths": ["~/aa/.*"]}))]);
    // K-125
    router.check("x", "/aa/bb/cc/dd", "regex");
}

#[test]
fn hosts_and_methods() {
    let router = Router::new(&[
        ("exact", json!({"hosts": ["www.a.test"]})),
        ("wild", json!({"hosts": ["*.a.test"]})),
        ("suffix", json!({"hosts": ["b.*"]})),
        ("both", json!({"hosts": ["*.a.test"], "paths": ["/both"]})),
        ("port", json!({"hosts": ["c.test:9000"]})),
        ("post", json!({"hosts": ["www.a.test"], "methods": ["POST"]})),
    ]);
    // K-126
    for (host, target, winner) in [
        ("www.a.test", "/", "exact"),
        ("WWW.A.TEST", "/", "exact"),
        ("www.a.test:8000", "/", "exact"),
        ("x.a.test", "/", "wild"),
        ("b.example", "/", "suffix"),
        ("x.a.test", "/both", "both"),
        ("www.a.test", "/both", "both"),
        ("c.test:9000", "/", "port"),
        ("c.test:9001", "/", "404"),
        ("a.test", "/", "404"),
    ] {
        router.check(host, target, winner);
    }
    let posted = Client::connect(router.gateway.addr()).host("www.a.test").post("/", &[], b"x");
    assert_eq!(posted.json()["target"].as_str().unwrap().split('/').nth(1), Some("post"));
}

#[test]
fn upstream_paths() {
    let upstream = Upstream::start();
    let service = |number: usize, (path, strip, route): (Option<&str>, bool, &str)| {
        let host = format!("h{number}.test");
        let route = json!({"name": host, "hosts": [host], "paths": [route], "strip_path": strip});
        let mut service = json!({
            "name": host, "protocol": "http", "host": "127.0.0.1", "port": upstream.addr().port(), "routes": [route],
        });
        if let Some(path) = path {
            service["path"] = json!(path);
        }
        service
    };
    let kinds = [
        (Some("/"), true, "/fr"),
        (None, true, "/fr"),
        (Some("/"), false, "/fr"),
        (None, false, "/fr"),
        (Some("/srv"), true, "/fr"),
        (Some("/srv"), false, "/"),
        (Some("/srv/"), true, "/fr"),
        (Some("/srv/"), false, "/"),
        (Some("/srv"), true, "/ts/"),
    ];
    let services: Vec<Value> = kinds.iter().enumerate().map(|(number, kind)| service(number, *kind)).collect();
    let gateway = Gateway::builder(BINARY, &declarative(json!(services), json!([]))).start();
    let rows = [
        // K-128
        (0, "/fr", "/"),
        (0, "/fr/", "/"),
        (0, "/fr/req", "/req"),
        (0, "/freq", "/eq"),
        (1, "/fr", "/"),
        (1, "/fr/", "/"),
        (1, "/fr/req", "/req"),
        (1, "/freq", "/eq"),
        (2, "/fr/req", "/fr/req"),
        (3, "/fr/req", "/fr/req"),
        (4, "/fr", "/srv"),
        (4, "/fr/", "/srv/"),
        (4, "/fr/req", "/srv/req"),
        (4, "/freq", "/srv/eq"),
        (5, "/fr/req", "/srv/fr/req"),
        (5, "/", "/srv"),
        (6, "/fr", "/srv"),
        (6, "/fr/", "/srv/"),
        (6, "/fr/req", "/srv/req"),
        (6, "/freq", "/srv/eq"),
        (7, "/fr/req", "/srv/fr/req"),
        (7, "/", "/srv/"),
        (8, "/ts/", "/srv/"),
        // K-129
        (2, "//fr/../fr/b%7e", "/fr/b~"),
        (2, "/fr/%c3%a9%2f", "/fr/%C3%A9%2F"),
        // K-134
        (2, "/fr?", "/fr?"),
        (2, "/fr?a=%7e&b&c==", "/fr?a=%7e&b&c=="),
        (4, "/fr?x=1", "/srv?x=1"),
    ];
    for (number, target, expected) in rows {
        let answer = Client::connect(gateway.addr()).host(&format!("h{number}.test")).get(target, &[]);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(answer.json()["target"], expected, "{:?} {target}", kinds[number]);
    }
}
