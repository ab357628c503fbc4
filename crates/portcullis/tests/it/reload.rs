//! Changing the declarative file of a gateway that runs.

use portcullis_testkit::until;
use serde_json::json;

use crate::stage::{Stage, declarative, guarded};

fn open(stage: &Stage, path: &str) -> String {
    let routes = json!([{"name": "r", "paths": [path]}]);
    declarative(json!([{"name": "s", "url": stage.upstream.url(), "routes": routes}]), json!([]))
}

#[test]
fn a_change_is_seen() {
    let stage = Stage::new();
    assert_eq!(stage.gateway.get("/new", &[]).status, 401);
    let before = stage.gateway.revision();
    stage.gateway.reload(&open(&stage, "/new"));
    assert!(stage.gateway.revision() > before);
    assert_eq!(stage.gateway.get("/new", &[]).status, 200);
    assert_eq!(stage.gateway.get("/old", &[]).status, 404);
}

#[test]
fn a_change_is_seen_on_a_connection_that_lives_on() {
    let stage = Stage::new();
    let mut client = stage.gateway.client();
    assert_eq!(client.get("/new", &[]).status, 401);
    stage.gateway.reload(&open(&stage, "/new"));
    assert_eq!(client.get("/new", &[]).status, 200);
}

#[test]
fn a_bad_change_keeps_the_last_good_one() {
    let stage = Stage::new();
    stage.grant("t", json!({}));
    let bad = guarded(&stage.upstream, &stage.server, json!({"consumer_by": "nobody", "ttl": -1}), json!([]));
    for text in [bad.as_str(), "_format_version: [", ""] {
        let revision = stage.gateway.revision();
        stage.gateway.write_declarative(text);
        until("the refusal", || (stage.gateway.ready()["newest_refused"] == true).then_some(()));
        assert_eq!((stage.gateway.revision(), stage.gateway.get_as("t", "/").status), (revision, 200), "{text}");
        // A good file ends it.
        let consumers = json!([{"username": format!("number-{revision}")}]);
        stage.gateway.reload(&guarded(&stage.upstream, &stage.server, json!({}), consumers));
        assert_eq!(stage.gateway.ready()["newest_refused"], false, "{text}");
    }
    // Every error is in the log, by its path.
    let said = stage.gateway.output();
    for path in ["consumer_by", "ttl"] {
        assert!(said.contains(path), "{path}: {said}");
    }
}

#[test]
fn a_hangup_reads_the_file_again() {
    let stage = Stage::new();
    stage.gateway.write_declarative(&open(&stage, "/new"));
    stage.gateway.signal("HUP");
    until("the change", || (stage.gateway.get("/new", &[]).status == 200).then_some(()));
    // A hangup without a change is harmless.
    stage.gateway.signal("HUP");
    assert_eq!(stage.gateway.get("/new", &[]).status, 200);
}

#[test]
fn a_route_that_only_matches_otherwise_has_changed() {
    let stage = Stage::new();
    stage.gateway.reload(&open(&stage, "/a"));
    stage.gateway.reload(&open(&stage, "/b"));
    until("the line", || stage.gateway.output().contains("revision 3 live: 1 route changed").then_some(()));
}

#[test]
fn requests_under_way_end_under_the_configuration_they_began_with() {
    let stage = Stage::new();
    stage.grant("t", json!({}));
    stage.server.hold();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stage.gateway.get_as("t", "/x").status);
        stage.server.wait_for_calls(1, portcullis_testkit::DEADLINE);
        stage.gateway.reload(&open(&stage, "/elsewhere"));
        stage.server.release();
        assert_eq!(waiting.join().unwrap(), 200);
    });
}

#[test]
fn a_fill_that_began_before_a_change_is_not_stored_after_it() {
    let stage = Stage::new();
    stage.grant("t", json!({}));
    let file = |credential: &str| {
        guarded(&stage.upstream, &stage.server, json!({"authorization_value": credential}), json!([]))
    };
    stage.gateway.reload(&file("Basic MQ=="));
    stage.server.hold();
    // I-91, S-13
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stage.gateway.get_as("t", "/x").status);
        stage.server.wait_for_calls(1, portcullis_testkit::DEADLINE);
        stage.gateway.reload(&file("Basic Mg=="));
        stage.server.release();
        assert_eq!(waiting.join().unwrap(), 200);
    });
    assert_eq!((stage.gateway.get_as("t", "/x").status, stage.server.calls_for("t")), (200, 2));
}
