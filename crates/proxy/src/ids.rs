//! Request ids: 32 hexadecimal digits, the same in `X-Kong-Request-Id` up and down, error bodies and the log.

use http::HeaderValue;
use std::cell::Cell;
use std::fmt;

/// The id of one request. It tells requests apart and is no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 32]);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        // Only hexadecimal digits are ever written into it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn to_header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes the ids of one worker: a random start, then a counter, both mixed by a bijection, so that no id comes
/// twice from one worker and two workers meet as rarely as random numbers do. No system call per request.
#[derive(Debug)]
pub(crate) struct Ids {
    start: u64,
    count: Cell<u64>,
}

impl Ids {
    pub(crate) fn new() -> Self {
        let (start, count) = uuid::Uuid::new_v4().as_u64_pair();
        // The version and variant bits of a UUID are fixed, which costs a few bits of 128.
        Self { start, count: Cell::new(count) }
    }

    pub(crate) fn next(&self) -> RequestId {
        let count = self.count.get().wrapping_add(1);
        self.count.set(count);
        let low = mix(count);
        let high = mix(self.start ^ low);
        let mut digits = [0; 32];
        for (place, byte) in high.to_be_bytes().into_iter().chain(low.to_be_bytes()).enumerate() {
            digits[2 * place] = DIGITS[usize::from(byte >> 4)];
            digits[2 * place + 1] = DIGITS[usize::from(byte & 15)];
        }
        RequestId(digits)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The finaliser of SplitMix64, a bijection on 64 bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_32_digits_and_differ() {
        let (one, other) = (Ids::new(), Ids::new());
        let ids: HashSet<String> =
            (0..1000).flat_map(|_| [one.next(), other.next()]).map(|id| id.as_str().to_owned()).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| DIGITS.contains(&b))));
    }
}
