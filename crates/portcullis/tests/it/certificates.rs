//! Authorization servers over TLS: by their name, and by nobody else's certificate.

use portcullis_testkit::{AuthServer, Certificates, Gateway, Reply, Scratch, Upstream};
use serde_json::json;

use crate::stage::{BINARY, declarative, plugin};

/// A gateway with one route per endpoint, `/0`, `/1` and so on, that trusts `authority` for all of them.
fn gateway(upstream: &Upstream, scratch: &Scratch, authority: &str, endpoints: &[String]) -> Gateway {
    scratch.write("ca.pem", authority);
    let entries = endpoints.iter().map(|endpoint| {
        let file = scratch.path().join("ca.pem");
        format!("- endpoint: {endpoint}\n  ca_certificates: file://{}\n", file.display())
    });
    let settings = format!("authorization_servers:\n{}", entries.collect::<String>());
    let services = endpoints.iter().enumerate().map(|(n, endpoint)| {
        json!({
            "name": format!("s{n}"), "url": upstream.url(), "plugins": [plugin(endpoint, json!({"timeout": 5000}))],
            "routes": [{"name": format!("r{n}"), "paths": [format!("/{n}")]}],
        })
    });
    let file = declarative(services.collect(), json!([]));
    Gateway::builder(BINARY, &file).settings(&settings).start()
}

// K-48, I-5, S-50
#[test]
fn a_virtual_host_is_found_by_its_name() {
    let (upstream, scratch) = (Upstream::start(), Scratch::new());
    let certificates = Certificates::new();
    let server = AuthServer::start_virtual_host(&certificates, "localhost");
    server.otherwise(Reply::active(json!({})));
    let port = server.addr().port();
    let endpoints = [format!("https://localhost:{port}/introspect"), format!("https://127.0.0.1:{port}/introspect")];
    let gateway = gateway(&upstream, &scratch, &certificates.authority_pem, &endpoints);
    assert_eq!(gateway.get_as("t", "/0").status, 200);
    assert_eq!(server.calls()[0].header("host"), Some(format!("localhost:{port}").as_str()));
    // By address there is no SNI, so this server has no certificate to show.
    let answer = gateway.get_as("t", "/1");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!((server.calls().len(), upstream.requests().len()), (1, 1));
}

// K-48, I-5, I-39, S-50
#[test]
fn a_certificate_that_does_not_fit_is_an_outage() {
    let (upstream, scratch) = (Upstream::start(), Scratch::new());
    let trusted = Certificates::for_names(&["as.example.com"]);
    let (wrong_name, unknown) = (AuthServer::start_tls(&trusted), AuthServer::start_tls(&Certificates::new()));
    for server in [&wrong_name, &unknown] {
        server.otherwise(Reply::active(json!({})));
    }
    let endpoints = [wrong_name.url(), unknown.url()];
    let gateway = gateway(&upstream, &scratch, &trusted.authority_pem, &endpoints);
    for path in ["/0", "/1"] {
        let answer = gateway.get_as("t", path);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}");
        assert_eq!(answer.header("www-authenticate"), None, "{path}");
    }
    assert_eq!(gateway.metric("portcullis_refusals_total", "reason=\"as_tls\""), 2.0);
    assert!(wrong_name.calls().is_empty() && unknown.calls().is_empty(), "no token left the gateway");
    assert!(upstream.requests().is_empty());
}
