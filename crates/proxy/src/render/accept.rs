//! Which format a client wants an error in.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};

/// What a request says about the form of an error, kept in case there will be one. Nothing is parsed before.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    wish: Wish,
    head: bool,
}

#[derive(Debug, Clone, Default)]
enum Wish {
    /// Neither `Accept` nor `Content-Type`.
    #[default]
    None,
    /// `Accept: */*`, as most programs send it; not worth a copy.
    Anything,
    Accept(HeaderValue),
    /// No `Accept`, but the type of the request's own body.
    ContentType(HeaderValue),
}

impl Asked {
    /// Takes what it needs from a request's head.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        Self { wish: Wish::of(headers), head: method == Method::HEAD }
    }

    pub(super) fn is_head(&self) -> bool {
        self.head
    }

    /// The best format by `Accept`; `None` when there is none, or nothing in it that we can make.
    pub(super) fn format(&self) -> Option<Format> {
        match &self.wish {
            Wish::Anything => Some(Format::Json),
            Wish::Accept(accept) => negotiate(&String::from_utf8_lossy(accept.as_bytes())),
            Wish::None | Wish::ContentType(_) => None,
        }
    }

    /// The format of the request's own body, if it is one of ours and there was no `Accept`.
    pub(super) fn sent_format(&self) -> Option<Format> {
        let Wish::ContentType(media_type) = &self.wish else {
            return None;
        };
        let media_type = media_type.to_str().ok()?.split(';').next()?.trim();
        Format::ALL.into_iter().find(|format| format.names().2.eq_ignore_ascii_case(media_type))
    }
}

impl Wish {
    fn of(headers: &HeaderMap) -> Self {
        let mut accepts = headers.get_all(ACCEPT).iter();
        match (accepts.next(), accepts.next()) {
            (None, _) => headers.get(CONTENT_TYPE).map_or(Wish::None, |value| Wish::ContentType(value.clone())),
            (Some(accept), None) if accept == "*/*" => Wish::Anything,
            (Some(accept), None) => Wish::Accept(accept.clone()),
            // Several lines are one list (RFC 9110 section 5.3).
            (Some(first), Some(second)) => {
                let all: Vec<&[u8]> = [first, second].into_iter().chain(accepts).map(HeaderValue::as_bytes).collect();
                HeaderValue::from_bytes(&all.join(&b", "[..])).map_or(Wish::Anything, Wish::Accept)
            }
        }
    }
}

/// A form that an error can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Text,
    Html,
}

impl Format {
    /// In order of preference, for clients that do not care.
    const ALL: [Format; 3] = [Format::Json, Format::Text, Format::Html];

    /// Value of `Content-Type`.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json; charset=utf-8",
            Format::Text => "text/plain; charset=utf-8",
            Format::Html => "text/html; charset=utf-8",
        }
    }

    /// The media ranges that include it, from vague to exact.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Format::Json => ("*/*", "application/*", "application/json"),
            Format::Text => ("*/*", "text/*", "text/plain"),
            Format::Html => ("*/*", "text/*", "text/html"),
        }
    }

    /// How exactly `range` names this format: 1, 2, 3, or not at all.
    fn named_by(self, range: &str) -> Option<u8> {
        let (any, family, exact) = self.names();
        [(3, exact), (2, family), (1, any)]
            .into_iter()
            .find_map(|(exactness, name)| name.eq_ignore_ascii_case(range).then_some(exactness))
    }
}

/// RFC 9110 section 12.5.1: of the ranges that name a format the most exact one gives its weight; the heaviest format
/// wins, of equal ones the one named first.
fn negotiate(accept: &str) -> Option<Format> {
    let ranges: Vec<(&str, u16)> = accept.split(',').filter_map(range).collect();
    let weighed = Format::ALL.into_iter().filter_map(|format| {
        let named = ranges.iter().enumerate().filter_map(|(place, (range, weight))| {
            let exactness = format.named_by(range)?;
            Some((exactness, std::cmp::Reverse(place), *weight))
        });
        let (_, place, weight) = named.max()?;
        (weight > 0).then_some((weight, place, format))
    });
    // `max_by` would take the last of equals, and equals stand in order of preference.
    weighed
        .reduce(|best, next| if (next.0, next.1) > (best.0, best.1) { next } else { best })
        .map(|(_, _, format)| format)
}

/// One element: the range, and its weight in thousandths. An element that cannot be read is as if it were not there.
fn range(element: &str) -> Option<(&str, u16)> {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next()?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    match weight {
        None => Some((name, 1000)),
        Some(weight) => {
            let weight: f32 = weight.trim().parse().ok()?;
            (0.0..=1.0).contains(&weight).then_some((name, (weight * 1000.0) as u16))
        }
    }
}
