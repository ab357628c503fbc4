//! CA certificates: whom services may have their certificates from.

use super::names::{CREATED_AT, ID, TAGS, UPDATED_AT};
use super::{Table, nothing_more, pem};
use crate::schema::{Field, Rule};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Write;
use uuid::Uuid;

pub const TABLE: Table = Table { name: "ca_certificates", key: "cert_digest", fields: FIELDS, check: nothing_more };

const FIELDS: &[Field] = &[
    ID,
    CREATED_AT,
    UPDATED_AT,
    Field::string("cert")
        .required()
        .rules(&[Rule::Check(authority)])
        .example("|- and the PEM below it")
        .says("PEM of one certificate, which is a CA's and has not expired."),
    Field::string("cert_digest")
        .says("Unique; SHA-256 of the certificate in hexadecimal. Computed; one that is written must be the same."),
    TAGS,
];

/// A CA certificate that has passed its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaCertificate {
    pub id: Uuid,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub cert: String,
    pub cert_digest: String,
    pub tags: Option<Vec<String>>,
    /// Where it was written: `ca_certificates[0]`.
    #[serde(default)]
    pub origin: String,
}

/// Computes the digest of a certificate that can be read; what cannot is for the table to refuse. The message is for
/// a digest that was written and is another.
pub(crate) fn add_digest(fields: &mut Map<String, Value>) -> Result<(), String> {
    let found = fields.get("cert").and_then(Value::as_str).and_then(|text| pem::chain(text).ok());
    let Some([certificate]) = found.as_deref() else {
        // Nothing to compare with, and one problem is enough.
        fields.insert("cert_digest".to_owned(), Value::from(""));
        return Ok(());
    };
    let mut hex = String::with_capacity(64);
    for byte in digest(&SHA256, certificate).as_ref() {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    let given = fields.insert("cert_digest".to_owned(), Value::from(hex.as_str()));
    match given {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if text.eq_ignore_ascii_case(&hex) => Ok(()),
        Some(_) => Err(format!("must be the SHA-256 of cert, which is {hex}")),
    }
}

fn authority(value: &Value) -> Result<(), String> {
    let chain = pem::chain(value.as_str().unwrap_or_default())?;
    match chain.as_slice() {
        [one] if pem::is_ca(one) => Ok(()),
        [_] => {
            Err("certificate does not appear to be a CA because it is missing the \"CA\" basic constraint".to_owned())
        }
        _ => Err("please submit only one certificate at a time".to_owned()),
    }
}
