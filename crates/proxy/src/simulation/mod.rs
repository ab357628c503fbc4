//! The gateway in a simulated world: its neighbours, their faults and the time are what a test says.
//!
//! Connections are pipes, names are answered from a table, and time stands still until nobody has anything left to do;
//! then it moves to the next moment at which somebody wants to be woken. So a fault happens at an exact moment, an hour
//! passes at once, and every run is the same. What runs is the worker as it is, ticks, pools and upkeep included.
//!
//! A scenario is a story about one gateway, and what it says is asserted whole: who said, got and closed what, and the
//! millisecond. See [`simulate`].

mod chronicle;
mod gateway;
pub(crate) mod names;
mod network;
mod party;
mod plugins;
mod scenarios;
pub(crate) mod socket;

use chronicle::{at, note};
use gateway::{Gateway, plan};
use names::{Says, say};
use network::{gone, serve, silent};
use party::Party;

use crate::settings::{Limits, Settings};
use std::time::Duration;

/// Runs `scenario` at a gateway with the configuration `plan`, twice, and compares what happened with `expected`: a
/// line per event, the time in milliseconds in front. The last lines tell what is left a second later, if anything:
/// connections that are kept, addresses that are unhealthy. Nothing else may be, and when the gateway has gone, nothing.
#[track_caller]
fn simulate(plan: &str, scenario: impl AsyncFn(&Gateway), expected: &str) {
    simulate_with(Limits::default(), plan, scenario, expected);
}

#[track_caller]
fn simulate_with(limits: Limits, plan: &str, scenario: impl AsyncFn(&Gateway), expected: &str) {
    let settings = Settings { limits, ..Settings::default() };
    let happened = run(settings.clone(), plan, &scenario);
    assert_eq!(happened, run(settings, plan, &scenario), "another run, another story");
    let lines = |text: &str| {
        let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        words.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    let (happened, expected) = (lines(&happened), lines(expected));
    assert!(happened == expected, "what happened:\n{happened}\n\nwhat was expected:\n{expected}\n");
}

fn run(settings: Settings, plan: &str, scenario: &impl AsyncFn(&Gateway)) -> String {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build_local(Default::default()).unwrap();
    runtime.block_on(async {
        network::begin();
        names::begin();
        chronicle::begin();
        let gateway = Gateway::start(settings, plan);
        scenario(&gateway).await;
        chronicle::seal();
        // The scenario's clients are gone; what a tick has to notice, it has.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = gateway.at_rest();
        gateway.end().await;
        // Names are kept up until their answer has run out.
        tokio::time::sleep(Duration::from_secs(7200)).await;
        assert_eq!(socket::open(), 0, "connections are left");
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(tasks, 0, "tasks are left");
        chronicle::end() + &left
    })
}
