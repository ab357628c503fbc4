//! What the authorization server said about a token, parsed once and kept for as long as it is cached.
//!
//! An answer is one buffer: name and raw value of each member, one after the other, then the few texts that do not
//! stand in it as they are (a string with escapes, a joined list). Header values are slices of that buffer, so that
//! a cached answer reaches another service without a copy or an allocation.

mod parse;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::HeaderValue;

pub use crate::encode::{NotSendable, Strings};
pub(crate) use parse::Reading;

use crate::encode;
use crate::error::Failure;

/// The members whose header values are kept ready: those of RFC 7662 section 2.2 except `active`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Standard {
    Scope,
    ClientId,
    TokenType,
    Exp,
    Iat,
    Nbf,
    Sub,
    Aud,
    Iss,
    Jti,
    Username,
}

impl Standard {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::Scope,
        Self::ClientId,
        Self::TokenType,
        Self::Exp,
        Self::Iat,
        Self::Nbf,
        Self::Sub,
        Self::Aud,
        Self::Iss,
        Self::Jti,
        Self::Username,
    ];

    /// The member's name in the answer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::ClientId => "client_id",
            Self::TokenType => "token_type",
            Self::Exp => "exp",
            Self::Iat => "iat",
            Self::Nbf => "nbf",
            Self::Sub => "sub",
            Self::Aud => "aud",
            Self::Iss => "iss",
            Self::Jti => "jti",
            Self::Username => "username",
        }
    }
}

/// One answer. Immutable; share it as `Arc<Answer>`.
///
/// Times are in milliseconds since the Unix epoch; one too far away for that is `u64::MAX`.
pub struct Answer {
    buffer: Bytes,
    /// Members, then ready texts (their names are empty), then the end of the buffer.
    slots: Box<[Slot]>,
    members: u16,
    /// Slot of each standard member's text, by [`Standard`].
    texts: [u16; Standard::ALL.len()],
    /// Bit per [`Standard`]: its text cannot stand in a header.
    unsendable: u16,
    active: bool,
    foreign_kind: bool,
    bound: bool,
    expires: u64,
    not_before: u64,
    issued: u64,
}

/// Where a member begins. Its value ends where the next slot begins.
#[derive(Debug, Clone, Copy)]
struct Slot {
    name: u32,
    value: u32,
}

const ABSENT: u16 = u16::MAX;

/// What the heap adds to the bytes that an answer counts itself: two reference counts and four allocations.
const HEAP: usize = 80;

impl Answer {
    /// Reads an answer as a server sends it with status 200, under the default limits and without leniency.
    ///
    /// # Errors
    /// `as_bad_answer` or `as_answer_too_large`.
    pub fn from_json(body: &[u8]) -> Result<Self, Failure> {
        parse::answer(body, &Reading::default())
    }

    /// The answer about a token that is not active: it says nothing else, whatever the server added.
    pub fn inactive() -> Arc<Self> {
        static INACTIVE: LazyLock<Arc<Answer>> = LazyLock::new(|| Arc::new(parse::nothing()));
        Arc::clone(&INACTIVE)
    }

    /// The server's verdict. Times are checked apart, on every use: [`Requirement`](crate::Requirement).
    pub fn active(&self) -> bool {
        self.active
    }

    /// Scopes, one by one; none if the answer names none. Comparison is exact and case-sensitive.
    pub fn scope(&self) -> impl Iterator<Item = &str> {
        self.text(Standard::Scope).unwrap_or_default().split(' ').filter(|scope| !scope.is_empty())
    }

    pub fn client_id(&self) -> Option<&str> {
        self.text(Standard::ClientId)
    }

    pub fn username(&self) -> Option<&str> {
        self.text(Standard::Username)
    }

    pub fn token_type(&self) -> Option<&str> {
        self.text(Standard::TokenType)
    }

    pub fn sub(&self) -> Option<&str> {
        self.text(Standard::Sub)
    }

    pub fn iss(&self) -> Option<&str> {
        self.text(Standard::Iss)
    }

    pub fn jti(&self) -> Option<&str> {
        self.text(Standard::Jti)
    }

