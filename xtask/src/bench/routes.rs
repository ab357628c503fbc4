//! `cargo xtask bench routes`: one route beside 1,000 and 100,000, by prefix, regular expression, host and mixed.
//!
//! One process for each set of routes, all behind the same worker's core, in turns. Requests go to a random route, since
//! the same one over and over would find its part of the router in the processor's caches. The process with one route
//! gets the very requests of the largest set.

use serde_json::{Map, json};

use crate::Failure;
use crate::bench::contestant::{self, Contestant};
use crate::bench::figures::{Report, quartiles, ratios, side};
use crate::bench::gateway::{Launch, Route, guarded};
use crate::bench::ground::{Ground, Options};
use crate::bench::load::{self, Load, Place, Round, Tokens};

const HOST: &str = "'bench'";
const FEW: u64 = 1_000;
const MANY: u64 = 100_000;
const PREFIXES: &str = "'/svc-' .. n .. '/items'";
/// The four shapes of [`regex`], in its order.
const REGEXES: &str = "({'/svc-' .. n .. '/4711', '/orders/v1/item-' .. n, '/api/v2/thing-' .. n .. '/a.b', \
                       '/de/page-' .. n .. '/some-words'})[n % 4 + 1]";
const HOSTS: &str = "'shop-' .. n .. '.example'";
/// As [`mixed`] makes them.
const MIXED_HOST: &str = "n % 100 == 0 and 'bench' or (n % 4 == 1 and 'shop-' .. n .. '.example' or 'bench')";
const MIXED_PATH: &str = "n % 100 == 0 and '/orders/v1/item-' .. n or (n % 4 == 1 and '/' or '/svc-' .. n .. '/items')";

/// A set of routes, and what is sent to it.
struct Row {
    name: &'static str,
    routes: Vec<Route>,
    place: Place,
}

fn rows() -> Vec<Row> {
    let prefixes = |count: u64| (0..count).map(|n| Route::Path(format!("/svc-{n}/"))).collect();
    let at = |count, host, path| Place { count, host, path };
    let row = |name, routes, place| Row { name, routes, place };
    vec![
        row("1 route", vec![Route::all()], at(MANY, HOST, PREFIXES)),
        row("1 route, requests of the regexes", vec![Route::all()], at(FEW, HOST, REGEXES)),
        row("1,000 prefixes", prefixes(FEW), at(FEW, HOST, PREFIXES)),
        row("100,000 prefixes", prefixes(MANY), at(MANY, HOST, PREFIXES)),
        row("1,000 regexes", (0..FEW).map(regex).collect(), at(FEW, HOST, REGEXES)),
        row(
            "100,000 hosts",
            (0..MANY).map(|n| Route::Host(format!("shop-{n}.example"))).collect(),
            at(MANY, HOSTS, "'/'"),
        ),
        row("100,000 mixed", (0..MANY).map(mixed).collect(), at(MANY, MIXED_HOST, MIXED_PATH)),
    ]
}

/// Ordinary shapes: a literal in front, a class in front, a named group, alternatives.
fn regex(n: u64) -> Route {
    Route::Path(match n % 4 {
        0 => format!(r"~/svc-{n}/\d+$"),
        1 => format!(r"~/[a-z]+/v1/item-{n}$"),
        2 => format!(r"~/api/v\d+/thing-{n}/(?<id>[^/]+)"),
        _ => format!(r"~/(de|en|fr)/page-{n}/[\w-]+"),
    })
}

/// Of a hundred, one regular expression, twenty-five hosts, the rest prefixes.
fn mixed(n: u64) -> Route {
    match n {
        n if n % 100 == 0 => Route::Path(format!("~/[a-z]+/v1/item-{n}$")),
        n if n % 4 == 1 => Route::Host(format!("shop-{n}.example")),
        n => Route::Path(format!("/svc-{n}/")),
    }
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let nginx = contestant::plain_nginx(&scratch, upstream.addr, false)?;
    let rows = rows();
    let mut gateways: Vec<(Contestant, f64)> = Vec::new();
    for row in &rows {
        let launch = Launch::new(guarded(upstream.addr, upstream.addr, &row.routes));
        let gateway = launch.start(&scratch, &binary)?.contestant;
        let resident = gateway.process.resident()? as f64 / 1e6;
        gateways.push((gateway, resident));
    }

    let loads = rows.iter().map(|row| Load { connections: 64, tokens: Tokens::At(row.place) });
    let mut sides: Vec<_> = gateways.iter().map(|(gateway, _)| gateway).zip(loads).collect();
    sides.push((&nginx, Load { connections: 64, tokens: Tokens::At(rows[0].place) }));
    let rounds = load::alternate(&sides, options.rounds, options.seconds, &scratch)?;
    let [one, one_for_regexes, thousand, prefixes, regexes, hosts, mixed, plain] = &rounds[..] else {
        return Err("a side is missing".into());
    };

    let mut details = Map::new();
    details.insert("rounds".to_owned(), json!(options.rounds));
    details.insert("seconds".to_owned(), json!(options.seconds));
    details.insert("nginx".to_owned(), side(plain));
    for ((row, (_, resident)), seen) in rows.iter().zip(&gateways).zip(&rounds) {
        let to_nginx = ratios(seen, plain, |round| round.cpu);
        let told = json!({"resident_mb_after_start": resident, "ratio_to_nginx": to_nginx, "load": side(seen)});
        details.insert(row.name.to_owned(), told);
    }
    let cpu = |round: &Round| round.cpu;
    let added = quartiles(regexes.iter().zip(one_for_regexes).map(|(many, one)| many.cpu - one.cpu));
    let mut report = Report::new("routes", details.into());
    report.ratio("CPU per request, 1,000 prefixes to 1", ratios(thousand, one, cpu), 1.05);
    report.ratio("CPU per request, 100,000 prefixes to 1", ratios(prefixes, one, cpu), 1.05);
    report.ratio("CPU per request, 100,000 hosts to 1", ratios(hosts, one, cpu), 1.05);
    report.ratio("1,000 regexes add, microseconds per request", added, 2.0);
    report.told("CPU per request, 100,000 mixed to 1", ratios(mixed, one, cpu));
    report.told("CPU per request, 1 route to nginx plain", ratios(one, plain, cpu));
    report.finish(keep)
}
