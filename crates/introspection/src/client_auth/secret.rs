//! Shared secrets, and the two ways to write them into a Basic header.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

/// Text that is never printed and is overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How id and secret are written before they are joined by `:` and base64-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum BasicEncoding {
    /// Form-encoded each, as RFC 6749 section 2.3.1 demands.
    #[default]
    Rfc6749,
    /// As they are: for the many servers that never decode.
    Raw,
}

/// All but what RFC 6749 appendix B keeps. A WHATWG encoder differs: it keeps `*` and encodes `~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of a Basic `Authorization` header.
pub(super) fn basic(id: &str, secret: &Secret, encoding: BasicEncoding) -> Zeroizing<String> {
    let joined = Zeroizing::new(match encoding {
        BasicEncoding::Rfc6749 => format!("{}:{}", *form_encode(id), *form_encode(secret.expose())),
        BasicEncoding::Raw => format!("{id}:{}", secret.expose()),
    });
    Zeroizing::new(format!("Basic {}", STANDARD.encode(joined.as_bytes())))
}

fn form_encode(text: &str) -> Zeroizing<String> {
    Zeroizing::new(utf8_percent_encode(text, ENCODED).to_string().replace("%20", "+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // I-12
    #[test]
    fn basic_credentials_are_written_as_rfc_6749_says() {
        let secret = Secret::new("z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=");
        assert_eq!(
            *basic("1PpG/Q 1", &secret, BasicEncoding::Rfc6749),
            "Basic MVBwRyUyRlErMTp6JTJGdFo5VndGWnFBcG1JUSUyQlpIMUk1cExrJTJGdUI0dWQlM0FYMiUyRjhiTCUyQndmRlR0MXJGdyUzRA=="
        );
        assert_eq!(*form_encode(" %&+£€"), "+%25%26%2B%C2%A3%E2%82%AC");
        assert_eq!(*form_encode("AZaz09-._~*"), "AZaz09-._~%2A");
    }

    // I-12
    #[test]
    fn raw_credentials_are_sent_as_they_are() {
        let value = basic("a", &Secret::new("s%:~ "), BasicEncoding::Raw);
        assert_eq!(*value, format!("Basic {}", STANDARD.encode("a:s%:~ ")));
    }

    // I-16
    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "Secret(..)");
    }
}
