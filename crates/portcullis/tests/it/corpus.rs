//! The framing corpus: each message sent to the gateway, in front of an upstream that notes every byte it gets.

use portcullis_testkit::Gateway;
use portcullis_testkit::corpus::{Case, Recorder, Want, exchange};
use serde_json::json;

use crate::stage::{BINARY, declarative};

/// Short limits: some cases end only by them.
const SETTINGS: &str = "limits: {header_timeout: 0.3, body_idle: 0.3, keep_alive_idle: 0.3}\n";

/// Threads that share the cases; nearly all of their time is waiting for limits.
const SHARES: usize = 4;

/// Sends every case in pieces of at most this many bytes. Each share has a gateway and an upstream of its own, so that
/// nobody's requests are mixed up.
fn check(piece: usize) {
    let mut cases = Case::all();
    // What is left of a request that broke off may reach the upstream late, when the client has gone on already.
    cases.sort_by_key(|case| case.want == Want::Cut);
    let problems: Vec<String> = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..SHARES)
            .map(|share| {
                let cases = &cases;
                scope.spawn(move || check_share(cases.iter().skip(share).step_by(SHARES), piece))
            })
            .collect();
        shares.into_iter().flat_map(|share| share.join().unwrap()).collect()
    });
    assert!(cases.len() > 200, "{} cases", cases.len());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn check_share<'a>(cases: impl Iterator<Item = &'a Case>, piece: usize) -> Vec<String> {
    let recorder = Recorder::start();
    let url = format!("http://{}", recorder.addr());
    let service = json!({"name": "up", "url": url, "routes": [{"name": "all", "paths": ["/"], "strip_path": false}]});
    let gateway = Gateway::builder(BINARY, &declarative(json!([service]), json!([]))).settings(SETTINGS).start();
    let mut problems = Vec::new();
    for case in cases {
        let outcome = exchange(case, gateway.addr(), &recorder, piece);
        let found = case.problems(&outcome);
        problems.extend(found.iter().map(|problem| format!("{}, {}: {problem}", case.group, case.name)));
    }
    problems
}

// S-43, S-34, S-35, S-42, S-19
#[test]
fn as_a_whole() {
    check(usize::MAX);
}

// S-43: how the bytes are cut into packets makes no difference.
#[test]
fn byte_by_byte() {
    check(1);
}
