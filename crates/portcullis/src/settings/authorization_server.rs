//! An entry of `authorization_servers:`, what is known of one beyond what a plugin's configuration can say.

use super::introspection::calls;
use super::secret;
use super::section::Section;
use portcullis_plugins::env::AuthorizationServer;

pub(crate) fn read(entry: &mut Section<'_>, environment: &dyn Fn(&str) -> Option<String>) -> AuthorizationServer {
    let endpoint = entry.required("endpoint", "write how the introspection endpoint's URL begins", |text| {
        let scheme = text.starts_with("https://") || text.starts_with("http://");
        if scheme { Ok(text.to_owned()) } else { Err("expected a URL; write how the endpoint begins".to_owned()) }
    });
    let (concurrent_calls, queued_calls) = calls(entry);
    AuthorizationServer {
        endpoint: endpoint.unwrap_or_default(),
        ca_certificates: entry
            .parsed("ca_certificates", |text| certificates(secret::resolve(text, environment)?))
            .unwrap_or_default(),
        concurrent_calls,
        queued_calls,
        max_answer_bytes: entry.size("max_answer_bytes", 1024..=16 * 1024 * 1024),
        issuers: entry.strings("issuers"),
        issuer_required: entry.boolean("issuer_required").unwrap_or(false),
        audiences: entry.strings("audiences"),
    }
}

/// The text, if it is a PEM bundle as far as one can see without a TLS library; the rest shows when it is used.
fn certificates(pem: String) -> Result<Vec<u8>, String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    match (pem.matches(BEGIN).count(), pem.matches(END).count()) {
        (0, _) => Err(format!("there is no {BEGIN} block; write PEM certificates")),
        (begun, ended) if begun != ended => Err("a certificate is cut off; write whole PEM blocks".to_owned()),
        _ => Ok(pem.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::certificates;

    #[test]
    fn certificates_are_whole_pem_blocks() {
        let block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(certificates(format!("subject=a\n{block}{block}")).is_ok());
        for wrong in ["", "AAAA", &block[..40]] {
            assert!(certificates(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
