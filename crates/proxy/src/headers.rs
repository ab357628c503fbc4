//! Headers on their way through: what ends at this hop, what this hop adds, and what the steps want changed.
//!
//! On the way up the order matters (S-21): names that end here are taken out first, those listed in `Connection`
//! among them, and only then come ours. So a client that lists `X-Consumer-Id` there takes away nothing.

use crate::decide::Found;
use crate::head::Head;
use crate::ids::RequestId;
use crate::listener::Client;
use crate::render::{Failure, PRODUCT, REQUEST_ID};
use crate::snapshot::Lane;
use crate::target;
use crate::upstream::{Outbound, Relay, Upload, trailers};
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SERVER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body;
use portcullis_model::plan::Protocol;
use portcullis_plugins::context::{Edits, HeaderEdit};
use portcullis_plugins::fold;
use smallvec::SmallVec;
use std::mem;
use std::time::{Duration, SystemTime};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PATH: HeaderName = HeaderName::from_static("x-forwarded-path");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const UPSTREAM_LATENCY: HeaderName = HeaderName::from_static("x-kong-upstream-latency");
const PROXY_LATENCY: HeaderName = HeaderName::from_static("x-kong-proxy-latency");

/// The one protocol that a connection can change to.
const WEBSOCKET: &str = "websocket";

/// As many headers as an ordinary request gets beside those of the steps: so the map grows once, and to 24 where the
/// client sent few. One that is upgraded or streams its body may make it grow again.
const OURS: usize = 10;

/// Names to take out of a map; a request has one or two of them.
type Names = SmallVec<[HeaderName; 4]>;

/// What an answer may hold beside its head and its body, as far as the client has asked for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    /// The change to another protocol.
    pub(crate) switch: bool,
    pub(crate) trailers: bool,
}

