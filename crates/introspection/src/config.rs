//! The profile: one introspection endpoint, who asks it, what is said, and every limit.

use std::fmt;
use std::time::Duration;

use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING,
};
use http::{HeaderName, HeaderValue};
use url::Url;

use crate::address;
use crate::answer::Reading;
use crate::client_auth::ClientAuth;
use crate::error::ConfigError;
use crate::request::Inputs;

/// Configuration of an [`Introspector`](crate::Introspector), built step by step and checked whole by
/// [`validate`](Self::validate), which the introspector calls too.
#[derive(Clone)]
pub struct Config {
    endpoint: Url,
    allow_http: bool,
    client_auth: Option<ClientAuth>,
    token_type_hint: Option<String>,
    parameters: Vec<(String, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    accept: HeaderValue,
    ca_certificates: Vec<u8>,
    reading: Reading,
    pub(crate) limits: Limits,
}

/// What bounds a profile in time and number. None of it is part of the key: profiles that differ in these alone
/// share answers, and the most generous value among them holds for their calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    pub ttl: Duration,
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub keep_alive: Duration,
    pub concurrent_calls: usize,
    pub queued_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The worst time for which a revoked token still passes; what others chose as theirs.
            ttl: Duration::from_secs(60),
            // What an interactive client bears at most.
            timeout: Duration::from_secs(10),
            // Bears one lost SYN (sent again after 1 s) and leaves half of the whole for the answer.
            connect_timeout: Duration::from_secs(5),
            // Under the 60 s after which common servers close, so that we close first and rarely meet a stale one.
            keep_alive: Duration::from_secs(50),
            // At 10 ms per call 6,400 new tokens a second, and a load that any server bears: many allow 100 database
            // connections or worker threads in all.
            concurrent_calls: 64,
            queued_calls: 10_000,
        }
    }
}

impl Config {
    /// Starts from the endpoint's URL.
    ///
    /// # Errors
    /// It is no URL, or has a user name, a password or a fragment.
    pub fn new(endpoint: &str) -> Result<Self, ConfigError> {
        let endpoint = Url::parse(endpoint).map_err(ConfigError::Endpoint)?;
        if !endpoint.username().is_empty() || endpoint.password().is_some() || endpoint.fragment().is_some() {
            return Err(ConfigError::EndpointParts);
        }
        Ok(Self {
            endpoint,
            allow_http: false,
            client_auth: None,
            token_type_hint: None,
            parameters: Vec::new(),
            headers: Vec::new(),
            accept: HeaderValue::from_static("application/json"),
            ca_certificates: Vec::new(),
            reading: Reading::default(),
            limits: Limits::default(),
        })
    }

    /// How we authenticate. There is no default.
    pub fn client_auth(self, auth: ClientAuth) -> Self {
        Self { client_auth: Some(auth), ..self }
    }

    /// `token_type_hint`. Default: none is sent, since some servers fail on hints they do not know.
    pub fn token_type_hint<'h>(self, hint: impl Into<Option<&'h str>>) -> Self {
        Self { token_type_hint: hint.into().map(str::to_owned), ..self }
    }

    /// Adds a parameter to the form of every call.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Adds a header to every call.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The `Accept` value. Default `application/json`.
    pub fn accept(self, accept: HeaderValue) -> Self {
        Self { accept, ..self }
    }

    /// Lets the endpoint be `http`: the token then crosses the network in clear. Default off (RFC 7662 section 4).
    pub fn allow_http(self, allow: bool) -> Self {
        Self { allow_http: allow, ..self }
    }

    /// CA certificates, as a PEM bundle, that are trusted beside the bundled roots of Mozilla. Default none.
    pub fn ca_certificates(self, pem: impl Into<Vec<u8>>) -> Self {
        Self { ca_certificates: pem.into(), ..self }
    }

    /// For how long an answer is reused at most where a call does not say; zero: no limit of its own, so until `exp`.
    /// Default 60 s.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.limits.ttl = ttl;
        self
    }

    /// Limit of one call from its first to its last byte, connecting included; the time it waits for its turn is not.
    /// Default 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// Limit of DNS, TCP and TLS together. Default 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.limits.connect_timeout = timeout;
        self
    }

    /// For how long an idle connection is kept. Default 50 s.
    pub fn keep_alive(mut self, idle: Duration) -> Self {
        self.limits.keep_alive = idle;
        self
    }

    /// Calls that run at the same time. Default 64.
    pub fn concurrent_calls(mut self, calls: usize) -> Self {
        self.limits.concurrent_calls = calls;
        self
    }

    /// Calls that wait for their turn; beyond it a miss fails at once with `as_busy`. Default 10,000.
    pub fn queued_calls(mut self, calls: usize) -> Self {
        self.limits.queued_calls = calls;
        self
    }

    /// Bytes of an answer after decompression. Default 256 KiB.
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.reading.max_bytes = bytes;
        self
    }

    /// Levels of nesting in an answer. Default 64.
    pub fn max_answer_depth(mut self, levels: usize) -> Self {
        self.reading.max_depth = levels;
        self
    }

    /// Members in an answer, those of nested objects included. Default 4,096.
    pub fn max_answer_members(mut self, members: usize) -> Self {
        self.reading.max_members = members;
        self
    }

    /// Understands dates in milliseconds. Default off: they are refused.
    pub fn millisecond_dates(mut self, allow: bool) -> Self {
        self.reading.millisecond_dates = allow;
        self
    }

    /// Understands dates as strings of digits. Default off: they are refused.
    pub fn string_dates(mut self, allow: bool) -> Self {
        self.reading.string_dates = allow;
        self
    }

    /// Checks everything that one setter alone cannot.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let scheme = self.endpoint.scheme();
        if !(scheme == "https" || (scheme == "http" && self.allow_http)) || self.endpoint.host_str().is_none() {
            return Err(ConfigError::Scheme);
        }
        if address::names_forbidden(self.endpoint.host()) {
            return Err(ConfigError::ForbiddenAddress);
        }
        self.client_auth.as_ref().ok_or(ConfigError::NoClientAuth)?.validate()?;
        if let Some((name, _)) = self.headers.iter().find(|(name, _)| is_reserved_header(name)) {
            return Err(ConfigError::ReservedHeader(name.clone()));
        }
        if let Some((name, _)) = self.parameters.iter().find(|(name, _)| is_reserved_parameter(name)) {
            return Err(ConfigError::ReservedParameter(name.clone()));
        }
        self.validate_limits()
    }

    fn validate_limits(&self) -> Result<(), ConfigError> {
        let Limits { ttl: _, timeout, connect_timeout, keep_alive: _, concurrent_calls, queued_calls: _ } = self.limits;
        let rows = [
            ("timeout", "more than zero", !timeout.is_zero()),
            ("connect_timeout", "more than zero", !connect_timeout.is_zero()),
            ("concurrent_calls", "at least 1", concurrent_calls > 0),
            ("max_answer_bytes", "1 to 16 MiB", (1..=16 * 1024 * 1024).contains(&self.reading.max_bytes)),
            // serde_json itself stops at 128.
            ("max_answer_depth", "1 to 100", (1..=100).contains(&self.reading.max_depth)),
            ("max_answer_members", "1 to 60,000", (1..=60_000).contains(&self.reading.max_members)),
        ];
        match rows.into_iter().find(|(_, _, holds)| !holds) {
            Some((setting, wanted, _)) => Err(ConfigError::OutOfRange { setting, wanted }),
            None => Ok(()),
        }
    }

    /// What the key is made of, once everything is known to be right.
    pub(crate) fn into_inputs(self) -> Result<(Inputs, Limits), ConfigError> {
        self.validate()?;
        let inputs = Inputs {
            endpoint: self.endpoint,
            ca_certificates: self.ca_certificates,
            client_auth: self.client_auth.ok_or(ConfigError::NoClientAuth)?,
            token_type_hint: self.token_type_hint,
            parameters: self.parameters,
            headers: self.headers,
            accept: self.accept,
            reading: self.reading,
        };
        Ok((inputs, self.limits))
    }
}

