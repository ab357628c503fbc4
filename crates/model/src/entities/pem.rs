//! PEM: certificates and private keys as texts, and what can be said of them without a clock.

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, SignatureAlgorithm};
use serde_json::Value;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// When a certificate counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validity {
    /// Seconds since 1970, both included.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    /// Both as people write them.
    pub(crate) from: String,
    pub(crate) until: String,
}

/// Rule for `cert`: a certificate and, after it, those between it and a root.
pub(super) fn certificate(value: &Value) -> Result<(), String> {
    chain(value.as_str().unwrap_or_default()).map(drop)
}

/// Rule for `key`.
pub(super) fn key(value: &Value) -> Result<(), String> {
    signing_key(value.as_str().unwrap_or_default()).map(drop)
}

/// Whether a certificate belongs to a key.
pub(super) fn belong_together(certificates: &str, key: &str) -> Result<(), String> {
    let pair = CertifiedKey::new(chain(certificates)?, signing_key(key)?);
    match pair.keys_match() {
        // A key that does not tell its public half is found out in the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(_) => Err("certificate does not match key".to_owned()),
    }
}

/// Kind of a key: RSA, ECDSA, Ed25519.
pub(super) fn kind_of_key(key: &str) -> Result<SignatureAlgorithm, String> {
    signing_key(key).map(|key| key.algorithm())
}

/// The certificates of a text, at least one, each of which can be read.
pub(super) fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|error| format!("invalid certificate: {}", reason(&error)))?;
    if found.is_empty() {
        return Err(
            "invalid certificate: there is no PEM block that begins with -----BEGIN CERTIFICATE-----".to_owned()
        );
    }
    for certificate in &found {
        parsed(certificate)?;
    }
    Ok(found)
}

/// When the first certificate of a text counts.
pub(crate) fn validity(text: &str) -> Option<Validity> {
    let found = chain(text).ok()?;
    let first = parsed(found.first()?).ok()?;
    let validity = first.validity();
    Some(Validity {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
        from: validity.not_before.to_string(),
        until: validity.not_after.to_string(),
    })
}

/// What of a certificate's own words makes it one of a CA.
pub(super) fn is_ca(certificate: &CertificateDer<'_>) -> bool {
    parsed(certificate).is_ok_and(|certificate| certificate.is_ca())
}

fn parsed<'c>(certificate: &'c CertificateDer<'_>) -> Result<X509Certificate<'c>, String> {
    match X509Certificate::from_der(certificate) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err("invalid certificate: what the PEM block holds is no X.509 certificate".to_owned()),
    }
}

fn signing_key(text: &str) -> Result<Arc<dyn SigningKey>, String> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        Error::NoItemsFound if text.contains("ENCRYPTED PRIVATE KEY") => {
            "invalid key: it is protected by a passphrase; write it without one, or refer to it by {vault://env/…}"
                .to_owned()
        }
        Error::NoItemsFound => "invalid key: there is no PEM block of a private key".to_owned(),
        error => format!("invalid key: {}", reason(&error)),
    })?;
    any_supported_type(&key).map_err(|_| "invalid key: neither RSA, ECDSA nor Ed25519".to_owned())
}

/// Without anything of the text itself, which may be a key.
fn reason(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "a PEM block does not end",
        Error::IllegalSectionStart { .. } => "a PEM block does not begin as it should",
        Error::Base64Decode(_) => "a PEM block holds something other than base64",
        _ => "it is no PEM",
    }
}
