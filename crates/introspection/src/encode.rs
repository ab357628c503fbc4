//! One member's value as text for a header (I-156).
//!
//! A string as it is, in UTF-8; a number or boolean as its JSON text, integers in plain digits; a `scope` list joined
//! by spaces; every other list or object as compact JSON, whatever is not ASCII escaped. `null` is no value.

use std::borrow::Cow;

use thiserror::Error;

/// Why a value cannot stand in a header. The value is left out, and the caller logs which member it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotSendable {
    /// A control character or a Unicode line break: it could end the header, or a log line.
    #[error("the value holds a control character")]
    Control,
    /// A space at the start or end: receivers cut it off, and would read another value than was checked.
    #[error("the value begins or ends with a space")]
    Padding,
}

/// The text of `raw`, a JSON value already known to be valid. Borrowed from `raw` wherever it stands there as such.
pub(crate) fn text(raw: &str, join_list: bool) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'n' => None,
        b'"' => Some(string(raw)),
        b'[' if join_list => Some(Cow::Owned(Strings::of(raw).collect::<Vec<_>>().join(" "))),
        b'[' | b'{' => Some(compact(raw)),
        b't' | b'f' => Some(Cow::Borrowed(raw)),
        _ => Some(plain_digits(raw).map_or(Cow::Borrowed(raw), Cow::Owned)),
    }
}

/// Whether a receiver gets exactly this text.
pub(crate) fn sendable(text: &str) -> Result<(), NotSendable> {
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        Err(NotSendable::Control)
    } else if text.starts_with(' ') || text.ends_with(' ') {
        Err(NotSendable::Padding)
    } else {
        Ok(())
    }
}

/// The content of a JSON string.
pub(crate) fn string(raw: &str) -> Cow<'_, str> {
    let content = raw.get(1..raw.len() - 1).unwrap_or_default();
    if content.contains('\\') {
        // Valid when it was parsed, so it cannot fail here; an empty string would be the harmless outcome.
        Cow::Owned(serde_json::from_str(raw).unwrap_or_default())
    } else {
        Cow::Borrowed(content)
    }
}

/// The strings of a JSON list of strings, or the one string that the value is.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    rest: &'a str,
}

impl<'a> Strings<'a> {
    pub(crate) fn of(raw: &'a str) -> Self {
        Self { rest: raw }
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Self::Item> {
        let open = self.rest.find('"')?;
        let mut escaped = false;
        let close = self.rest.bytes().enumerate().skip(open + 1).find_map(|(at, byte)| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends.then_some(at)
        })?;
        let (taken, rest) = self.rest.split_at(close + 1);
        self.rest = rest;
        Some(string(&taken[open..]))
    }
}

/// An integer that is written with a fraction or an exponent, in plain digits: `1.7e9` is 1700000000.
/// Nothing for other numbers, which stay as they are, and for integers of more than 40 digits.
fn plain_digits(raw: &str) -> Option<String> {
    let (mantissa, exponent) = match raw.find(['e', 'E']) {
        Some(at) => (&raw[..at], raw[at + 1..].parse::<i32>().ok()?),
        None => (raw, 0),
    };
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if exponent == 0 && fraction.is_empty() && !raw.contains(['e', 'E']) {
        return None;
    }
    let all = format!("{whole}{fraction}");
    let significant = all.trim_end_matches('0');
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let length = usize::try_from(point).ok()?;
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    if length < significant.len() || length > 40 {
        return None;
    }
    let padded = format!("{significant:0<length$}");
    Some(format!("{sign}{}", padded.trim_start_matches('0')))
}

/// JSON without white space between its parts, and with every character outside printable ASCII escaped.
fn compact(raw: &str) -> Cow<'_, str> {
    if raw.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let (mut inside, mut escaped) = (false, false);
    for c in raw.chars() {
        if !inside && c.is_ascii_whitespace() {
            continue;
        }
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = c == '\\' && !escaped;
        if c.is_ascii() && !c.is_ascii_control() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_text() {
        let rows = [
            // I-156, S-25, S-26
            (r#""Zoë""#, false, Some("Zoë")),
            (r#""a\u00eb\n""#, false, Some("aë\n")),
            (r#""""#, false, Some("")),
            ("null", false, None),
            ("true", false, Some("true")),
            ("1795210633", false, Some("1795210633")),
            ("1795210633.5", false, Some("1795210633.5")),
            ("1795210633.0", false, Some("1795210633")),
            ("1.7e9", false, Some("1700000000")),
            ("1.7E+9", false, Some("1700000000")),
            ("-12e2", false, Some("-1200")),
            ("1200e-2", false, Some("12")),
            ("0.05e2", false, Some("5")),
            ("0.0e7", false, Some("0")),
            ("1e-3", false, Some("1e-3")),
            ("1e300", false, Some("1e300")),
            (r#"["a","b c"]"#, false, Some(r#"["a","b c"]"#)),
            (r#"["read", "write"]"#, true, Some("read write")),
            (r#"[ "user,admin" , 1 ]"#, false, Some(r#"["user,admin",1]"#)),
            (
                "{ \"n\" : \"Zo\u{eb} \u{1f600} \\\" \u{7f}\" }",
                false,
                Some(r#"{"n":"Zo\u00eb \ud83d\ude00 \" \u007f"}"#),
            ),
        ];
        for (raw, join, expected) in rows {
            assert_eq!(text(raw, join).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn what_a_header_cannot_carry_is_refused() {
        let rows = [
            // I-156, S-24
            ("plain, with \"quotes\" and Zoë", Ok(())),
            ("", Ok(())),
            ("a\r\nX-Consumer-Id: root", Err(NotSendable::Control)),
            ("a\nb", Err(NotSendable::Control)),
            ("a\tb", Err(NotSendable::Control)),
            ("a\0", Err(NotSendable::Control)),
            ("a\u{7f}", Err(NotSendable::Control)),
            ("a\u{85}", Err(NotSendable::Control)),
            ("a\u{2028}", Err(NotSendable::Control)),
            ("admin ", Err(NotSendable::Padding)),
            (" admin", Err(NotSendable::Padding)),
        ];
        for (value, expected) in rows {
            assert_eq!(sendable(value), expected, "{value:?}");
        }
    }

    #[test]
    fn lists_of_strings_are_walked() {
        let all = |raw| Strings::of(raw).map(Cow::into_owned).collect::<Vec<_>>();
        assert_eq!(all(r#""one two""#), ["one two"]); // I-19
        assert_eq!(all(r#"[ "a", "b\"c", "\\" , "" ]"#), ["a", "b\"c", "\\", ""]);
        assert!(all("[]").is_empty());
    }
}
