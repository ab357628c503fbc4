//! HTTP/2 clients that nobody wrote for this gateway: curl, h2load and Chromium.
//!
//! Where a program is not installed, its test says so and proves nothing.

use portcullis_testkit::{AuthServer, Certificates, Curl, DEADLINE, Gateway, Reply, Scratch, Upstream, until};
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::stage::{BINARY, declarative, plugin};

const SETTINGS: &str = "tls: {certificates: [{cert: a.pem, key: a.key}]}\n";

/// A page below `/open` for everybody, the rest for those with the token `t`; over TLS, and without it.
struct Stage {
    upstream: Upstream,
    _server: AuthServer,
    gateway: Gateway,
    trusted: Scratch,
    /// `127.0.0.1:PORT`, where HTTP/2 goes without TLS.
    plain: String,
}

impl Stage {
    fn start() -> Self {
        let (server, upstream) = (AuthServer::start(), Upstream::start());
        server.on("t", Reply::active(json!({"sub": "alice"})));
        let open = json!({"name": "open", "url": upstream.url(),
            "routes": [{"name": "open", "paths": ["/open"], "strip_path": false}]});
        let guarded = json!({"name": "guarded", "url": upstream.url(),
            "routes": [{"name": "guarded", "paths": ["/"], "strip_path": false}],
            "plugins": [plugin(&server.url(), json!({}))]});
        let names = Certificates::for_names(&["a.example"]);
        let trusted = Scratch::new();
        trusted.write("ca.pem", &names.authority_pem);
        let gateway = Gateway::builder(BINARY, &declarative(json!([open, guarded]), json!([])))
            .listen("127.0.0.1:0 ssl, 127.0.0.1:0 http2")
            .settings(SETTINGS)
            .file("a.pem", &names.leaf_pem)
            .file("a.key", &names.key_pem)
            .arg("--access-log")
            .arg("access.log")
            .start();
        let plain = until("the second listener", || {
            let addresses: Vec<String> = gateway.output().lines().filter_map(listening).collect();
            (addresses.len() == 2).then(|| addresses[1].clone())
        });
        Self { upstream, _server: server, gateway, trusted, plain }
    }

    /// Versions of HTTP in the log lines of requests for this path, once there are `count` of them.
    fn versions(&self, path: &str, count: usize) -> Vec<String> {
        until("the log lines", || {
            let log = self.gateway.file("access.log");
            let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let versions: Vec<String> = lines
                .filter(|line| line["path"] == path)
                .map(|line| line["http_version"].as_str().unwrap().to_owned())
                .collect();
            (versions.len() >= count).then_some(versions)
        })
    }
}

/// `127.0.0.1:PORT` of a log line that says where the proxy listens.
fn listening(line: &str) -> Option<String> {
    let (_, after) = line.split_once("proxy listening on ")?;
    Some(after.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect())
}

