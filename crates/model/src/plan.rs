//! What the data plane runs.
//!
//! Every written language is lowered into a [`Plan`]; nothing downstream knows which language it was. What a
//! language leaves implicit is explicit here: Kong's precedence between routes is the order of
//! [`Plan::endpoints`], its plugin priorities are the order of [`Route::steps`], and its eight levels of plugin
//! scope are the order of [`Step::candidates`].
//!
//! A plan is a value: comparable, printable (`portcullis check --print-plan`), made without I/O. Parts that do not
//! change from one plan to the next are behind `Arc`, so that they can be shared.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// One compiled-from configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// In the order in which they are tried: the first whose matcher agrees takes the request.
    pub endpoints: Vec<Endpoint>,
    pub consumers: Arc<Consumers>,
    /// What TLS listeners show.
    pub certificates: Vec<Arc<Certificate>>,
}

/// A place where requests enter: a matcher and the route it leads to. A route with several kinds of paths has
/// several endpoints, since each kind has its own place in the order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Endpoint {
    pub matcher: Matcher,
    pub route: Arc<Route>,
}

/// What a request must be. Every list that is not empty must agree; inside a list, one element suffices
/// (`headers`: each of them).
#[derive(Debug, Clone, Default, PartialEq, Hash, Serialize)]
pub struct Matcher {
    pub hosts: Vec<HostMatch>,
    pub paths: Vec<PathMatch>,
    /// In upper case, as on the wire.
    pub methods: Vec<String>,
    pub headers: Vec<HeaderMatch>,
    /// Names that the TLS handshake asked for: lower case, without a trailing dot. Agrees on plain connections
    /// (kong.md 3.8).
    pub snis: Vec<String>,
}

/// A condition on the request's host (lower case, compared without regard to case).
#[derive(Debug, Clone, PartialEq, Hash, Serialize)]
pub struct HostMatch {
    pub name: HostName,
    /// Compared only where the route names one.
    pub port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostName {
    /// A name or an address; one of IPv6 in brackets, as in the request.
    Exact(String),
    /// `*.example.com` is kept as `.example.com`: what the host must end with.
    Suffix(String),
    /// `example.*` is kept as `example.`: what the host must begin with.
    Prefix(String),
}

/// A condition on the normalised path.
#[derive(Debug, Clone, PartialEq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// Plain string prefix: `/foo` matches `/foobar`.
    Prefix(String),
    /// A regular expression, anchored at the start by whoever compiles it; without Kong's `~`.
    Regex(String),
}

#[derive(Debug, Clone, PartialEq, Hash, Serialize)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// One of these must equal the value, compared without regard to ASCII case; kept in lower case.
    pub values: Vec<String>,
    /// Found somewhere in the lower-cased value (Kong's `~*`), instead of `values`.
    pub regex: Option<String>,
}

/// What happens to a request that an endpoint took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Route {
    pub id: Uuid,
    pub name: Option<String>,
    /// Protocols it serves; a plain request for a route that has `https` alone is sent to TLS.
    pub protocols: Protocols,
    /// Status of that answer: 426, or a redirect.
    pub https_redirect_status: u16,
    pub strip_path: bool,
    pub preserve_host: bool,
    /// Whether a small body is read whole before the upstream is asked; a large one always streams.
    pub request_buffering: bool,
    /// Answers stream with either value.
    pub response_buffering: bool,
    /// Where it goes; `None` answers 503 once the steps have run.
    pub service: Option<Arc<Service>>,
    /// In the order in which they run.
    pub steps: Vec<Step>,
}

/// One plugin on one route, with every configuration that may apply to a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    pub plugin: Arc<str>,
    /// In order of precedence: the first that exists for this request and whose condition holds is used; if none
    /// does, the step does not run.
    pub candidates: Vec<Candidate>,
}

/// Where a step's configuration may come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidate {
    /// The same for everybody.
    Any(Arc<PluginConfig>),
    /// One per consumer, looked up when the step is reached, by the consumer that an earlier step has found. The map
    /// is shared by all routes it counts for, never multiplied by them.
    ByConsumer(Arc<BTreeMap<Uuid, Arc<PluginConfig>>>),
}

