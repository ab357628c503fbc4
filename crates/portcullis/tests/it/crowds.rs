//! Many callers at once, and answers that take their time.

use std::time::{Duration, Instant};

use portcullis_testkit::{Client, DEADLINE, Gateway, Reply, until};
use serde_json::json;

use crate::stage::{BINARY, CREDENTIAL, Stage, guarded, now};

/// Connections that have sent a request for `token` and wait.
fn ask(gateway: &Gateway, token: &str, times: usize) -> Vec<Client> {
    let send = |_| {
        let mut client = gateway.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"));
        client
    };
    (0..times).map(send).collect()
}

fn misses(gateway: &Gateway) -> f64 {
    gateway.metric("portcullis_token_cache_misses_total", "")
}

// S-12, I-89
#[test]
fn a_stampede_is_one_call() {
    const CLIENTS: usize = 200;
    let stage = Stage::with(json!({"timeout": 60_000}));
    stage.grant("t", json!({}));
    stage.server.hold();
    let clients = ask(&stage.gateway, "t", CLIENTS);
    // All of them wait before the first has an answer.
    until("all misses", || (misses(&stage.gateway) == CLIENTS as f64).then_some(()));
    assert_eq!(stage.gateway.metric("portcullis_token_cache_flights", ""), 1.0);
    stage.server.release();
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(stage.server.calls().len(), 1);
}

// S-12, I-89, I-39, S-58
#[test]
fn a_stampede_on_a_hanging_server_ends_in_time() {
    const CLIENTS: usize = 200;
    let stage = Stage::with(json!({"timeout": 2000}));
    stage.server.on("t", Reply::hang());
    let start = Instant::now();
    for mut client in ask(&stage.gateway, "t", CLIENTS) {
        let answer = client.response();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    }
    // The limit is 2 s from each one's own beginning; the rest is for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let calls = stage.server.calls().len();
    assert!(calls <= 2, "{calls} calls: one per flight");
}

// I-90, I-79, I-105
#[test]
fn cached_tokens_pass_while_the_server_hangs() {
    const CALLS: usize = 4;
    let stage = Stage::new();
    let file = guarded(&stage.upstream, &stage.server, json!({"timeout": 60_000, "ttl": 600}), json!([]));
    let settings = format!("introspection: {{concurrent_calls: {CALLS}, queued_calls: 20}}\n");
    let gateway = Gateway::builder(BINARY, &file).settings(&settings).start();
    stage.grant("cached", json!({}));
    assert_eq!(gateway.get_as("cached", "/").status, 200);
    stage.server.hold();
    let waiting: Vec<Client> = (0..CALLS + 20).flat_map(|n| ask(&gateway, &format!("cold-{n}"), 1)).collect();
    let flights = || gateway.metric("portcullis_token_cache_flights", "");
    until("a full queue", || (flights() == (CALLS + 20) as f64).then_some(()));
    // Beyond calls and queue: refused at once, and not as the token's fault.
    let refused = gateway.get_as("one-more", "/");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(gateway.metric("portcullis_refusals_total", "reason=\"as_busy\""), 1.0);
    // Hits share neither lock, queue nor connection with all that.
    let mut client = gateway.client();
    for _ in 0..200 {
        assert_eq!(client.get("/", &[("Authorization", "Bearer cached")]).status, 200);
    }
    stage.server.release();
    for mut client in waiting {
        assert_eq!(client.response().status, 401);
    }
    assert_eq!(stage.server.calls_for("one-more"), 0);
}

// S-13, I-91, I-94
#[test]
fn an_answer_that_was_asked_for_under_an_older_configuration_is_not_used_after_it() {
    let stage = Stage::with(json!({"ttl": 600, "timeout": 60_000}));
    stage.grant("t", json!({}));
    stage.server.hold();
    let mut early = ask(&stage.gateway, "t", 1).remove(0);
    stage.server.wait_for_calls(1, DEADLINE);
    let changed = json!({"ttl": 600, "timeout": 60_000, "authorization_value": format!("{CREDENTIAL}AA")});
    stage.gateway.reload(&guarded(&stage.upstream, &stage.server, changed, json!([])));
    stage.server.release();
    assert_eq!(early.response().status, 200, "who asked under the old one is answered by it");
    stage.server.on("t", Reply::inactive());
    assert_eq!(stage.gateway.get_as("t", "/").status, 401);
    assert_eq!(stage.server.calls_for("t"), 2);
}

// I-159
#[test]
fn a_request_is_judged_when_it_starts() {
    let stage = Stage::with(json!({"ttl": 600}));
    let text = "x".repeat(30);
    stage.upstream.on("/stream", Reply::bytes("text/plain", text.clone()).drip(1, Duration::from_millis(100)));
    let exp = now() + 2;
    stage.grant("t", json!({"exp": exp}));
    // The answer takes three seconds, the token two at most.
    let answer = stage.gateway.get_as("t", "/stream");
    assert_eq!((answer.status, answer.text()), (200, text));
    assert!(now() >= exp);
    assert_eq!(stage.gateway.get_as("t", "/stream").status, 401, "the next one is judged anew");
}

// I-99, I-101, I-102, I-88
#[test]
fn outcomes_are_those_of_the_last_word_within_the_ttl() {
    /// Further requests in a random order, the same in every run.
    const STEPS: u64 = 1500;
    let stage = Stage::with(json!({"ttl": 600}));
    let mut client = stage.gateway.client();
    // Per token: what the server would say now, and what it last said when it was asked.
    let mut says = [true; 8];
    let mut said: [Option<bool>; 8] = [None; 8];
    let mut state: u64 = 1;
    for step in 0..STEPS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = usize::try_from(state >> 61).unwrap();
        let token = format!("t{place}");
        if (state >> 40).is_multiple_of(3) {
            says[place] = !says[place];
        }
        stage.server.on(&token, if says[place] { Reply::active(json!({})) } else { Reply::inactive() });
        let calls = stage.server.calls_for(&token);
        let status = client.get("/", &[("Authorization", &format!("Bearer {token}"))]).status;
        let asked = stage.server.calls_for(&token) > calls;
        // An inactive answer may leave the cache at any moment, an active one lives for the whole test.
        assert!(!asked || said[place] != Some(true), "step {step}: asked again about an active token");
        if asked {
            said[place] = Some(says[place]);
        }
        let expected = if said[place] == Some(true) { 200 } else { 401 };
        assert_eq!(status, expected, "step {step}: token {place}, asked: {asked}");
    }
}
