//! A certificate authority and a leaf for loopback, made anew for each test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCert, ResolvesServerCertUsingSni};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// A throwaway authority with one leaf for `localhost` and `127.0.0.1`.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate, PEM: what a client has to trust.
    pub authority_pem: String,
    /// The leaf's certificate, PEM.
    pub leaf_pem: String,
    /// Its private key, PEM.
    pub key_pem: String,
}

impl Certificates {
    /// A leaf that a client who trusts the authority accepts.
    pub fn new() -> Self {
        Self::for_names(&["localhost", "127.0.0.1"])
    }

    /// A leaf for other names: a client that asked for loopback must refuse it.
    pub fn for_names(names: &[&str]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // By a name of its own: a leaf that is named as its issuer looks self-signed to OpenSSL.
        authority.distinguished_name.push(DnType::CommonName, "authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut leaf = CertificateParams::new(names.clone()).unwrap();
        // OpenSSL takes a leaf with its authority's name for one that has signed itself.
        leaf.distinguished_name.push(DnType::CommonName, names.join(" "));
        let leaf = leaf.signed_by(&key, &authority).unwrap();
        Self { authority_pem: authority.pem(), leaf_pem: leaf.pem(), key_pem: key.serialize_pem() }
    }

    /// Serves the leaf to every client, or to those alone that ask for `virtual_host` by name (SNI).
    pub(crate) fn server_config(&self, virtual_host: Option<&str>) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from_pem_slice(self.leaf_pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let leaf = CertifiedKey::from_der(chain, key, &provider).unwrap();
        let resolver: Arc<dyn ResolvesServerCert> = match virtual_host {
            None => Arc::new(SingleCertAndKey::from(leaf)),
            Some(name) => {
                let mut by_name = ResolvesServerCertUsingSni::new();
                by_name.add(name, leaf).expect("a leaf for the virtual host");
                Arc::new(by_name)
            }
        };
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        Arc::new(config)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}
