//! Whom the call trusts.

use std::sync::Arc;

use portcullis_introspection::{ClientAuth, Config};
use rcgen::{CertificateParams, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;

use crate::server::{Server, introspector, json};

/// A CA of our own.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap()
    }
}

// I-5, S-50
#[tokio::test]
async fn certificates_are_verified() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let rows = [
        ("trusted", ours.server(|_| {}), ours.pem.as_str(), "localhost", "active"),
        ("beside other CAs", ours.server(|_| {}), &format!("{}{}", theirs.pem, ours.pem), "localhost", "active"),
        ("not configured", ours.server(|_| {}), "", "localhost", "as_tls"),
        ("another CA", ours.server(|_| {}), &theirs.pem, "localhost", "as_tls"),
        ("wrong name", ours.server(|_| {}), &ours.pem, "127.0.0.1", "as_tls"),
        ("expired", ours.server(|cert| cert.not_after = date_time_ymd(2024, 1, 1)), &ours.pem, "localhost", "as_tls"),
    ];
    for (row, tls, trusted, host, expected) in rows {
        let server = Server::secured(json(r#"{"active":true}"#), tls).await;
        let config = Config::new(&format!("https://{host}:{}/", server.address.port()))
            .unwrap()
            .client_auth(ClientAuth::basic("id", "secret"))
            .ca_certificates(trusted);
        let got = match introspector(config).introspect("t").await {
            Ok(answer) if answer.active() => "active",
            Ok(_) => "inactive",
            Err(failure) => failure.code(),
        };
        assert_eq!(got, expected, "{row}");
        assert_eq!(server.calls(), usize::from(expected == "active"), "{row}"); // no token left us
    }
}

#[tokio::test]
async fn a_bundle_that_is_none_is_refused() {
    use portcullis_introspection::{Cache, CacheConfig, Clients, ConfigError, Introspector};
    for bundle in ["no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let config =
            Config::new("https://as.example/").unwrap().client_auth(ClientAuth::none("id")).ca_certificates(bundle);
        let error = Introspector::new(config, &Cache::new(CacheConfig::default()), &Clients::new(), None).unwrap_err();
        assert!(matches!(error, ConfigError::CaCertificates | ConfigError::Client(_)), "{error}");
    }
}
