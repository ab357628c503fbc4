//! Certificates: what is printed of them, and what they are called.

use crate::catalog::{Fakes, problems_of, read};
use crate::pems;
use portcullis_model::lower::lower;
use portcullis_model::moment;
use portcullis_model::print::{print_entities, print_plan};

const FILE: &str = r#"_format_version: "3.0"
certificates:
- {cert: "<ec cert>", key: "<ec key>", cert_alt: "<ed cert>", key_alt: "<ed key>", snis: [{name: "*"}]}
- {cert: "<other cert>", key: "{vault://env/other-key}", snis: [{name: a.com}]}
ca_certificates:
- {cert: "<ca>"}
"#;

#[test]
fn no_print_shows_a_key() {
    let written = read(&pems::written_out(FILE)).entities.unwrap();
    let mut resolved = written.clone();
    assert!(!moment::resolve(&mut resolved, pems::variable).has_errors());
    assert!(resolved.certificates[1].key.contains("PRIVATE KEY"));
    let plan = lower(&resolved, &Fakes);
    assert_eq!(plan.certificates[1].pairs[0].key, resolved.certificates[1].key, "what runs has the key");
    let prints = [
        print_entities(&written, &Fakes),
        print_entities(&resolved, &Fakes),
        print_plan(&plan, &Fakes),
        format!("{written:?} {resolved:?} {plan:?}"),
    ];
    for print in &prints {
        assert!(!print.contains("PRIVATE KEY"), "{print}");
    }
    assert!(prints[0].contains("{vault://env/other-key}"), "a reference is no secret");
}

#[test]
fn ids_follow_from_the_certificates() {
    // K-141
    let text = pems::written_out(FILE);
    let (one, other) = (read(&text).entities.unwrap(), read(&text).entities.unwrap());
    assert_eq!(one, other);
    assert_ne!(one.certificates[0].id, one.certificates[1].id);
    assert_eq!(one.snis[0].certificate.id, one.certificates[0].id);
}

#[test]
fn a_digest_that_is_written_is_the_certificates() {
    let file = |digest: &str| {
        let text = format!("{{_format_version: '3.0', ca_certificates: [{{cert: \"<ca>\", cert_digest: {digest}}}]}}");
        pems::named(&problems_of(&pems::written_out(&text)))
    };
    let found = file("abcd");
    assert!(
        found.contains("cert_digest: must be the SHA-256 of cert, which is <digest of ca>; leave it out"),
        "{found}"
    );
    let computed = &read(&pems::written_out(FILE)).entities.unwrap().ca_certificates[0].cert_digest;
    assert_eq!(file(&computed.to_uppercase()), "");
}
