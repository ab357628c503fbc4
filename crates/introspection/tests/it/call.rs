//! The call itself: what is sent, what comes back, and everything that can break in between.

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_introspection::{
    Cache, CacheConfig, ClientAuth, Clients, Config, FinishedCall, Introspector, Observer, Requirement, Unmet,
};

use crate::server::{Act, Server, introspector, json, reply};

const ACTIVE: &str = r#"{"active":true}"#;

async fn outcome(introspector: &Introspector, token: &str) -> &'static str {
    match introspector.introspect(token).await {
        Ok(answer) if answer.active() => "active",
        Ok(_) => "inactive",
        Err(failure) => failure.code(),
    }
}

// I-2, I-3, I-12
#[tokio::test]
async fn one_post_says_it_all() {
    let server = Server::always(json(ACTIVE)).await;
    let introspector = introspector(server.config().token_type_hint("access_token"));
    assert_eq!(outcome(&introspector, "a+b/c==").await, "active");
    let requests = server.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /introspect HTTP/1.1\r\n"), "{head}");
    let lines: Vec<_> = head.to_ascii_lowercase().lines().map(str::to_owned).collect();
    for expected in [
        "content-type: application/x-www-form-urlencoded",
        "accept: application/json",
        "authorization: basic yxbpomnhbmfyes1zzwnyzxq=",
        &format!("host: {}", server.address),
    ] {
        assert_eq!(lines.iter().filter(|line| *line == expected).count(), 1, "{expected} in {head}");
    }
    assert_eq!(body, "token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token");
}

