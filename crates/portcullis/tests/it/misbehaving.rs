//! An authorization server that answers with whatever it likes: nothing it says admits a token but `true`.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use portcullis_testkit::{Client, Reply};
use serde_json::{Value, json};

use crate::stage::{Stage, declarative, now, plugin};

/// Numbers that look random and are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((n ^ (n >> 31)) % below as u64).unwrap()
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.next(from.len())]
    }

    /// A JSON value as text, well-formed or nearly.
    fn value(&mut self, depth: usize) -> String {
        const SCALARS: &[&str] = &[
            "true",
            "false",
            "null",
            "0",
            "-0",
            "1",
            "-1",
            "1.5",
            "1e400",
            "-1e-400",
            "9007199254740993",
            "1e18",
            "99999999999999999999999999999999",
            "\"true\"",
            "\"\"",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "\"\\u2028\"",
            "\"a\\r\\nX-Consumer-Id: root\"",
            "True",
            "NaN",
            "Infinity",
            "'true'",
            "01",
            "+1",
            "\"unterminated",
            "",
        ];
        match self.next(if depth > 4 { 3 } else { 6 }) {
            3 => {
                let members: Vec<String> = (0..self.next(4)).map(|_| self.value(depth + 1)).collect();
                format!("[{}]", members.join(","))
            }
            4 | 5 => self.object(depth + 1),
            _ => self.pick(SCALARS).to_owned(),
        }
    }

    fn object(&mut self, depth: usize) -> String {
        const NAMES: &[&str] = &[
            "active",
            "Active",
            "acti\\u0076e",
            "active\\u0000",
            "exp",
            "nbf",
            "iat",
            "scope",
            "aud",
            "iss",
            "sub",
            "client_id",
            "username",
            "token_type",
            "typ",
            "token_use",
            "cnf",
            "__proto__",
            "",
            "x",
        ];
        let member = |numbers: &mut Self| format!("\"{}\":{}", numbers.pick(NAMES), numbers.value(depth));
        let members: Vec<String> = (0..self.next(7)).map(|_| member(self)).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// Whether a whole JSON text is an object whose one `active` is `true`, read by another parser than the gateway's.
fn says_active(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|answer| answer.get("active") == Some(&Value::Bool(true)))
}

// S-52, I-17, I-40, I-149
#[test]
fn arbitrary_json_admits_nobody() {
    const ANSWERS: usize = 2500;
    let stage = Stage::with(json!({"custom_claims_forward": ["x"], "timeout": 20_000}));
    let mut numbers = Numbers(7662);
    let mut client = stage.gateway.client();
    let mut admitted = 0;
    for n in 0..ANSWERS {
        // Most are objects, and some of those are as good as an answer can be.
        let text = match numbers.next(10) {
            0 => numbers.value(0),
            1 | 2 => numbers.object(0).replacen('{', "{\"active\":true,", 1).replace(",}", "}"),
            _ => numbers.object(0),
        };
        let token = format!("t{n}");
        stage.server.on(&token, Reply::bytes("application/json", text.clone()));
        let answer = client.get("/", &[("Authorization", &format!("Bearer {token}"))]);
        assert!([200, 401, 503].contains(&answer.status), "{}: {text}", answer.status);
        assert!(answer.status != 200 || says_active(&text), "admitted by {text}");
        admitted += usize::from(answer.status == 200);
    }
    assert!(admitted > 20, "{admitted} of {ANSWERS} answers were good: the generator makes good ones too");
    assert_eq!(stage.upstream.requests().len(), admitted);
    assert!(!stage.gateway.output().contains("panicked"), "no panic, caught or not");
}

