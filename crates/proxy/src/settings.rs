//! What the data plane is told when it starts: workers and limits. Routes come later, by [`crate::DataPlane::load`].

use ipnet::IpNet;
use std::net::SocketAddr;
use std::time::Duration;

/// Settings of a data plane.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads that serve, each with its own listeners, connections and upstream pools. One per core is right; 0
    /// counts as 1.
    pub workers: usize,
    pub limits: Limits,
    /// Let the fixed reserved identity headers of clients (I-151) pass on routes without any plugin, because a
    /// trusted gateway in front sets them (D17). False: they are removed on every route.
    pub unguarded_identity_headers: bool,
    /// Take out headers that ask an upstream to treat a request as one of another method (S-38): a rule for `GET`
    /// would let a `DELETE` through. False: they pass, as with Kong.
    pub removes_method_overrides: bool,
    /// Peers whose `X-Forwarded-*` headers are believed; nobody unless named (S-29).
    pub trusted_ips: Vec<IpNet>,
    /// Which TLS clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// The oldest version of TLS that clients may speak.
    pub tls_min_version: TlsVersion,
    /// Servers that are asked for the names of upstreams; empty: those of the system.
    pub name_servers: Vec<SocketAddr>,
}

/// A place to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    /// Speaks TLS, with HTTP/2 by ALPN.
    pub tls: bool,
    /// Without TLS: HTTP/2 by prior knowledge, beside HTTP/1 (D18).
    pub http2: bool,
}

impl From<SocketAddr> for Listen {
    /// Plain HTTP/1.
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: false, http2: false }
    }
}

/// Which TLS clients are asked for a certificate. None is verified against a chain (I-68): what it proves is the
/// business of whoever compares it with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    /// Those whose server name a route that needs one can match.
    #[default]
    Auto,
    Never,
    Ask,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// Safe as the library does it, and all that some clients have.
    #[default]
    Tls12,
    Tls13,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            limits: Limits::default(),
            unguarded_identity_headers: false,
            removes_method_overrides: false,
            trusted_ips: Vec::new(),
            client_certificates: ClientCertificates::default(),
            tls_min_version: TlsVersion::default(),
            name_servers: Vec::new(),
        }
    }
}

/// What one client, one upstream or all of them together may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Request line and headers together, in bytes (S-48: one cap for the whole head); more is a 431. Default
    /// 64 KiB: eight times nginx's, since tokens with many claims travel in headers; at most this is buffered per
    /// connection. At least 8 KiB. The number of headers is capped at 100, the size of the parser's table.
    pub max_head_bytes: usize,
    /// From the first byte of a head (on a new connection: from its start) to its last. Default 60 s (S-46).
    pub header_timeout: Duration,
    /// How long a request's body may pause. Default 60 s (S-46).
    pub body_idle: Duration,
    /// From a request's head to its answer's last byte, whoever it waits for. Default none: event streams, WebSockets
    /// and large downloads last, and each of their parts has a limit of its own. Before the answer's head it is a 408
    /// if the client's body is late, else a 504; later the answer breaks off.
    pub request_total: Option<Duration>,
    /// How long a client may leave an answer unread. Default 60 s (S-46).
    pub client_read_idle: Duration,
    /// How long a connection may rest between two requests. Default 75 s, nginx's, longer than the 60 s after which
    /// common load balancers in front let go of theirs.
    pub keep_alive_idle: Duration,
    /// How long a connection that rests keeps its buffers. Default 2 s: one in use keeps them, and 10,000 that only
    /// wait cost a tenth of the memory.
    pub awake: Duration,
    /// Client connections of all workers together; more are closed at once. Default 65,536: protects from running
    /// out of file descriptors and memory.
    pub max_connections: usize,
    /// What is read of a body that nobody wanted, so that the connection can serve another request; of a longer one
    /// the connection is closed instead. Default 256 KiB.
    pub drain_body_bytes: u64,
    /// Requests at once on one HTTP/2 connection (S-45). Default 128, nginx's and haproxy's kind of number; more wait
    /// at the client.
    pub http2_max_streams: u32,
    /// What a client may send of one HTTP/2 request's body before the upstream takes it, in bytes. Default 65,535,
    /// the protocol's own: with the number of streams it bounds what a connection may make us hold.
    pub http2_stream_window: u32,
    /// How often the other end of an HTTP/2 connection is asked whether it is still there. Default 60 s; no answer
    /// within 20 s closes it.
    pub http2_ping: Duration,
    /// How long an unused upstream connection is kept. Default 60 s, Kong's.
    pub upstream_idle: Duration,
    /// Unused upstream connections per address and worker. Default 512, Kong's.
    pub upstream_idle_connections: usize,
    /// How often a worker looks for time limits that have passed and for a new configuration; so also how exact
    /// every limit is. Default 100 ms: ten wake-ups a second cost an idle worker nothing that could be measured.
    pub tick: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head_bytes: 64 * 1024,
            header_timeout: Duration::from_secs(60),
            body_idle: Duration::from_secs(60),
            request_total: None,
            client_read_idle: Duration::from_secs(60),
            keep_alive_idle: Duration::from_secs(75),
            awake: Duration::from_secs(2),
            max_connections: 65_536,
            drain_body_bytes: 256 * 1024,
            http2_max_streams: 128,
            http2_stream_window: 65_535,
            http2_ping: Duration::from_secs(60),
            upstream_idle: Duration::from_secs(60),
            upstream_idle_connections: 512,
            tick: Duration::from_millis(100),
        }
    }
}
