//! An entry of `authorization_servers:`, what is known of one beyond what a plugin's configuration can say.

use super::introspection::CALLS;
use super::secret;
use super::section::Section;
use portcullis_introspection::BasicEncoding;
use portcullis_plugins::env::AuthorizationServer;

pub(crate) fn read(entry: &mut Section<'_>, environment: &dyn Fn(&str) -> Option<String>) -> AuthorizationServer {
    let encodings = [("rfc6749", BasicEncoding::Rfc6749), ("raw", BasicEncoding::Raw)];
    let endpoint = entry.required("endpoint", "write how the introspection endpoint's URL begins", |text| {
        let scheme = text.starts_with("https://") || text.starts_with("http://");
        if scheme { Ok(text.to_owned()) } else { Err("expected a URL; write how the endpoint begins".to_owned()) }
    });
    AuthorizationServer {
        endpoint: endpoint.unwrap_or_default(),
        basic_encoding: entry.word("basic_encoding", &encodings),
        ca_certificates: entry
            .parsed("ca_certificates", |text| certificates(&secret::resolve(text, environment)?))
            .unwrap_or_default(),
        concurrent_calls: entry.size("concurrent_calls", CALLS),
        queued_calls: entry.size("queued_calls", CALLS),
        max_answer_bytes: entry.size("max_answer_bytes", 1024..=16 * 1024 * 1024),
        issuers: entry.strings("issuers"),
        issuer_required: entry.boolean("issuer_required").unwrap_or(false),
        audiences: entry.strings("audiences"),
    }
}

/// Every certificate of a PEM text, as a PEM text of its own.
fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut found = Vec::new();
    let mut rest = pem;
    while let Some(start) = rest.find(BEGIN) {
        let length = rest[start..].find(END).ok_or("a certificate is cut off; write whole PEM blocks")? + END.len();
        found.push(format!("{}\n", &rest[start..start + length]).into_bytes());
        rest = &rest[start + length..];
    }
    if found.is_empty() { Err(format!("there is no {BEGIN} block; write PEM certificates")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::certificates;

    #[test]
    fn certificates_are_taken_apart() {
        let block = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        let bundle = format!("subject=a\n{}\nsubject=b\n{}", block("AAAA"), block("BBBB"));
        let blocks: Vec<_> = [block("AAAA"), block("BBBB")].map(String::into_bytes).into();
        assert_eq!(certificates(&bundle), Ok(blocks));
        assert!(certificates("").is_err());
        assert!(certificates("-----BEGIN CERTIFICATE-----\nAAAA").is_err());
    }
}
