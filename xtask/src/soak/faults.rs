//! What fails, and when: each neighbour and the configuration on a schedule of its own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::soak::names::Manner;
use crate::soak::random::Random;
use crate::soak::scene::{Neighbour, Scene};
use crate::soak::servers::Mode;

/// After a fault, until it no longer excuses anything: a question that was asked while it lasted ends within its time
/// limit of 2 s, and others may have joined it until then.
const GRACE: Duration = Duration::from_secs(3);
/// Health checks see a failing target, and requests that went there before have ended: two checks or two requests that
/// time out, and a reload between them.
const NOTICED_WITHIN: Duration = Duration::from_secs(6);
/// A name is asked for again after its time, or after a pause that follows failures, and the server's own time limits.
const ASKED_WITHIN: Duration = Duration::from_secs(25);
/// Nothing is sent to an old address any more, and what began before has ended.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(3);
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
    /// Some of several; only until the others get all requests.
    Targets,
}

/// The times at which something was down, kept for the load to judge by.
#[derive(Default)]
pub(super) struct Faults {
    authorization_server: Mutex<Vec<Window>>,
    upstream: Mutex<Vec<Window>>,
    targets: Mutex<Vec<Window>>,
    /// How often each failed in which way.
    ways: Mutex<BTreeMap<String, u64>>,
    configurations: Mutex<Configurations>,
    /// What did not happen in time.
    late: Mutex<Vec<String>>,
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
}

impl Faults {
    /// Whether `side` was down at some moment between the two.
    pub(super) fn overlap(&self, side: Side, start: Instant, end: Instant) -> bool {
        let windows = lock(self.of(side));
        // In order and apart, so one that ended before has only such before it.
        let near = windows.iter().rev().take_while(|window| window.end.is_none_or(|over| over >= start));
        near.into_iter().any(|window| window.start <= end)
    }

    /// Good configurations that did not go live in time, new addresses that nobody asked for.
    pub(super) fn late(&self) -> Vec<String> {
        lock(&self.late).clone()
    }

    pub(super) fn to_json(&self) -> Value {
        let configurations = lock(&self.configurations);
        json!({
            "neighbours": *lock(&self.ways),
            "configurations": {
                "good": configurations.good,
                "bad": configurations.bad,
                "missing": configurations.missing,
            },
            "late": lock(&self.late).len(),
        })
    }

    fn of(&self, side: Side) -> &Mutex<Vec<Window>> {
        match side {
            Side::AuthorizationServer => &self.authorization_server,
            Side::Upstream => &self.upstream,
            Side::Targets => &self.targets,
        }
    }

    fn open(&self, side: Side) {
        lock(self.of(side)).push(Window { start: Instant::now(), end: None });
    }

    fn close(&self, side: Side) {
        if let Some(window) = lock(self.of(side)).last_mut() {
            window.end = Some(Instant::now());
        }
    }

    fn count(&self, what: String) {
        *lock(&self.ways).entry(what).or_default() += 1;
    }
}

/// Starts all schedules; each ends with everything as it was, once `ending` is set.
pub(super) fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    scene: &'env Scene,
    seed: u64,
    ending: &'env AtomicBool,
) -> Vec<ScopedJoinHandle<'scope, Result<(), String>>> {
    type Schedule = fn(&Scene, &mut Random, &AtomicBool) -> Result<(), crate::Failure>;
    let schedules: [Schedule; 5] = [
        |scene, random, ending| trouble(scene, Side::AuthorizationServer, &scene.authorization_server, random, ending),
        |scene, random, ending| trouble(scene, Side::Upstream, &scene.upstream, random, ending),
        configure,
        trouble_targets,
        trouble_names,
    ];
    let start = |(stream, schedule): (u64, Schedule)| {
        scope.spawn(move || schedule(scene, &mut Random::new(seed, stream), ending).map_err(|e| e.to_string()))
    };
    (1..).zip(schedules).map(start).collect()
}

