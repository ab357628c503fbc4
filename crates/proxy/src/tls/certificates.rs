//! Certificates, compiled: parsed once, found by name.

use portcullis_model::plan::{Certificate, KeyPair};
use portcullis_model::problem::{Path, Problems};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, SignatureAlgorithm};
use std::collections::HashMap;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What is shown for a name: one chain per type of key, RSA last, since signing with the others is cheaper.
pub(crate) type Shown = Arc<[Arc<CertifiedKey>]>;

/// Some certificates and the names they are shown for. Names are lower case.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    exact: HashMap<Box<str>, Shown>,
    /// `*.example.com`, by `example.com`.
    below: HashMap<Box<str>, Shown>,
    /// `example.*`, by `example`.
    beside: HashMap<Box<str>, Shown>,
    /// `*`.
    any: Option<Shown>,
    /// Of those from files the first.
    first: Option<Shown>,
    /// For the next compilation, which takes over what is as it was.
    parsed: HashMap<Arc<KeyPair>, Arc<CertifiedKey>>,
}

impl Certificates {
    /// Those of a plan, shown for the names that the plan says. Of two for one name the first counts.
    pub(crate) fn of_plan(plan: &[Arc<Certificate>], previous: &Certificates) -> Result<Certificates, Problems> {
        let mut compiler = Compiler::taking_over(previous);
        for (index, certificate) in plan.iter().enumerate() {
            let path = Path::root().key("certificates").index(index);
            if let Some(shown) = compiler.pairs(&path, &certificate.pairs) {
                for name in &certificate.snis {
                    compiler.done.show(name, &shown);
                }
            }
        }
        compiler.finish()
    }

    /// Those of files, shown for the names that stand in them; the first also for every other name.
    pub(crate) fn of_files(files: &[Vec<Arc<KeyPair>>], previous: &Certificates) -> Result<Certificates, Problems> {
        let mut compiler = Compiler::taking_over(previous);
        for (index, pairs) in files.iter().enumerate() {
            let path = Path::root().key("certificates").index(index);
            if let Some(shown) = compiler.pairs(&path, pairs) {
                for name in shown.iter().flat_map(|key| names(key)) {
                    compiler.done.show(&name, &shown);
                }
                compiler.done.first.get_or_insert(shown);
            }
        }
        compiler.finish()
    }

    fn show(&mut self, name: &str, shown: &Shown) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name == "*" {
            self.any.get_or_insert_with(|| shown.clone());
            return;
        }
        let (names, name) = match (name.strip_prefix("*."), name.strip_suffix(".*")) {
            (Some(parent), _) => (&mut self.below, parent),
            (None, Some(stem)) => (&mut self.beside, stem),
            (None, None) => (&mut self.exact, &*name),
        };
        names.entry(name.into()).or_insert_with(|| shown.clone());
    }

    /// By the name itself.
    pub(super) fn exact(&self, name: &str) -> Option<&Shown> {
        self.exact.get(name)
    }

    /// By `*` in place of the first label.
    pub(super) fn below(&self, name: &str) -> Option<&Shown> {
        self.below.get(name.split_once('.')?.1)
    }

    /// By `*` in place of the last label.
    pub(super) fn beside(&self, name: &str) -> Option<&Shown> {
        self.beside.get(name.rsplit_once('.')?.0)
    }

    /// For names that nothing else is shown for.
    pub(super) fn any(&self) -> Option<&Shown> {
        self.any.as_ref()
    }

    /// When nothing else is shown, and for clients that name nobody.
    pub(super) fn first(&self) -> Option<&Shown> {
        self.first.as_ref()
    }
}

struct Compiler<'a> {
    previous: &'a Certificates,
    done: Certificates,
    problems: Problems,
}

impl<'a> Compiler<'a> {
    fn taking_over(previous: &'a Certificates) -> Self {
        Self { previous, done: Certificates::default(), problems: Problems::new() }
    }

    /// `None` when something is wrong with one of them, which has been said.
    fn pairs(&mut self, path: &Path, pairs: &[Arc<KeyPair>]) -> Option<Shown> {
        const FIELDS: [(&str, &str); 2] = [("cert", "key"), ("cert_alt", "key_alt")];
        let mut keys = Vec::with_capacity(pairs.len());
        for (pair, fields) in pairs.iter().zip(FIELDS) {
            keys.push(self.pair(path, pair, fields));
        }
        let mut keys: Vec<_> = keys.into_iter().collect::<Option<_>>()?;
        keys.sort_by_key(|key| key.key.algorithm() == SignatureAlgorithm::RSA);
        Some(keys.into())
    }

    fn pair(&mut self, path: &Path, pair: &Arc<KeyPair>, (cert, key): (&str, &str)) -> Option<Arc<CertifiedKey>> {
        let known = self.done.parsed.get(pair).or_else(|| self.previous.parsed.get(pair)).cloned();
        let parsed = match known {
            Some(known) => known,
            None => match parse(pair) {
                Ok(parsed) => Arc::new(parsed),
                Err(bad) => {
                    let field = if bad.is_the_key() { key } else { cert };
                    self.problems.error(path.key(field), bad.to_string());
                    return None;
                }
            },
        };
        self.done.parsed.insert(pair.clone(), parsed.clone());
        Some(parsed)
    }

    fn finish(self) -> Result<Certificates, Problems> {
        if self.problems.has_errors() { Err(self.problems) } else { Ok(self.done) }
    }
}

/// What is wrong with a pair. No text of the file is in it: a key may stand where a certificate should.
#[derive(Debug, thiserror::Error)]
enum BadPair {
    #[error("no certificate in it; write PEM, the server's own first, then those between it and a root")]
    NoCertificate,
    #[error("the PEM is broken; write it as it was issued")]
    BrokenCertificate,
    #[error("the certificate cannot be read; write an X.509 certificate as PEM")]
    UnreadableCertificate,
    #[error("no private key in it; write PEM, without a passphrase")]
    NoKey,
    #[error("the key cannot be used; write RSA of 2048 bits and more, ECDSA on P-256, P-384 or P-521, or Ed25519")]
    UnusableKey,
    #[error("the key is not the certificate's; write the two that belong together")]
    OtherKey,
}

impl BadPair {
    fn is_the_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::UnusableKey | Self::OtherKey)
    }
}

fn parse(pair: &KeyPair) -> Result<CertifiedKey, BadPair> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pair.certificates.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| BadPair::BrokenCertificate)?;
    let leaf = chain.first().ok_or(BadPair::NoCertificate)?;
    X509Certificate::from_der(leaf).map_err(|_| BadPair::UnreadableCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => BadPair::NoKey,
        _ => BadPair::UnusableKey,
    })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => BadPair::OtherKey,
        Error::InvalidCertificate(_) => BadPair::UnreadableCertificate,
        _ => BadPair::UnusableKey,
    })
}

/// The names in a certificate.
fn names(key: &CertifiedKey) -> Vec<String> {
    let parsed = key.cert.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let alternatives = parsed.as_ref().and_then(|(_, leaf)| leaf.subject_alternative_name().ok().flatten());
    let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}
