//! Which instance of a plugin counts: its route, its service, its consumer.

use serde_json::{Value, json};

use crate::stage::{Stage, plugin};

/// Service `s` with route `/r` and service `t` with route `/t`, both guarded, past these further plugins.
fn file(stage: &Stage, plugins: &[Value]) -> String {
    let guard = |name: &str, path: &str| {
        json!({
            "name": name, "url": stage.upstream.url(), "routes": [{"name": format!("{name}-route"), "paths": [path]}],
            "plugins": [plugin(&stage.server.url(), json!({"anonymous": "guest"}))],
        })
    };
    json!({
        "_format_version": "3.0",
        "services": [guard("s", "/r"), guard("t", "/t")],
        "consumers": [{"username": "alice"}, {"username": "bob"}, {"username": "guest"}],
        "plugins": plugins,
    })
    .to_string()
}

/// An instance that answers with its own name.
fn named(name: &str, scope: Value) -> Value {
    let mut plugin = json!({"name": "request-termination", "config": {"status_code": 200, "body": name}});
    plugin.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
    plugin
}

#[test]
fn eight_levels() {
    let stage = Stage::new();
    for name in ["alice", "bob"] {
        stage.grant(name, json!({"username": name}));
    }
    let levels = [
        named("route, service, consumer", json!({"route": "s-route", "service": "s", "consumer": "alice"})),
        named("route, consumer", json!({"route": "s-route", "consumer": "alice"})),
        named("service, consumer", json!({"service": "s", "consumer": "alice"})),
        named("route, service", json!({"route": "s-route", "service": "s"})),
        named("consumer", json!({"consumer": "alice"})),
        named("route", json!({"route": "s-route"})),
        named("service", json!({"service": "s"})),
        named("all", json!({})),
    ];
    let answer = |token: &str, path: &str| {
        let answer = stage.gateway.get_as(token, path);
        assert_eq!(answer.status, 200);
        if answer.header("via").is_some() { "upstream".to_owned() } else { answer.text() }
    };
    // K-137, K-44: the first that there is, in this order.
    for gone in 0..=levels.len() {
        stage.gateway.reload(&file(&stage, &levels[gone..]));
        let left: Vec<&str> = levels[gone..].iter().map(|level| level["config"]["body"].as_str().unwrap()).collect();
        let first = |wanted: &[&str]| {
            left.iter().find(|level| wanted.contains(level)).map_or("upstream".to_owned(), |level| (*level).to_owned())
        };
        assert_eq!(answer("alice", "/r"), first(&left), "alice, with {left:?}");
        // Another consumer, and nobody: as if those of alice were not there.
        for other in ["bob", "unknown"] {
            assert_eq!(answer(other, "/r"), first(&["route, service", "route", "service", "all"]), "{other}, {left:?}");
        }
        // Another route of another service.
        assert_eq!(answer("alice", "/t"), first(&["consumer", "all"]), "elsewhere, with {left:?}");
        assert_eq!(answer("bob", "/t"), first(&["all"]), "bob elsewhere, with {left:?}");
    }
}
