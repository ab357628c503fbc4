//! Folded header names: the form in which two names count as one.
//!
//! Upstreams read `X_Consumer_ID`, `X.Consumer.Id` and `x-consumer-id` as the same variable (CGI and its heirs turn
//! what is no letter or digit into `_`). So a name is reserved by its folded form: ASCII letters in lower case,
//! every other non-alphanumeric byte as `-` (S-18).

/// Prefixes of names that clients never may send (I-151).
const RESERVED_PREFIXES: [&str; 2] = ["x-consumer-", "x-credential-"];
/// Whole names that clients never may send (I-151).
const RESERVED_NAMES: [&str; 4] = ["x-anonymous-consumer", "x-authenticated-groups", "x-userinfo", "eg-consumer-id"];

/// One byte of a name, folded.
pub const fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte | 0x20,
        b'a'..=b'z' | b'0'..=b'9' => byte,
        _ => b'-',
    }
}

/// A name, folded.
pub fn fold(name: &str) -> String {
    name.bytes().map(|b| fold_byte(b) as char).collect()
}

/// Whether `name` folds to `folded`. Allocates nothing.
pub fn folds_to(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && begins(name, folded)
}

/// Whether `name` is one of the fixed reserved names, in any spelling. Allocates nothing.
pub fn is_reserved(name: &str) -> bool {
    // Every reserved name begins with one of two letters; nearly all names of a request do not.
    match name.as_bytes().first() {
        Some(b'x' | b'X' | b'e' | b'E') => {
            RESERVED_PREFIXES.iter().any(|prefix| begins(name, prefix))
                || RESERVED_NAMES.iter().any(|reserved| folds_to(name, reserved))
        }
        _ => false,
    }
}

fn begins(name: &str, folded_prefix: &str) -> bool {
    name.len() >= folded_prefix.len() && name.bytes().zip(folded_prefix.bytes()).all(|(a, b)| fold_byte(a) == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    // S-18: case and every non-alphanumeric byte that a header name may hold.
    #[test]
    fn every_spelling_of_a_reserved_name_is_found() {
        for separator in "-_.~!'*+^|".chars() {
            for name in ["X-Consumer-ID", "x-credential-sub", "X-ANONYMOUS-CONSUMER", "X-Userinfo", "eg-consumer-id"] {
                let spelled = name.replace('-', &separator.to_string());
                assert!(is_reserved(&spelled), "{spelled}");
            }
        }
    }

    #[test]
    fn neighbours_are_left_alone() {
        for name in ["", "x", "X-Consumer", "x-credentials", "X-Anonymous-Consumers", "e", "etag", "x-user-info-a"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn a_name_folds_to_its_folded_form() {
        assert!(folds_to("X_Tenant.Id", &fold("x-tenant-id")));
        assert!(!folds_to("X_Tenant", &fold("x-tenant-id")));
    }
}
