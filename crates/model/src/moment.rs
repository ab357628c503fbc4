//! What only the moment of loading can tell of entities: what references to secrets stand for, and whether
//! certificates are valid.
//!
//! The reader of a format has neither an environment nor a clock; whoever loads has both and gives them.

use crate::entities::{CaCertificate, Certificate, Entities, certificate, pem};
use crate::problem::{Path, Problems};
use crate::secret;
use serde_json::{Map, Value};

/// Replaces references in certificates and their keys by what `lookup` finds in the environment, and checks what was
/// found as if it had been written down. Paths begin at the document's root. Only for entities that are lowered next:
/// those that are shown keep their references.
pub fn resolve(entities: &mut Entities, lookup: impl Fn(&str) -> Option<String>) -> Problems {
    let mut problems = Problems::new();
    for certificate in &mut entities.certificates {
        if let Err(found) = resolve_one(certificate, &lookup) {
            problems.extend_below(&Path::parse(&certificate.origin), found);
        }
    }
    problems
}

fn resolve_one(certificate: &mut Certificate, lookup: impl Fn(&str) -> Option<String>) -> Result<(), Problems> {
    let mut fields = Map::new();
    let own = [("cert", &certificate.cert), ("key", &certificate.key)];
    let alt = [("cert_alt", &certificate.cert_alt), ("key_alt", &certificate.key_alt)];
    let alt = alt.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
    for (name, text) in own.into_iter().chain(alt) {
        fields.insert(name.to_owned(), Value::from(text.as_str()));
    }
    if !fields.values().filter_map(Value::as_str).any(secret::is_reference) {
        return Ok(());
    }
    let resolved = secret::resolve(certificate::TABLE.fields, &Value::Object(fields), lookup)?;
    let mut problems = Problems::new();
    certificate::recheck(&resolved, &mut problems);
    if problems.has_errors() {
        return Err(problems);
    }
    let text = |name: &str| resolved[name].as_str().map(str::to_owned);
    certificate.cert = text("cert").unwrap_or_default();
    certificate.key = text("key").unwrap_or_default();
    certificate.cert_alt = text("cert_alt");
    certificate.key_alt = text("key_alt");
    Ok(())
}

/// Says which certificates are not valid at `now` (seconds since 1970): an error for a CA, by which nothing could be
/// verified, and a warning for one of ours, since clients decide for themselves. References that have not been resolved
/// are passed over.
pub fn dates(entities: &Entities, now: i64) -> Problems {
    let mut problems = Problems::new();
    entities.ca_certificates.iter().for_each(|ca| date_of_ca(ca, now, &mut problems));
    for certificate in &entities.certificates {
        let path = Path::parse(&certificate.origin);
        for (field, text) in [("cert", Some(&certificate.cert)), ("cert_alt", certificate.cert_alt.as_ref())] {
            let Some(validity) = text.and_then(|text| pem::validity(text)) else { continue };
            if now > validity.not_after {
                problems.warn(path.key(field), format!("expired on {}; clients will refuse it", validity.until));
            } else if now < validity.not_before {
                problems.warn(path.key(field), format!("not valid before {}; clients will refuse it", validity.from));
            }
        }
    }
    problems
}

fn date_of_ca(ca: &CaCertificate, now: i64, problems: &mut Problems) {
    if let Some(validity) = pem::validity(&ca.cert).filter(|validity| now > validity.not_after) {
        let path = Path::parse(&ca.origin).key("cert");
        let message = format!("certificate expired, \"Not After\" time is {}", validity.until);
        problems.error_hint(path, message, "write the CA's new certificate, or leave the CA out");
    }
}
