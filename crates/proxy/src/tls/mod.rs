//! TLS towards clients: which certificate is shown to whom, and the handshake.
//!
//! One configuration of the library serves from start to end, so that session tickets survive every change of
//! certificates; what is shown is looked up per handshake in the [`Resolver`], whose content is replaced whole.
//! Connections that are open go on with what they began with.

mod certificates;
mod client;
mod handshake;
mod resolver;

pub(crate) use certificates::Certificates;
pub(crate) use handshake::{HandshakeFailure, Secured, accept};
pub(crate) use resolver::Resolver;

use crate::settings::{ClientCertificates, Settings, TlsVersion};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

/// What every handshake of a data plane is led by.
pub(crate) fn server_config(settings: &Settings, resolver: Arc<Resolver>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[_] = match settings.tls_min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
    let builder = match settings.client_certificates {
        ClientCertificates::Ask => builder.with_client_cert_verifier(Arc::new(client::Holder::new(algorithms))),
        // Nothing binds tokens to certificates yet, so no route needs one.
        ClientCertificates::Auto | ClientCertificates::Never => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}
