//! The authorization server is not there.

use portcullis_testkit::{AuthServer, Certificates, Gateway, Reply, Response, Upstream};
use serde_json::json;

use crate::stage::{BINARY, Stage, declarative, guarded, plugin};

fn check_unavailable(answer: &Response) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
    assert_eq!(answer.header("www-authenticate"), None);
}

#[test]
fn an_outage_begins_and_ends() {
    let mut stage = Stage::new();
    stage.grant("cached", json!({}));
    stage.grant("new", json!({}));
    assert_eq!(stage.gateway.get_as("cached", "/").status, 200);
    stage.server.kill();
    // I-39, I-105, K-17, S-58
    for _ in 0..3 {
        check_unavailable(&stage.gateway.get_as("new", "/"));
    }
    // What is cached lives on.
    assert_eq!(stage.gateway.get_as("cached", "/").status, 200);
    assert_eq!(stage.upstream.requests().len(), 2);
    stage.server.restart();
    // K-41, I-89
    assert_eq!(stage.gateway.get_as("new", "/").status, 200);
}

#[test]
fn an_outage_is_logged_once() {
    let mut stage = Stage::new();
    stage.server.kill();
    for n in 0..5 {
        check_unavailable(&stage.gateway.get_as(&format!("t{n}"), "/"));
    }
    // I-109
    let said = stage.gateway.output();
    let lines = said.lines().filter(|line| line.contains("as_unreachable") && line.contains("127.0.0.1"));
    assert_eq!(lines.filter(|line| line.contains("WARN") || line.contains("ERROR")).count(), 1, "{said}");
}

#[test]
fn a_server_that_is_down_does_not_stop_the_start() {
    let (mut server, upstream) = (AuthServer::start(), Upstream::start());
    server.kill();
    let gateway = Gateway::builder(BINARY, &guarded(&upstream, &server, json!({}), json!([]))).start();
    check_unavailable(&gateway.get_as("t", "/"));
    server.on("t", Reply::active(json!({})));
    server.restart();
    assert_eq!(gateway.get_as("t", "/").status, 200);
}

#[test]
fn what_cannot_be_reached_is_unavailable() {
    let stage = Stage::new();
    let certificates = Certificates::new();
    let untrusted = AuthServer::start_tls(&certificates);
    untrusted.otherwise(Reply::active(json!({})));
    let plain = format!("https://{}/introspect", stage.server.addr());
    let route = |name: &str, endpoint: &str| {
        let plugin = plugin(endpoint, json!({"timeout": 3000}));
        json!({
            "name": name, "url": stage.upstream.url(), "plugins": [plugin],
            "routes": [{"name": name, "paths": [format!("/{name}")]}],
        })
    };
    let services = json!([
        route("untrusted", &untrusted.url()),
        route("plain", &plain),
        route("nobody", "http://127.0.0.1:1/introspect"),
        route("nowhere", "http://no-such-host.invalid/introspect"),
    ]);
    stage.gateway.reload(&declarative(services, json!([])));
    // I-39, I-5
    for path in ["/untrusted", "/plain", "/nobody", "/nowhere"] {
        check_unavailable(&stage.gateway.get_as("t", path));
    }
    assert!(stage.upstream.requests().is_empty() && untrusted.calls().is_empty());
}

#[test]
fn a_trusted_server_over_tls_is_asked() {
    let upstream = Upstream::start();
    let certificates = Certificates::new();
    let server = AuthServer::start_tls(&certificates);
    server.otherwise(Reply::active(json!({"sub": "alice"})));
    let scratch = portcullis_testkit::Scratch::new();
    scratch.write("ca.pem", &certificates.authority_pem);
    let settings = format!(
        "authorization_servers:\n- endpoint: https://{}/\n  ca_certificates: file://{}\n",
        server.addr(),
        scratch.path().join("ca.pem").display(),
    );
    let file = guarded(&upstream, &server, json!({}), json!([]));
    let gateway = Gateway::builder(BINARY, &file).settings(&settings).start();
    // I-5
    assert_eq!(gateway.get_as("t", "/").status, 200);
    assert_eq!(upstream.requests()[0].header("x-credential-sub"), Some("alice"));
}
