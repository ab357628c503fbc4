//! `tls:`, what listeners with the word `ssl` show and ask for.

use super::section::Section;
use portcullis_proxy::{ClientCertificates, TlsVersion};
use std::path::PathBuf;

/// What is meant; the files themselves are read when the gateway starts and whenever they change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    /// The first is shown to clients whose server name no other one is for.
    pub certificates: Vec<CertificateFiles>,
    pub client_certificates: ClientCertificates,
    pub min_version: TlsVersion,
}

/// A certificate's files, as PEM: certificate and key, and perhaps the same with a key of another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateFiles(pub Vec<(PathBuf, PathBuf)>);

pub(crate) fn read(section: &mut Section<'_>) -> Tls {
    let default = Tls::default();
    let asked =
        [("auto", ClientCertificates::Auto), ("never", ClientCertificates::Never), ("ask", ClientCertificates::Ask)];
    Tls {
        certificates: section.list("certificates", files),
        client_certificates: section.word("client_certificates", &asked).unwrap_or(default.client_certificates),
        min_version: section
            .word("min_version", &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)])
            .unwrap_or(default.min_version),
    }
}

fn files(entry: &mut Section<'_>) -> CertificateFiles {
    const CERT: &str = "write the path of a PEM file with the certificate and those between it and a root";
    const KEY: &str = "write the path of a PEM file with the certificate's private key";
    let path = |text: &str| Ok(PathBuf::from(text));
    let first = entry.required("cert", CERT, path).zip(entry.required("key", KEY, path));
    let other = match entry.parsed("cert_alt", path) {
        Some(cert) => Some(cert).zip(entry.required("key_alt", KEY, path)),
        None => entry.parsed("key_alt", |_| Err("there is no cert_alt that it belongs to; write both".to_owned())),
    };
    CertificateFiles(first.into_iter().chain(other).collect())
}
