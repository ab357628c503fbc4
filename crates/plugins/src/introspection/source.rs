//! Where a request's token is looked for (kong.md 1.4, I-54 to I-60).
//!
//! Every enabled source is searched, since a token in two places is refused rather than chosen between. It is
//! extracted once; nothing later looks for it again (I-60).

use super::body_token;
use crate::body::{self, Kind};
use crate::context::{Edits, HeaderEdit};
use crate::{Reason, Seen};
use http::{HeaderName, header};
use portcullis_introspection::bearer::{self, QUERY_NAME, Unusable};
use std::borrow::Cow;
use std::fmt;

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Where one configuration looks.
#[derive(Debug, Clone)]
pub struct Sources {
    pub head: bearer::Sources<'static>,
    /// The form argument or JSON member `access_token`.
    pub body: bool,
}

impl Sources {
    /// The sources of Kong's dialects: `Authorization: Bearer` (or `token`), the argument `access_token`, and the body
    /// unless the gateway's settings say otherwise.
    pub fn kong(body: bool) -> Self {
        let head = bearer::Sources {
            header: true,
            token_scheme: true,
            query: &[QUERY_NAME],
            search_all: false,
            max_bytes: bearer::MAX_BYTES,
        };
        Self { head, body }
    }
}

/// Which place carried the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Header,
    Query,
    Body(Kind),
}

/// The one token of a request: syntactically fine, and not checked any further.
pub struct Taken<'a> {
    pub token: Cow<'a, str>,
    pub place: Place,
}

impl fmt::Debug for Taken<'_> {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Why there is no token to ask about, although the request tries to present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub reason: Reason,
    /// Where the one token is that cannot be one.
    pub place: Option<Place>,
}

/// The request's token, if it has exactly one. Allocates only for a token that was encoded.
pub fn take<'a>(seen: &Seen<'a>, sources: &Sources) -> Result<Option<Taken<'a>>, Refused> {
    let in_head = bearer::take(seen.headers, seen.query, &sources.head);
    match seen.body {
        Some(body) if sources.body && in_head != Err(Unusable::Ambiguous) => {
            let Some(kind) = body::kind(seen.method, seen.headers) else {
                return head(in_head, seen, sources);
            };
            let in_body = body_token::find(kind, body);
            match (in_head, in_body) {
                (in_head, Ok(None)) => head(in_head, seen, sources),
                (Ok(None), Ok(Some(token))) => {
                    let place = Place::Body(kind);
                    bearer::check(&token, sources.head.max_bytes).map_err(|why| refused(why, place))?;
                    Ok(Some(Taken { token, place }))
                }
                (Ok(None), Err(why)) => Err(refused(why, Place::Body(kind))),
                // One in the head and one in the body.
                _ => Err(refused(Unusable::Ambiguous, Place::Body(kind))),
            }
        }
        _ => head(in_head, seen, sources),
    }
}

fn head<'a>(
    found: Result<Option<bearer::Taken<'a>>, Unusable>,
    seen: &Seen<'_>,
    sources: &Sources,
) -> Result<Option<Taken<'a>>, Refused> {
    match found {
        Ok(None) => Ok(None),
        Ok(Some(taken)) => {
            let place = match taken.place {
                bearer::Place::Header => Place::Header,
                bearer::Place::Query => Place::Query,
            };
            Ok(Some(Taken { token: taken.token, place }))
        }
        Err(why) => {
            let in_header = bearer::in_authorization(seen.headers, sources.head.token_scheme);
            Err(refused(why, if in_header == Ok(None) { Place::Query } else { Place::Header }))
        }
    }
}

fn refused(why: Unusable, place: Place) -> Refused {
    match why {
        Unusable::Ambiguous => Refused { reason: Reason::AmbiguousToken, place: None },
        Unusable::Malformed => Refused { reason: Reason::MalformedToken, place: Some(place) },
    }
}

/// Takes the token out of the request, and a proof that came with it; everything else stays (I-62).
pub fn hide(place: Place, seen: &Seen<'_>, edits: &mut Edits) {
    match place {
        Place::Header => edits.headers.push(HeaderEdit::Remove(header::AUTHORIZATION)),
        Place::Query => edits.query = seen.query.map(without_token),
        Place::Body(kind) => edits.body = seen.body.map(|body| body_token::without_token(kind, body)),
    }
    edits.headers.push(HeaderEdit::Remove(DPOP));
}

/// A raw query without its token, the other arguments byte for byte as they were; `None` when nothing is left.
fn without_token(query: &str) -> Option<String> {
    let left = body_token::form_without_token(query.as_bytes());
    // Whole arguments of a text are texts.
    String::from_utf8(left).ok().filter(|left| !left.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    // K-42, I-62
    #[test]
    fn the_query_loses_its_token_and_nothing_else() {
        let rows = [
            ("access_token=t", None),
            ("a=1&access_token=t&b=%2F+x", Some("a=1&b=%2F+x")),
            ("access%5Ftoken=t&a", Some("a")),
            ("a=access_token&&b", Some("a=access_token&&b")),
        ];
        for (query, left) in rows {
            assert_eq!(without_token(query).as_deref(), left, "{query}");
        }
    }
}
