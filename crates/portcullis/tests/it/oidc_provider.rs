//! A certified authorization server, `oidc-provider`, instead of the scripted one.
//!
//! `cargo xtask test` installs it and says where by PORTCULLIS_OIDC_PROVIDER; without that the test does nothing but
//! say so (xtask counts the ring as skipped).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_testkit::{Client, Gateway, Upstream, until};
use serde_json::{Value, json};

use crate::stage::{BINARY, declarative, plugin};

/// `gateway` and `p%ss+w/rd: 1`, form-encoded apart, joined and encoded.
const GATEWAY: &str = "Basic Z2F0ZXdheTpwJTI1c3MlMkJ3JTJGcmQlM0ErMQ==";
/// `caller` and `caller-secret`.
const CALLER: &str = "Basic Y2FsbGVyOmNhbGxlci1zZWNyZXQ=";

struct Provider {
    process: Child,
    url: String,
}

impl Provider {
    /// On this port, or on a free one.
    fn start(folder: &str, port: u16) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc-provider/provider.mjs");
        let mut process = Command::new("node")
            .args([script, folder, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("the provider listens").to_owned();
        Self { process, url }
    }

    /// Dies at once and comes back on its port, without anything that it knew.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self, folder: &str) {
        let port = self.url.rsplit(':').next().unwrap().parse().unwrap();
        *self = Self::start(folder, port);
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success(), "{command}");
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = [("Authorization", CALLER), ("Content-Type", "application/x-www-form-urlencoded")];
        let addr = self.url.strip_prefix("http://").unwrap().parse().unwrap();
        let answer = Client::connect(addr).post(path, &headers, body.join("&").as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// A token by client_credentials; with a resource it is a JWT.
    fn token(&self, more: &[(&str, &str)]) -> String {
        let mut fields = vec![("grant_type", "client_credentials"), ("scope", "read")];
        fields.extend_from_slice(more);
        self.post("/token", &fields)["access_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Where the provider is installed.
fn folder() -> Option<String> {
    let folder = std::env::var("PORTCULLIS_OIDC_PROVIDER").ok();
    if folder.is_none() {
        #[expect(clippy::print_stderr, reason = "says why nothing was tested")]
        {
            eprintln!("PORTCULLIS_OIDC_PROVIDER is not set: run `cargo xtask test`");
        }
    }
    folder
}

#[test]
fn oidc_provider() {
    let Some(folder) = folder() else { return };
    let provider = Provider::start(&folder, 0);
    let upstream = Upstream::start();
    let endpoint = format!("{}/token/introspection", provider.url);
    let service = |name: &str, config: Value| {
        let routes = json!([{"name": name, "paths": [format!("/{name}")]}]);
        json!({"name": name, "url": upstream.url(), "routes": routes, "plugins": [plugin(&endpoint, config)]})
    };
    let services = json!([
        service("right", json!({"authorization_value": GATEWAY, "consumer_by": "client_id", "ttl": 1})),
        service("wrong", json!({"authorization_value": "Basic Z2F0ZXdheTp3cm9uZw=="})),
    ]);
    let consumers = json!([{"username": "The caller", "custom_id": "caller"}]);
    let gateway = Gateway::builder(BINARY, &declarative(services, consumers)).start();

    let token = provider.token(&[]);
    // I-31, K-19, K-25
    assert_eq!(gateway.get_as(&token, "/right").status, 200);
    let seen = &upstream.requests()[0];
    for (name, value) in [
        ("x-credential-client-id", "caller"),
        ("x-credential-scope", "read"),
        ("x-credential-token-type", "Bearer"),
        ("x-credential-iss", provider.url.as_str()),
        ("x-consumer-username", "The caller"),
        ("x-consumer-custom-id", "caller"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert!(seen.header("x-credential-exp").is_some_and(|exp| exp.parse::<u64>().is_ok()));

    // I-35, K-149: wrong credentials of ours are an outage, not the caller's fault.
    let wrong = gateway.get_as(&token, "/wrong");
    assert_eq!((wrong.status, wrong.header("retry-after")), (503, Some("5")));

    // I-34, I-41, K-150: this server answers 400 to any token that reads as a JWT.
    let jwt = provider.token(&[("resource", "urn:jwt")]);
    assert_eq!(jwt.split('.').count(), 3);
    assert_eq!(gateway.get_as(&jwt, "/right").status, 401);
    assert_eq!(gateway.get_as("made-up", "/right").status, 401);

    // K-38: revoked, it ends within the ttl.
    provider.post("/token/revocation", &[("token", &token)]);
    until("the 401 of the revoked token", || (gateway.get_as(&token, "/right").status == 401).then_some(()));
    assert_eq!(upstream.requests().iter().filter(|seen| seen.target == "/wrong").count(), 0);
}

/// Ends the load when the test does, however it does.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

// S-58, I-39, I-105, I-43, K-17, K-41
#[test]
fn killed_and_paused_under_load() {
    /// How long a request waits for the provider.
    const LIMIT: Duration = Duration::from_secs(1);
    let Some(folder) = folder() else { return };
    let mut provider = Provider::start(&folder, 0);
    let upstream = Upstream::start();
    let endpoint = format!("{}/token/introspection", provider.url);
    let config = json!({"authorization_value": GATEWAY, "ttl": 600, "timeout": LIMIT.as_millis()});
    let routes = json!([{"name": "all", "paths": ["/"]}]);
    let service = json!({"name": "s", "url": upstream.url(), "routes": routes, "plugins": [plugin(&endpoint, config)]});
    let gateway = Gateway::builder(BINARY, &declarative(json!([service]), json!([]))).start();
    let cached = provider.token(&[]);
    assert_eq!(gateway.get_as(&cached, "/").status, 200);
    let mut cold: Vec<String> = (0..8).map(|_| provider.token(&[])).collect();

    let unavailable = |token: &str| {
        let start = Instant::now();
        let answer = gateway.get_as(token, "/");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
        // The rest is for a busy machine.
        assert!(start.elapsed() < LIMIT + Duration::from_secs(2), "{:?}", start.elapsed());
    };
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let end = Until(&ended);
        let load = |token: Box<dyn Fn(usize) -> String + Send>, allowed: &'static [u16]| {
            let (gateway, ended) = (&gateway, &ended);
            scope.spawn(move || {
                let mut client = gateway.client();
                let mut asked = 0;
                while !ended.load(Ordering::SeqCst) {
                    let answer = client.get("/", &[("Authorization", &format!("Bearer {}", token(asked)))]);
                    assert!(allowed.contains(&answer.status), "{} to request {asked}", answer.status);
                    asked += 1;
                }
                asked
            })
        };
        let valid = || {
            let cached = cached.clone();
            Box::new(move |_| cached.clone())
        };
        let loads = [
            load(valid(), &[200]),
            load(valid(), &[200]),
            // Tokens that nobody issued are never admitted, whatever happens to the provider.
            load(Box::new(|n| format!("made-up-{n}")), &[401, 503]),
        ];

        provider.signal("STOP");
        for token in cold.drain(..3) {
            unavailable(&token);
            assert_eq!(gateway.get_as(&cached, "/").status, 200);
        }
        provider.signal("CONT");
        assert_eq!(gateway.get_as(&cold.remove(0), "/").status, 200, "the first request after a pause");

        provider.kill();
        for token in cold.drain(..3) {
            unavailable(&token);
            assert_eq!(gateway.get_as(&cached, "/").status, 200);
        }
        provider.restart(&folder);
        let fresh = provider.token(&[]);
        assert_eq!(gateway.get_as(&fresh, "/").status, 200, "the first request after its return");

        drop(end);
        for thread in loads {
            assert!(thread.join().unwrap() > 3, "there was load");
        }
    });
}
