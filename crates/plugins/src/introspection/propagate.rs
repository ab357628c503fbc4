//! Identity headers for the upstream (I-152 to I-157, kong.md 1.5).

use crate::context::Context;
use http::{HeaderName, HeaderValue};
use portcullis_introspection::{Answer, Standard};
use portcullis_model::plan::Consumer;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const ANONYMOUS_CONSUMER: HeaderName = HeaderName::from_static("x-anonymous-consumer");
const CONSUMER_ID: HeaderName = HeaderName::from_static("x-consumer-id");
const CONSUMER_CUSTOM_ID: HeaderName = HeaderName::from_static("x-consumer-custom-id");
const CONSUMER_USERNAME: HeaderName = HeaderName::from_static("x-consumer-username");

/// The headers of kong.md 1.5 and the member of the answer that each carries. `username` goes out under two names:
/// one of each generation of back-ends (D3).
static STANDARD: [(HeaderName, Standard); 12] = [
    (HeaderName::from_static("x-credential-scope"), Standard::Scope),
    (HeaderName::from_static("x-credential-client-id"), Standard::ClientId),
    (HeaderName::from_static("x-credential-identifier"), Standard::Username),
    (HeaderName::from_static("x-credential-username"), Standard::Username),
    (HeaderName::from_static("x-credential-token-type"), Standard::TokenType),
    (HeaderName::from_static("x-credential-exp"), Standard::Exp),
    (HeaderName::from_static("x-credential-iat"), Standard::Iat),
    (HeaderName::from_static("x-credential-nbf"), Standard::Nbf),
    (HeaderName::from_static("x-credential-sub"), Standard::Sub),
    (HeaderName::from_static("x-credential-aud"), Standard::Aud),
    (HeaderName::from_static("x-credential-iss"), Standard::Iss),
    (HeaderName::from_static("x-credential-jti"), Standard::Jti),
];

/// Bytes of one identity header: what most servers take for one line (nginx and Apache httpd: 8 KiB).
const MAX_VALUE: usize = 8 * 1024;
/// Bytes of all identity headers of one request: what most servers take for a whole head (Node.js: 16 KiB).
const MAX_TOTAL: usize = 16 * 1024;

/// Which members of an answer go upstream, and under which names. Names come from configuration alone (I-150).
#[derive(Debug)]
pub struct Propagation {
    standard: &'static [(HeaderName, Standard)],
    custom: Vec<(HeaderName, Box<str>)>,
    /// One bit per member (standard first): its value was once one that cannot be sent, and the log has said so.
    logged: AtomicU64,
}

impl Propagation {
    /// The standard headers, and `X-Credential-{claim}` for each of `claims`.
    pub fn kong(claims: &[String]) -> Self {
        let custom = claims.iter().filter_map(|claim| Some((claim_header(claim)?, claim.as_str().into()))).collect();
        Self { standard: &STANDARD, custom, logged: AtomicU64::new(0) }
    }

    pub(super) fn standard_headers() -> impl Iterator<Item = HeaderName> {
        STANDARD.iter().map(|(name, _)| name.clone())
    }

    /// Every header that this may set.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.standard.iter().map(|(name, _)| name).chain(self.custom.iter().map(|(name, _)| name))
    }

    /// Sets the headers of `answer`. A member that is absent sets nothing; so does one whose value no header can carry
    /// or that is over a cap, which the log says once. Nothing is ever truncated (I-156).
    pub fn apply(&self, answer: &Answer, cx: &mut Context) {
        cx.edits.headers.reserve(self.standard.len() + self.custom.len());
        let mut room = MAX_TOTAL;
        for (name, member) in self.standard {
            if let Some(value) = answer.header_value(*member) {
                self.set(name, value, &mut room, (*member as usize, member.name()), cx);
            }
        }
        for member in answer.not_sendable() {
            self.left_out(member as usize, member.name());
        }
        for (place, (name, member)) in self.custom.iter().enumerate() {
            let place = Standard::ALL.len() + place;
            match answer.encode(member) {
                Ok(Some(value)) => self.set(name, value, &mut room, (place, member), cx),
                Ok(None) => {}
                Err(_) => self.left_out(place, member),
            }
        }
    }

    fn set(&self, name: &HeaderName, value: HeaderValue, room: &mut usize, member: (usize, &str), cx: &mut Context) {
        let bytes = name.as_str().len() + value.len();
        if value.len() > MAX_VALUE || bytes > *room {
            return self.left_out(member.0, member.1);
        }
        *room -= bytes;
        cx.set_header(name.clone(), value);
    }

    fn left_out(&self, place: usize, member: &str) {
        let bit = 1 << (place % 64);
        if self.logged.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            tracing::warn!(
                member,
                "left out: no header can carry the value of this member of the answer, or it is too long"
            );
        }
    }
}

/// Name of the header that carries a custom claim: what no header name may hold becomes `-` (I-150). `None` when
/// nothing is left of it.
pub fn claim_header(claim: &str) -> Option<HeaderName> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let name: String = claim.chars().map(|c| if legal(c) { c } else { '-' }).collect();
    if claim.is_empty() { None } else { HeaderName::try_from(format!("x-credential-{name}")).ok() }
}

/// Tells the upstream who the consumer is (I-153): those of the three that exist.
pub(super) fn consumer(consumer: &Consumer, cx: &mut Context) {
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    set(cx, CONSUMER_ID, consumer.id.hyphenated().encode_lower(&mut id));
    if let Some(custom_id) = &consumer.custom_id {
        set(cx, CONSUMER_CUSTOM_ID, custom_id);
    }
    if let Some(username) = &consumer.username {
        set(cx, CONSUMER_USERNAME, username);
    }
}

/// Sets a text that the operator wrote; one with control characters is left out, as a claim would be.
fn set(cx: &mut Context, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
        cx.set_header(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // I-150, kong.md 1.5
    #[test]
    fn claims_become_header_names() {
        let header = |claim: &str| claim_header(claim).map(|name| name.to_string());
        assert_eq!(header("tenant").as_deref(), Some("x-credential-tenant"));
        assert_eq!(header("urn:zitadel:iam/roles").as_deref(), Some("x-credential-urn-zitadel-iam-roles"));
        assert_eq!(header("größe").as_deref(), Some("x-credential-gr--e"));
        assert_eq!(header(""), None);
    }
}
