//! The program as a person starts it: wrong input gets one clear sentence, never a panic.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use portcullis_testkit::{Client, Finished, Gateway, Scratch, Upstream};
use serde_json::json;

use crate::stage::{BINARY, declarative};

const GOOD: &str = r#"_format_version: "3.0"
services:
- name: s
  url: http://127.0.0.1:1
  routes:
  - name: r
    paths: [/]
"#;

fn run(scratch: &Scratch, args: &[&str]) -> Finished {
    Gateway::run(BINARY, args, scratch.path())
}

/// Ends with this status and says so in a sentence that holds every word, without a trace of a crash.
fn check(scratch: &Scratch, args: &[&str], status: i32, words: &[&str]) -> Finished {
    let ended = run(scratch, args);
    assert_eq!(ended.status.code(), Some(status), "{args:?}: {}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{args:?} does not say `{word}`: {}", ended.stderr);
    }
    for crash in ["panicked", "RUST_BACKTRACE", "stack backtrace", "Os {", "Error("] {
        assert!(!ended.stderr.contains(crash), "{args:?} says `{crash}`: {}", ended.stderr);
    }
    ended
}

#[test]
fn bad_input_is_one_sentence() {
    let scratch = Scratch::new();
    scratch.write("good.yaml", GOOD);
    scratch.write("broken.yaml", "_format_version: [");
    scratch.write("settings.yaml", "no_such_key: 1\n");
    std::fs::create_dir(scratch.path().join("folder.yaml")).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    let serve = |file: &'static str, proxy: &str, status: &str| {
        ["serve", "--declarative", file, "--proxy-listen", proxy, "--status-listen", status].map(str::to_owned)
    };
    for (args, status, words) in [
        (serve("good.yaml", &addr, free), 1, vec![addr.as_str()]),
        (serve("good.yaml", free, &addr), 1, vec![addr.as_str()]),
        (serve("missing.yaml", free, free), 1, vec!["missing.yaml"]),
        (serve("folder.yaml", free, free), 1, vec!["folder.yaml"]),
        (serve("broken.yaml", free, free), 1, vec!["broken.yaml:1:"]),
        (serve("good.yaml", "nonsense", free), 2, vec!["nonsense"]),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        check(&scratch, &args, status, &words);
    }
    check(&scratch, &["serve", "--no-such-flag"], 2, &["--no-such-flag"]);
    check(&scratch, &["no-such-command"], 2, &["no-such-command"]);
    check(&scratch, &["serve"], 1, &["--declarative"]);
    check(&scratch, &["serve", "--settings", "settings.yaml"], 1, &["no_such_key", "settings.yaml:1:"]);
    check(&scratch, &["check", "missing.yaml"], 1, &["missing.yaml"]);
    let port = taken.local_addr().unwrap().port().to_string();
    check(&scratch, &["demo", "--port", &port], 1, &[&port]);
}

#[test]
fn help_is_there() {
    let scratch = Scratch::new();
    for args in [&["--help"][..], &["serve", "--help"], &["check", "--help"], &["demo", "--help"], &["--version"]] {
        let ended = run(&scratch, args);
        assert_eq!(ended.status.code(), Some(0), "{args:?}");
        assert!(ended.stdout.contains("portcullis"), "{args:?}: {}", ended.stdout);
    }
}

#[test]
fn a_good_file_passes() {
    let scratch = Scratch::new();
    scratch.write("good.yaml", GOOD);
    assert_eq!(run(&scratch, &["check", "good.yaml"]).status.code(), Some(0));
    let plan = run(&scratch, &["check", "good.yaml", "--print-plan"]);
    assert!(serde_json::from_str::<serde_json::Value>(&plan.stdout).is_ok(), "{}", plan.stdout);
}

/// Ten mistakes, and the path and the line of each.
const MISTAKES: &str = r#"_format_version: "3.0"
services:
- name: a
  host: 127.0.0.1
  port: 99999
  colour: red
  routes:
  - name: r1
    paths: [no-slash]
    methods: [get]
  - name: r2
    paths: ["~/(unclosed"]
    protocols: [http, gopher]
    service: nobody
  plugins:
  - name: oauth2-introspection
    config:
      introspection_url: nowhere
      introspection_endpoint: x
      consumer_by: shoe_size
      ttl: -1
      timeout: soon
"#;

