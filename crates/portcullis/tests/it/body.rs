//! Tokens in bodies: where they are found, what they are worth, and that the body arrives as it was sent.

use portcullis_testkit::{Client, Gateway, Response};
use serde_json::{Value, json};

use crate::stage::{BINARY, Stage, guarded};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
/// What is looked at of a body.
const CAP: usize = 64 * 1024;

/// Sends a body with its length.
fn send(client: &mut Client, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{headers}\r\n", body.len()));
    client.send(body);
    client.response()
}

#[test]
fn sources() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    let bearer = ("Authorization", "Bearer good");
    let mut client = stage.gateway.client();
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, u16);
    let rows: &[Row<'_>] = &[
        // K-12, I-55, I-57
        ("POST", "/", &[("Content-Type", FORM)], "access_token=good", 200),
        (
            "PUT",
            "/",
            &[("content-type", "Application/x-www-form-urlencoded; charset=UTF-8")],
            "a=1&access_token=good",
            200,
        ),
        ("PATCH", "/", &[("Content-Type", FORM)], "access%5Ftoken=%67ood&b", 200),
        ("POST", "/", &[("Content-Type", JSON)], r#"{"a":{"access_token":1},"access_token":"good"}"#, 200),
        (
            "POST",
            "/",
            &[("Content-Type", "application/json;charset=utf-8")],
            r#"{"access\u005ftoken":"\u0067ood"}"#,
            200,
        ),
        ("POST", "/", &[("Content-Type", "application/vnd.api+json")], r#"{"access_token":"good"}"#, 200),
        ("POST", "/", &[("Content-Type", FORM), ("Authorization", "Basic Zm9vOmJhcg==")], "access_token=good", 200),
        // Another method, another type: not looked at.
        ("DELETE", "/", &[("Content-Type", FORM)], "access_token=good", 401),
        ("GET", "/", &[("Content-Type", FORM)], "access_token=good", 401),
        ("POST", "/", &[], "access_token=good", 401),
        ("POST", "/", &[("Content-Type", "text/plain")], "access_token=good", 401),
        ("POST", "/", &[("Content-Type", FORM), ("Content-Encoding", "gzip")], "access_token=good", 401),
        // Nothing in it.
        ("POST", "/", &[("Content-Type", FORM)], "access_token=&a=good", 401),
        ("POST", "/", &[("Content-Type", FORM)], "", 401),
        ("POST", "/", &[("Content-Type", JSON)], r#"{"access_token":""}"#, 401),
        ("POST", "/", &[("Content-Type", JSON)], r#"{"nested":{"access_token":"good"}}"#, 401),
        // I-59: in two places, or twice in one; the body is looked at also when the head holds a token.
        ("POST", "/", &[("Content-Type", FORM), bearer], "access_token=good", 400),
        ("POST", "/", &[("Content-Type", JSON), bearer], r#"{"access_token":"good"}"#, 400),
        ("POST", "/?access_token=good", &[("Content-Type", FORM)], "access_token=good", 400),
        ("POST", "/", &[("Content-Type", FORM)], "access_token=good&access_token=good", 400),
        ("POST", "/", &[("Content-Type", FORM)], "access_token=good&access%5Ftoken=", 400),
        ("POST", "/", &[("Content-Type", JSON)], r#"{"access_token":"good","access_token":"good"}"#, 400),
        ("POST", "/", &[("Content-Type", JSON)], r#"{"access_token":"good","access\u005ftoken":null}"#, 400),
        ("POST", "/", &[("Content-Type", FORM), ("Authorization", "Bearer a%b")], "access_token=good", 400),
        // One place is enough.
        ("POST", "/", &[("Content-Type", FORM), bearer], "a=1", 200),
        ("POST", "/", &[("Content-Type", JSON), bearer], r#"{"access_token":7}"#, 200),
        ("POST", "/", &[("Content-Type", "multipart/form-data; boundary=x"), bearer], "access_token=good", 200),
    ];
    for (method, target, headers, body, status) in rows {
        let answer = send(&mut client, method, target, headers, body.as_bytes());
        assert_eq!(answer.status, *status, "{method} {target} {headers:?} {body}: {}", answer.text());
        if *status == 200 {
            // What was looked at arrives as it was sent.
            assert_eq!(answer.json()["body_length"], body.len(), "{body}");
            assert_eq!(stage.upstream.requests().pop().unwrap().body, body.as_bytes());
        } else {
            assert_eq!(answer.json()["error"], "invalid_request", "{body}");
        }
    }
    // One entry for all spellings, and no call for what was refused.
    assert_eq!(stage.server.calls().len(), 1);
}

#[test]
fn json_of_every_other_kind_holds_no_token() {
    let stage = Stage::new();
    let mut client = stage.gateway.client();
    let (deep, wide) = ("[".repeat(60_000), format!("{{{}\"b\":1}}", "\"a\":1,".repeat(10_000)));
    // K-13, I-57, S-52
    for body in [
        r#""text""#,
        "1",
        "-1.5e300",
        "null",
        "true",
        "[]",
        r#"["access_token"]"#,
        "{}",
        "",
        " ",
        "{",
        "}",
        "\u{feff}{}",
        r#"{"access_token":1}"#,
        r#"{"access_token":null}"#,
        r#"{"access_token":true}"#,
        r#"{"access_token":[]}"#,
        r#"{"access_token":["t"]}"#,
        r#"{"access_token":{"a":"t"}}"#,
        r#"{"access_token":"t"} x"#,
        r#"{"access_token":"t""#,
        r#"{"__proto__":{"access_token":"t"}}"#,
        &deep,
        &wide,
    ] {
        let answer = send(&mut client, "POST", "/", &[("Content-Type", JSON)], body.as_bytes());
        let shown = body.get(..40).unwrap_or(body);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{shown}");
    }
    // K-167: a text that cannot be a token is one that is refused.
    for body in [r#"{"access_token":"a b"}"#, r#"{"access_token":"\ud800"}"#, r#"{"access_token":"\u0000"}"#] {
        let answer = send(&mut client, "POST", "/", &[("Content-Type", JSON)], body.as_bytes());
        assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("invalid_token")), "{body}");
    }
    let long = format!("access_token={}", "a".repeat(8 * 1024 + 1));
    assert_eq!(
        send(&mut client, "POST", "/", &[("Content-Type", FORM)], long.as_bytes()).json()["error"],
        "invalid_token"
    );
    assert!(stage.server.calls().is_empty() && stage.upstream.requests().is_empty());
}

#[test]
fn a_body_over_the_cap_is_no_source_and_arrives_whole() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    let mut client = stage.gateway.client();
    let padded = |length: usize| {
        let mut body = b"access_token=good&fill=".to_vec();
        body.resize(length, b'x');
        body
    };
    // I-57
    for (length, alone) in [(CAP, 200), (CAP + 1, 401), (5 * CAP, 401)] {
        let body = padded(length);
        let answer = send(&mut client, "POST", "/", &[("Content-Type", FORM)], &body);
        assert_eq!(answer.status, alone, "{length}");
        if alone == 200 {
            assert_eq!(stage.upstream.requests().pop().unwrap().body, body, "{length}");
        }
        // With a token in the head: what was not looked at cannot be a second one.
        let mut client = stage.gateway.client();
        let headers = [("Content-Type", FORM), ("Authorization", "Bearer good")];
        let answer = send(&mut client, "POST", "/", &headers, &body);
        assert_eq!(answer.status, if alone == 200 { 400 } else { 200 }, "{length}");

        // No length stated: it is read up to the cap, and what follows follows.
        let mut chunks = Vec::new();
        for chunk in body.chunks(10_000) {
            chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunks.extend_from_slice(chunk);
            chunks.extend_from_slice(b"\r\n");
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n");
        let mut client = stage.gateway.client();
        client.send(format!("{head}\r\n"));
        client.send(&chunks);
        assert_eq!(client.response().status, alone, "{length} in chunks");
        if alone != 200 {
            let mut client = stage.gateway.client();
            client.send(format!("{head}Authorization: Bearer good\r\n\r\n"));
            client.send(&chunks);
            assert_eq!(client.response().status, 200, "{length} in chunks");
        }
        let seen = stage.upstream.requests().pop().unwrap();
        assert!(seen.body == body, "{length} in chunks: {} bytes", seen.body.len());
        assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (Some("chunked"), None));
    }
}

#[test]
fn the_token_is_hidden() {
    let stage = Stage::with(json!({"hide_credentials": true, "anonymous": "guest"}));
    stage.gateway.reload(&guarded(
        &stage.upstream,
        &stage.server,
        json!({"hide_credentials": true, "anonymous": "guest"}),
        json!([{"username": "guest"}]),
    ));
    stage.grant("good", json!({}));
    let mut client = stage.gateway.client();
    // K-42, I-62
    let rows = [
        (FORM, "access_token=good", ""),
        (FORM, "a=1&access%5Ftoken=good&b=%2F+&&c", "a=1&b=%2F+&&c"),
        (JSON, r#"{"access_token":"good"}"#, "{}"),
        (JSON, r#"{"b":[1.0, 2],"access_token":"good","a":"\u00e9"}"#, r#"{"b":[1.0, 2],"a":"\u00e9"}"#),
        // Refused ones do not go on with the anonymous consumer either.
        (FORM, "access_token=bad&x=1", "x=1"),
        (FORM, "access_token=not+one&x=1", "x=1"),
    ];
    for (kind, body, left) in rows {
        let headers = [("Content-Type", kind), ("DPoP", "proof")];
        for chunked in [false, true] {
            let answer = if chunked {
                client.send(format!("POST /p?q=1 HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nDPoP: proof\r\nTransfer-Encoding: chunked\r\n\r\n"));
                client.send(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
                client.response()
            } else {
                send(&mut client, "POST", "/p?q=1", &headers, body.as_bytes())
            };
            assert_eq!(answer.status, 200, "{body}: {}", answer.text());
            let seen = stage.upstream.requests().pop().unwrap();
            assert_eq!(String::from_utf8_lossy(&seen.body), left, "{body}");
            let length = left.len().to_string();
            assert_eq!(
                (seen.all("content-length"), seen.header("transfer-encoding")),
                (vec![&*length], None),
                "{body}"
            );
            assert_eq!((seen.header("dpop"), seen.header("content-type")), (None, Some(kind)));
            assert_eq!(seen.target, "/p?q=1");
        }
    }
    // What is not the token's place stays as it is.
    let headers = [("Content-Type", FORM), ("Authorization", "Bearer good")];
    assert_eq!(send(&mut client, "POST", "/", &headers, b"access_token=&a=1").status, 200);
    let seen = stage.upstream.requests().pop().unwrap();
    assert_eq!((&seen.body[..], seen.header("authorization")), (&b"access_token=&a=1"[..], None));
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    let body = "access_token=good";
    let head = |kind: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
    };
    let mut client = stage.gateway.client();
    // The client reads past the 100, which has to come before the body goes.
    let mut raw = std::net::TcpStream::connect(stage.gateway.addr()).unwrap();
    raw.set_read_timeout(Some(portcullis_testkit::DEADLINE)).unwrap();
    std::io::Write::write_all(&mut raw, head(FORM).as_bytes()).unwrap();
    let mut told = [0; 25];
    std::io::Read::read_exact(&mut raw, &mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    std::io::Write::write_all(&mut raw, body.as_bytes()).unwrap();
    let mut status = [0; 12];
    std::io::Read::read_exact(&mut raw, &mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    assert_eq!(stage.upstream.requests()[0].header("expect"), None);
    // Where the body is not looked at, the refusal comes without it.
    client.send(head("text/plain"));
    assert_eq!(client.response().status, 401);
}

#[test]
fn the_setting_turns_bodies_off() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    let file = guarded(&stage.upstream, &stage.server, json!({}), json!([]));
    let gateway = Gateway::builder(BINARY, &file).settings("introspection: {body_tokens: off}").start();
    let post = |headers: &[(&str, &str)]| {
        let mut all = vec![("Content-Type", FORM)];
        all.extend_from_slice(headers);
        send(&mut gateway.client(), "POST", "/", &all, b"access_token=good").status
    };
    // D13
    assert_eq!((post(&[]), post(&[("Authorization", "Bearer good")])), (401, 200));
}

#[test]
fn a_token_of_a_body_is_in_no_log() {
    let file = |stage: &Stage| guarded(&stage.upstream, &stage.server, json!({}), json!([]));
    let stage = Stage::new();
    let gateway =
        Gateway::builder(BINARY, &file(&stage)).settings("log: trace").arg("--access-log").arg("access.log").start();
    stage.grant("canary-in-body", json!({}));
    for token in ["canary-in-body", "canary-refused", "canary+malformed"] {
        let body = format!("access_token={token}");
        let answer = send(&mut gateway.client(), "POST", "/", &[("Content-Type", FORM)], body.as_bytes());
        assert!(!answer.text().contains("canary-refused") && !answer.text().contains("canary+"), "{}", answer.text());
    }
    let line = || gateway.file("access.log").lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    portcullis_testkit::until("the log", || line().filter(|line| line["reason"] == "malformed_token"));
    for text in [gateway.file("access.log"), gateway.output()] {
        assert!(!text.contains("canary"), "{text}");
    }
}
