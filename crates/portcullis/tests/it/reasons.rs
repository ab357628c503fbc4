//! The reason table from outside: each reason that a caller can meet with this plugin, as status, code of the body,
//! challenge, metric label and field of the access log.

use portcullis_testkit::{AuthServer, Certificates, DEADLINE, Gateway, Reply, Response, Upstream, until};
use serde_json::{Value, json};

use crate::stage::{BINARY, declarative, now, plugin};

struct Bench {
    server: AuthServer,
    gateway: Gateway,
    lines: usize,
}

impl Bench {
    /// Asks by `ask` and holds everything that is said about it against this row.
    fn check(&mut self, reason: &str, status: u16, error: &str, ask: impl FnOnce(&Self) -> Response) {
        let counted = |bench: &Self| bench.gateway.metric("portcullis_refusals_total", &format!("reason=\"{reason}\""));
        let before = counted(self);
        let answer = ask(self);
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{reason}: {}", answer.text());
        assert_eq!(counted(self) - before, 1.0, "{reason}: the metric");
        let challenges = answer.all("www-authenticate");
        match (reason, status) {
            ("no_token", _) => assert_eq!(challenges, ["Bearer"]),
            (_, 400 | 401) => {
                assert_eq!(challenges.len(), 1, "{reason}");
                assert!(challenges[0].starts_with(&format!("Bearer error=\"{error}\"")), "{reason}: {challenges:?}");
            }
            _ => assert!(challenges.is_empty(), "{reason}: {challenges:?}"),
        }
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{reason}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{reason}");
        let id = answer.header("x-kong-request-id").unwrap();
        let line = until("the line of the access log", || {
            let log = self.gateway.file("access.log");
            log.lines().find(|line| line.contains(id)).map(str::to_owned)
        });
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["reason"], &line["status"]), (&json!(reason), &json!(status)), "{line}");
        self.lines += 1;
    }

    /// A token about which the server says this.
    fn token(&self, reason: &str, reply: Reply) -> String {
        let token = format!("canary-{}", reason.replace('_', "-"));
        self.server.on(&token, reply);
        token
    }

    fn refuses(&mut self, reason: &str, status: u16, reply: Reply) {
        let error = if status == 401 { "invalid_token" } else { "temporarily_unavailable" };
        self.check(reason, status, error, |bench| bench.gateway.get_as(&bench.token(reason, reply), "/main"));
    }
}

// I-53, I-49, K-31, K-45
#[test]
fn every_reason_that_can_be_met() {
    let (server, upstream) = (AuthServer::start(), Upstream::start());
    let unknown = AuthServer::start_tls(&Certificates::new());
    let url = server.url();
    let route = |name: &str, endpoint: &str, more: Value| {
        let mut config = json!({"timeout": 500});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let routes = json!([{"name": name, "paths": [format!("/{name}")]}]);
        json!({"name": name, "url": upstream.url(), "routes": routes, "plugins": [plugin(endpoint, config)]})
    };
    let services = json!([
        route("main", &format!("{url}/main"), json!({})),
        route("busy", &format!("{url}/busy"), json!({"timeout": 30_000})),
        route("nobody", "http://127.0.0.1:1/", json!({})),
        route("tls", &unknown.url(), json!({"timeout": 5000})),
        route("ghost", &format!("{url}/main"), json!({"anonymous": "no-such-consumer"})),
    ]);
    let settings = format!(
        "authorization_servers:\n\
         - {{endpoint: \"{url}/main\", issuers: [\"https://as\"], audiences: [api], max_answer_bytes: 4096}}\n\
         - {{endpoint: \"{url}/busy\", concurrent_calls: 1, queued_calls: 0}}\n"
    );
    let gateway = Gateway::builder(BINARY, &declarative(services, json!([])))
        .settings(&settings)
        .arg("--access-log")
        .arg("access.log")
        .start();
    let mut bench = Bench { server, gateway, lines: 0 };

    bench.check("no_token", 401, "invalid_request", |it| it.gateway.get("/main", &[]));
    bench.check("ambiguous_token", 400, "invalid_request", |it| it.gateway.get_as("canary-a b", "/main"));
    bench.check("malformed_token", 401, "invalid_token", |it| it.gateway.get_as("canary,a", "/main"));
    bench.refuses("inactive", 401, Reply::inactive());
    for (reason, members) in [
        ("expired", json!({"exp": 1000})),
        ("not_yet_valid", json!({"nbf": now() + 600})),
        ("wrong_kind", json!({"token_use": "id_token"})),
        ("wrong_issuer", json!({"iss": "https://other"})),
        ("binding_unknown", json!({"iss": "https://as", "cnf": {"x": "y"}})),
        ("wrong_audience", json!({"iss": "https://as", "aud": "other"})),
    ] {
        bench.refuses(reason, 401, Reply::active(members));
    }
    bench.refuses("as_refused_token", 401, Reply::json(&json!({"error": "canary"})).with_status(400));
    bench.refuses("as_refused_client", 503, Reply::status(401));
    bench.refuses("as_throttled", 503, Reply::status(429));
    bench.refuses("as_redirect", 503, Reply::status(302).header("location", "/canary"));
    bench.refuses("as_status", 503, Reply::status(500));
    bench.refuses("as_timeout", 503, Reply::hang());
    bench.refuses("as_bad_answer", 503, Reply::bytes("application/json", "canary"));
    bench.refuses("as_answer_too_large", 503, Reply::active(json!({"x": "canary ".repeat(1000)})));
    let unavailable = "temporarily_unavailable";
    bench.check("as_unreachable", 503, unavailable, |it| it.gateway.get_as("canary-t", "/nobody"));
    bench.check("as_tls", 503, unavailable, |it| it.gateway.get_as("canary-t", "/tls"));
    bench.check("internal", 500, "server_error", |it| it.gateway.get("/ghost", &[]));
    let named = |said: String| said.lines().any(|line| line.contains("ERROR") && line.contains("no-such-consumer"));
    assert!(named(bench.gateway.output()), "the log names the consumer that does not exist");

    let calls = bench.server.calls().len();
    bench.server.hold();
    let mut first = bench.gateway.client();
    first.send("GET /busy HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary-first\r\n\r\n");
    bench.server.wait_for_calls(calls + 1, DEADLINE);
    bench.check("as_busy", 503, unavailable, |it| it.gateway.get_as("canary-second", "/busy"));
    bench.server.release();
    assert_eq!(first.response().status, 401);

    assert!(upstream.requests().is_empty());
    let log = bench.gateway.file("access.log");
    assert!(!log.contains("canary") && !bench.gateway.output().contains("canary"), "{log}");
}