// K-152, S-1, S-2, I-27
#[tokio::test]
async fn each_requirement_judges_a_cached_answer_for_itself() {
    let server = Server::always(json(r#"{"active":true,"scope":"read","aud":"a","iss":"https://as.example"}"#)).await;
    let lenient = Requirement::default().scopes(["read"]);
    let strict = [
        (Requirement::default().scopes(["write"]), "insufficient_scope"),
        (Requirement::default().audiences(["b"]), "wrong_audience"),
        (Requirement::default().issuers(["https://other.example"]), "wrong_issuer"),
    ];
    for (number, (strict, refusal)) in strict.iter().enumerate() {
        // Whoever comes first, and so fills the cache, the other one's verdict is its own.
        for lenient_first in [true, false] {
            let introspector = introspector(server.config());
            let judge = async |requirement: &Requirement| {
                let answer = introspector.introspect(&format!("t{number}")).await.unwrap();
                let now = introspector.cache().clock().wall();
                requirement.check(&answer, now).map_err(|unmet: Unmet| unmet.code())
            };
            let order = if lenient_first { [&lenient, strict] } else { [strict, &lenient] };
            for requirement in order.into_iter().chain(order) {
                let expected = if std::ptr::eq(requirement, &lenient) { Ok(()) } else { Err(*refusal) };
                assert_eq!(judge(requirement).await, expected, "{refusal}, lenient first: {lenient_first}");
            }
            assert_eq!(introspector.cache().stats().hits, 3, "one call, then the cache");
        }
    }
}

// I-6, S-39
#[tokio::test]
async fn what_cannot_be_a_token_is_not_asked_about() {
    let server = Server::always(json(ACTIVE)).await;
    let introspector = server.introspector();
    for token in ["", "a b", "a&token=b", &"a".repeat(8193)] {
        assert_eq!(outcome(&introspector, token).await, "inactive");
    }
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn every_failure_has_its_code() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let endless = || Act::Repeat { head: format!("{HEAD}\r\n{{\"x\":\"").into_bytes(), chunk: vec![b'x'; 4096] };
    let claimed = || Act::Say(format!("{HEAD}Content-Length: 300000\r\n\r\n{{").into_bytes());
    let cut = || Act::Say(format!("{HEAD}Content-Length: 50\r\n\r\n{{}}").into_bytes());
    let bomb = || {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.decode(BOMB).unwrap();
        Act::Say(reply("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", &body))
    };
    let no_gzip =
        || Act::Say(reply("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", b"no gzip"));
    let elsewhere = || Act::Say(reply("307 Moved", "Location: http://127.0.0.1:1/\r\n", b""));
    let garbage = || Act::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    type Script = Box<dyn Fn() -> Act + Send + Sync>;
    let broken = || Act::Break(format!("{HEAD}Content-Length: 50\r\n\r\n{{}}").into_bytes());
    let rows: [(&str, Script, &str); 10] = [
        ("endless", Box::new(endless), "as_answer_too_large"), // I-8, S-51
        ("claims to be large", Box::new(claimed), "as_answer_too_large"),
        ("gzip bomb", Box::new(bomb), "as_answer_too_large"),
        ("no gzip at all", Box::new(no_gzip), "as_bad_answer"), // I-39
        ("cut off", Box::new(cut), "as_timeout"),               // it still hopes for the rest
        ("breaks off", Box::new(broken), "as_unreachable"),     // I-39
        ("redirect", Box::new(elsewhere), "as_redirect"),       // I-7
        ("closes", Box::new(|| Act::Close), "as_unreachable"),  // I-39
        ("no HTTP", Box::new(garbage), "as_unreachable"),
        ("hangs", Box::new(|| Act::Hold(Vec::new())), "as_timeout"), // I-8, S-58
    ];
    for (row, script, expected) in rows {
        let server = Server::start(move |_, _, _| script()).await;
        let wait = Duration::from_millis(if expected == "as_timeout" { 100 } else { 10_000 });
        let introspector = introspector(server.config().timeout(wait));
        assert_eq!(outcome(&introspector, "canary-token").await, expected, "{row}");
        assert_eq!(server.calls(), 1, "{row}"); // a fresh connection is not tried twice
        let stats = introspector.cache().stats();
        assert_eq!((stats.positive_entries, stats.negative_entries), (0, 0), "{row}");
    }
}

// I-5, I-39, S-50, S-63
#[tokio::test]
async fn connections_fail_with_their_own_codes_and_without_secrets() {
    let server = Server::always(json(ACTIVE)).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let rows = [
        (format!("https://{}/canary-path", server.address), "as_tls"),
        (format!("http://{closed}/canary-path"), "as_unreachable"),
        ("http://host.invalid/canary-path".to_owned(), "as_unreachable"),
    ];
    for (endpoint, expected) in rows {
        let config =
            Config::new(&endpoint).unwrap().allow_http(true).client_auth(ClientAuth::post("id", "canary-secret"));
        let failure = introspector(config).introspect("canary-token").await.unwrap_err();
        let cause = failure.source().unwrap();
        assert_eq!(failure.code(), expected, "{endpoint}: {cause}");
        let shown = format!("{failure} {failure:?} {cause} {cause:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert_eq!(server.calls(), 0);
}

// I-8
#[tokio::test]
async fn compressed_answers_are_understood() {
    let gzip: Vec<u8> =
        SMALL.as_bytes().chunks(2).map(|hex| u8::from_str_radix(str::from_utf8(hex).unwrap(), 16).unwrap()).collect();
    let server =
        Server::always(reply("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", &gzip)).await;
    assert_eq!(outcome(&server.introspector(), "t").await, "active");
}

// I-10
#[tokio::test]
async fn connections_are_reused_and_a_stale_one_is_replaced() {
    let server = Server::start(|_, on_connection, _| match on_connection {
        0 | 1 => Act::Say(json(ACTIVE)),
        _ => Act::Close,
    })
    .await;
    let introspector = server.introspector();
    for (token, connections, calls) in [("a", 1, 1), ("b", 1, 2), ("c", 2, 4), ("d", 2, 5)] {
        assert_eq!(outcome(&introspector, token).await, "active");
        assert_eq!((server.connections(), server.calls()), (connections, calls), "{token}");
    }
}

// I-10
#[tokio::test]
async fn a_stale_connection_is_replaced_once() {
    let server = Server::start(|number, _, _| if number == 0 { Act::Say(json(ACTIVE)) } else { Act::Close }).await;
    let introspector = server.introspector();
    assert_eq!(outcome(&introspector, "a").await, "active");
    assert_eq!(outcome(&introspector, "b").await, "as_unreachable");
    assert_eq!(server.calls(), 3);
}

#[tokio::test]
async fn introspectors_share_connections_not_answers() {
    let server = Server::always(json(ACTIVE)).await;
    let (cache, clients) = (Cache::new(CacheConfig::default()), Clients::new());
    for id in ["one", "two"] {
        let config = server.config().client_auth(ClientAuth::basic(id, "secret"));
        let introspector = Introspector::new(config, &cache, &clients, None).unwrap();
        assert_eq!(outcome(&introspector, "t").await, "active");
    }
    // I-94, I-100, S-4
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn an_observer_hears_of_every_call() {
    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<(String, &'static str)>>);
    impl Observer for Heard {
        fn call_finished(&self, call: &FinishedCall<'_>) {
            self.0.lock().unwrap().push((call.host.to_owned(), call.outcome.code()));
        }
    }
    let server = Server::start(|number, _, _| match number {
        0 => Act::Say(json(r#"{"active":false}"#)),
        _ => Act::Say(reply("429 Slow down", "Retry-After: 7\r\n", b"")),
    })
    .await;
    let heard = Arc::new(Heard::default());
    let cache = Cache::new(CacheConfig { observer: Some(heard.clone()), ..CacheConfig::default() });
    let introspector = Introspector::new(server.config(), &cache, &Clients::new(), None).unwrap();
    assert_eq!(outcome(&introspector, "a").await, "inactive");
    assert_eq!(outcome(&introspector, "a").await, "inactive");
    assert_eq!(introspector.introspect("b").await.unwrap_err().retry_after(), Some(7)); // I-43
    let expected = ["inactive", "as_throttled"].map(|code| ("127.0.0.1".to_owned(), code));
    assert_eq!(*heard.0.lock().unwrap(), expected);
}

/// `{"active":true}`, compressed.
const SMALL: &str = "1f8b0800000000000203ab564a4c2ec92c4b55b22a292a4dad0500167ec0830f000000";

/// An active answer of 1 MiB, compressed.
const BOMB: &str = "\
H4sIAAAAAAACA+3BsQnAIAAEwF2+dgK3kWCRVjQIkt0zRNq7O2nXvJ+eOsfqJTs1GwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
AAAAAAAAAAAAAAAAAADgp7wfWLoZqRYAEAA=";
