//! Certificates and keys, made anew by each run, under names that golden files can have.

use crate::catalog::read;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd};
use std::sync::LazyLock;

/// 21 November 2026.
pub(crate) const NOW: i64 = 1_795_219_200;

static PEMS: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    vec![
        ("ec cert", certificate(&ec, 2020, 2120, false)),
        ("ec key", ec.serialize_pem()),
        ("other cert", certificate(&other, 2020, 2120, false)),
        ("other key", other.serialize_pem()),
        ("ed cert", certificate(&ed, 2020, 2120, false)),
        ("ed key", ed.serialize_pem()),
        ("old cert", certificate(&ec, 2020, 2021, false)),
        ("young cert", certificate(&ec, 2100, 2120, false)),
        ("ca", certificate(&ec, 2020, 2120, true)),
        ("old ca", certificate(&ec, 2020, 2021, true)),
    ]
});

static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let entities = read(&written_out("{_format_version: '3.0', ca_certificates: [{cert: \"<ca>\"}]}")).entities;
    entities.unwrap().ca_certificates[0].cert_digest.clone()
});

fn certificate(key: &KeyPair, from: i32, until: i32, ca: bool) -> String {
    let mut params = CertificateParams::new(vec!["api.example.com".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.self_signed(key).unwrap().pem()
}

/// `text` with the PEMs in the places of their names.
pub(crate) fn written_out(text: &str) -> String {
    PEMS.iter().fold(text.to_owned(), |text, (name, pem)| text.replace(&format!("<{name}>"), &escaped(pem)))
}

/// `text` with the names in the places of the PEMs.
pub(crate) fn named(text: &str) -> String {
    let text = text.replace(DIGEST.as_str(), "<digest of ca>");
    PEMS.iter().fold(text, |text, (name, pem)| text.replace(&escaped(pem), &format!("<{name}>")))
}

/// What `{vault://env/…}` finds: `EC_KEY` is the `ec key`, `WORD` is no PEM.
pub(crate) fn variable(name: &str) -> Option<String> {
    if name == "WORD" {
        return Some("swordfish".to_owned());
    }
    let name = name.to_lowercase().replace('_', " ");
    PEMS.iter().find(|(known, _)| *known == name).map(|(_, pem)| pem.clone())
}

fn escaped(pem: &str) -> String {
    pem.replace('\n', "\\n")
}
