//! The gateway's own failures: one row each (kong.md 3.10).

use http::{HeaderValue, StatusCode};

/// Why the gateway itself ends a request. Each has a stable [code](Failure::code).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No endpoint of the configuration takes this request.
    NoRoute,
    /// The route leads nowhere.
    NoService,
    /// Plain HTTP on a route for TLS alone, which answers 426.
    HttpsRequired,
    /// The same on a route that sends its clients to TLS.
    RedirectToHttps {
        status: StatusCode,
        location: HeaderValue,
    },
    /// The service's host name has no address.
    NameResolution,
    /// Nobody listens at the upstream's address, or TLS to it failed.
    UpstreamRefused,
    /// What came back is no HTTP answer, or it broke off before its head was whole.
    BadUpstreamResponse,
    /// Connecting, writing or reading took longer than the service allows.
    UpstreamTimeout,
    /// The proxy layer takes no request for this upstream now.
    UpstreamUnavailable,
    /// A head or a body that breaks HTTP's rules, or a target that this gateway does not read.
    BadRequest,
    /// `TRACE` and `CONNECT`.
    MethodNotAllowed,
    /// The client did not send its request in time.
    RequestTimeout,
    LengthRequired,
    PayloadTooLarge,
    UriTooLong,
    HeadTooLarge,
    /// Our own fault: a panic, an invariant that did not hold.
    Internal,
    /// No configuration is live yet.
    NotReady,
    /// The upstream has targets, but none that is healthy, or fewer than its threshold wants.
    NoHealthyTarget,
}

/// What its client and its log line see of a failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    code: &'static str,
    status: u16,
    pub(super) message: &'static str,
    /// Kong's proxy layer makes it, not its router or a plugin: an answer whose format nobody asked for takes the
    /// format of the request, else it is plain text.
    pub(super) by_proxy_layer: bool,
}

const fn router(code: &'static str, status: u16, message: &'static str) -> Row {
    Row { code, status, message, by_proxy_layer: false }
}

const fn proxy(code: &'static str, status: u16, message: &'static str) -> Row {
    Row { code, status, message, by_proxy_layer: true }
}

const BAD_RESPONSE: &str = "An invalid response was received from the upstream server";

/// In the order of [`Failure`].
const TABLE: [Row; 19] = [
    router("no_route", 404, "no Route matched with those values"),
    router("no_service", 503, "no Service found with those values"),
    router("https_required", 426, "Please use HTTPS protocol"),
    router("https_redirect", 301, "Please use HTTPS protocol"),
    router("name_resolution", 503, "name resolution failed"),
    proxy("upstream_refused", 502, BAD_RESPONSE),
    proxy("bad_upstream_response", 502, BAD_RESPONSE),
    proxy("upstream_timeout", 504, "The upstream server is timing out"),
    proxy("upstream_unavailable", 503, "The upstream server is currently unavailable"),
    proxy("bad_request", 400, "Bad request"),
    proxy("method_not_allowed", 405, "Method not allowed"),
    proxy("request_timeout", 408, "Request timeout"),
    proxy("length_required", 411, "Length required"),
    proxy("payload_too_large", 413, "Payload too large"),
    proxy("uri_too_long", 414, "URI too long"),
    proxy("head_too_large", 431, "Request header or cookie too large"),
    router("internal_error", 500, "An unexpected error occurred"),
    router("not_ready", 503, "The gateway has no configuration yet"),
    router("no_healthy_target", 503, "failure to get a peer from the ring-balancer"),
];

impl Failure {
    /// How many kinds there are; [`Failure::index`] is below.
    pub const COUNT: usize = TABLE.len();

    /// The codes of all kinds, in the order of [`Failure::index`].
    pub fn codes() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.code)
    }

    /// Log field and metric label.
    pub fn code(&self) -> &'static str {
        self.row().code
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Failure::RedirectToHttps { status, .. } => *status,
            _ => StatusCode::from_u16(self.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Whether the answer counts as proxied, for the headers of kong.md 3.9: the upstream was tried.
    pub fn is_proxied(&self) -> bool {
        matches!(
            self,
            Failure::UpstreamRefused
                | Failure::BadUpstreamResponse
                | Failure::UpstreamTimeout
                | Failure::UpstreamUnavailable
        )
    }

    /// Place of this kind among all kinds, for counters that are an array.
    pub fn index(&self) -> usize {
        match self {
            Failure::NoRoute => 0,
            Failure::NoService => 1,
            Failure::HttpsRequired => 2,
            Failure::RedirectToHttps { .. } => 3,
            Failure::NameResolution => 4,
            Failure::UpstreamRefused => 5,
            Failure::BadUpstreamResponse => 6,
            Failure::UpstreamTimeout => 7,
            Failure::UpstreamUnavailable => 8,
            Failure::BadRequest => 9,
            Failure::MethodNotAllowed => 10,
            Failure::RequestTimeout => 11,
            Failure::LengthRequired => 12,
            Failure::PayloadTooLarge => 13,
            Failure::UriTooLong => 14,
            Failure::HeadTooLarge => 15,
            Failure::Internal => 16,
            Failure::NotReady => 17,
            Failure::NoHealthyTarget => 18,
        }
    }

    pub(super) fn row(&self) -> &'static Row {
        &TABLE[self.index()]
    }
}
