//! The regression matrix of the introspection contract (section 18) as data: every combination of what the cache
//! knows, how the token is presented, which route asks, what the authorization server says, and over which wire.
//!
//! What a cell must give is worked out by [`expected`] from the contract alone. A new column (a bound token)
//! is a new variant in its `ALL`, and what it means in [`Bench::ask`].

use portcullis_testkit::{AuthServer, Client, Curl, Gateway, Reply, Response, Upstream, until};
use serde_json::{Value, json};

use crate::identity::{identity, pairs};
use crate::stage::{BINARY, CREDENTIAL, declarative, plugin};

/// What the cache knows of the token.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Warmth {
    Cold,
    /// An active answer.
    Hit,
    /// An inactive answer.
    Negative,
}

/// How the caller shows that the token is its own.
#[derive(Clone, Copy, Debug)]
enum Proof {
    Bearer,
}

/// Two routes that make different things of one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    /// Any audience; the consumer by `username`.
    A,
    /// Audience `api` alone; the consumer by `client_id`; one claim forwarded; another ttl.
    B,
}

/// What the authorization server says when it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Active,
    /// Active, and meant for another audience.
    Foreign,
    Inactive,
    RefusesToken,
    RefusesClient,
    Throttles,
    Fails,
    Hangs,
    Garbage,
}

#[derive(Clone, Copy, Debug)]
enum Wire {
    Http1,
    Http2,
}

impl Warmth {
    const ALL: [Self; 3] = [Self::Cold, Self::Hit, Self::Negative];
}

impl Proof {
    const ALL: [Self; 1] = [Self::Bearer];
}

impl Policy {
    const ALL: [Self; 2] = [Self::A, Self::B];

    fn path(self) -> &'static str {
        if self == Self::A { "/a" } else { "/b" }
    }
}

impl Says {
    const ALL: [Self; 9] = [
        Self::Active,
        Self::Foreign,
        Self::Inactive,
        Self::RefusesToken,
        Self::RefusesClient,
        Self::Throttles,
        Self::Fails,
        Self::Hangs,
        Self::Garbage,
    ];