/// One plugin instance.
#[derive(Clone, PartialEq, Serialize)]
pub struct PluginConfig {
    /// Stable over reloads; counters are kept by it.
    pub id: Uuid,
    pub plugin: Arc<str>,
    /// Whether this instance counts for a request.
    pub when: Condition,
    /// Completed: every field of the plugin's table is there. Secrets stand in it unresolved when written as a
    /// reference; [`Plan`]s are printed with secrets masked by their printer.
    pub config: Value,
    /// Where it was written (`services[0].plugins[1]`), for errors that show only when it is built.
    pub origin: String,
}

impl fmt::Debug for PluginConfig {
    /// Without the configuration, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PluginConfig");
        shown.field("id", &self.id).field("plugin", &self.plugin).field("when", &self.when);
        shown.field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// A tree of conditions, evaluated at each step, since an earlier step may change what it sees.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Always,
    /// The request came by one of these.
    Protocols(Protocols),
}

/// A set of protocols that a listener can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Protocols {
    pub http: bool,
    pub https: bool,
}

impl Protocols {
    pub const ALL: Protocols = Protocols { http: true, https: true };

    /// Those of `names` that there are here; others (`grpc`) are passed over.
    pub fn from_names(names: &[String]) -> Self {
        let has = |name| names.iter().any(|n| n == name);
        Protocols { http: has("http"), https: has("https") }
    }

    pub fn contains(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Http => self.http,
            Protocol::Https => self.https,
        }
    }
}

/// How a request came, or how a service is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Http,
    Https,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Service {
    pub id: Uuid,
    pub name: Option<String>,
    pub protocol: Protocol,
    /// A name or an address, without port and without brackets.
    pub host: String,
    pub port: u16,
    /// The upstream entity that `host` names, whose targets take the requests instead.
    pub upstream: Option<Arc<Upstream>>,
    /// How the service proves who it is, and we to it; only for `https`.
    pub tls: Arc<ServiceTls>,
    /// Put before what is left of the request's path (kong.md 3.8).
    pub path: Option<String>,
    /// How often a request that was certainly not received is sent again.
    pub retries: u16,
    #[serde(serialize_with = "milliseconds")]
    pub connect_timeout: Duration,
    /// Between two successful writes.
    #[serde(serialize_with = "milliseconds")]
    pub write_timeout: Duration,
    /// Between two successful reads.
    #[serde(serialize_with = "milliseconds")]
    pub read_timeout: Duration,
}

/// TLS towards a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ServiceTls {
    /// Whether its certificate is verified: `None` as the gateway does where nothing is said, which is yes.
    pub verify: Option<bool>,
    /// Intermediate certificates that may stand between its certificate and a trusted one.
    pub verify_depth: Option<u8>,
    /// PEM of the CAs that are trusted instead of the bundled ones; empty: the bundled ones.
    pub ca_certificates: Vec<Arc<str>>,
    /// Shown to it when it asks.
    pub client_certificate: Option<Arc<KeyPair>>,
}

/// A private key with its certificate and those between it and a root, as PEM.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
pub struct KeyPair {
    pub certificates: String,
    #[serde(skip)]
    pub key: String,
}

impl fmt::Debug for KeyPair {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// A certificate that listeners show to clients that ask for one of its names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Certificate {
    pub id: Uuid,
    /// Server names it is shown for: `example.com`, `*.example.com`, `example.*`; `*` for all others.
    pub snis: Vec<String>,
    /// The first, and where there is one the same with a key of another type (`cert_alt`).
    pub pairs: Vec<Arc<KeyPair>>,
}

/// Several targets under one name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Upstream {
    pub id: Uuid,
    pub name: String,
    pub algorithm: Algorithm,
    /// Sent as `Host`, and the name that targets prove, instead of the service's.
    pub host_header: Option<String>,
    /// Shown to targets where the service has none of its own.
    pub client_certificate: Option<Arc<KeyPair>>,
    /// Those with a weight above 0, in the order of their ids.
    pub targets: Vec<Target>,
    pub health: HealthChecks,
}

/// One place of an upstream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    pub id: Uuid,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// Share of the requests among the weights of all.
    pub weight: u16,
}

