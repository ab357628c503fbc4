//! Header names that an upstream reads as one: spelled with whatever separators, a reserved name stays reserved.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_plugins::fold::{fold, folds_to, is_reserved};

fuzz_target!(|names: (&str, &str)| {
    let (one, other) = names;
    let folded = fold(one);
    assert_eq!(fold(&folded), folded, "folding twice");
    assert!(folds_to(one, &folded));
    assert_eq!(is_reserved(one), is_reserved(&folded), "reserved in one spelling alone");
    assert_eq!(folds_to(other, &folded), fold(other) == folded);
    // As CGI and its heirs name variables.
    assert_eq!(variable(one) == variable(other), fold(one) == fold(other));
});

fn variable(name: &str) -> Vec<u8> {
    name.bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte.to_ascii_uppercase() } else { b'_' }).collect()
}