/// The request as the upstream gets it. It takes method and headers out of the head.
pub(crate) fn outgoing(
    head: &mut Head,
    found: Found,
    lane: &Lane,
    mut edits: Edits,
    mut upload: Option<Box<Upload>>,
    client: &Client,
    id: RequestId,
) -> Result<(Request<Outbound>, Allowed), Failure> {
    let destination = lane.destination.as_ref().ok_or(Failure::NoService)?;
    let uri = upstream_uri(head, found, lane, &edits)?;
    let mut headers = mem::take(&mut head.headers);
    let trusted = head.arrival.trusted;
    let ends = |name: &&HeaderName| {
        ends_here(name)
            || is_ours(name, trusted)
            || is_lookalike(name)
            || (lane.removes_overrides && overrides_method(name))
    };
    let ending: Names = headers.keys().filter(ends).cloned().collect();
    let addresses = addresses(&headers, &ending, &client.peer_header);
    let trailers = wants_trailers(&headers, &ending);
    let switches = upload.is_none()
        && head.method == Method::GET
        && head.version == Version::HTTP_11
        && names_websocket(&headers, &ending);
    take_out(&mut headers, ending);
    // Nothing of what is appended is in the map any more.
    headers.reserve(OURS + edits.headers.len());
    let host = if lane.route.preserve_host { head.host_header() } else { None };
    headers.insert(HOST, host.unwrap_or(destination.host_header()).clone());
    headers.append(FORWARDED_FOR, addresses);
    forwarded(head, found, lane, client, &mut headers);
    headers.append(VIA, via(head.version));
    headers.append(REQUEST_ID, id.to_header());
    // A step has written another body, whose length is known.
    let rewritten = edits.body.take().filter(|_| upload.is_some());
    let length = rewritten.as_ref().map(Bytes::len);
    if let (Some(upload), Some(body)) = (&mut upload, rewritten) {
        upload.replace(body);
    }
    // A length that is not known is said in so many words: the engine would leave the body of a GET out.
    if upload.as_ref().is_some_and(|upload| upload.length().is_none()) {
        headers.append(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if trailers {
        headers.append(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if switches {
        name_websocket(&mut headers);
    }
    apply(&mut headers, edits.headers);
    let mut request = Request::new(match upload {
        Some(upload) => Outbound::Upload(upload),
        None => Outbound::Nothing,
    });
    *request.method_mut() = mem::take(&mut head.method);
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok((request, Allowed { switch: switches, trailers: trailers || head.version == Version::HTTP_2 }))
}

/// Makes an upstream's answer fit for the client.
pub(crate) fn incoming(answer: &mut Response<Relay>, is_head: bool, allowed: Allowed) -> Result<(), Failure> {
    let exact = answer.body().size_hint().exact();
    let bodiless = is_head || answer.body().is_end_stream();
    let headers = answer.headers_mut();
    let ending: Names = headers.keys().filter(|name| ends_here(name)).cloned().collect();
    settle_length(headers, &ending, exact, bodiless)?;
    let trailers = allowed.trailers && exact.is_none() && !bodiless;
    let announced = if trailers && ending.contains(&TRAILER) { trailers::announced(headers) } else { None };
    take_out(headers, ending);
    headers.extend(announced.map(|names| (TRAILER, names)));
    if trailers {
        answer.body_mut().pass_trailers();
    }
    Ok(())
}

/// The same for a 101: it must name the one protocol that was asked for.
pub(crate) fn switching(headers: &mut HeaderMap) -> Result<(), Failure> {
    let ending: Names = headers.keys().filter(|name| ends_here(name)).cloned().collect();
    if !names_websocket(headers, &ending) {
        return Err(Failure::BadUpstreamResponse);
    }
    take_out(headers, ending);
    headers.remove(CONTENT_LENGTH);
    name_websocket(headers);
    Ok(())
}

/// What every answer that came from an upstream, or should have, is marked with (kong.md 3.9).
pub(crate) fn mark_proxied(headers: &mut HeaderMap, version: Version, id: RequestId, latency: Latency) {
    headers.reserve(6);
    headers.append(VIA, via(version));
    headers.insert(UPSTREAM_LATENCY, milliseconds(latency.upstream));
    headers.insert(PROXY_LATENCY, milliseconds(latency.proxy));
    headers.insert(REQUEST_ID, id.to_header());
    if !headers.contains_key(SERVER) {
        headers.append(SERVER, HeaderValue::from_static(PRODUCT));
    }
    if !headers.contains_key(DATE) {
        let date = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()));
        headers.extend(date.ok().map(|date| (DATE, date)));
    }
}

/// Where the time of a proxied request went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// Until the request went to the upstream.
    pub(crate) proxy: Duration,
    /// From there until the head of its answer.
    pub(crate) upstream: Duration,
}

/// Applies what the steps asked for, in their order.
pub(crate) fn apply(headers: &mut HeaderMap, edits: Vec<HeaderEdit>) {
    for edit in edits {
        match edit {
            HeaderEdit::Set(name, value) => {
                headers.insert(name, value);
            }
            HeaderEdit::Append(name, value) => {
                headers.append(name, value);
            }
            HeaderEdit::Remove(name) => {
                headers.remove(name);
            }
        }
    }
}

/// Makes an answer's head fit for HTTP/2.
///
/// What says something about a connection is taken out: frames do that (RFC 9113 section 8.2.2). The id of the request
/// is kept out of the compression table (RFC 7541 section 6.2.3): it never comes twice, would push out what does, and
/// has every later one compared with it.
pub(crate) fn for_http2(headers: &mut HeaderMap) {
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    if let Some(id) = headers.get_mut(REQUEST_ID) {
        id.set_sensitive(true);
    }
}

/// Who asked, as the upstream may believe it. Of a trusted peer's own account what is there is still in the map, and
/// stays; of anybody else nothing is left but the addresses before ours (K-130, S-29).
fn forwarded(head: &Head, found: Found, lane: &Lane, client: &Client, headers: &mut HeaderMap) {
    headers.append(REAL_IP, client.peer_header.clone());
    let mut add = |name: HeaderName, value: HeaderValue| {
        if !head.arrival.trusted || !headers.contains_key(&name) {
            headers.append(name, value);
        }
    };
    let scheme = match head.arrival.protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    };
    add(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    add(FORWARDED_HOST, host_without_port(head));
    add(FORWARDED_PORT, client.port_header.clone());
    if let Ok(path) = HeaderValue::from_str(head.uri.path()) {
        add(FORWARDED_PATH, path);
    }
    let taken = head.path().get(..found.matched).unwrap_or_default();
    if lane.route.strip_path
        && !matches!(taken, "" | "/")
        && let Ok(prefix) = HeaderValue::from_str(taken)
    {
        add(FORWARDED_PREFIX, prefix);
    }
}

fn host_without_port(head: &Head) -> HeaderValue {
    match head.host_header() {
        Some(host) if host.len() == head.host().len() => host.clone(),
        _ => HeaderValue::from_str(head.host()).unwrap_or_else(|_| HeaderValue::from_static("")),
    }
}

/// The client's list of addresses, with the peer behind it.
fn addresses(headers: &HeaderMap, present: &Names, peer: &HeaderValue) -> HeaderValue {
    if !present.contains(&FORWARDED_FOR) {
        return peer.clone();
    }
    let mut list = Vec::with_capacity(64);
    for given in headers.get_all(FORWARDED_FOR) {
        list.extend_from_slice(given.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from(list)).unwrap_or_else(|_| peer.clone())
}

/// The target for the upstream, which is the client's own one wherever nothing changes.
fn upstream_uri(head: &Head, found: Found, lane: &Lane, edits: &Edits) -> Result<Uri, Failure> {
    let base = lane.route.service.as_ref().and_then(|service| service.path.as_deref());
    let path = target::upstream_path(base, head.path(), found.matched, lane.route.strip_path);
    let query = match &edits.query {
        Some(query) => query.as_deref(),
        None => head.uri.query(),
    };
    if edits.query.is_none() && head.uri.authority().is_none() && path == head.uri.path() {
        return Ok(head.uri.clone());
    }
    let mut whole = String::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
    whole.push_str(&path);
    if let Some(query) = query {
        whole.push('?');
        whole.push_str(query);
    }
    Uri::from_maybe_shared(Bytes::from(whole)).map_err(|_| Failure::BadRequest)
}

fn via(version: Version) -> HeaderValue {
    const VIA_1_0: &str = concat!("1.0 portcullis/", env!("CARGO_PKG_VERSION"));
    const VIA_1_1: &str = concat!("1.1 portcullis/", env!("CARGO_PKG_VERSION"));
    const VIA_2: &str = concat!("2 portcullis/", env!("CARGO_PKG_VERSION"));
    HeaderValue::from_static(match version {
        Version::HTTP_10 => VIA_1_0,
        Version::HTTP_2 => VIA_2,
        _ => VIA_1_1,
    })
}

fn wants_trailers(headers: &HeaderMap, present: &Names) -> bool {
    present.contains(&TE)
        && headers.get_all(TE).iter().any(|te| tokens(te).any(|token| token.eq_ignore_ascii_case("trailers")))
}

/// Whether a message is about a change to WebSocket and nothing else. Every other protocol is taken out (S-42).
fn names_websocket(headers: &HeaderMap, present: &Names) -> bool {
    if !present.contains(&UPGRADE) {
        return false;
    }
    let mut protocols = headers.get_all(UPGRADE).iter().flat_map(tokens);
    let one = protocols.next().is_some_and(|protocol| protocol.eq_ignore_ascii_case(WEBSOCKET));
    let mut listed = headers.get_all(CONNECTION).iter().flat_map(tokens);
    one && protocols.next().is_none() && listed.any(|name| name.eq_ignore_ascii_case(UPGRADE.as_str()))
}

fn name_websocket(headers: &mut HeaderMap) {
    headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.append(UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// Headers that mean this hop alone (RFC 9110 section 7.6.1), and those that this hop has already acted on.
pub(crate) fn ends_here(name: &HeaderName) -> bool {
    matches!(
        *name,
        CONNECTION | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION | TE | TRAILER | TRANSFER_ENCODING | UPGRADE | EXPECT
    ) || matches!(name.as_str(), "keep-alive" | "proxy" | "proxy-connection" | "http2-settings")
}

/// Headers that are set on every request anew; a trusted peer's account of the request before it is not.
fn is_ours(name: &HeaderName, trusted: bool) -> bool {
    let name = name.as_str();
    name.starts_with("x-")
        && match &name[2..] {
            "forwarded-for" | "real-ip" | "kong-request-id" => true,
            "forwarded-proto" | "forwarded-host" | "forwarded-port" | "forwarded-path" | "forwarded-prefix" => !trusted,
            _ => false,
        }
}

/// Other spellings of what tells a message's end or comes from this hop: `content_length`, `x.forwarded.for`. A server
/// that folds names, as CGI and its heirs do, would take one for the other.
fn is_lookalike(name: &HeaderName) -> bool {
    const LENGTHS: [&str; 2] = ["content-length", "transfer-encoding"];
    const OURS: [&str; 8] = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-path",
        "x-forwarded-prefix",
        "x-real-ip",
        "x-kong-request-id",
    ];
    let name = name.as_str();
    let originals = match (name.len(), name.as_bytes().first()) {
        (14 | 17, Some(b'c' | b't')) => &LENGTHS[..],
        (9 | 15..=18, Some(b'x')) => &OURS[..],
        // Nearly all names of a request.
        _ => return false,
    };
    originals.iter().any(|original| *original != name && fold::folds_to(name, original))
}

/// Headers by which frameworks let a client change the method behind a rule's back (S-38), in any spelling.
fn overrides_method(name: &HeaderName) -> bool {
    const NAMES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];
    NAMES.iter().any(|known| fold::folds_to(name.as_str(), known))
}

/// Removes `names`, and what `Connection` lists.
fn take_out(headers: &mut HeaderMap, mut names: Names) {
    if names.contains(&CONNECTION) {
        let listed = headers.get_all(CONNECTION).iter().flat_map(tokens);
        let listed: Names = listed.filter_map(|token| token.parse().ok()).filter(may_be_listed).collect();
        names.extend(listed);
    }
    for name in names {
        headers.remove(name);
    }
}

/// What says where a message ends, or whom it is for, is not the sender's to take away.
fn may_be_listed(name: &HeaderName) -> bool {
    !matches!(*name, CONTENT_LENGTH | TRANSFER_ENCODING | HOST)
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|token| !token.is_empty())
}

/// One way to tell where the answer ends. The engine reads what is ambiguous in the right order, but leaves it in
/// the map for the next reader to get wrong.
fn settle_length(headers: &mut HeaderMap, present: &Names, exact: Option<u64>, bodiless: bool) -> Result<(), Failure> {
    if present.contains(&TRANSFER_ENCODING) {
        let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
        let chunked = encodings.next().is_some_and(|one| one.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !chunked || encodings.next().is_some() {
            return Err(Failure::BadUpstreamResponse);
        }
        headers.remove(CONTENT_LENGTH);
        return Ok(());
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let plain = match (lengths.next(), lengths.next()) {
        (None, _) => true,
        (Some(one), None) => one.as_bytes().iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        headers.remove(CONTENT_LENGTH);
        headers.extend(exact.filter(|_| !bodiless).map(|exact| (CONTENT_LENGTH, HeaderValue::from(exact))));
    }
    Ok(())
}

/// Nearly all latencies are small, and then need no allocation.
fn milliseconds(duration: Duration) -> HeaderValue {
    const SMALL: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let milliseconds = duration.as_millis();
    match usize::try_from(milliseconds).ok().and_then(|small| SMALL.get(small)) {
        Some(small) => HeaderValue::from_static(small),
        None => HeaderValue::from(u64::try_from(milliseconds).unwrap_or(u64::MAX)),
    }
}
