//! What nearly every test needs: an authorization server, an upstream, and a gateway between them.

use portcullis_testkit::{AuthServer, Gateway, Upstream};
use serde_json::{Value, json};

/// The built binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// The credential of the gateway at the authorization server. A canary: it must never be seen anywhere else.
pub(crate) const CREDENTIAL: &str = "Basic Z2F0ZXdheTpjYW5hcnktc2VjcmV0";

/// Authorization server, gateway, upstream; the gateway guards every path.
pub(crate) struct Stage {
    pub(crate) server: AuthServer,
    pub(crate) upstream: Upstream,
    pub(crate) gateway: Gateway,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(json!({}))
    }

    /// `config` are the plugin's fields besides the endpoint and the credential.
    pub(crate) fn with(config: Value) -> Self {
        Self::with_consumers(config, json!([]))
    }

    pub(crate) fn with_consumers(config: Value, consumers: Value) -> Self {
        let (server, upstream) = (AuthServer::start(), Upstream::start());
        let file = guarded(&upstream, &server, config, consumers);
        let gateway = Gateway::builder(BINARY, &file).start();
        Self { server, upstream, gateway }
    }

    /// `{"active": true}` with these members for `token`.
    pub(crate) fn grant(&self, token: &str, members: Value) {
        self.server.on(token, portcullis_testkit::Reply::active(members));
    }
}

/// A file with one service whose every path is guarded.
pub(crate) fn guarded(upstream: &Upstream, server: &AuthServer, config: Value, consumers: Value) -> String {
    let service = json!({
        "name": "echo",
        "url": upstream.url(),
        "routes": [{"name": "all", "paths": ["/"], "strip_path": false}],
        "plugins": [plugin(&server.url(), config)],
    });
    declarative(json!([service]), consumers)
}

/// The introspection plugin for this endpoint.
pub(crate) fn plugin(endpoint: &str, more: Value) -> Value {
    let mut config = json!({"introspection_url": endpoint, "authorization_value": CREDENTIAL});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"name": "oauth2-introspection", "config": config})
}

/// A file of these services and consumers. JSON is YAML.
pub(crate) fn declarative(services: Value, consumers: Value) -> String {
    json!({"_format_version": "3.0", "services": services, "consumers": consumers}).to_string()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