/// Which target takes a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    RoundRobin,
    /// The one with the fewest requests under way for its weight.
    LeastConnections,
    /// The same for the same input, and for nearly all inputs when targets come and go.
    ConsistentHashing {
        on: HashOn,
        /// Where a request has nothing of that kind; [`HashOn::None`]: round robin.
        fallback: HashOn,
        slots: u32,
    },
}

/// What of a request is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    None,
    Consumer,
    Ip,
    /// Lower case.
    Header(String),
    /// Made by us and set on the answer when the client has none.
    Cookie {
        name: String,
        path: String,
    },
    Path,
    QueryArg(String),
}

/// How it is found out which targets can take requests. A count of 0 switches its rule off, as in Kong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthChecks {
    pub active: ActiveChecks,
    pub passive: PassiveChecks,
    /// Percentage of the weight that must be healthy, or the whole upstream counts as unhealthy; 0: any is enough.
    pub threshold: u8,
}

/// Requests of our own, at intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActiveChecks {
    pub kind: CheckKind,
    #[serde(serialize_with = "milliseconds")]
    pub timeout: Duration,
    pub concurrency: usize,
    pub http_path: String,
    pub https_verify_certificate: bool,
    pub https_sni: Option<String>,
    pub headers: Vec<(String, Vec<String>)>,
    /// Zero: healthy targets are not asked.
    #[serde(serialize_with = "milliseconds")]
    pub healthy_interval: Duration,
    /// Zero: unhealthy targets are not asked.
    #[serde(serialize_with = "milliseconds")]
    pub unhealthy_interval: Duration,
    pub counts: HealthCounts,
}

/// What the requests of clients show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassiveChecks {
    pub kind: CheckKind,
    pub counts: HealthCounts,
}

/// How often in a row something must happen before a target changes sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthCounts {
    pub healthy_statuses: Vec<u16>,
    pub successes: u8,
    pub unhealthy_statuses: Vec<u16>,
    pub http_failures: u8,
    pub tcp_failures: u8,
    pub timeouts: u8,
}

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// To a connection.
    Tcp,
    /// To the status of an answer.
    Http,
    Https,
}

/// As users write them.
fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(time.as_millis())
}

/// Somebody whom an authentication plugin may find behind a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Consumer {
    pub id: Uuid,
    pub username: Option<Box<str>>,
    pub custom_id: Option<Box<str>>,
}

/// All consumers, by each of their keys. Built once and shared by plan and snapshot: a million of them are held
/// once.
#[derive(Debug, Default, Clone)]
pub struct Consumers {
    by_id: HashMap<Uuid, Arc<Consumer>>,
    by_username: HashMap<Box<str>, Arc<Consumer>>,
    by_custom_id: HashMap<Box<str>, Arc<Consumer>>,
}

impl Consumers {
    /// Indexes `consumers`; keys are unique, which the checks of the entities have seen to.
    pub fn new(consumers: impl IntoIterator<Item = Consumer>) -> Self {
        let mut all = Self::default();
        for consumer in consumers.into_iter().map(Arc::new) {
            if let Some(name) = &consumer.username {
                all.by_username.insert(name.clone(), consumer.clone());
            }
            if let Some(custom_id) = &consumer.custom_id {
                all.by_custom_id.insert(custom_id.clone(), consumer.clone());
            }
            all.by_id.insert(consumer.id, consumer);
        }
        all
    }

    pub fn by_id(&self, id: &Uuid) -> Option<&Arc<Consumer>> {
        self.by_id.get(id)
    }

    pub fn by_username(&self, username: &str) -> Option<&Arc<Consumer>> {
        self.by_username.get(username)
    }

    pub fn by_custom_id(&self, custom_id: &str) -> Option<&Arc<Consumer>> {
        self.by_custom_id.get(custom_id)
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl PartialEq for Consumers {
    /// By content: the other two indexes follow from the first.
    fn eq(&self, other: &Self) -> bool {
        self.by_id == other.by_id
    }
}

impl Serialize for Consumers {
    /// As a list in the order of the ids, so that two prints of one plan are the same text.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sorted: BTreeMap<_, _> = self.by_id.iter().collect();
        serializer.collect_seq(sorted.values())
    }
}
