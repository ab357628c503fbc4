//! An answer of an authorization server: whatever its bytes, it is refused or whole, and never active by accident.
#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use portcullis_introspection::{Answer, Requirement, Standard};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Ok(answer) = Answer::from_json(body) else { return };
    // Another reader has to agree that it is an object, and on the verdict.
    let document: Value = serde_json::from_slice(body).expect("what was read is JSON");
    assert_eq!(document["active"].as_bool(), Some(answer.active()), "the verdict");
    for (name, raw) in answer.members() {
        assert!(document.get(name).is_some(), "a member that is not there");
        serde_json::from_str::<&serde_json::value::RawValue>(raw).expect("each raw value is JSON");
        if let Ok(Some(value)) = answer.encode(name) {
            check(&value);
        }
    }
    for member in Standard::ALL {
        if let Some(value) = answer.header_value(member) {
            check(&value);
        }
    }
    let _ = answer.scope().count() + answer.aud().count();
    let passes = Requirement::default().check(&answer, 1_700_000_000_000).is_ok();
    assert!(!passes || (answer.active() && answer.expires() > 1_700_000_000_000));
});

/// A value that may stand in a header and reads at the other end as it was written.
fn check(value: &HeaderValue) {
    let text = std::str::from_utf8(value.as_bytes()).expect("a value is text");
    assert!(!text.chars().any(char::is_control), "a control character in a header");
    assert!(!text.starts_with(' ') && !text.ends_with(' '), "a padded value");
}
