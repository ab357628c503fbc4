//! Texts that are paths: of services, and of routes (plain prefixes and regular expressions).

use regex::Regex;
use serde_json::Value;
use std::borrow::Cow;

/// Rule for `services.path`.
pub(super) fn service_path(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if !text.starts_with('/') {
        return Err("should start with: /".to_owned());
    }
    if text.contains("//") {
        return Err("must not have empty segments".to_owned());
    }
    if !text.bytes().all(|b| is_path_byte(b) || b == b'%') {
        return Err(format!("invalid path: '{text}' (characters outside of the reserved list of RFC 3986 found)"));
    }
    escapes_are_whole(text)
}

/// Rule for an element of `routes.paths`: `/prefix`, or `~/regex`.
pub(super) fn route_path(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if !(text.starts_with('/') || text.starts_with("~/")) {
        return Err("should start with: / (fixed path) or ~/ (regexed path)".to_owned());
    }
    if text.contains("//") {
        return Err("must not have empty segments".to_owned());
    }
    if let Some(pattern) = text.strip_prefix('~') {
        return compiles(pattern);
    }
    escapes_are_whole(text)?;
    let normal = normalize(text);
    if normal != text {
        return Err(format!("non-normalized path, consider use '{normal}' instead"));
    }
    Ok(())
}

/// Whether a pattern is one, and can be run in linear time, as all of ours are.
pub(super) fn compiles(pattern: &str) -> Result<(), String> {
    let Err(error) = Regex::new(pattern) else { return Ok(()) };
    // A syntax error is drawn over several lines; the last one says it.
    let drawn = error.to_string();
    let reason = drawn.lines().last().unwrap_or(&drawn).trim_start_matches("error: ");
    let advice = if reason.contains("look-around") || reason.contains("backreferences") {
        "; they need backtracking, whose time a request could choose: rewrite the pattern without them"
    } else {
        ""
    };
    Err(format!("invalid regex: '{pattern}' ({reason}{advice})"))
}

/// A path in the one spelling in which paths are compared: percent-encoded unreserved characters decoded, others
/// encoded with upper-case digits, no empty and no dot segments; a slash at the end stays.
///
/// ```
/// assert_eq!(portcullis_model::entities::normalize_path("//a/../b%7e"), "/b~");
/// ```
pub fn normalize(path: &str) -> Cow<'_, str> {
    let escaped = canonical_escapes(path);
    let dirty = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
    let mut segments = escaped.strip_prefix('/').unwrap_or(&escaped).split('/').peekable();
    let mut clean = Vec::new();
    let (mut changed, mut ends_in_slash) = (false, true);
    while let Some(segment) = segments.next() {
        ends_in_slash = dirty(segment);
        let end_of_path = segment.is_empty() && segments.peek().is_none();
        changed |= ends_in_slash && !end_of_path;
        match segment {
            ".." => drop(clean.pop()),
            _ if ends_in_slash => {}
            _ => clean.push(segment),
        }
    }
    if !changed {
        return escaped;
    }
    let end = if ends_in_slash && !clean.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", clean.join("/")))
}

fn canonical_escapes(path: &str) -> Cow<'_, str> {
    let bytes = path.as_bytes();
    let mut out = String::new();
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let escape = escaped_byte(&bytes[i..]);
        i += if escape.is_some() { 3 } else { 1 };
        match escape {
            Some(byte) if is_unreserved(byte) => out.push(char::from(byte)),
            Some(byte) => out.push_str(&format!("%{byte:02X}")),
            // A lone percent sign is left as it is: what it should mean is not ours to guess.
            None if is_path_byte(byte) || byte == b'%' => out.push(char::from(byte)),
            None => out.push_str(&format!("%{byte:02X}")),
        }
    }
    if out == path { Cow::Borrowed(path) } else { Cow::Owned(out) }
}

fn escapes_are_whole(text: &str) -> Result<(), String> {
    let broken = text.bytes().enumerate().find(|(i, b)| *b == b'%' && escaped_byte(&text.as_bytes()[*i..]).is_none());
    match broken {
        None => Ok(()),
        Some((i, _)) => {
            let shown: String = text.get(i..).unwrap_or_default().chars().take(3).collect();
            Err(format!("invalid url-encoded value: '{shown}'"))
        }
    }
}

/// The byte that `%XX` at the beginning stands for.
fn escaped_byte(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_spelling_per_path() {
        // K-129
        let rows = [
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("//a/../b%7e", "/b~"),
            ("/a//b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/../../x", "/x"),
            ("/%2e%2E/x", "/x"),
            ("/a%2fb", "/a%2Fb"),
            ("/ä", "/%C3%A4"),
            ("/a%", "/a%"),
            ("/a%zz", "/a%zz"),
            ("/a//", "/a/"),
            ("//", "/"),
        ];
        for (path, normal) in rows {
            assert_eq!(normalize(path), normal, "{path}");
            assert_eq!(normalize(normal), normal, "{path} twice");
        }
    }

    #[test]
    fn paths_of_routes() {
        let rows = [
            ("/foo", Ok(())),
            ("/foo/", Ok(())),
            ("/a%2Fb", Ok(())),
            ("~/users/(?<id>\\d+)$", Ok(())),
            ("~/a|/b", Ok(())),
            ("foo", Err("should start with: / (fixed path) or ~/ (regexed path)")),
            ("~foo", Err("should start with: / (fixed path) or ~/ (regexed path)")),
            ("/a//b", Err("must not have empty segments")),
            ("/a/../b", Err("non-normalized path, consider use '/b' instead")),
            ("/b%7e", Err("non-normalized path, consider use '/b~' instead")),
            ("/a%2fb", Err("non-normalized path, consider use '/a%2Fb' instead")),
            ("/a b", Err("non-normalized path, consider use '/a%20b' instead")),
            ("/a%zz", Err("invalid url-encoded value: '%zz'")),
            ("/%", Err("invalid url-encoded value: '%'")),
            ("~/a)|(b", Err("invalid regex: '/a)|(b' (unopened group)")),
            ("~/[a", Err("invalid regex: '/[a' (unclosed character class)")),
            (
                "~/a(?!b)",
                Err(
                    "invalid regex: '/a(?!b)' (look-around, including look-ahead and look-behind, is not supported; they need backtracking, whose time a request could choose: rewrite the pattern without them)",
                ),
            ),
            (
                r"~/(a)\1",
                Err(
                    r"invalid regex: '/(a)\1' (backreferences are not supported; they need backtracking, whose time a request could choose: rewrite the pattern without them)",
                ),
            ),
        ];
        for (path, expected) in rows {
            assert_eq!(route_path(&json!(path)), expected.map_err(str::to_owned), "{path}");
        }
    }

    #[test]
    fn paths_of_services() {
        let rows = [
            ("/", Ok(())),
            ("/srv/", Ok(())),
            ("srv", Err("should start with: /")),
            ("/a//b", Err("must not have empty segments")),
            ("/a?b", Err("invalid path: '/a?b' (characters outside of the reserved list of RFC 3986 found)")),
            ("/a%2", Err("invalid url-encoded value: '%2'")),
        ];
        for (path, expected) in rows {
            assert_eq!(service_path(&json!(path)), expected.map_err(str::to_owned), "{path}");
        }
    }
}
