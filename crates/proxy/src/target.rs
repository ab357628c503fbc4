//! The path of a request target: brought to one form before anything looks at it, and rewritten for the upstream.
//!
//! What is matched is what is forwarded (S-30): [`normalise`] runs once per request, the router sees its result, and
//! [`upstream_path`] only takes a prefix off and puts another before it. The query is no business of this file.

use std::borrow::Cow;

/// Why a request target is answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// It does not begin with a slash: `*`, an authority, a client's mistake.
    #[error("the request target is no path")]
    NotAPath,
    /// A control byte, a space, a backslash, `#` or `?`.
    #[error("the path holds a byte that no path may hold")]
    Byte,
    /// A `%` without two hexadecimal digits behind it. RFC 3986 gives it no meaning, and two readers that make up
    /// different ones are a way around a rule.
    #[error("the path holds a malformed percent escape")]
    Escape,
    /// An escape that stands for NUL or for a backslash.
    #[error("the path hides a byte that no path may hold")]
    HiddenByte,
    /// `..` next to a `;` or to an encoded slash: no dot segment here, but one to many a server behind (S-32).
    #[error("the path hides a dot segment")]
    HiddenDots,
}

/// Brings a path to its one form (kong.md 3.8): escapes of unreserved characters decoded, all other escapes kept and
/// in upper case, repeated slashes collapsed, dot segments resolved. A trailing slash stays. Bytes that RFC 3986 has
/// no place for (non-ASCII, `"`, `<`, `{` ...) are escaped, so the result is ASCII always.
///
/// An empty path is `/`. The ordinary path comes back as it is, without an allocation.
pub fn normalise(raw_path: &str) -> Result<Cow<'_, str>, BadTarget> {
    if raw_path.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    if !raw_path.starts_with('/') {
        return Err(BadTarget::NotAPath);
    }
    if is_normal(raw_path.as_bytes()) {
        return Ok(Cow::Borrowed(raw_path));
    }
    let path = rewrite(raw_path)?;
    Ok(if path == raw_path { Cow::Borrowed(raw_path) } else { Cow::Owned(path) })
}

/// The path that the upstream is asked for: `service_path` (`None`: `/`), then `path` (normalised), without its first
/// `matched` bytes if `strip` says so. The table of kong.md 3.8.
pub fn upstream_path<'a>(service_path: Option<&'a str>, path: &'a str, matched: usize, strip: bool) -> Cow<'a, str> {
    let base = service_path.unwrap_or("/");
    let stem = base.strip_suffix('/').unwrap_or(base);
    if path == "/" {
        // Nothing but the root is asked for, stripped or not: the service's own path, as it was written.
        return Cow::Borrowed(base);
    }
    // Paths are ASCII, so every index is a boundary; were one not, nothing is taken off.
    let rest = if strip { without_leading_dots(path.get(matched..).unwrap_or(path)) } else { path };
    match (stem, rest) {
        ("", "") => Cow::Borrowed("/"),
        ("", rest) if rest.starts_with('/') => Cow::Borrowed(rest),
        (stem, "") if path.ends_with('/') => Cow::Owned([stem, "/"].concat()),
        (stem, "") => Cow::Borrowed(stem),
        (stem, rest) if rest.starts_with('/') => Cow::Owned([stem, rest].concat()),
        (stem, rest) => Cow::Owned([stem, "/", rest].concat()),
    }
}

/// A prefix may end inside a segment: of `/fr../x` the route `/fr` leaves `../x`, which must not climb out of the
/// service's path (S-33).
fn without_leading_dots(mut rest: &str) -> &str {
    while let Some(shorter) = rest.strip_prefix("./").or_else(|| rest.strip_prefix("../")) {
        rest = shorter;
    }
    if matches!(rest, "." | "..") { "" } else { rest }
}

