//! `cargo xtask soak`: the real binary under mixed load for an hour, while everything around it fails and returns.
//!
//! Authorization server, upstream, the targets of an upstream entity, a name with its server and the configuration each
//! fail on a schedule of their own, drawn from one seed: stopped, killed and restarted, hanging, slow, answering errors
//! or garbage, breaking off. The load comes over HTTP/1 and HTTP/2, in clear and over TLS. It knows which statuses are
//! right for each of its requests, and which more may be while something is down. It ends with counts.

mod connection;
mod faults;
mod load;
mod multiplexed;
mod names;
mod part;
mod random;
mod samples;
mod scene;
mod servers;
mod strangers;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::bench::figures::Report;
use crate::bench::ground::release;
use load::Counts;
use samples::{Sample, slope};
use scene::Scene;

pub(crate) use servers::{Part, run as run_part};

/// Between the last fault and the end of the load: everything has to be as in the beginning.
const HEALTHY: Duration = Duration::from_secs(5);
/// What stays open a while, such as connections to an upstream, is closed after this.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// Descriptors and threads that may be there at the end and were not at the start: a connection to each neighbour for
/// each worker, threads of the blocking pool.
const MORE: u64 = 8;
/// Bytes a minute. An allocator's habits move the line of a shorter run by more than that.
const SLOPE: f64 = 100_000.0;
const JUDGED_FROM: f64 = 30.0;

#[derive(Args)]
pub(crate) struct Options {
    /// How long the load lasts
    #[arg(long, default_value_t = 60.0, value_parser = minutes)]
    minutes: f64,
    /// The same seed draws the same faults at the same times
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Another binary than the release build of this checkout; nothing is written then
    #[arg(long, value_name = "PATH")]
    binary: Option<std::path::PathBuf>,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.2..=10_000.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number from 0.2 to 10000".to_owned()),
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let binary = match &options.binary {
        Some(binary) => binary.canonicalize()?,
        None => release()?,
    };
    let scene = Scene::start(&binary, options.seed)?;
    let first = Sample::of(scene.gateway.id())?;
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    println!("{} minutes with seed {}", options.minutes, options.seed);

    let (over, ending) = (AtomicBool::new(false), AtomicBool::new(false));
    let (counts, handshakes) = (Counts::default(), AtomicU64::new(0));
    let mut samples = Vec::new();
    let start = Instant::now();
    thread::scope(|scope| -> Result<(), Failure> {
        let faults = faults::start(scope, &scene, options.seed, &ending);
        let mut clients = load::start(scope, &scene, options.seed, &over, &counts);
        clients.push(scope.spawn(|| multiplexed::run(&scene, options.seed, &over, &counts)));
        clients.push(scope.spawn(|| strangers::run(&scene, options.seed, &over, &handshakes)));
        let watched = watch(&scene, start, length, &counts, &mut samples);
        // In this order: what is down comes back, then the load sees a healthy neighbourhood again.
        ending.store(true, Relaxed);
        let faults = faults.into_iter().try_for_each(|one| one.join().map_err(|_| "a fault panicked".to_owned())?);
        thread::sleep(HEALTHY);
        over.store(true, Relaxed);
        for client in clients {
            client.join().map_err(|_| "a client panicked")?;
        }
        watched.and(faults.map_err(Into::into))
    })?;
    let last = settle(&scene, &first)?;
    finish(options, &scene, &counts, handshakes.into_inner(), &samples, &first, &last)
}

/// Samples every second until the time is over, and says every minute how it stands.
fn watch(
    scene: &Scene,
    start: Instant,
    length: Duration,
    counts: &Counts,
    samples: &mut Vec<Sample>,
) -> Result<(), Failure> {
    let mut told = 0;
    while start.elapsed() < length {
        thread::sleep(Duration::from_secs(1));
        samples.push(Sample::of(scene.gateway.id()).map_err(|failure| format!("the gateway has ended: {failure}"))?);
        let minute = start.elapsed().as_secs() / 60;
        if minute > told {
            told = minute;
            let resident = samples.last().map_or(0, |sample| sample.resident);
            println!("{minute:>4} min  {}  {:.1} MB resident", counts.line(), resident as f64 / 1e6);
        }
    }
    Ok(())
}

/// Waits until the gateway holds no more than at the start, or long enough.
fn settle(scene: &Scene, first: &Sample) -> Result<Sample, Failure> {
    let start = Instant::now();
    loop {
        let now = Sample::of(scene.gateway.id())?;
        let open = scene.metric("portcullis_connections_open")? + scene.metric("portcullis_token_cache_flights")?;
        // One connection is the question's own where the status listener is counted, too.
        let quiet = now.descriptors <= first.descriptors && now.threads <= first.threads && open == 0.0;
        if quiet || start.elapsed() > SETTLED_WITHIN {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn finish(
    options: &Options,
    scene: &Scene,
    counts: &Counts,
    handshakes: u64,
    samples: &[Sample],
    first: &Sample,
    last: &Sample,
) -> Result<(), Failure> {
    let admitted = counts.admitted() + scene.admitted()?;
    scene.faults.late().into_iter().for_each(|sentence| counts.tell(sentence));
    let wrong = counts.wrong();
    let (connections, flights) =
        (scene.metric("portcullis_connections_open")?, scene.metric("portcullis_token_cache_flights")?);
    let failed = scene.metric("portcullis_tls_handshake_failures_total")?;
    let slope = slope(&samples[samples.len() / 2..]);
    for sentence in counts.told() {
        println!("  wrong: {sentence}");
    }
    let details = json!({
        "minutes": options.minutes,
        "seed": options.seed,
        "requests": counts.to_json(),
        "faults": scene.faults.to_json(),
        "handshakes_failed": {"meant to": handshakes, "counted by the gateway": failed},
        "health_changes": scene.metric("portcullis_upstream_target_changes_total")?,
        "name_lookups_failed": scene.metric("portcullis_name_resolution_failures_total")?,
        "resident_mb": {
            "start": first.resident as f64 / 1e6,
            "most": samples.iter().map(|sample| sample.resident).max().unwrap_or_default() as f64 / 1e6,
            "end": last.resident as f64 / 1e6,
        },
        "bytes_per_minute_in_the_second_half": slope,
        "descriptors": {"start": first.descriptors, "end": last.descriptors},
        "threads": {"start": first.threads, "end": last.threads},
        "connections_open_at_the_end": connections,
        "flights_at_the_end": flights,
    });
    println!("{}", serde_json::to_string_pretty(&details)?);
    let mut report = Report::new("soak", details);
    report.figure("wrong statuses", wrong as f64, 0.0);
    report.figure("admitted without a valid token", admitted as f64, 0.0);
    report.figure("TLS handshakes failed that should not", (failed - handshakes as f64).max(0.0), 0.0);
    report.figure(
        "descriptors more than at the start",
        last.descriptors as f64 - first.descriptors as f64,
        MORE as f64,
    );
    report.figure("threads more than at the start", last.threads as f64 - first.threads as f64, MORE as f64);
    report.figure("connections and flights left", connections + flights, 0.0);
    if options.minutes >= JUDGED_FROM {
        report.figure("memory, bytes per minute in the second half", slope, SLOPE);
    }
    report.finish(options.binary.is_none() && options.minutes >= JUDGED_FROM)?;
    if wrong > 0 || admitted > 0 {
        scene.gateway.tell_log();
        return Err(format!("{wrong} wrong statuses, {admitted} admitted without a valid token").into());
    }
    Ok(())
}
