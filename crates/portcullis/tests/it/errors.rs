//! Errors that the gateway makes itself: no route, no service, an upstream that fails.

use std::time::Duration;

use portcullis_testkit::{Gateway, Reply, Response, Upstream};
use serde_json::{Value, json};

use crate::stage::{BINARY, Stage, declarative, plugin};

fn check(answer: &Response, status: u16, message: &str) {
    assert_eq!((answer.status, &answer.json()["message"]), (status, &message.into()), "{}", answer.text());
    assert_eq!(answer.json()["request_id"], answer.header("x-kong-request-id").unwrap());
}

#[test]
fn no_route() {
    let upstream = Upstream::start();
    let service = json!({"name": "s", "url": upstream.url(), "routes": [{"name": "r", "paths": ["/known"], "hosts": ["a.test"]}]});
    let gateway = Gateway::builder(BINARY, &declarative(json!([service]), json!([]))).start();
    // K-120
    for (host, target) in [("a.test", "/unknown"), ("b.test", "/known"), ("a.test", "/")] {
        let answer = gateway.client().host(host).get(target, &[]);
        check(&answer, 404, "no Route matched with those values");
        assert!(
            answer.header("server").is_some_and(|server| server.starts_with("portcullis/")),
            "{:?}",
            answer.headers
        );
        assert!(answer.header("x-kong-response-latency").is_some_and(|ms| ms.parse::<u32>().is_ok()));
        assert_eq!(answer.header("via"), None);
    }
    assert_eq!(gateway.client().host("a.test").get("/known", &[]).status, 200);
    // K-121
    for (accept, begins) in [("text/html", "<!doctype html"), ("text/plain", "no route matched with those values\n")] {
        let answer = gateway.get("/", &[("Accept", accept)]);
        assert_eq!(answer.status, 404, "{accept}");
        assert!(answer.header("content-type").unwrap().starts_with(accept), "{accept}: {:?}", answer.headers);
        assert!(answer.text().trim_start().to_lowercase().starts_with(begins), "{accept}: {}", answer.text());
    }
}

#[test]
fn no_service() {
    let stage = Stage::new();
    let routes = json!([{"name": "lonely", "paths": ["/"], "plugins": [plugin(&stage.server.url(), json!({}))]}]);
    stage.gateway.reload(&json!({"_format_version": "3.0", "routes": routes}).to_string());
    stage.grant("t", json!({}));
    // K-123: the plugin runs first.
    assert_eq!(stage.gateway.get("/", &[]).status, 401);
    check(&stage.gateway.get_as("t", "/"), 503, "no Service found with those values");
}

/// A gateway without plugins before this upstream.
fn open(service: Value) -> Gateway {
    Gateway::builder(BINARY, &declarative(json!([service]), json!([]))).start()
}

#[test]
fn an_upstream_that_refuses() {
    let mut upstream = Upstream::start();
    upstream.kill();
    let gateway = open(json!({"name": "s", "url": upstream.url(), "routes": [{"name": "r", "paths": ["/"]}]}));
    // K-122
    let answer = gateway.get("/", &[]);
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("text/plain; charset=utf-8")));
    let id = answer.header("x-kong-request-id").unwrap();
    let text = format!("An invalid response was received from the upstream server\nrequest_id: {id}");
    assert_eq!(answer.text().trim_end(), text);
    check(
        &gateway.get("/", &[("Accept", "application/json")]),
        502,
        "An invalid response was received from the upstream server",
    );
    upstream.restart();
    assert_eq!(gateway.get("/", &[]).status, 200);
}

#[test]
fn an_upstream_that_fails_or_hangs() {
    let upstream = Upstream::start();
    upstream.on("/reset", Reply::reset());
    upstream.on("/hang", Reply::hang());
    upstream.on("/late", Reply::status(200).delay(Duration::from_secs(60)));
    let routes = json!([{"name": "r", "paths": ["/"], "strip_path": false}]);
    let gateway = open(json!({"name": "s", "url": upstream.url(), "read_timeout": 300, "routes": routes}));
    let json = [("Accept", "application/json")];
    check(&gateway.get("/reset", &json), 502, "An invalid response was received from the upstream server");
    check(&gateway.get("/hang", &json), 504, "The upstream server is timing out");
    check(&gateway.get("/late", &json), 504, "The upstream server is timing out");
    assert_eq!(gateway.get("/fine", &json).status, 200);
}

#[test]
fn a_host_that_does_not_resolve() {
    let gateway = open(json!({
        "name": "s", "url": "http://no-such-host.invalid/", "connect_timeout": 3000,
        "routes": [{"name": "r", "paths": ["/"]}],
    }));
    let answer = gateway.get("/", &[("Accept", "application/json")]);
    check(&answer, 503, "name resolution failed");
}
