//! What stands in a line.

use http::Version;
use portcullis_model::plan::{Consumer, Route};
use portcullis_plugins::context::Digest;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One request, as the log tells it. What is `None` is left out of the line.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// When its head was read.
    pub time: SystemTime,
    pub request_id: &'a str,
    pub client: IpAddr,
    pub version: Version,
    pub method: &'a str,
    pub host: &'a str,
    /// As the client sent it. A query is cut off: tokens live there.
    pub path: &'a str,
    /// Of the answer; 499 when the client left before it.
    pub status: u16,
    pub route: Option<&'a Route>,
    /// Address that the request was sent to.
    pub upstream: Option<SocketAddr>,
    /// From the head of the request to the end of the answer.
    pub total: Duration,
    /// From the request's first byte to the upstream to the head of its answer.
    pub upstream_time: Option<Duration>,
    /// Of the answer's body.
    pub bytes_sent: u64,
    /// Code of the refusal's reason or of the failure.
    pub reason: Option<&'static str>,
    /// `hit`, `negative` or `miss`.
    pub cache: Option<&'static str>,
    pub token: Option<Digest>,
    pub consumer: Option<&'a Consumer>,
}

/// The members, in their order.
#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    request_id: &'a str,
    client: IpAddr,
    http_version: &'static str,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<SocketAddr>,
    latency_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_latency_ms: Option<f64>,
    bytes_sent: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_id: Option<uuid::Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_username: Option<&'a str>,
}

/// By name, or by id where there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Named<'a> {
    Name(&'a str),
    Id(uuid::Uuid),
}

impl<'a> Named<'a> {
    fn new(name: &'a Option<String>, id: uuid::Uuid) -> Self {
        name.as_deref().map_or(Named::Id(id), Named::Name)
    }
}

impl Entry<'_> {
    /// Appends the line, with its line end.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let time = rfc3339(self.time);
        let token = self.token.map(hex);
        let line = Line {
            time: ascii(&time),
            request_id: self.request_id,
            client: self.client,
            http_version: version(self.version),
            method: self.method,
            host: self.host,
            path: self.path.split(['?', '#']).next().unwrap_or_default(),
            status: self.status,
            route: self.route.map(|route| Named::new(&route.name, route.id)),
            service: self.route.and_then(|route| route.service.as_ref()).map(|it| Named::new(&it.name, it.id)),
            upstream: self.upstream,
            latency_ms: milliseconds(self.total),
            upstream_latency_ms: self.upstream_time.map(milliseconds),
            bytes_sent: self.bytes_sent,
            reason: self.reason,
            cache: self.cache,
            token: token.as_ref().map(|token| ascii(token)),
            consumer_id: self.consumer.map(|consumer| consumer.id),
            consumer_username: self.consumer.and_then(|consumer| consumer.username.as_deref()),
        };
        let start = to.len();
        match serde_json::to_writer(&mut *to, &line) {
            Ok(()) => to.push(b'\n'),
            // A vector takes all that is written to it, and no member can fail; half a line helps nobody.
            Err(_) => to.truncate(start),
        }
    }
}

/// As in `Via`.
fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// With microseconds as decimals.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

fn hex(digest: Digest) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|i| {
        let byte = digest.0[i / 2];
        DIGITS[usize::from(if i % 2 == 0 { byte >> 4 } else { byte & 15 })]
    })
}

/// `2026-11-21T15:37:42.123Z`. What lies before 1970 counts as that.
fn rfc3339(time: SystemTime) -> [u8; 24] {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (at, digits, number) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, second / 3600),
        (14, 2, second / 60 % 60),
        (17, 2, second % 60),
        (20, 3, u64::from(since.subsec_millis())),
    ] {
        let mut rest = number;
        for digit in text[at..at + digits].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    text
}

/// Year, month and day of a day counted from 1970-01-01. Years are counted from 1 March, so that a leap day is the
/// last of its year, in eras of 400 years, which all have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let from_era_start = days + 719_468;
    let (era, day_of_era) = (from_era_start / 146_097, from_era_start % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn ascii(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).unwrap_or_default()
}