    /// Audiences, one by one: those of the list, or the one string, never split.
    pub fn aud(&self) -> Strings<'_> {
        Strings::of(self.text(Standard::Aud).and_then(|_| self.get(Standard::Aud.name())).unwrap_or_default())
    }

    pub fn exp(&self) -> Option<u64> {
        self.text(Standard::Exp).map(|_| self.expires)
    }

    pub fn iat(&self) -> Option<u64> {
        self.text(Standard::Iat).map(|_| self.issued)
    }

    pub fn nbf(&self) -> Option<u64> {
        self.text(Standard::Nbf).map(|_| self.not_before)
    }

    /// When the answer ends by itself; `u64::MAX` if it does not say, or says a time no clock will see (I-148).
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// Whether it names a kind of token that is no access token: refresh, ID or logout (I-23).
    pub fn is_foreign_kind(&self) -> bool {
        self.foreign_kind
    }

    /// Whether the token is bound to a key (`cnf`, RFC 7800): whoever presents it must prove possession.
    pub fn is_bound(&self) -> bool {
        self.bound
    }

    /// The raw JSON of a member, verbatim; nested values whole.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.members().find_map(|(other, value)| (other == name).then_some(value))
    }

    /// The content of a member that is a string.
    pub fn get_str(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).filter(|raw| raw.starts_with('"')).map(encode::string)
    }

    /// Names and raw values of all members, in the server's order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..usize::from(self.members)).map(|slot| {
            let Slot { name, value } = self.slots[slot];
            (self.slice(name as usize..value as usize), self.slice(self.value(slot)))
        })
    }

    /// A standard member as a header value: no copy, no allocation. Nothing if it is absent, or
    /// [not sendable](Self::not_sendable).
    pub fn header_value(&self, member: Standard) -> Option<HeaderValue> {
        if self.unsendable & (1 << member as u8) != 0 {
            return None;
        }
        HeaderValue::from_maybe_shared(self.buffer.slice(self.text_range(member)?)).ok()
    }

    /// The standard members that are present and have no header value: to be logged.
    pub fn not_sendable(&self) -> impl Iterator<Item = Standard> {
        Standard::ALL.into_iter().filter(|member| self.unsendable & (1 << *member as u8) != 0)
    }

    /// Any member as a header value, by the same rules.
    ///
    /// # Errors
    /// The member is there, but its value cannot stand in a header.
    pub fn encode(&self, name: &str) -> Result<Option<HeaderValue>, NotSendable> {
        let Some(text) = self.get(name).and_then(|raw| encode::text(raw, name == Standard::Scope.name())) else {
            return Ok(None);
        };
        encode::sendable(&text)?;
        let bytes = match text {
            Cow::Borrowed(text) => self.buffer.slice_ref(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        HeaderValue::from_maybe_shared(bytes).map(Some).map_err(|_| NotSendable::Control)
    }

    /// Bytes this answer takes, its own bookkeeping included: what a cache that is bounded in bytes counts.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.slots.len() * size_of::<Slot>() + self.buffer.len() + HEAP
    }

    /// Reads the body of a 200 as one profile wants it read.
    pub(crate) fn read(body: &[u8], reading: &Reading) -> Result<Self, Failure> {
        parse::answer(body, reading)
    }

    pub(crate) fn not_before(&self) -> u64 {
        self.not_before
    }

    fn text(&self, member: Standard) -> Option<&str> {
        self.text_range(member).map(|range| self.slice(range))
    }

    fn text_range(&self, member: Standard) -> Option<Range<usize>> {
        let slot = self.texts[member as usize];
        if slot == ABSENT {
            return None;
        }
        let mut range = self.value(usize::from(slot));
        // A member's own value still has its quotes; a ready text has none of its own.
        if slot < self.members && self.buffer[range.start] == b'"' {
            range = range.start + 1..range.end - 1;
        }
        Some(range)
    }

    fn value(&self, slot: usize) -> Range<usize> {
        self.slots[slot].value as usize..self.slots[slot + 1].name as usize
    }

    #[expect(clippy::expect_used, reason = "slots begin and end where strings did when the buffer was written")]
    fn slice(&self, range: Range<usize>) -> &str {
        std::str::from_utf8(&self.buffer[range]).expect("a whole string")
    }
}

impl fmt::Debug for Answer {
    /// Says the verdict alone: members are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("active", &self.active).field("members", &self.members).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
