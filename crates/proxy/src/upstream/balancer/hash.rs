//! What of a request is hashed, so that the same input goes to the same target.

use crate::head::Head;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use portcullis_model::plan::{Consumer, HashOn};
use std::net::IpAddr;
use uuid::Uuid;

/// FNV-1a, finished by MurmurHash3's mixer: of any length, the same on every machine and in every version, which the
/// hashes of maps do not promise. Nobody gains by a collision: it only shares a target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hasher(u64);

impl Hasher {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Lengths are not hashed; who writes several texts separates them.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn finish(self) -> u64 {
        let mut mixed = self.0;
        for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
            mixed = (mixed ^ (mixed >> 33)).wrapping_mul(factor);
        }
        mixed ^ (mixed >> 33)
    }
}

/// What a request shows of itself.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) head: &'a Head,
    pub(crate) consumer: Option<&'a Consumer>,
    pub(crate) peer: IpAddr,
}

/// The hash of one input, and the cookie that carries it where it was made here.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) hash: u64,
    pub(super) cookie: Option<HeaderValue>,
}

/// `None` where the request has nothing of that kind.
pub(super) fn hashed(on: &HashOn, shown: Shown<'_>) -> Option<Hashed> {
    let mut hasher = Hasher::new();
    let mut cookie = None;
    match on {
        HashOn::None => return None,
        HashOn::Consumer => hasher.write(shown.consumer?.id.as_bytes()),
        HashOn::Ip => match shown.peer.to_canonical() {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        },
        HashOn::Header(name) => {
            let mut values = shown.head.headers.get_all(name).iter();
            hasher.write(values.next()?.as_bytes());
            for value in values {
                hasher.write(b",");
                hasher.write(value.as_bytes());
            }
        }
        HashOn::Cookie { name, path } => match cookie_value(&shown.head.headers, name) {
            Some(value) => hasher.write(value),
            None => {
                let value = Uuid::new_v4().to_string();
                hasher.write(value.as_bytes());
                cookie = HeaderValue::try_from(format!("{name}={value}; Path={path}; SameSite=Lax; HttpOnly")).ok();
            }
        },
        HashOn::Path => hasher.write(shown.head.path().as_bytes()),
        HashOn::QueryArg(name) => {
            let mut found = false;
            for pair in shown.head.uri.query()?.split('&') {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                if decoded(key).eq(name.bytes()) {
                    if found {
                        hasher.write(b",");
                    }
                    found = true;
                    decoded(value).for_each(|byte| hasher.write(&[byte]));
                }
            }
            if !found {
                return None;
            }
        }
    }
    Some(Hashed { hash: hasher.finish(), cookie })
}

fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The bytes that a part of a query stands for.
fn decoded(part: &str) -> impl Iterator<Item = u8> {
    let bytes = part.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *bytes.get(at)?;
        let escaped = (byte == b'%').then(|| part.get(at + 1..at + 3)).flatten();
        let escaped = escaped.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if let Some(value) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            at += 3;
            return Some(value);
        }
        at += 1;
        Some(if byte == b'+' { b' ' } else { byte })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_queries() {
        for (written, meant) in
            [("a", "a"), ("a%20b+c", "a b c"), ("%41", "A"), ("%4", "%4"), ("%zz%", "%zz%"), ("", "")]
        {
            assert_eq!(String::from_utf8(decoded(written).collect()).unwrap(), meant, "{written}");
        }
    }

    #[test]
    fn cookies() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("sid2=no; other"));
        headers.append(COOKIE, HeaderValue::from_static(" sid=yes ;sid=later"));
        assert_eq!(cookie_value(&headers, "sid"), Some(&b"yes"[..]));
        assert_eq!(cookie_value(&headers, "id"), None);
    }
}