// I-29, I-149, S-52
#[test]
fn members_of_every_kind() {
    let stage = Stage::new();
    let check = |text: &str, status: u16| {
        let token = format!("t{}", stage.server.calls().len());
        stage.server.on(&token, Reply::bytes("application/json", text.to_owned()));
        let answer = stage.gateway.get_as(&token, "/");
        assert_eq!(answer.status, status, "{text:.120}");
    };
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"m{n}\":{n}")).collect();
        format!("{{\"active\":true,{}}}", members.join(","))
    };
    for (text, status) in [
        // Twice, in every spelling, at the top and below.
        (r#"{"active":true,"active":true}"#, 503),
        (r#"{"active":true,"\u0061ctive":false}"#, 503),
        (r#"{"active":true,"sub":"a","sub":"b"}"#, 503),
        (r#"{"active":true,"x":{"a":1,"a":2}}"#, 503),
        (r#"{"active":true,"Active":false}"#, 200),
        // Numbers of every size, where nobody reads them and where they are read.
        (r#"{"active":true,"x":1e400}"#, 503),
        (r#"{"active":true,"x":1e-400,"y":-9007199254740993}"#, 200),
        (r#"{"active":true,"x":123456789012345678901234567890}"#, 200),
        (r#"{"active":true,"exp":123456789012345678901234567890}"#, 200),
        (r#"{"active":true,"exp":1e400}"#, 503),
        (r#"{"active":true,"exp":-0.1}"#, 503),
        (r#"{"active":true,"iat":-5}"#, 503),
        // Bytes around the value.
        ("\u{feff}{\"active\":true}", 503),
        (" \r\n\t{\"active\":true}\n", 200),
        ("{\"active\":true}\0", 503),
        ("{\"active\":true}{\"active\":true}", 503),
        ("", 503),
        ("true", 503),
    ] {
        check(text, status);
    }
    check(&many(1000), 200);
    check(&many(10_000), 503);
    // The count is of members; a list is bounded by its bytes.
    check(&format!(r#"{{"active":true,"x":[{}1]}}"#, "1,".repeat(10_000)), 200);
}

// I-156, S-25, S-24
#[test]
fn large_and_hostile_claims() {
    let stage = Stage::with(json!({"custom_claims_forward": ["claim"]}));
    let long = "x".repeat(100_000);
    let many: Vec<u32> = (0..3000).collect();
    for (claim, header) in [
        (json!("a\r\nX-Consumer-Id: root"), None),
        (json!("a\nb"), None),
        (json!("nul\u{0}"), None),
        (json!("del\u{7f}"), None),
        (json!("tab\there"), None),
        (json!(long), None),
        (json!(many), None),
        (json!("line\u{2028}separator"), None),
        (json!("Zoë 🦀"), Some("Zoë 🦀")),
        (json!(["Zoë", {"a": [1]}]), Some(r#"["Zo\u00eb",{"a":[1]}]"#)),
        (json!(""), Some("")),
    ] {
        let token = format!("t{}", stage.server.calls().len());
        stage.grant(&token, json!({"claim": claim, "sub": "alice"}));
        assert_eq!(stage.gateway.get_as(&token, "/").status, 200, "{claim:.60}");
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!(seen.header("x-credential-claim"), header, "{claim:.60}");
        assert_eq!(seen.header("x-consumer-id"), None);
        assert_eq!(seen.header("x-credential-sub"), Some("alice"), "the others are there");
    }
}

// S-51, I-8
#[test]
fn compressed_answers_are_measured_unpacked() {
    let stage = Stage::with(json!({"timeout": 20_000}));
    let spaces = |length: usize| {
        let mut text = b"{\"active\":true".to_vec();
        text.resize(length, b' ');
        text.push(b'}');
        Reply::bytes("application/json", text).gzip()
    };
    stage.server.on("small", spaces(1000));
    assert_eq!(stage.gateway.get_as("small", "/").status, 200, "compression itself is fine");
    stage.server.on("bomb", spaces(256 << 20));
    let before = stage.gateway.resident_bytes();
    assert_eq!(stage.gateway.get_as("bomb", "/").status, 503);
    let grown = stage.gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for an answer of 256 MiB");
    assert_eq!(stage.gateway.metric("portcullis_refusals_total", "reason=\"as_answer_too_large\""), 1.0);
    stage.server.on("broken", Reply::bytes("application/json", "no gzip").header("content-encoding", "gzip"));
    assert_eq!(stage.gateway.get_as("broken", "/").status, 503);
}

// S-58, I-39, I-105, K-17
#[test]
fn a_server_behind_a_black_hole() {
    let stage = Stage::new();
    // The kernel accepts connections, and nobody ever reads them.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = |scheme: &str| format!("{scheme}://{}/introspect", hole.local_addr().unwrap());
    let route = |name: &str, scheme: &str| {
        json!({
            "name": name, "url": stage.upstream.url(), "routes": [{"name": name, "paths": [format!("/{name}")]}],
            "plugins": [plugin(&endpoint(scheme), json!({"timeout": 300}))],
        })
    };
    stage.gateway.reload(&declarative(json!([route("clear", "http"), route("tls", "https")]), json!([])));
    for path in ["/clear", "/tls"] {
        let start = Instant::now();
        let answer = stage.gateway.get_as("t", path);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}");
        assert_eq!(answer.header("www-authenticate"), None, "{path}");
        // The limit is 0.3 s; the rest is for a busy machine.
        assert!(start.elapsed() < Duration::from_secs(5), "{path}: {:?}", start.elapsed());
    }
    assert!(stage.upstream.requests().is_empty());
}

// I-7, I-38, K-163
#[test]
fn redirects_to_the_inside_are_not_followed() {
    let stage = Stage::new();
    for (n, target) in ["http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]/", "//localhost/"]
        .into_iter()
        .enumerate()
    {
        for status in [302, 307, 308] {
            let token = format!("t{n}-{status}");
            stage.server.on(&token, Reply::status(status).header("location", target));
            assert_eq!(stage.gateway.get_as(&token, "/").status, 503, "{status} to {target}");
        }
    }
    assert_eq!(stage.gateway.metric("portcullis_refusals_total", "reason=\"as_redirect\""), 9.0);
}

// I-24, I-84, I-101, S-8
#[test]
fn exp_around_now() {
    let stage = Stage::with(json!({"ttl": 600}));
    for offset in [-1, 0] {
        let token = format!("over{offset}");
        stage.grant(&token, json!({"exp": now().checked_add_signed(offset).unwrap()}));
        for calls in 1..=2 {
            assert_eq!((stage.gateway.get_as(&token, "/").status, stage.server.calls_for(&token)), (401, calls));
        }
    }
    let exp = now() + 2;
    stage.grant("soon", json!({"exp": exp}));
    let mut client = Client::connect(stage.gateway.addr());
    while now() < exp + 1 {
        let asked = now();
        let status = client.get("/", &[("Authorization", "Bearer soon")]).status;
        assert!(status == 401 || asked < exp, "admitted at {asked}, exp {exp}");
    }
}