/// Whether a header belongs to the request itself, so that nobody may add it to a call.
pub fn is_reserved_header(name: &HeaderName) -> bool {
    [
        ACCEPT,
        AUTHORIZATION,
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        HOST,
        TRANSFER_ENCODING,
        http::header::TE,
        http::header::TRAILER,
        http::header::UPGRADE,
        http::header::EXPECT,
        http::header::ACCEPT_ENCODING,
    ]
    .contains(name)
}

/// Whether a form parameter belongs to the request itself: the token, the hint, the client authentication.
pub fn is_reserved_parameter(name: &str) -> bool {
    ["token", "token_type_hint", "client_id", "client_secret", "client_assertion", "client_assertion_type"]
        .contains(&name)
}

impl fmt::Debug for Config {
    /// Headers and parameters may hold secrets, so their names alone are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoint", &self.endpoint.as_str())
            .field("client_auth", &self.client_auth)
            .field("parameters", &self.parameters.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str) -> Config {
        Config::new(endpoint).unwrap().client_auth(ClientAuth::basic("id", "canary-secret"))
    }

    #[test]
    fn what_cannot_run_is_refused_at_load() {
        let good = || config("https://as.example/introspect");
        let rows: [(&str, Config, &str); 13] = [
            ("http", config("http://as.example/"), "https URL"), // I-5
            ("another scheme", config("ftp://as.example/").allow_http(true), "https URL"),
            ("no credentials", Config::new("https://as.example/").unwrap(), "no client authentication"), // I-11
            ("empty id", good().client_auth(ClientAuth::none("")), "client id"),
            (
                "raw id with colon",
                good().client_auth(ClientAuth::basic_encoded("a:b", "s", crate::BasicEncoding::Raw)),
                "client_id",
            ),
            ("authorization", good().client_auth(ClientAuth::authorization("Bearer a\nb")), "authorization value"),
            ("empty authorization", good().client_auth(ClientAuth::authorization("")), "authorization value"),
            ("reserved header", good().header(HOST, HeaderValue::from_static("x")), "`host`"),
            ("reserved parameter", good().parameter("token", "x"), "`token`"),
            ("timeout", good().timeout(Duration::ZERO), "timeout"),
            ("calls", good().concurrent_calls(0), "concurrent_calls"),
            ("depth", good().max_answer_depth(500), "max_answer_depth"),
            ("bytes", good().max_answer_bytes(0), "max_answer_bytes"),
        ];
        for (row, config, expected) in rows {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{row}: {error}");
        }
        good().validate().unwrap();
        config("http://as.example/").allow_http(true).validate().unwrap();
        for endpoint in ["", "as.example", "https://user@as.example/", "https://as.example/#part", "https://"] {
            assert!(Config::new(endpoint).is_err(), "{endpoint}");
        }
    }

    // I-16, S-66
    #[test]
    fn no_secret_is_printed() {
        let config = config("https://as.example/")
            .header(HeaderName::from_static("x-key"), HeaderValue::from_static("canary-header"))
            .parameter("key", "canary-parameter");
        assert!(!format!("{config:?}").contains("canary"));
    }
}
