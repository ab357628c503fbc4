//! Certificates and keys, each held once however many names and services show it.

use crate::entities::{self, Certificate, Entities, Reference};
use crate::plan::{self, KeyPair, ServiceTls};
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// Every certificate and CA by its id.
#[derive(Debug)]
pub(super) struct Pems {
    /// A certificate's own pair, and the one with a key of another type where there is one.
    pairs: HashMap<Uuid, Vec<Arc<KeyPair>>>,
    authorities: HashMap<Uuid, Arc<str>>,
    /// What services have that say nothing of TLS.
    nothing_said: Arc<ServiceTls>,
}

impl Pems {
    pub(super) fn new(entities: &Entities) -> Self {
        Self {
            pairs: entities.certificates.iter().map(|certificate| (certificate.id, pairs(certificate))).collect(),
            authorities: entities.ca_certificates.iter().map(|ca| (ca.id, Arc::from(ca.cert.as_str()))).collect(),
            nothing_said: Arc::default(),
        }
    }

    /// What is shown to a server that asks.
    pub(super) fn of_client(&self, reference: Option<Reference>) -> Option<Arc<KeyPair>> {
        self.pairs.get(&reference?.id)?.first().cloned()
    }

    pub(super) fn of_service(&self, service: &entities::Service) -> Arc<ServiceTls> {
        let ids = service.ca_certificates.iter().flatten();
        let said = ServiceTls {
            verify: service.tls_verify,
            verify_depth: service.tls_verify_depth,
            ca_certificates: ids.filter_map(|id| self.authorities.get(id)).cloned().collect(),
            client_certificate: self.of_client(service.client_certificate),
        };
        if said == *self.nothing_said { self.nothing_said.clone() } else { Arc::new(said) }
    }
}

fn pairs(certificate: &Certificate) -> Vec<Arc<KeyPair>> {
    let pair = |cert: &String, key: &String| Arc::new(KeyPair { certificates: cert.clone(), key: key.clone() });
    let alt = certificate.cert_alt.as_ref().zip(certificate.key_alt.as_ref());
    let own = pair(&certificate.cert, &certificate.key);
    [own].into_iter().chain(alt.map(|(cert, key)| pair(cert, key))).collect()
}

/// What TLS listeners show; a certificate without a name is shown to nobody.
pub(super) fn certificates(entities: &Entities, pems: &Pems) -> Vec<Arc<plan::Certificate>> {
    let mut names: HashMap<Uuid, Vec<String>> = HashMap::new();
    for sni in &entities.snis {
        let name = sni.name.strip_suffix('.').unwrap_or(&sni.name).to_ascii_lowercase();
        names.entry(sni.certificate.id).or_default().push(name);
    }
    let with_names = entities.certificates.iter().filter_map(|certificate| {
        let snis = names.remove(&certificate.id)?;
        let pairs = pems.pairs.get(&certificate.id)?.clone();
        Some(Arc::new(plan::Certificate { id: certificate.id, snis, pairs }))
    });
    with_names.collect()
}
