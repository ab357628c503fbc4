//! `limits:`, what one client, one upstream or all of them together may take. Defaults and reasons are the data
//! plane's.

use super::section::Section;
use portcullis_proxy::Limits;

/// Longest time limit that makes sense: a day.
const DAY: f64 = 86_400.0;

pub(crate) fn read(section: &mut Section<'_>) -> Limits {
    let default = Limits::default();
    Limits {
        max_head_bytes: section.size("max_head_bytes", 8 * 1024..=1024 * 1024).unwrap_or(default.max_head_bytes),
        header_timeout: section.seconds("header_timeout", 0.1..=DAY).unwrap_or(default.header_timeout),
        body_idle: section.seconds("body_idle", 0.1..=DAY).unwrap_or(default.body_idle),
        request_total: section.seconds("request_total", 0.1..=DAY),
        client_read_idle: section.seconds("client_read_idle", 0.1..=DAY).unwrap_or(default.client_read_idle),
        keep_alive_idle: section.seconds("keep_alive_idle", 0.1..=DAY).unwrap_or(default.keep_alive_idle),
        max_connections: section.size("max_connections", 1..=10_000_000).unwrap_or(default.max_connections),
        drain_body_bytes: section.integer("drain_body_bytes", 0..=1 << 30).unwrap_or(default.drain_body_bytes),
        http2_max_streams: number("http2_max_streams", 1..=100_000, section).unwrap_or(default.http2_max_streams),
        http2_stream_window: number("http2_stream_window", 1024..=16 * 1024 * 1024, section)
            .unwrap_or(default.http2_stream_window),
        http2_ping: section.seconds("http2_ping", 0.1..=DAY).unwrap_or(default.http2_ping),
        upstream_idle: section.seconds("upstream_idle", 0.1..=DAY).unwrap_or(default.upstream_idle),
        upstream_idle_connections: section
            .size("upstream_idle_connections", 0..=100_000)
            .unwrap_or(default.upstream_idle_connections),
        ..default
    }
}

fn number(key: &'static str, range: std::ops::RangeInclusive<u64>, section: &mut Section<'_>) -> Option<u32> {
    section.integer(key, range).and_then(|number| u32::try_from(number).ok())
}
