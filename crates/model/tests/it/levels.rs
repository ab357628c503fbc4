//! Which instances of a plugin count for a route, and in which order they are asked.

use crate::catalog::{Fakes, read};
use portcullis_model::lower::lower;
use portcullis_model::plan::{Candidate, Plan};
use std::sync::Arc;

const BASE: &str = "_format_version: '3.0'
services: [{name: s, host: a.com}, {name: off, host: a.com, enabled: false}]
routes:
- {name: r, service: s, paths: [/r]}
- {name: other, service: s, paths: [/o]}
- {name: bare, paths: [/b]}
- {name: gone, service: off, paths: [/gone]}
consumers: [{username: bob}, {username: eve}]
plugins:
";

fn plan_of(plugins: &[&str]) -> Plan {
    let lines: String = plugins.iter().map(|plugin| format!("- {{{plugin}}}\n")).collect();
    let loaded = read(&format!("{BASE}{lines}"));
    lower(&loaded.entities.unwrap_or_else(|| panic!("{:?}", loaded.problems)), &Fakes)
}

/// The steps of a route as `plugin: minute, [minutes of consumers], ...`.
fn steps(plan: &Plan, route: &str) -> Vec<String> {
    let endpoint = plan.endpoints.iter().find(|e| e.route.name.as_deref() == Some(route)).unwrap();
    let shown = |candidate: &Candidate| match candidate {
        Candidate::Any(config) => config.config["minute"].to_string(),
        Candidate::ByConsumer(map) => {
            let mut minutes: Vec<_> = map.values().map(|config| config.config["minute"].to_string()).collect();
            minutes.sort();
            format!("[{}]", minutes.join(" "))
        }
    };
    let step = |step: &portcullis_model::plan::Step| {
        format!("{}: {}", step.plugin, step.candidates.iter().map(shown).collect::<Vec<_>>().join(", "))
    };
    endpoint.route.steps.iter().map(step).collect()
}

const LEVELS: [&str; 9] = [
    "name: limit, config: {minute: 8}",
    "name: limit, config: {minute: 7}, service: s",
    "name: limit, config: {minute: 6}, route: r",
    "name: limit, config: {minute: 5}, consumer: bob",
    "name: limit, config: {minute: 55}, consumer: eve",
    "name: limit, config: {minute: 4}, route: r, service: s",
    "name: limit, config: {minute: 3}, service: s, consumer: bob",
    "name: limit, config: {minute: 2}, route: r, consumer: bob",
    "name: limit, config: {minute: 1}, route: r, service: s, consumer: bob",
];

#[test]
fn eight_levels_of_precedence() {
    // K-137
    let plan = plan_of(&LEVELS);
    assert_eq!(steps(&plan, "r"), ["limit: [1], [2], [3], 4, [5 55], 6, 7, 8"]);
    assert_eq!(steps(&plan, "other"), ["limit: [3], [5 55], 7, 8"]);
    assert_eq!(steps(&plan, "bare"), ["limit: [5 55], 8"]);
}

#[test]
fn maps_of_consumers_are_shared_by_routes() {
    let plan = plan_of(&LEVELS);
    let map = |name: &str, candidate: usize| {
        let endpoint = plan.endpoints.iter().find(|e| e.route.name.as_deref() == Some(name)).unwrap();
        match &endpoint.route.steps[0].candidates[candidate] {
            Candidate::ByConsumer(map) => map.clone(),
            Candidate::Any(_) => panic!("{name}: candidate {candidate} is for all"),
        }
    };
    assert!(Arc::ptr_eq(&map("r", 2), &map("other", 0)), "service and consumer");
    assert!(Arc::ptr_eq(&map("r", 4), &map("bare", 0)), "consumer");
}

#[test]
fn what_is_disabled_is_as_good_as_not_written() {
    let plan = plan_of(&[
        "name: limit, config: {minute: 8}",
        "name: limit, config: {minute: 6}, route: r, enabled: false",
        "name: limit, config: {minute: 7}, service: s, protocols: [grpc]",
    ]);
    assert_eq!(steps(&plan, "r"), ["limit: 8"], "a disabled instance does not shadow");
    let names: Vec<_> = plan.endpoints.iter().filter_map(|e| e.route.name.as_deref()).collect();
    assert_eq!(names, ["r", "other", "bare"].map(|n| n), "a disabled service takes its routes with it");
}

#[test]
fn plugins_run_by_priority() {
    let plan = plan_of(&[
        "name: limit, config: {minute: 8}",
        "name: guard, route: r, config: {url: 'http://a', authorization: Basic x}",
        "name: stamp, service: s",
    ]);
    assert_eq!(steps(&plan, "r"), ["stamp: null", "guard: null", "limit: 8"]);
}
