//! Bytes into an [`Answer`]: which shapes are accepted (I-17 to I-23, I-29, I-147 to I-149).

use std::borrow::Cow;

use bytes::Bytes;

use super::{ABSENT, Answer, Slot, Standard};
use crate::encode::{self, Strings};
use crate::error::{Cause, Failure, FailureKind};
use crate::json::{self, Limits};

/// How an answer is read. Two profiles that read differently never share an answer, so all of it is in their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Bytes of the body after decompression.
    pub max_bytes: usize,
    pub max_depth: usize,
    pub max_members: usize,
    /// Dates in milliseconds are understood.
    pub millisecond_dates: bool,
    /// Dates as strings of digits are understood.
    pub string_dates: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            // Hundreds of times a usual answer; what a hostile or broken server can make us hold, per call.
            max_bytes: 256 * 1024,
            max_depth: 64,
            max_members: 4096,
            millisecond_dates: false,
            string_dates: false,
        }
    }
}

impl Reading {
    pub(crate) fn limits(&self) -> Limits {
        Limits { depth: self.max_depth, members: self.max_members }
    }
}

/// Dates from here up to [`FAR`] can only be milliseconds: in seconds they are beyond the year 5138.
const MILLISECONDS: f64 = 1e11;
/// A date from here up is "never", in whichever unit.
const FAR: f64 = 1e14;

/// Values of `token_use`, `typ` and `token_type` that name another kind of token than an access token.
const FOREIGN_KINDS: [&str; 8] =
    ["refresh_token", "refresh", "offline", "id_token", "id", "logout", "logout_token", "logout+jwt"];

/// An answer with nothing in it.
pub(super) fn nothing() -> Answer {
    Answer {
        buffer: Bytes::new(),
        slots: Box::new([Slot { name: 0, value: 0 }]),
        members: 0,
        texts: [ABSENT; Standard::ALL.len()],
        unsendable: 0,
        active: false,
        foreign_kind: false,
        bound: false,
        expires: u64::MAX,
        not_before: 0,
        issued: 0,
    }
}

/// Reads the body of a 200.
pub(super) fn answer(body: &[u8], reading: &Reading) -> Result<Answer, Failure> {
    if body.len() > reading.max_bytes {
        return Err(refused(Cause::Bytes(reading.max_bytes)));
    }
    let members = json::object(body, reading.limits()).map_err(refused)?;
    let active = members.iter().find(|(name, _)| name == "active").map(|(_, value)| value.get());
    match active {
        Some("true") => {}
        // Whatever else an inactive answer says is neither read nor kept.
        Some("false") => return Ok(nothing()),
        _ => return Err(refused(Cause::Shape("`active` is no boolean"))),
    }
    let mut writer = Writer::default();
    for (name, value) in &members {
        writer.push(name, value.get());
    }
    let count = u16::try_from(members.len()).map_err(|_| refused(Cause::Members(reading.max_members)))?;
    let mut answer = Answer { active: true, members: count, ..nothing() };
    for (slot, (name, value)) in (0..count).zip(&members) {
        if let Some(member) = Standard::ALL.into_iter().find(|member| member.name() == name) {
            take(&mut answer, &mut writer, slot, member, value.get(), reading).map_err(refused)?;
        } else if name == "cnf" {
            answer.bound = value.get() != "null";
        }
        if matches!(name.as_ref(), "token_use" | "typ" | "token_type") && is_foreign_kind(value.get()) {
            answer.foreign_kind = true;
        }
    }
    (answer.buffer, answer.slots) = writer.finish();
    Ok(answer)
}

fn refused(cause: Cause) -> Failure {
    let kind = match cause {
        Cause::Bytes(_) | Cause::Depth(_) | Cause::Members(_) => FailureKind::AnswerTooLarge,
        _ => FailureKind::BadAnswer,
    };
    Failure::new(kind, cause)
}