    fn reply(self) -> Reply {
        let error = |status| Reply::json(&json!({"error": "canary-said", "note": "canary-said"})).with_status(status);
        match self {
            Self::Active => Reply::active(members("api")),
            Self::Foreign => Reply::active(members("elsewhere")),
            Self::Inactive => Reply::inactive(),
            Self::RefusesToken => error(400),
            Self::RefusesClient => error(401),
            Self::Throttles => error(429).header("retry-after", "7"),
            Self::Fails => Reply::active(members("api")).with_status(500),
            Self::Hangs => Reply::hang(),
            Self::Garbage => Reply::bytes("application/json", r#"{"active":true,"note":"canary-said"#),
        }
    }
}

impl Wire {
    const ALL: [Self; 2] = [Self::Http1, Self::Http2];
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    warmth: Warmth,
    proof: Proof,
    policy: Policy,
    says: Says,
    wire: Wire,
}

/// What a cell must give.
struct Expected {
    status: u16,
    /// Code of the refusal's reason; `None` where the request goes on.
    reason: Option<&'static str>,
    /// Calls to the authorization server.
    calls: usize,
    /// Entries that the cache has more of afterwards.
    stored: u32,
}

/// The contract's word on a cell: rows of the error contract where the server is asked, the stored answer where not.
fn expected(cell: Cell) -> Expected {
    let (calls, stored) = match (cell.warmth, cell.says) {
        (Warmth::Hit | Warmth::Negative, _) => (0, 0),
        (Warmth::Cold, Says::Active | Says::Foreign | Says::Inactive) => (1, 1),
        (Warmth::Cold, _) => (1, 0),
    };
    let (status, reason) = match (cell.warmth, cell.says, cell.policy) {
        (Warmth::Negative, _, _) | (Warmth::Cold, Says::Inactive, _) => (401, Some("inactive")),
        // Judged after the cache: the audience of a stored answer counts like that of a fresh one.
        (_, Says::Foreign, Policy::B) => (401, Some("wrong_audience")),
        (Warmth::Hit, _, _) | (Warmth::Cold, Says::Active | Says::Foreign, _) => (200, None),
        (Warmth::Cold, Says::RefusesToken, _) => (401, Some("as_refused_token")),
        (Warmth::Cold, Says::RefusesClient, _) => (503, Some("as_refused_client")),
        (Warmth::Cold, Says::Throttles, _) => (503, Some("as_throttled")),
        (Warmth::Cold, Says::Fails, _) => (503, Some("as_status")),
        (Warmth::Cold, Says::Hangs, _) => (503, Some("as_timeout")),
        (Warmth::Cold, Says::Garbage, _) => (503, Some("as_bad_answer")),
    };
    Expected { status, reason, calls, stored }
}

fn members(audience: &str) -> Value {
    json!({
        "sub": "s-1", "username": "alice", "client_id": "app", "aud": audience, "tenant": "blue",
        "unlisted": "canary-claim",
    })
}

/// Every header that says who calls, on a request that goes on.
fn identity_of(policy: Policy, says: Says) -> Vec<(String, String)> {
    let audience = if says == Says::Foreign { "elsewhere" } else { "api" };
    let credential = [
        ("x-credential-aud", audience),
        ("x-credential-client-id", "app"),
        ("x-credential-identifier", "alice"),
        ("x-credential-sub", "s-1"),
    ];
    let consumer: &[_] = match policy {
        Policy::A => &[
            ("x-consumer-id", "11111111-1111-4111-8111-111111111111"),
            ("x-consumer-username", "alice"),
            ("x-credential-username", "alice"),
        ],
        Policy::B => &[
            ("x-consumer-custom-id", "app"),
            ("x-consumer-id", "22222222-2222-4222-8222-222222222222"),
            ("x-consumer-username", "machine"),
            ("x-credential-tenant", "blue"),
            ("x-credential-username", "alice"),
        ],
    };
    let mut all = pairs(&[&credential[..], consumer].concat());
    all.sort();
    all
}

struct Bench {
    server: AuthServer,
    upstream: Upstream,
    gateway: Gateway,
}

impl Bench {
    fn new() -> Self {
        let (server, upstream) = (AuthServer::start(), Upstream::start());
        let guarded = |name: &str, config: Value| {
            let endpoint = format!("{}/{name}", server.url());
            let routes = json!([{"name": name, "paths": [format!("/{name}")]}]);
            json!({"name": name, "url": upstream.url(), "routes": routes, "plugins": [plugin(&endpoint, config)]})
        };
        let b = json!({
            "ttl": 500, "timeout": 400, "consumer_by": "client_id", "custom_claims_forward": ["tenant"],
            "custom_introspection_headers": {"X-Key": "canary-secret-header"},
        });
        let services = json!([guarded("a", json!({"ttl": 600, "timeout": 400})), guarded("b", b)]);
        let consumers = json!([
            {"id": "11111111-1111-4111-8111-111111111111", "username": "alice"},
            {"id": "22222222-2222-4222-8222-222222222222", "username": "machine", "custom_id": "app"},
        ]);
        let settings = format!(
            "introspection: {{cache: {{negative_lifetime: 600}}}}\n\
             authorization_servers:\n- endpoint: {}/b\n  audiences: [api]\n",
            server.url()
        );
        let gateway = Gateway::builder(BINARY, &declarative(services, consumers))
            .settings(&settings)
            .listen("127.0.0.1:0 http2")
            .env("PORTCULLIS_LOG", "trace")
            .arg("--access-log")
            .arg("access.log")
            .start();
        Self { server, upstream, gateway }
    }

    /// Asks as a caller does who also claims to be somebody else.
    fn ask(&self, cell: Cell, token: &str) -> Response {
        let authorization = match cell.proof {
            Proof::Bearer => format!("Bearer {token}"),
        };
        let headers = [
            ("Authorization", authorization.as_str()),
            ("X-Consumer-Username", "root"),
            ("X_Credential_Tenant", "root"),
            ("X-Anonymous-Consumer", "true"),
        ];
        match cell.wire {
            Wire::Http1 => Client::connect(self.gateway.addr()).get(cell.policy.path(), &headers),
            Wire::Http2 => {
                let curl = Curl::new(self.gateway.addr(), &format!("http://a.example{}", cell.policy.path())).http2();
                headers.iter().fold(curl, |curl, (name, value)| curl.header(name, value)).run().expect("an answer")
            }
        }
    }