#[test]
fn every_mistake_is_shown_at_once() {
    let scratch = Scratch::new();
    scratch.write("kong.yaml", MISTAKES);
    let ended = check(&scratch, &["check", "kong.yaml"], 1, &[]);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    // K-2, K-5
    for (line, word) in [
        (5, "port"),
        (6, "colour"),
        (9, "paths"),
        (10, "methods"),
        (12, "paths"),
        (13, "protocols"),
        (18, "introspection_url"),
        (19, "introspection_endpoint"),
        (20, "consumer_by"),
        (21, "ttl"),
        (22, "timeout"),
        // K-2: what is missing is named at its parent.
        (0, "authorization_value"),
    ] {
        let begins = format!("kong.yaml:{line}:");
        let found = said.lines().any(|text| {
            text.starts_with("kong.yaml:") && (line == 0 || text.starts_with(&begins)) && text.contains(word)
        });
        assert!(found, "no problem about {word} in line {line}:\n{said}");
    }
    // Each is `file:line:column: path: what is wrong; what to write`.
    for text in said.lines().filter(|text| text.starts_with("kong.yaml:")) {
        let mut parts = text.splitn(4, ':').skip(1);
        assert!(parts.next().is_some_and(|line| line.parse::<u32>().is_ok()), "{text}");
        assert!(parts.next().is_some_and(|column| column.parse::<u32>().is_ok()), "{text}");
        assert!(parts.next().is_some_and(|rest| rest.contains(": ") && rest.contains("; ")), "{text}");
    }
}

#[test]
fn fields_that_are_not_built_are_refused_by_name() {
    let scratch = Scratch::new();
    for (entity, field) in [
        ("upstreams", "algorithm: latency"),
        ("upstreams", "hash_on: uri_capture"),
        ("upstreams", "use_srv_name: true"),
        ("routes", "sources: [{ip: 127.0.0.1}]"),
        ("services", "protocol: grpc"),
    ] {
        let needed = if entity == "services" { "host: a.example, " } else { "" };
        scratch.write("kong.yaml", &format!("_format_version: '3.0'\n{entity}:\n- {{name: a, {needed}{field}}}\n"));
        // I-1
        let name = field.split_once(':').unwrap().0;
        check(&scratch, &["check", "kong.yaml"], 1, &[&format!("{entity}[0].{name}")]);
    }
}

#[test]
fn twenty_thousand_services_load() {
    let upstream = Upstream::start();
    let mut text = String::from("_format_version: \"3.0\"\nservices:\n");
    for n in 0..20_000 {
        let url = upstream.url();
        writeln!(text, "- name: s{n}\n  url: {url}/s{n}\n  routes:\n  - name: r{n}\n    paths: [/p{n}/]").unwrap();
    }
    let gateway = Gateway::builder(BINARY, &text).start();
    for n in [0, 1, 9_999, 19_999] {
        let answer = gateway.get(&format!("/p{n}/x"), &[]);
        assert_eq!((answer.status, &answer.json()["target"]), (200, &format!("/s{n}/x").into()));
    }
    assert_eq!(gateway.get("/p20000/x", &[]).status, 404);
}

#[test]
fn nobody_reads_what_it_logs_and_it_serves_on() {
    let scratch = Scratch::new();
    let upstream = Upstream::start();
    scratch.write("kong.yaml", &GOOD.replace("http://127.0.0.1:1", &upstream.url()));
    let listen = ["--proxy-listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"];
    let mut gateway = Command::new(BINARY)
        .args(["serve", "--declarative", "kong.yaml"])
        .args(listen)
        .env("PORTCULLIS_LOG", "debug,hyper=trace")
        .env("PORTCULLIS_LOG_FORMAT", "human")
        .current_dir(scratch.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(gateway.stderr.take().unwrap());
    let address: SocketAddr = loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
        if let Some((_, address)) = line.split_once("proxy listening on ") {
            break address.trim_end().trim_end_matches('.').parse().unwrap();
        }
    };
    drop(log);
    let answered: Vec<u16> = (0..5).map(|_| Client::connect(address).get("/", &[]).status).collect();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert_eq!(answered, [200; 5]);
}

#[test]
fn flags_stand_above_the_environment_and_that_above_the_file() {
    let upstream = Upstream::start();
    let routes = json!([{"name": "r", "paths": ["/"]}]);
    let file = declarative(json!([{"name": "s", "url": upstream.url(), "routes": routes}]), json!([]));
    // The flags of the test equipment win over all that is wrong below them.
    let gateway = Gateway::builder(BINARY, &file)
        .env("PORTCULLIS_PROXY_LISTEN", "192.0.2.1:1")
        .settings("status_listen: 192.0.2.1:1\nworkers: 1\naccess_log: access.log\n")
        .start();
    assert_eq!(gateway.get("/", &[]).status, 200);
    portcullis_testkit::until("the access log of the settings file", || {
        gateway.file("access.log").lines().next().map(drop)
    });
}