fn trouble(
    scene: &Scene,
    side: Side,
    neighbour: &Neighbour,
    random: &mut Random,
    ending: &AtomicBool,
) -> Result<(), crate::Failure> {
    loop {
        rest(random.millis(2_000..9_000), ending);
        if ending.load(Relaxed) {
            return Ok(());
        }
        scene.faults.open(side);
        let lasts = random.millis(200..5_000);
        let way = Way::draw(random);
        scene.faults.count(format!("{side:?}: {way:?}"));
        way.begin(neighbour)?;
        rest(lasts, ending);
        way.end(neighbour)?;
        thread::sleep(GRACE);
        scene.faults.close(side);
    }
}

/// One or two targets of three fail. What health checks can see excuses nothing any more once they must have seen it.
fn trouble_targets(scene: &Scene, random: &mut Random, ending: &AtomicBool) -> Result<(), crate::Failure> {
    let faults = &scene.faults;
    let count = scene.targets.len();
    loop {
        // Those of the last time are back by then.
        rest(random.millis(3_000..8_000), ending);
        if ending.load(Relaxed) {
            return Ok(());
        }
        let first = random.among(0..count as u64) as usize;
        let failing = (0..=random.among(0..2) as usize).map(|n| &scene.targets[(first + n) % count]);
        let failing: Vec<(&Neighbour, Way)> = failing.map(|target| (target, Way::draw(random))).collect();
        faults.open(Side::Targets);
        for (target, way) in &failing {
            faults.count(format!("{:?}, {} of {count}: {way:?}", Side::Targets, failing.len()));
            way.begin(target)?;
        }
        let shows = failing.iter().all(|(_, way)| way.shows());
        if shows {
            rest(NOTICED_WITHIN, ending);
            faults.close(Side::Targets);
        }
        rest(random.millis(200..6_000), ending);
        for (target, way) in &failing {
            way.end(target)?;
        }
        if !shows {
            thread::sleep(GRACE);
            faults.close(Side::Targets);
        }
    }
}

/// The name gets other addresses, and what is no longer one of them is killed; its server fails, also meanwhile. None
/// of that excuses any status: other addresses are followed, and the last ones used on.
fn trouble_names(scene: &Scene, random: &mut Random, ending: &AtomicBool) -> Result<(), crate::Failure> {
    let (faults, server) = (&scene.faults, &scene.names);
    let mut has = 1;
    loop {
        rest(random.millis(500..4_000), ending);
        if ending.load(Relaxed) {
            return Ok(());
        }
        // The first, the second, or both; another than before.
        has = 1 + (has + random.among(0..2) as u8) % 3;
        faults.count(format!("Name: {} of 2 addresses", has.count_ones()));
        server.tell(Manner::Answers, has);
        let start = Instant::now();
        while server.told() == 0 && start.elapsed() < ASKED_WITHIN {
            thread::sleep(Duration::from_millis(20));
        }
        if server.told() == 0 {
            lock(&faults.late).push(format!("nobody has asked for the name for {ASKED_WITHIN:?}"));
            continue;
        }
        rest(FOLLOWED_WITHIN, ending);
        let old = (0..).zip(&scene.named).find_map(|(place, one)| (has & 1 << place == 0).then_some(one));
        if let Some(old) = old {
            lock(&old.running).kill()?;
            faults.count("Name: an old address killed".to_owned());
        }
        if random.among(0..3) > 0 {
            let manner = *random.pick(&Manner::BAD);
            faults.count(format!("Name: its server {manner:?}"));
            server.tell(manner, has);
        }
        rest(random.millis(500..8_000), ending);
        if let Some(old) = old {
            lock(&old.running).restart()?;
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

    /// Whether health checks see it: what they look at is the status alone.
    fn shows(self) -> bool {
        !matches!(self, Self::Misbehaves(Mode::Garbage | Mode::BreaksOff))
    }

    fn begin(self, neighbour: &Neighbour) -> Result<(), crate::Failure> {
        match self {
            Self::Stopped => lock(&neighbour.running).signal("STOP"),
            Self::Killed => lock(&neighbour.running).kill(),
            Self::Misbehaves(mode) => neighbour.set(mode),
        }
    }

    /// It is well again.
    fn end(self, neighbour: &Neighbour) -> Result<(), crate::Failure> {
        match self {
            Self::Stopped => lock(&neighbour.running).signal("CONT"),
            Self::Killed => lock(&neighbour.running).restart(),
            Self::Misbehaves(_) => neighbour.set(Mode::Well),
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
                lock(&scene.faults.late).push(sentence);
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