#[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Runs it for as long as a test may wait; what it says on standard output.
fn said_by(command: &mut Command, scratch: &Path) -> String {
    let output: PathBuf = scratch.join("output");
    let mut process = command
        .stdin(Stdio::null())
        .stdout(File::create(&output).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let began = Instant::now();
    let status = loop {
        match process.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if began.elapsed() > DEADLINE * 2 => {
                process.kill().unwrap();
                process.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = fs::read_to_string(&output).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{command:?} ended by {status:?}: {said}");
    said
}

// Each way to HTTP/2, bodies both ways, and what the gateway itself says.
#[test]
fn curl() {
    let stage = Stage::start();
    stage.trusted.write("large", &"x".repeat(300_000));
    let large = format!("@{}", stage.trusted.path().join("large").display());
    stage.upstream.on("/large", Reply::bytes("text/plain", vec![b'y'; 3 << 20]));
    let ca = stage.trusted.path().join("ca.pem").display().to_string();
    let tls = |path: &str| {
        let url = format!("https://a.example{path}");
        Curl::new(stage.gateway.addr(), &url).arg("--http2").arg("--cacert").arg(&ca)
    };
    let plain = |path: &str| Curl::new(stage.plain.parse().unwrap(), &format!("http://a.example{path}")).http2();
    for (round, way) in ["tls", "prior knowledge"].into_iter().enumerate() {
        let ask = |path: &str| if way == "tls" { tls(path) } else { plain(path) };
        let ask = |path: &str| ask(path).header("Authorization", "Bearer t");
        let upload = ask("/up").arg("--data-binary").arg(&large).run().unwrap();
        assert_eq!((upload.status, &upload.json()["body_length"]), (200, &json!(300_000)), "{way}");
        assert_eq!(ask("/large").run().unwrap().body.len(), 3 << 20, "{way}");
        let head = ask("/large").arg("--head").run().unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0), "{way}");
        let refused = ask("/up").header("Authorization", "Bearer bad").run().unwrap();
        assert_eq!(refused.status, 400, "two tokens are one too many, {way}");
        let versions = stage.versions("/up", 2 * (round + 1));
        assert!(versions.iter().all(|version| version == "2"), "{way}: {versions:?}");
    }
}

// Many requests at once on each of a few connections, none of which fails.
#[test]
fn h2load() {
    if !is_installed("h2load") {
        return;
    }
    let stage = Stage::start();
    stage.upstream.on("/hello", Reply::bytes("text/plain", b"hello".to_vec()));
    for to in [format!("https://{}/hello", stage.gateway.addr()), format!("http://{}/hello", stage.plain)] {
        let mut h2load = Command::new("h2load");
        h2load.args(["-n", "1000", "-c", "4", "-m", "25", "-H", "Authorization: Bearer t", &to]);
        let said = said_by(&mut h2load, stage.trusted.path());
        for wanted in ["1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout", "status codes: 1000 2xx"] {
            assert!(said.contains(wanted), "{to}: {said}");
        }
        assert!(!said.contains("http/1.1"), "{said}");
    }
    assert!(stage.upstream.connections() < 2000 / 10, "connections to the upstream are used again");
}

// A browser loads a page, whose script asks with a token and without one.
#[test]
fn chromium() {
    if !is_installed("chromium") {
        return;
    }
    let stage = Stage::start();
    let page = "<!DOCTYPE html><title>page</title><pre id=said></pre><script>
        const ask = (method, path, token, body) => {
            const request = new XMLHttpRequest();
            request.open(method, path, false);
            if (token) request.setRequestHeader('Authorization', 'Bearer ' + token);
            request.send(body);
            document.getElementById('said').textContent += path + ' ' + request.status + '; ';
            return request.responseText;
        };
        ask('GET', '/api/a', 't');
        ask('GET', '/api/b', 'bad');
        ask('GET', '/api/c');
        const seen = JSON.parse(ask('POST', '/api/d', 't', 'x'.repeat(70000)));
        document.getElementById('said').textContent += seen.body_length + ' bytes';
        </script>";
    stage.upstream.on("/open/page", Reply::bytes("text/html", page));
    let profile = stage.trusted.path().join("profile");
    let mut chromium = Command::new("chromium");
    chromium
        .args(["--headless", "--no-sandbox", "--ignore-certificate-errors", "--disable-gpu", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-dev-shm-usage", "--no-proxy-server", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("https://{}/open/page", stage.gateway.addr()));
    let dom = said_by(&mut chromium, stage.trusted.path());
    assert!(dom.contains("/api/a 200; /api/b 401; /api/c 401; /api/d 200; 70000 bytes"), "{dom}");
    for path in ["/open/page", "/api/a", "/api/b", "/api/c", "/api/d"] {
        assert_eq!(stage.versions(path, 1), ["2"], "{path}");
    }
    let seen = stage.upstream.requests();
    let page = seen.iter().find(|request| request.header("user-agent").is_some_and(|agent| agent.contains("Chrom")));
    assert!(page.is_some_and(|page| page.header("via").unwrap().starts_with("2 portcullis/")), "{seen:?}");
}
