//! Which certificate a handshake gets.

use super::certificates::{Certificates, Shown};
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// The certificates of the live plan, and those of files.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    pub(crate) plan: ArcSwap<Certificates>,
    pub(crate) files: ArcSwap<Certificates>,
}

impl Resolver {
    /// What is shown to a client that asks for `name`: by the name itself, by `*.` and its parent, by its stem and
    /// `.*`, by `*`, and then the first of the files. For each kind, the plan's before that of a file.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Shown> {
        let (plan, files) = (self.plan.load(), self.files.load());
        let both = || [&**plan, &**files].into_iter();
        let by_name = |name: &str| {
            let exact = both().find_map(|set| set.exact(name));
            let below = || both().find_map(|set| set.below(name));
            let beside = || both().find_map(|set| set.beside(name));
            exact.or_else(below).or_else(beside)
        };
        let found = name.and_then(by_name).or_else(|| both().find_map(Certificates::any)).or_else(|| files.first());
        found.cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.find(hello.server_name().map(normal).as_deref())?;
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        // With none that the client can verify the library ends the handshake.
        shown.iter().find(usable).or_else(|| shown.first()).cloned()
    }
}

/// A server name in the form in which names are compared.
pub(super) fn normal(name: &str) -> Box<str> {
    name.trim_end_matches('.').to_ascii_lowercase().into()
}
