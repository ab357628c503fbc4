//! What fails, and when: each neighbour and the configuration on a schedule of its own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::soak::random::Random;
use crate::soak::scene::{Neighbour, Scene};
use crate::soak::servers::Mode;

/// After a fault, until it no longer excuses anything: a question that was asked while it lasted ends within its time
/// limit of 2 s, and others may have joined it until then.
const GRACE: Duration = Duration::from_secs(3);
/// A configuration that loads is live within this.
const LIVE_WITHIN: Duration = Duration::from_secs(10);
/// A declarative file that does not load, in several ways.
const BAD_FILES: [&str; 5] = [
    "",
    "_format_version: \"3.0\"\nservices: [",
    "_format_version: \"3.0\"\nservices:\n- name: x\n  url: http://127.0.0.1:1\n  plugins:\n  - name: no-such-plugin\n",
    "_format_version: \"3.0\"\nservices:\n- name: x\n  url: nonsense://\n",
    "\u{0}\u{1}\u{2}",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    AuthorizationServer,
    Upstream,
}

/// The times at which something was down, kept for the load to judge by.
#[derive(Default)]
pub(super) struct Faults {
    authorization_server: Mutex<Vec<Window>>,
    upstream: Mutex<Vec<Window>>,
    /// How often each failed in which way.
    ways: Mutex<BTreeMap<String, u64>>,
    configurations: Mutex<Configurations>,
}

struct Window {
    start: Instant,
    /// None while it lasts.
    end: Option<Instant>,
}

#[derive(Default)]
struct Configurations {
    good: u64,
    bad: u64,
    missing: u64,
    late: Vec<String>,
}

impl Faults {
    /// Whether `side` was down at some moment between the two.
    pub(super) fn overlap(&self, side: Side, start: Instant, end: Instant) -> bool {
        let windows = lock(self.of(side));
        // In order and apart, so one that ended before has only such before it.
        let near = windows.iter().rev().take_while(|window| window.end.is_none_or(|over| over >= start));
        near.into_iter().any(|window| window.start <= end)
    }

    /// Good configurations that did not go live in time.
    pub(super) fn late(&self) -> Vec<String> {
        lock(&self.configurations).late.clone()
    }

    pub(super) fn to_json(&self) -> Value {
        let configurations = lock(&self.configurations);
        json!({
            "neighbours": *lock(&self.ways),
            "configurations": {
                "good": configurations.good,
                "bad": configurations.bad,
                "missing": configurations.missing,
                "late": configurations.late.len(),
            },
        })
    }

    fn of(&self, side: Side) -> &Mutex<Vec<Window>> {
        match side {
            Side::AuthorizationServer => &self.authorization_server,
            Side::Upstream => &self.upstream,
        }
    }
}

/// Starts all schedules; each ends with everything as it was, once `ending` is set.
pub(super) fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    scene: &'env Scene,
    seed: u64,
    ending: &'env AtomicBool,
) -> Vec<ScopedJoinHandle<'scope, Result<(), String>>> {
    let neighbour = |side, stream| {
        scope.spawn(move || trouble(scene, side, &mut Random::new(seed, stream), ending).map_err(|e| e.to_string()))
    };
    vec![
        neighbour(Side::AuthorizationServer, 1),
        neighbour(Side::Upstream, 2),
        scope.spawn(move || configure(scene, &mut Random::new(seed, 3), ending).map_err(|e| e.to_string())),
    ]
}

fn trouble(scene: &Scene, side: Side, random: &mut Random, ending: &AtomicBool) -> Result<(), crate::Failure> {
    let neighbour = match side {
        Side::AuthorizationServer => &scene.authorization_server,
        Side::Upstream => &scene.upstream,
    };
    loop {
        rest(random.millis(2_000..9_000), ending);
        if ending.load(Relaxed) {
            return Ok(());
        }
        lock(scene.faults.of(side)).push(Window { start: Instant::now(), end: None });
        let lasts = random.millis(200..5_000);
        let way = Way::draw(random);
        *lock(&scene.faults.ways).entry(format!("{side:?}: {way:?}")).or_default() += 1;
        fail(neighbour, way, || rest(lasts, ending))?;
        thread::sleep(GRACE);
        if let Some(window) = lock(scene.faults.of(side)).last_mut() {
            window.end = Some(Instant::now());
        }
    }
}

/// A way to fail.
#[derive(Clone, Copy, Debug)]
enum Way {
    Stopped,
    Killed,
    Misbehaves(Mode),
}

impl Way {
    fn draw(random: &mut Random) -> Self {
        match random.among(0..7) {
            0 => Self::Stopped,
            1 => Self::Killed,
            _ => Self::Misbehaves(*random.pick(&Mode::BAD)),
        }
    }
}

/// Fails while `lasts` does, and is well again afterwards.
fn fail(neighbour: &Neighbour, way: Way, lasts: impl FnOnce()) -> Result<(), crate::Failure> {
    match way {
        Way::Stopped => {
            lock(&neighbour.running).signal("STOP")?;
            lasts();
            lock(&neighbour.running).signal("CONT")
        }
        Way::Killed => {
            lock(&neighbour.running).kill()?;
            lasts();
            lock(&neighbour.running).restart()
        }
        Way::Misbehaves(mode) => {
            neighbour.set(mode)?;
            lasts();
            neighbour.set(Mode::Well)
        }
    }
}

/// Nothing here excuses any status: the last good configuration serves on.
fn configure(scene: &Scene, random: &mut Random, ending: &AtomicBool) -> Result<(), crate::Failure> {
    let mut number = 0;
    while !ending.load(Relaxed) {
        rest(random.millis(500..5_000), ending);
        match random.among(0..6) {
            0 => {
                scene.remove_file()?;
                lock(&scene.faults.configurations).missing += 1;
                rest(random.millis(50..2_000), ending);
            }
            1 | 2 => {
                scene.write(random.pick::<&str>(&BAD_FILES))?;
                lock(&scene.faults.configurations).bad += 1;
                rest(random.millis(50..2_000), ending);
            }
            3 => scene.gateway.signal("HUP")?,
            _ => {}
        }
        number += 1;
        scene.declare(number)?;
        lock(&scene.faults.configurations).good += 1;
        let start = Instant::now();
        let path = format!("/variant-{number}/x");
        while !scene.knows(&path) {
            if start.elapsed() > LIVE_WITHIN {
                let sentence = format!("configuration {number} is not live after {LIVE_WITHIN:?}");
                lock(&scene.faults.configurations).late.push(sentence);
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Sleeps, but not beyond the end.
fn rest(length: Duration, ending: &AtomicBool) {
    let start = Instant::now();
    while start.elapsed() < length && !ending.load(Relaxed) {
        thread::sleep(Duration::from_millis(20).min(length));
    }
}

/// A thread that panicked has failed the whole run already.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_excuse_what_they_overlap() {
        let at = Instant::now();
        let after = |seconds| at + Duration::from_secs(seconds);
        let faults = Faults::default();
        *lock(&faults.upstream) = vec![
            Window { start: after(10), end: Some(after(20)) },
            Window { start: after(30), end: Some(after(40)) },
            Window { start: after(50), end: None },
        ];
        for (from, to, expected) in [
            (0, 9, false),
            (5, 10, true),
            (12, 13, true),
            (5, 45, true),
            (21, 29, false),
            (41, 49, false),
            (60, 61, true),
        ] {
            assert_eq!(faults.overlap(Side::Upstream, after(from), after(to)), expected, "{from} to {to}");
            assert!(!faults.overlap(Side::AuthorizationServer, after(from), after(to)));
        }
    }
}
