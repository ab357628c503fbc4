//! Where a request's token is looked for (kong.md 1.4, I-54 to I-60).
//!
//! Every enabled source is searched, since a token in two places is refused rather than chosen between. It is
//! extracted once; nothing later looks for it again (I-60).

use crate::context::{Edits, HeaderEdit};
use crate::{Reason, Seen};
use http::{HeaderName, header};
use portcullis_introspection::bearer::{self, Place, QUERY_NAME, Taken, Unusable};

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The sources of Kong's dialects: `Authorization: Bearer` (or `token`) and the argument `access_token`.
pub const KONG: bearer::Sources<'static> = bearer::Sources {
    header: true,
    token_scheme: true,
    query: &[QUERY_NAME],
    search_all: false,
    max_bytes: bearer::MAX_BYTES,
};

/// The request's token, if it has exactly one. Allocates only for a token that was percent-encoded.
pub fn take<'a>(seen: &Seen<'a>, sources: &bearer::Sources<'_>) -> Result<Option<Taken<'a>>, Reason> {
    bearer::take(seen.headers, seen.query, sources).map_err(|unusable| match unusable {
        Unusable::Ambiguous => Reason::AmbiguousToken,
        Unusable::Malformed => Reason::MalformedToken,
    })
}

/// Takes the token out of the request, and a proof that came with it; everything else stays (I-62).
pub fn hide(place: Place, seen: &Seen<'_>, edits: &mut Edits) {
    match place {
        Place::Header => edits.headers.push(HeaderEdit::Remove(header::AUTHORIZATION)),
        Place::Query => edits.query = seen.query.map(without_token),
    }
    edits.headers.push(HeaderEdit::Remove(DPOP));
}

/// A raw query without its token, the other arguments byte for byte as they were; `None` when nothing is left.
fn without_token(query: &str) -> Option<String> {
    let is_token = |argument: &&str| form_urlencoded::parse(argument.as_bytes()).any(|(name, _)| name == QUERY_NAME);
    let kept: Vec<&str> = query.split('&').filter(|argument| !is_token(argument)).collect();
    if kept.is_empty() { None } else { Some(kept.join("&")) }
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
