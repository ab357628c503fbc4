//! Trailers of answers: which of them a client may see.
//!
//! Those of requests are dropped, since no service is spoken to in HTTP/2 and gRPC has no other use for them (S-19).
//! Those of answers pass where the client can take them, without any field that says how to read the message, whom
//! it is for, or who may have it: a client that merges trailers into the head must find nothing of that kind.

use http::header::{
    ACCEPT_RANGES, AGE, ALT_SVC, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, COOKIE, DATE, EXPIRES, HOST, LOCATION, PRAGMA,
    RETRY_AFTER, SERVER, SET_COOKIE, TRAILER, VARY, VIA, WARNING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_plugins::fold;

/// The names that `Trailer` announces and that may come, as one value.
pub(crate) fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    let lists = headers.get_all(TRAILER).iter().filter_map(|list| list.to_str().ok());
    let names = lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok());
    let allowed: Vec<HeaderName> = names.filter(may_trail).collect();
    let list = allowed.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(list).ok().filter(|list| !list.is_empty())
}

/// Those that may come; `None` when there are none.
pub(super) fn allowed(mut trailers: HeaderMap) -> Option<HeaderMap> {
    let refused: Vec<HeaderName> = trailers.keys().filter(|name| !may_trail(name)).cloned().collect();
    for name in refused {
        trailers.remove(name);
    }
    (!trailers.is_empty()).then_some(trailers)
}

/// RFC 9110 section 6.5.1, and the names that are set on every answer, and those that identify a caller.
fn may_trail(name: &HeaderName) -> bool {
    let refused = crate::headers::ends_here(name)
        || matches!(
            *name,
            ACCEPT_RANGES
                | AGE
                | ALT_SVC
                | AUTHORIZATION
                | CACHE_CONTROL
                | CONTENT_DISPOSITION
                | CONTENT_ENCODING
                | CONTENT_LANGUAGE
                | CONTENT_LENGTH
                | CONTENT_LOCATION
                | CONTENT_RANGE
                | CONTENT_TYPE
                | COOKIE
                | DATE
                | EXPIRES
                | HOST
                | LOCATION
                | PRAGMA
                | RETRY_AFTER
                | SERVER
                | SET_COOKIE
                | VARY
                | VIA
                | WARNING
                | WWW_AUTHENTICATE
        )
        || ["access-control-", "x-kong-", "x-forwarded-"].iter().any(|prefix| name.as_str().starts_with(prefix))
        || fold::is_reserved(name.as_str());
    !refused
}
