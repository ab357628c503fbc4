//! HTTP/2 without TLS, as curl sees it.

use portcullis_testkit::{Curl, Gateway, Upstream};
use serde_json::json;

use crate::stage::{BINARY, declarative};

/// A reader of this test's output can tell that the column of HTTP/2 was really run.
#[test]
fn curl_speaks_http2() {
    assert!(Curl::speaks_http2());
}

#[test]
fn by_prior_knowledge_where_the_word_stands() {
    let upstream = Upstream::start();
    let file = declarative(json!([{"name": "a", "url": upstream.url(), "routes": [{"paths": ["/"]}]}]), json!([]));
    let gateway = Gateway::builder(BINARY, &file).listen("127.0.0.1:0 http2").start();
    let answer = Curl::new(gateway.addr(), "http://a.example/").http2().run().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.header("via").unwrap().starts_with("2 portcullis/"));
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(gateway.get("/", &[]).status, 200);
    // A body both ways.
    let curl = Curl::new(gateway.addr(), "http://a.example/").http2().arg("--data-binary").arg(&"x".repeat(100_000));
    assert_eq!(curl.run().unwrap().json()["body_length"], 100_000);
    let plain = Gateway::builder(BINARY, &file).start();
    assert!(Curl::new(plain.addr(), "http://a.example/").http2().run().is_err());
}
