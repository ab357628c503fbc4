//! Certificates: what TLS listeners show to clients, and we to services that ask for one.

use super::names::{CREATED_AT, ID, TAGS, UPDATED_AT};
use super::{Table, pem};
use crate::problem::{Path, Problems};
use crate::schema::{Field, Rule};
use crate::secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use uuid::Uuid;

pub const TABLE: Table = Table { name: "certificates", key: "id", fields: FIELDS, check };

const CERTIFICATE: &[Rule] = &[Rule::Check(pem::certificate)];
const KEY: &[Rule] = &[Rule::Check(pem::key)];
const CERTIFICATE_EXAMPLE: &str = "\"{vault://env/my-cert}\"";
const KEY_EXAMPLE: &str = "\"{vault://env/my-key}\"";

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("cert")
        .required()
        .secret()
        .rules(CERTIFICATE)
        .example(CERTIFICATE_EXAMPLE)
        .says("PEM of the certificate and, after it, of those between it and a root."),
    Field::string("key")
        .required()
        .secret()
        .rules(KEY)
        .example(KEY_EXAMPLE)
        .says("PEM of its private key (RSA, ECDSA or Ed25519), without a passphrase."),
    Field::string("cert_alt").secret().rules(CERTIFICATE).example(CERTIFICATE_EXAMPLE).says(
        "PEM of a second certificate for the same names, with a key of another type; clients get what they can use.",
    ),
    Field::string("key_alt")
        .secret()
        .rules(KEY)
        .example(KEY_EXAMPLE)
        .says("PEM of the second certificate's private key."),
    TAGS,
];

/// A certificate that has passed its table.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    pub id: Uuid,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub cert: String,
    pub key: String,
    pub cert_alt: Option<String>,
    pub key_alt: Option<String>,
    pub tags: Option<Vec<String>>,
    /// Where it was written: `certificates[0]`.
    #[serde(default)]
    pub origin: String,
}

impl fmt::Debug for Certificate {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Certificate");
        shown.field("id", &self.id).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Checks one whose references have been resolved, field by field and then between them.
pub(crate) fn recheck(resolved: &Value, problems: &mut Problems) {
    for field in ["cert", "key", "cert_alt", "key_alt"] {
        let rule = if field.starts_with("cert") { pem::certificate } else { pem::key };
        if let Some(Err(message)) = resolved.get(field).map(rule) {
            problems.error_hint(
                Path::root().key(field),
                message,
                "the variable that is referred to holds something else",
            );
        }
    }
    if let Some(fields) = resolved.as_object().filter(|_| !problems.has_errors()) {
        check(fields, &Path::root(), problems);
    }
}

/// What holds between the fields; those that are references are looked at once they are resolved.
fn check(certificate: &Map<String, Value>, path: &Path, problems: &mut Problems) {
    let text = |field| certificate.get(field).and_then(Value::as_str);
    let (alt, key_alt) = (text("cert_alt"), text("key_alt"));
    if alt.is_some() != key_alt.is_some() {
        let missing = if alt.is_none() { "cert_alt" } else { "key_alt" };
        let message = "all or none of these fields must be set: 'cert_alt', 'key_alt'";
        return problems.error_hint(path.key(missing), message, "write both, or leave both out");
    }
    let written = |field| text(field).filter(|text| !secret::is_reference(text));
    for (certificates, key) in [("cert", "key"), ("cert_alt", "key_alt")] {
        let (Some(pem), Some(private)) = (written(certificates), written(key)) else { continue };
        if let Err(message) = pem::belong_together(pem, private) {
            let hint = format!("write the {key} that {certificates} was made for; the first certificate counts");
            problems.error_hint(path.key(key), message, hint);
        }
    }
    if let (Some(key), Some(alt)) = (written("key"), written("key_alt"))
        && let (Ok(one), Ok(other)) = (pem::kind_of_key(key), pem::kind_of_key(alt))
        && one == other
    {
        let message = "key and key_alt must be of different types";
        problems.error_hint(
            path.key("key_alt"),
            message,
            "one of RSA and one of ECDSA, or leave cert_alt and key_alt out",
        );
    }
}