/// Whether a path that begins with a slash certainly stands in its one form. A no means "look closer".
fn is_normal(path: &[u8]) -> bool {
    let mut before = b'?';
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let normal = match KIND[byte as usize] {
            Kind::Slash => before != b'/',
            Kind::Plain if byte == b'.' => {
                before != b'.' && !(before == b'/' && matches!(path.get(at + 1), None | Some(b'/')))
            }
            Kind::Plain => true,
            Kind::Percent => is_normal_escape(&path[at..]),
            Kind::Foreign | Kind::Refused => false,
        };
        if !normal {
            return false;
        }
        before = byte;
        at += 1;
    }
    true
}

/// Whether the escape that `path` begins with is one that stays, in upper case.
fn is_normal_escape(path: &[u8]) -> bool {
    let upper = |digit: &u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
    match path {
        [_, high, low, ..] if upper(high) && upper(low) => {
            let byte = hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low);
            byte.is_some_and(|byte| !is_unreserved(byte) && !is_refused_hidden(byte))
        }
        _ => false,
    }
}

fn rewrite(raw: &str) -> Result<String, BadTarget> {
    let mut out = String::with_capacity(raw.len() + 16);
    let mut directory = false;
    for raw_segment in raw[1..].split('/') {
        let before = out.len();
        out.push('/');
        push_unescaped(raw_segment, &mut out)?;
        let segment = &out[before + 1..];
        directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => out.truncate(before),
            ".." => out.truncate(out[..before].rfind('/').unwrap_or(0)),
            _ if hides_dots(segment) => return Err(BadTarget::HiddenDots),
            _ => {}
        }
    }
    if directory || out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// Appends one segment: unreserved characters decoded, everything else escaped in upper case or left as it is.
fn push_unescaped(raw: &str, out: &mut String) -> Result<(), BadTarget> {
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match KIND[byte as usize] {
            Kind::Plain | Kind::Slash => out.push(byte as char),
            Kind::Foreign => push_escape(byte, out),
            Kind::Refused => return Err(BadTarget::Byte),
            Kind::Percent => {
                let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
                    return Err(BadTarget::Escape);
                };
                match high << 4 | low {
                    byte if is_refused_hidden(byte) => return Err(BadTarget::HiddenByte),
                    byte if is_unreserved(byte) => out.push(byte as char),
                    byte => push_escape(byte, out),
                }
            }
        }
    }
    Ok(())
}

/// Whether a server that cuts parameters off at `;`, or decodes slashes before it resolves dots, finds a `..` in this
/// (unescaped) segment, whole or once a prefix that ends inside of it was stripped.
fn hides_dots(segment: &str) -> bool {
    if !segment.contains("..") {
        return false;
    }
    let mut parts = segment.split("%2F").peekable();
    let mut first = true;
    while let Some(part) = parts.next() {
        let climbs = if parts.peek().is_some() { part.ends_with("..") } else { !first && part == ".." };
        if climbs || part.contains("..;") || part.contains("..%3B") {
            return true;
        }
        first = false;
    }
    false
}

fn push_escape(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)] as char);
    out.push(DIGITS[usize::from(byte & 15)] as char);
}

/// RFC 3986 section 2.3: an escape of one of these means the same as the byte itself.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Bytes that are refused in a path even as an escape (S-31).
fn is_refused_hidden(byte: u8) -> bool {
    matches!(byte, 0 | b'\\')
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// What a raw byte of a path is.
#[derive(Clone, Copy)]
enum Kind {
    /// Unreserved or reserved: stands for itself.
    Plain,
    Slash,
    Percent,
    /// Has no place in a URI; escaped.
    Foreign,
    Refused,
}

const KIND: [Kind; 256] = {
    let mut kinds = [Kind::Foreign; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'/' => Kind::Slash,
            b'%' => Kind::Percent,
            0..=b' ' | 0x7f | b'\\' | b'#' | b'?' => Kind::Refused,
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..=0xff => Kind::Foreign,
            _ => Kind::Plain,
        };
        byte += 1;
    }
    kinds
};

#[cfg(test)]
mod tests;