    /// Brings the cache to the cell's state.
    fn prime(&self, cell: Cell, token: &str) {
        let says = match (cell.warmth, cell.says) {
            (Warmth::Cold, _) => return,
            (Warmth::Hit, Says::Foreign) => Says::Foreign,
            (Warmth::Hit, _) => Says::Active,
            (Warmth::Negative, _) => Says::Inactive,
        };
        self.server.on(token, says.reply());
        self.ask(cell, token);
        assert_eq!(self.server.calls_for(token), 1, "{cell:?}: primed");
    }

    /// Requests refused so far for this reason.
    fn refused(&self, reason: &str) -> f64 {
        self.gateway.metric("portcullis_refusals_total", &format!("reason=\"{reason}\""))
    }

    fn check(&self, cell: Cell, token: &str) -> Response {
        self.prime(cell, token);
        self.server.on(token, cell.says.reply());
        let expected = expected(cell);
        let entries = || self.gateway.metric("portcullis_token_cache_entries", "");
        let before = (self.server.calls_for(token), self.upstream.requests().len(), entries());
        let refused = expected.reason.map(|reason| self.refused(reason));

        let answer = self.ask(cell, token);

        assert_eq!(answer.status, expected.status, "{cell:?}: {}", answer.text());
        assert_eq!(self.server.calls_for(token) - before.0, expected.calls, "{cell:?}: calls");
        assert_eq!(entries() - before.2, f64::from(expected.stored), "{cell:?}: entries of the cache");
        let forwarded = &self.upstream.requests()[before.1..];
        match (expected.reason, refused) {
            (Some(reason), Some(refused)) => {
                assert_eq!(self.refused(reason) - refused, 1.0, "{cell:?}: counted as {reason}");
                assert!(forwarded.is_empty(), "{cell:?}: {forwarded:?}");
                check_refusal(cell, &answer);
            }
            _ => {
                let found: Vec<_> = forwarded.iter().map(identity).collect();
                assert_eq!(found, [identity_of(cell.policy, cell.says)], "{cell:?}: what the upstream saw");
            }
        }
        answer
    }
}

/// Challenge, `Retry-After` and code of a refusal.
fn check_refusal(cell: Cell, answer: &Response) {
    const CHALLENGE: &str =
        r#"Bearer error="invalid_token", error_description="The access token is invalid or has expired""#;
    let retry_after = if cell.says == Says::Throttles { "7" } else { "5" };
    let (challenge, retry_after, error) = match answer.status {
        401 => (vec![CHALLENGE], None, "invalid_token"),
        _ => (vec![], Some(retry_after), "temporarily_unavailable"),
    };
    assert_eq!(answer.all("www-authenticate"), challenge, "{cell:?}");
    assert_eq!(answer.header("retry-after"), retry_after, "{cell:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{cell:?}");
    assert_eq!(answer.json()["error"], error, "{cell:?}");
}

// I-164, I-27, I-53, S-63
#[test]
fn every_cell() {
    let bench = Bench::new();
    let mut shown = String::new();
    let mut cells = 0;
    for warmth in Warmth::ALL {
        for proof in Proof::ALL {
            for policy in Policy::ALL {
                for says in Says::ALL {
                    for wire in Wire::ALL {
                        cells += 1;
                        let cell = Cell { warmth, proof, policy, says, wire };
                        let answer = bench.check(cell, &format!("canary-token-{cells}"));
                        if answer.status != 200 {
                            shown += &format!("{:?}{}", answer.headers, answer.text());
                        }
                    }
                }
            }
        }
    }
    let metrics = bench.gateway.status_get("/metrics").text();
    until("the access log", || bench.gateway.file("access.log").lines().nth(cells - 1).map(drop));
    let access_log = bench.gateway.file("access.log");
    let ended = bench.gateway.stop();
    let secret = CREDENTIAL.strip_prefix("Basic ").unwrap();
    for canary in ["canary-", secret] {
        for (place, text) in [
            ("standard output", &ended.stdout),
            ("standard error", &ended.stderr),
            ("the access log", &access_log),
            ("the metrics", &metrics),
            ("a refusal", &shown),
        ] {
            let line = text.lines().find(|line| line.contains(canary));
            assert_eq!(line, None, "{canary} stands in {place}");
        }
    }
    assert!(ended.stderr.contains("TRACE"), "the log was at trace level");
}
