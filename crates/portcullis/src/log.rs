//! The process's own log, on standard error. Requests have a log of their own (`--access-log`).

use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// `Human` on a terminal, `Json` elsewhere.
    #[default]
    Auto,
    Human,
    /// One object per line.
    Json,
}

/// Parts that warn about what clients do on HTTP/2 connections and in TLS handshakes: a client could fill the disk with
/// it. What upstreams do there is in the gateway's own lines.
const QUIET: &str = "h2=error,hyper=error,rustls=error";

/// Reads a filter such as `info` or `warn,portcullis_proxy=debug`. Up to `info`, what the engine says of clients is
/// left out, unless the filter names it.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, String> {
    let read = |text: &str| {
        EnvFilter::builder().parse(text).map_err(|error| format!("{error}; write a level, such as info or debug"))
    };
    let filter = read(text)?;
    let loud = filter.max_level_hint().is_none_or(|level| level > LevelFilter::INFO);
    // Of two directives for one part the later one counts.
    if loud { Ok(filter) } else { read(&format!("{QUIET},{text}")) }
}

/// Starts logging. Called once per process; a second call changes nothing.
pub(crate) fn start(filter: EnvFilter, format: Format) {
    let terminal = io::stderr().is_terminal();
    // When nobody reads standard error any more, saying so there would panic, in whatever was about to be logged.
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    let _ = match format {
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
        Format::Auto if !terminal => builder.json().flatten_event(true).finish().try_init(),
        Format::Human | Format::Auto => builder.with_ansi(terminal).with_target(false).finish().try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn filters() {
        assert!(filter("info").is_ok());
        assert!(filter("warn,portcullis_proxy=debug").is_ok());
        assert!(filter("portcullis=loud").is_err());
        for part in ["h2=error", "hyper=error", "rustls=error"] {
            assert!(filter("info").unwrap().to_string().contains(part), "{part}");
        }
        assert!(!filter("debug").unwrap().to_string().contains("h2=error"));
    }
}
