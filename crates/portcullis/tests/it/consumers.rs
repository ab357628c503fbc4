//! Consumers change while the tokens that name them are cached.

use serde_json::{Value, json};

use crate::identity::{identity, pairs};
use crate::stage::{Stage, guarded};

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";

/// Consumers, and the identity that the upstream must see under them.
type Step = (Value, Vec<(&'static str, &'static str)>);

fn check(consumer_by: &str, steps: Vec<Step>) {
    let config = json!({"ttl": 600, "consumer_by": consumer_by});
    let stage = Stage::with(config.clone());
    stage.grant("t", json!({"username": "alice", "client_id": "app"}));
    assert_eq!(stage.gateway.get_as("t", "/").status, 200);
    for (consumers, expected) in steps {
        stage.gateway.reload(&guarded(&stage.upstream, &stage.server, config.clone(), consumers.clone()));
        assert_eq!(stage.gateway.get_as("t", "/").status, 200, "{consumers}");
        let mut found = identity(&stage.upstream.requests().pop().unwrap());
        found.retain(|(name, _)| name.starts_with("x-consumer"));
        assert_eq!(found, pairs(&expected), "{consumer_by}: {consumers}");
    }
    assert_eq!(stage.server.calls_for("t"), 1, "the token stayed cached all the while");
}

// I-95, S-16, K-27, K-28
#[test]
fn by_username() {
    let named = |id, username| vec![("x-consumer-id", id), ("x-consumer-username", username)];
    check(
        "username",
        vec![
            (json!([{"id": ONE, "username": "alice"}]), named(ONE, "alice")),
            // Renamed away, then another consumer takes the name.
            (json!([{"id": ONE, "username": "bob"}]), vec![]),
            (json!([{"id": ONE, "username": "bob"}, {"id": TWO, "username": "alice"}]), named(TWO, "alice")),
            // Deleted, and made anew.
            (json!([{"id": ONE, "username": "bob"}]), vec![]),
            (json!([{"id": ONE, "username": "alice"}]), named(ONE, "alice")),
            (json!([]), vec![]),
        ],
    );
}

// I-95, S-16, S-27, K-27, K-28
#[test]
fn by_client_id() {
    let named =
        |id, username| vec![("x-consumer-custom-id", "app"), ("x-consumer-id", id), ("x-consumer-username", username)];
    check(
        "client_id",
        vec![
            (json!([{"id": ONE, "username": "machine", "custom_id": "app"}]), named(ONE, "machine")),
            (json!([{"id": ONE, "username": "renamed", "custom_id": "app"}]), named(ONE, "renamed")),
            (json!([{"id": ONE, "username": "renamed", "custom_id": "other"}]), vec![]),
            // A user who is called like the client.
            (json!([{"id": ONE, "username": "app", "custom_id": "other"}]), vec![]),
            (json!([{"id": TWO, "username": "second", "custom_id": "app"}]), named(TWO, "second")),
            (json!([]), vec![]),
        ],
    );
}
