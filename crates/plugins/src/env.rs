//! What plugins get from outside, and what must outlive a reload.
//!
//! Instances are cheap and are built anew with every configuration; the token cache, HTTP clients, permits and
//! flights are not. They live here or, per profile, weakly behind the cache, keyed by a fingerprint of what they
//! depend on: nothing has to be cleared when a configuration goes.

use portcullis_introspection::{
    Cache, CacheConfig, Clients, Config as Profile, ConfigError, Introspector, Requirement,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Settings of the whole gateway that plugins need (D13).
#[derive(Clone)]
pub struct EnvSettings {
    /// Where calls to authorization servers run: they outlive the request, and the core, that began them.
    pub runtime: Handle,
    pub cache: CacheConfig,
    /// Calls under way at once per profile, unless the server's own entry says otherwise. `None`: the library's
    /// default.
    pub concurrent_calls: Option<usize>,
    /// Calls that may wait for one of those places.
    pub queued_calls: Option<usize>,
    /// Whether tokens are looked for in bodies, where a dialect knows that source.
    pub body_tokens: bool,
    pub authorization_servers: Vec<AuthorizationServer>,
    /// Environment variables that `{vault://env/…}` may name.
    pub variables: HashMap<String, String>,
}

impl fmt::Debug for EnvSettings {
    /// Without the variables, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvSettings")
            .field("cache", &self.cache)
            .field("authorization_servers", &self.authorization_servers)
            .finish_non_exhaustive()
    }
}

/// What is known of one authorization server beyond what a plugin's configuration can say.
#[derive(Debug, Clone, Default)]
pub struct AuthorizationServer {
    /// Profiles whose endpoint begins with this are meant.
    pub endpoint: String,
    /// PEM bundle of certificates that are trusted beside the bundled roots.
    pub ca_certificates: Vec<u8>,
    pub concurrent_calls: Option<usize>,
    pub queued_calls: Option<usize>,
    /// Bytes of one answer, after decompression.
    pub max_answer_bytes: Option<usize>,
    /// Accepted issuers; empty means that `iss` is not looked at (I-25).
    pub issuers: Vec<String>,
    /// Whether an answer without `iss` is refused when issuers are set.
    pub issuer_required: bool,
    /// Accepted audiences, any of them; empty means that `aud` is not looked at (I-26).
    pub audiences: Vec<String>,
}

/// Shared by all plugin instances of a gateway, over all its configurations.
#[derive(Debug)]
pub struct Env {
    settings: EnvSettings,
    cache: Arc<Cache>,
    clients: Clients,
}

impl Env {
    pub fn new(settings: EnvSettings) -> Self {
        Self { cache: Cache::new(settings.cache.clone()), clients: Clients::new(), settings }
    }

    /// The one token cache: its figures for the metrics, its purge for the operator.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    pub(crate) fn body_tokens(&self) -> bool {
        self.settings.body_tokens
    }

    /// An environment variable, for references to secrets (D14).
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.settings.variables.get(name).cloned()
    }

    /// What is known of the server behind `endpoint`: the entry with the longest matching prefix, over the settings
    /// of the whole gateway.
    pub(crate) fn authorization_server(&self, endpoint: &str) -> AuthorizationServer {
        let entries = self.settings.authorization_servers.iter();
        let known =
            entries.filter(|server| begins_with(endpoint, &server.endpoint)).max_by_key(|server| server.endpoint.len());
        let mut server = known.cloned().unwrap_or_default();
        server.concurrent_calls = server.concurrent_calls.or(self.settings.concurrent_calls);
        server.queued_calls = server.queued_calls.or(self.settings.queued_calls);
        server
    }

    /// The introspector of a profile; equal profiles share cache entries, permits and flights.
    pub(crate) fn introspector(&self, profile: Profile) -> Result<Introspector, ConfigError> {
        Introspector::new(profile, &self.cache, &self.clients, self.settings.runtime.clone())
    }
}

/// Whether `url` begins with `prefix`, and the prefix ends where a part of the URL ends: settings for
/// `https://id.example.com` are not those of `https://id.example.community`.
fn begins_with(url: &str, prefix: &str) -> bool {
    let rest = url.strip_prefix(prefix);
    rest.is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?']))
}

impl AuthorizationServer {
    /// Puts these settings into a profile.
    pub(crate) fn apply(&self, mut profile: Profile) -> Profile {
        if !self.ca_certificates.is_empty() {
            profile = profile.ca_certificates(self.ca_certificates.clone());
        }
        if let Some(calls) = self.concurrent_calls {
            profile = profile.concurrent_calls(calls);
        }
        if let Some(calls) = self.queued_calls {
            profile = profile.queued_calls(calls);
        }
        if let Some(bytes) = self.max_answer_bytes {
            profile = profile.max_answer_bytes(bytes);
        }
        profile
    }

    /// What its answers must say.
    pub(crate) fn requirement(&self) -> Requirement {
        Requirement::default()
            .issuers(&self.issuers)
            .issuer_may_be_absent(!self.issuer_required)
            .audiences(&self.audiences)
    }
}

#[cfg(test)]
mod tests {
    use super::begins_with;

    #[test]
    fn a_prefix_ends_where_a_part_of_the_url_ends() {
        let rows = [
            ("https://id.example.com", true),
            ("https://id.example.com/", true),
            ("https://id.example.com/oauth2", true),
            ("https://id.example.com/oauth2/introspect", true),
            ("https://id.example.co", false),
            ("https://id.example.com/oauth", false),
            ("https://id.example.com/oauth2/introspect/more", false),
        ];
        for (prefix, wanted) in rows {
            assert_eq!(begins_with("https://id.example.com/oauth2/introspect", prefix), wanted, "{prefix}");
        }
        // Another port is another server.
        assert!(!begins_with("https://id.example.com:8443/i", "https://id.example.com"));
    }
}
