//! `cargo xtask bench tls` and `h2`: the hot path over TLS and over HTTP/2, beside nginx with the same certificate, key
//! and cipher, which the client sees to.

use serde_json::{Map, json};

use crate::Failure;
use crate::bench::certificate::Certificate;
use crate::bench::contestant::{self, Nginx};
use crate::bench::figures::{Report, ratios, side};
use crate::bench::gateway::{Launch, Route, guarded};
use crate::bench::ground::{Ground, Options};
use crate::bench::h2load::{self, Lasts, Load};
use crate::install;

const WANTED: f64 = 1.25;
/// Handshakes of a round.
const CONNECTIONS: u32 = 2_000;

/// A kind of load, and the words behind the listeners' addresses.
struct Row {
    name: &'static str,
    ours: &'static str,
    nginx: &'static str,
    load: Load,
}

pub(super) fn tls(options: &Options) -> Result<(), Failure> {
    let keep_alive = Load { tls: true, http2: false, connections: 64, streams: 1, lasts: Lasts::Seconds };
    let fresh = Load { connections: CONNECTIONS, lasts: Lasts::OneEach, ..keep_alive };
    let row = |name, load| Row { name, ours: "ssl", nginx: "ssl", load };
    run("tls", &[row("HTTP/1 over TLS, keep-alive", keep_alive), row("a handshake and a request", fresh)], options)
}

pub(super) fn h2(options: &Options) -> Result<(), Failure> {
    let many = Load { tls: true, http2: true, connections: 8, streams: 16, lasts: Lasts::Seconds };
    let single = Load { connections: 64, streams: 1, ..many };
    let plain = Load { tls: false, ..many };
    let over_tls = |name, load| Row { name, ours: "ssl http2", nginx: "ssl http2", load };
    let rows = [
        over_tls("HTTP/2 over TLS, 8 connections of 16 streams", many),
        over_tls("HTTP/2 over TLS, 64 connections of 1 stream", single),
        Row { name: "HTTP/2 without TLS, 8 connections of 16 streams", ours: "http2", nginx: "http2", load: plain },
    ];
    run("h2", &rows, options)
}

fn run(name: &'static str, rows: &[Row], options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    install::program("h2load", &["nghttp2-client"])?;
    let certificate = Certificate::new(&scratch)?;
    let upstream = contestant::upstream(&scratch)?;
    let declaration = guarded(upstream.addr, upstream.addr, &[Route::all()]) + &certificate.declared()?;
    let directives = certificate.directives();

    let mut details = Map::new();
    details.insert("rounds".to_owned(), json!(options.rounds));
    details.insert("seconds".to_owned(), json!(options.seconds));
    let mut figures = Vec::new();
    for row in rows {
        let launch = Launch { listener: row.ours, ..Launch::new(declaration.clone()) };
        let ours = launch.start(&scratch, &binary)?.contestant;
        let more = if row.load.tls { directives.as_str() } else { "" };
        let nginx = Nginx { listener: row.nginx, more, ..Nginx::default() };
        let nginx = contestant::proxying_nginx(&scratch, upstream.addr, &nginx)?;
        let ([us, plain], agreed) = h2load::alternate(&[&ours, &nginx], row.load, options.rounds, options.seconds)?;
        details.insert(
            row.name.to_owned(),
            json!({
                "connections": row.load.connections,
                "streams": row.load.streams,
                "agreed": agreed.0,
                "portcullis": side(&us),
                "nginx": side(&plain),
            }),
        );
        figures.push((row.name, ratios(&us, &plain, |round| round.cpu)));
    }
    eprintln!();
    let mut report = Report::new(name, details.into());
    for (name, ratio) in figures {
        report.ratio(&format!("{name}: CPU, to nginx"), ratio, WANTED);
    }
    report.finish(keep)
}
