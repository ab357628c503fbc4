//! Large files load, and what they become is shared rather than multiplied.

use crate::catalog::{Fakes, read};
use portcullis_model::lower::lower;
use portcullis_model::plan::Candidate;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

#[test]
fn twenty_thousand_services_load() {
    let count = 20_000;
    let mut text = String::from("_format_version: '3.0'\nplugins:\n- {name: stamp}\nservices:\n");
    for i in 0..count {
        write!(
            text,
            "- name: service-{i}\n  url: http://upstream-{i}.internal:8080/base\n  routes:\n  - name: route-{i}\n    paths: [/service-{i}]\n    hosts: [api-{i}.example.com]\n    methods: [GET, POST]\n  plugins:\n  - name: guard\n    config: {{url: 'https://as.example/introspect', authorization: 'Basic c2VjcmV0', ttl: 30}}\n"
        )
        .unwrap();
    }
    let start = Instant::now();
    let loaded = read(&text);
    let read_in = start.elapsed();
    let entities = loaded.entities.unwrap_or_else(|| panic!("{:?}", loaded.problems.0.first()));
    let start = Instant::now();
    let plan = lower(&entities, &Fakes);
    println!("{count} services, {} bytes: read in {read_in:?}, lowered in {:?}", text.len(), start.elapsed());

    assert_eq!((entities.services.len(), entities.plugins.len()), (count, count + 1));
    assert_eq!(plan.endpoints.len(), count);
    let stamp = |i: usize| match &plan.endpoints[i].route.steps[0].candidates[0] {
        Candidate::Any(config) => config.clone(),
        Candidate::ByConsumer(_) => panic!("nothing is bound to a consumer"),
    };
    assert!(Arc::ptr_eq(&stamp(0), &stamp(count - 1)), "a global plugin's configuration is held once");
}

/// Run it by `cargo test --release -p portcullis-model --test it ten_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "prints how long a large file takes; only a release build says something"]
fn ten_thousand_routes_with_a_plugin_each() {
    let count = 10_000;
    let mut text =
        String::from("_format_version: '3.0'\nservices:\n- name: all\n  url: http://all.internal\n  routes:\n");
    for i in 0..count {
        write!(
            text,
            "  - name: route-{i}\n    paths: [/route-{i}]\n    plugins:\n    - name: guard\n      config: {{url: 'https://as.example/introspect', authorization: 'Basic c2VjcmV0', ttl: 30}}\n"
        )
        .unwrap();
    }
    for _ in 0..5 {
        let start = Instant::now();
        drop(portcullis_model::yaml::parse(&text).unwrap());
        let parsed = start.elapsed();
        let start = Instant::now();
        let entities = read(&text).entities.unwrap();
        let read_in = start.elapsed();
        let start = Instant::now();
        let plan = lower(&entities, &Fakes);
        let lowered = start.elapsed();
        println!(
            "{} endpoints, {} bytes: read in {read_in:?} ({parsed:?} of it YAML), lowered in {lowered:?}",
            plan.endpoints.len(),
            text.len()
        );
    }
}
