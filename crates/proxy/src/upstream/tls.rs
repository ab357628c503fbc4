//! How TLS is spoken to services: by whom they are vouched for, how far that goes, and what is shown to them.

use portcullis_model::plan::{KeyPair, ServiceTls};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

/// Compiled in, so that an image without a certificate store works. Shared, since it takes 74 kB.
static BUNDLED: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    Arc::new(roots)
});

/// What is wrong with the TLS settings of a service.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct BadTls {
    /// The service's field, and the place in its list.
    pub(crate) field: &'static str,
    pub(crate) index: Option<usize>,
    message: String,
}

/// One configuration, with its memory of sessions, per distinct settings, for as long as an address uses it.
#[derive(Debug, Default)]
pub(super) struct Configs {
    known: HashMap<Arc<ServiceTls>, Weak<ClientConfig>>,
}

impl Configs {
    pub(super) fn of(&mut self, tls: &Arc<ServiceTls>) -> Result<Arc<ClientConfig>, BadTls> {
        if let Some(known) = self.known.get(tls).and_then(Weak::upgrade) {
            return Ok(known);
        }
        // A new one is rare and costs far more than this look at the others.
        self.known.retain(|_, config| config.strong_count() > 0);
        let config = Arc::new(config(tls)?);
        self.known.insert(tls.clone(), Arc::downgrade(&config));
        Ok(config)
    }
}

/// As `tls` says. What it leaves out: verified, by the bundled roots, however long the chain, nothing shown.
fn config(tls: &ServiceTls) -> Result<ClientConfig, BadTls> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (tls.verify, tls.verify_depth) {
        (Some(false), _) => Arc::new(Unverified(provider.clone())),
        (_, depth) => Arc::new(Verified::new(roots(&tls.ca_certificates)?, depth, provider.clone())?),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BadTls::of("protocol", error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &tls.client_certificate {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (chain, key) = parse(pair)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| BadTls::of("client_certificate", error))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(authorities: &[Arc<str>]) -> Result<Arc<RootCertStore>, BadTls> {
    if authorities.is_empty() {
        return Ok(BUNDLED.clone());
    }
    let mut roots = RootCertStore::empty();
    for (index, pem) in authorities.iter().enumerate() {
        let bad = |message: String| BadTls { field: "ca_certificates", index: Some(index), message };
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| bad(format!("is no PEM: {error}")))?;
            roots.add(certificate).map_err(|error| bad(format!("cannot be trusted: {error}")))?;
        }
        if roots.len() == before {
            return Err(bad("holds no certificate".to_owned()));
        }
    }
    Ok(Arc::new(roots))
}

fn parse(pair: &KeyPair) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BadTls> {
    let bad = |message: String| BadTls { field: "client_certificate", index: None, message };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.certificates.as_bytes()).collect();
    let chain = chain.map_err(|error| bad(format!("its certificate is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(bad("holds no certificate".to_owned()));
    }
    // Not the parser's words, which may quote what it could not read.
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())
        .map_err(|_| bad("its key is no PEM of a private key".to_owned()))?;
    Ok((chain, key))
}

impl BadTls {
    fn of(field: &'static str, error: impl ToString) -> Self {
        Self { field, index: None, message: error.to_string() }
    }
}

/// The server's name, validity and chain are verified, and the chain's length where one is set.
#[derive(Debug)]
struct Verified {
    inner: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    /// Certificates that may stand between the server's own and a trusted one.
    depth: Option<u8>,
    provider: Arc<CryptoProvider>,
}

impl Verified {
    fn new(roots: Arc<RootCertStore>, depth: Option<u8>, provider: Arc<CryptoProvider>) -> Result<Self, BadTls> {
        let inner = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        let inner = inner.build().map_err(|error| BadTls::of("ca_certificates", error))?;
        Ok(Self { inner, roots, depth, provider })
    }

    /// Whether there is a way to a trusted certificate that is no longer than `depth`.
    fn check_depth(
        &self,
        depth: u8,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let short = |path: &webpki::VerifiedPath<'_>| match path.intermediate_certificates().count() {
            count if count <= usize::from(depth) => Ok(()),
            _ => Err(webpki::Error::MaximumPathDepthExceeded),
        };
        let too_long = |_| {
            let message =
                format!("the certificate's chain is longer than the {depth} intermediates of tls_verify_depth");
            rustls::Error::General(message)
        };
        webpki::EndEntityCert::try_from(end_entity)
            .and_then(|certificate| {
                let algorithms = self.provider.signature_verification_algorithms.all;
                let usage = webpki::KeyUsage::server_auth();
                certificate
                    .verify_for_usage(algorithms, &self.roots.roots, intermediates, now, usage, None, Some(&short))
                    .map(drop)
            })
            .map_err(too_long)
    }
}

impl ServerCertVerifier for Verified {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        if let Some(depth) = self.depth {
            self.check_depth(depth, end_entity, intermediates, now)?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `tls_verify: false`: any certificate will do, as long as the server has its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
