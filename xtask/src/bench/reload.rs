//! `cargo xtask bench reload`: a declarative file of 10,000 routes with plugins is replaced under load.
//!
//! The load does not fill the core: whoever waits for a busy worker waits for the load, not for the reload. Nothing
//! stands beside ours here: nginx reloads into new processes, so that neither its revision nor its delay is comparable.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::bench::clients::Client;
use crate::bench::contestant;
use crate::bench::figures::{Report, quartiles};
use crate::bench::gateway::{Launch, Route, guarded};
use crate::bench::ground::{Ground, Options};
use crate::bench::load::TOKEN;

const ROUTES: u64 = 10_000;
const CLIENTS: usize = 16;
/// Between two requests of one client: 16 of them send some 3,000 a second.
const PAUSE: Duration = Duration::from_millis(5);
/// A reload that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the clients of one stretch of time saw.
#[derive(Default)]
struct Seen {
    requests: u64,
    failed: u64,
    first_failure: Option<String>,
    worst: Duration,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Ground { scratch, binary, keep } = Ground::prepare(options.binary.as_ref())?;
    let upstream = contestant::upstream(&scratch)?;
    let declaration = |revision: u64| declaration(upstream.addr, revision);
    // Its control plane gets the other core as it would on any machine; the load's threads are there, too.
    let launch = Launch { cores: "0,1", ..Launch::new(declaration(0)) };
    let gateway = launch.start(&scratch, &binary)?;
    let addr = gateway.contestant.addr;

    let (mut took, mut added, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    let (mut requests, mut failed) = (0, 0);
    let resident = gateway.contestant.process.resident()?;
    for round in 1..=options.rounds {
        let quiet = under_load(addr, || {
            thread::sleep(Duration::from_secs(options.seconds));
            Ok(())
        })?;
        let mut live_after = Duration::ZERO;
        let text = declaration(round);
        let before = gateway.revision()?;
        let changing = under_load(addr, || {
            let start = Instant::now();
            gateway.declare(&text)?;
            while gateway.revision()? == before {
                if start.elapsed() > PATIENCE {
                    return Err(format!("revision {before} is still live after {PATIENCE:?}").into());
                }
                thread::sleep(Duration::from_millis(2));
            }
            live_after = start.elapsed();
            // What it leaves behind is part of it: old snapshots are freed after they are replaced.
            thread::sleep(Duration::from_millis(500));
            Ok(())
        })?;
        // The revision is the file's, not just another one.
        if Client::new(addr)?.ask_at(&format!("/revision-{round}/x"), TOKEN)? != 200 {
            return Err(format!("the routes of file {round} are not there").into());
        }
        took.push(live_after.as_secs_f64());
        added.push(changing.worst.saturating_sub(quiet.worst).as_secs_f64() * 1e3);
        for seen in [quiet, changing] {
            requests += seen.requests;
            failed += seen.failed;
            failures.extend(seen.first_failure);
        }
        eprint!(".");
    }
    eprintln!();

    for failure in &failures {
        println!("  a request failed: {failure}");
    }
    let details = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "routes": ROUTES,
        "clients": CLIENTS,
        "requests": requests,
        "failures": failures,
        "live_after_s": took,
        "added_ms": added,
        "file_bytes": declaration(0).len(),
        "resident_mb": {
            "before": resident as f64 / 1e6,
            "after": gateway.contestant.process.resident()? as f64 / 1e6,
        },
    });
    let worst = added.iter().copied().fold(0.0, f64::max);
    let mut report = Report::new("reload", details);
    report.ratio("file changed to revision live, s", quartiles(took.iter().copied()), 1.0);
    report.figure("requests failed", failed as f64, 0.0);
    report.ratio("worst delay of a request above a quiet time's, ms", quartiles(added.into_iter()), 50.0);
    report.figure("the same, worst of all rounds, ms", worst, 50.0);
    report.finish(keep)
}

/// 10,000 routes, each with a plugin of its own; one of them tells the revisions apart.
fn declaration(upstream: SocketAddr, revision: u64) -> String {
    let route = |n| Route::WithPlugin(format!("/svc-{n}/"));
    let mut routes: Vec<Route> = (2..ROUTES).map(route).collect();
    routes.push(Route::WithPlugin("/hello".to_owned()));
    routes.push(Route::WithPlugin(format!("/revision-{revision}/")));
    guarded(upstream, upstream, &routes)
}

/// Does `work` while the clients ask, and returns what they saw.
fn under_load(addr: SocketAddr, work: impl FnOnce() -> Result<(), Failure>) -> Result<Seen, Failure> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| ask_until(addr, &over))).collect();
        let done = work();
        over.store(true, Relaxed);
        let mut all = Seen::default();
        for client in clients {
            let seen = client.join().map_err(|_| "a client panicked")?;
            all.requests += seen.requests;
            all.failed += seen.failed;
            all.worst = all.worst.max(seen.worst);
            all.first_failure = all.first_failure.or(seen.first_failure);
        }
        done.map(|()| all)
    })
}

fn ask_until(addr: SocketAddr, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut client = None;
    while !over.load(Relaxed) {
        let start = Instant::now();
        let asked = match client.take() {
            Some(client) => Ok(client),
            None => Client::new(addr),
        };
        let asked = asked.and_then(|mut client: Client| {
            let status = client.ask(TOKEN)?;
            if status == 200 { Ok(client) } else { Err(format!("status {status}").into()) }
        });
        seen.requests += 1;
        seen.worst = seen.worst.max(start.elapsed());
        match asked {
            Ok(open) => client = Some(open),
            Err(failure) => {
                seen.failed += 1;
                seen.first_failure.get_or_insert(failure.to_string());
            }
        }
        thread::sleep(PAUSE);
    }
    seen
}