/// Takes one standard member in: its shape, its date, its text.
fn take(
    answer: &mut Answer,
    writer: &mut Writer,
    slot: u16,
    member: Standard,
    raw: &str,
    reading: &Reading,
) -> Result<(), Cause> {
    if raw == "null" {
        return Ok(());
    }
    match member {
        Standard::Exp => answer.expires = date(raw, reading)?,
        Standard::Nbf => answer.not_before = date(raw, reading)?,
        Standard::Iat => answer.issued = date(raw, reading)?,
        Standard::Scope => scope_shape(raw)?,
        Standard::Aud => {
            list_shape(raw).then_some(()).ok_or(Cause::Shape("`aud` is no string and no list of strings"))?
        }
        _ if raw.starts_with('"') => {}
        _ => return Err(Cause::Shape("a member that must be a string is none")),
    }
    let Some(text) = encode::text(raw, member == Standard::Scope) else { return Ok(()) };
    if encode::sendable(&text).is_err() {
        answer.unsendable |= 1 << member as u8;
    }
    answer.texts[member as usize] = match text {
        Cow::Borrowed(_) => slot,
        Cow::Owned(text) => writer.push("", &text),
    };
    Ok(())
}

fn scope_shape(raw: &str) -> Result<(), Cause> {
    if !list_shape(raw) {
        return Err(Cause::Shape("`scope` is no string and no list of strings"));
    }
    // Joined by spaces such an element would read as two scopes.
    if raw.starts_with('[') && Strings::of(raw).any(|scope| scope.contains(' ')) {
        return Err(Cause::Shape("an element of `scope` holds a space"));
    }
    Ok(())
}

/// Whether a value is a string or a list of strings.
fn list_shape(raw: &str) -> bool {
    raw.starts_with('"') || (raw.starts_with('[') && serde_json::from_str::<Vec<Cow<'_, str>>>(raw).is_ok())
}

/// A NumericDate (RFC 7519 section 2) in milliseconds. Present but unreadable is an error, never "absent".
fn date(raw: &str, reading: &Reading) -> Result<u64, Cause> {
    let wrong = Cause::Shape("a date is no date");
    let digits = match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        Some(text) if reading.string_dates && text.bytes().all(|byte| byte.is_ascii_digit()) => text,
        Some(_) => return Err(wrong),
        None if raw.starts_with(|first: char| first.is_ascii_digit()) => raw,
        None => return Err(wrong),
    };
    match digits.parse::<f64>() {
        Ok(seconds) if !seconds.is_finite() => Err(wrong),
        Ok(seconds) if seconds >= FAR => Ok(u64::MAX),
        Ok(millis) if millis >= MILLISECONDS && reading.millisecond_dates => Ok(millis as u64),
        Ok(seconds) if seconds >= MILLISECONDS => Err(wrong),
        Ok(seconds) => Ok((seconds * 1000.0) as u64),
        Err(_) => Err(wrong),
    }
}

fn is_foreign_kind(raw: &str) -> bool {
    raw.starts_with('"') && {
        let value = encode::string(raw);
        FOREIGN_KINDS.iter().any(|kind| value.eq_ignore_ascii_case(kind))
    }
}

/// Writes the one buffer of an answer.
#[derive(Default)]
struct Writer {
    buffer: Vec<u8>,
    slots: Vec<Slot>,
}

impl Writer {
    fn push(&mut self, name: &str, value: &str) -> u16 {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(value.as_bytes());
        // The body is bounded far below 4 GiB, so neither number is ever cut.
        self.slots.push(Slot { name: at as u32, value: (at + name.len()) as u32 });
        (self.slots.len() - 1) as u16
    }

    fn finish(mut self) -> (Bytes, Box<[Slot]>) {
        let end = self.buffer.len() as u32;
        self.slots.push(Slot { name: end, value: end });
        let buffer = Bytes::from(self.buffer.into_boxed_slice());
        // The first clone of such a buffer allocates its reference count. Done here, no request has to.
        drop(buffer.clone());
        (buffer, self.slots.into_boxed_slice())
    }
}
