//! `cargo xtask h2spec`: the conformance suite of HTTP/2, against the built gateway, in clear and over TLS.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::program::{command, output, root, run};
use crate::{Failure, install};

/// The answer of what stands behind the gateway: a body with which a window can be tested.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nConnection: close\r\n\r\nforty bytes with which a window is teste";

/// How long it waits for more before it answers. Cases that break rules on an open stream must come before the answer
/// has closed it.
const SILENCE: Duration = Duration::from_millis(50);

/// Cannot pass where a listener takes HTTP/1 too: what is no preface is a request of HTTP/1, and a broken one gets
/// that protocol's 400 before the connection is closed. The case takes any byte for a fault.
const NOT_WITH_HTTP1: &str = "Sends invalid connection preface";

/// How long the gateway may take to listen.
const START: Duration = Duration::from_secs(60);

/// What the two runs found.
pub(crate) struct Found {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// Runs it and fails on any failed case.
pub(crate) fn recipe() -> Result<(), Failure> {
    match measure()? {
        Found { failed: 0, .. } => Ok(()),
        Found { failed, .. } => Err(format!("{failed} cases failed").into()),
    }
}

/// Runs the suite on both listeners.
pub(crate) fn measure() -> Result<Found, Failure> {
    let h2spec = install::h2spec()?;
    run(&mut command("cargo", &["build", "--quiet", "--package", "portcullis"]))?;
    let folder = std::env::temp_dir().join(format!("portcullis-h2spec-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let found = measure_in(&folder, &h2spec);
    fs::remove_dir_all(&folder)?;
    found
}

fn measure_in(folder: &Path, h2spec: &Path) -> Result<Found, Failure> {
    let configuration = format!(
        "_format_version: '3.0'\nservices:\n- name: all\n  url: http://{}\n  routes:\n  - paths: [/]\n",
        upstream()?
    );
    fs::write(folder.join("kong.yaml"), configuration)?;
    fs::write(folder.join("portcullis.yaml"), "tls: {certificates: [{cert: a.pem, key: a.key}]}\n")?;
    install::program("openssl", &["openssl"])?;
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"];
    let mut certificate = command("openssl", &["req", "-x509", "-newkey", "rsa:2048", "-nodes"]);
    certificate.args(subject).args(["-keyout", "a.key", "-out", "a.pem"]).current_dir(folder);
    output(certificate.stderr(Stdio::null()))?;
    let gateway = Gateway::start(folder)?;
    let mut found = Found { passed: 0, failed: 0, skipped: 0 };
    for (port, more) in gateway.ports.iter().zip([&[][..], &["-t", "-k"]]) {
        let mut suite = command(&h2spec.display().to_string(), &["-h", "127.0.0.1", "-p", port]);
        let said = suite.args(more).stderr(Stdio::inherit()).output()?;
        let said = String::from_utf8(said.stdout)?;
        println!("{said}");
        let mut summary = said.lines().rev().find_map(read_summary).ok_or("h2spec has not said how many passed")?;
        let failures = said.rsplit("Failures:").next().unwrap_or_default();
        if more.is_empty() && failures.lines().any(|line| line.contains('×') && line.contains(NOT_WITH_HTTP1)) {
            println!("skipped: \"{NOT_WITH_HTTP1}\", since this listener takes HTTP/1 too\n");
            summary = Found { failed: summary.failed - 1, skipped: summary.skipped + 1, ..summary };
        }
        found.passed += summary.passed;
        found.failed += summary.failed;
        found.skipped += summary.skipped;
    }
    Ok(found)
}

/// A server that answers everything, for as long as this process lives.
fn upstream() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || answer(connection));
        }
    });
    Ok(address)
}

fn answer(mut connection: TcpStream) -> io::Result<()> {
    connection.set_read_timeout(Some(SILENCE))?;
    let mut bytes = [0; 4096];
    let mut asked = false;
    // The end of the client's bytes, or a while without any.
    while connection.read(&mut bytes).is_ok_and(|read| read > 0) {
        asked = true;
    }
    if asked { connection.write_all(ANSWER) } else { Ok(()) }
}

/// Reads `146 tests, 145 passed, 1 skipped, 0 failed`.
fn read_summary(line: &str) -> Option<Found> {
    let mut parts = line.trim().split(", ");
    parts.next()?.strip_suffix(" tests")?;
    let mut number = |what: &str| parts.next()?.strip_suffix(what)?.trim().parse().ok();
    Some(Found { passed: number("passed")?, skipped: number("skipped")?, failed: number("failed")? })
}

/// The gateway with a plain listener and one of TLS; ended when dropped.
struct Gateway {
    process: Child,
    ports: Vec<String>,
}

impl Gateway {
    fn start(folder: &Path) -> Result<Self, Failure> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let mut serve = command(&target.join("debug/portcullis").display().to_string(), &["serve"]);
        serve.args(["--declarative", "kong.yaml", "--settings", "portcullis.yaml", "--status-listen", "127.0.0.1:0"]);
        serve.args(["--proxy-listen", "127.0.0.1:0 http2, 127.0.0.1:0 ssl"]).current_dir(folder);
        let process = serve.env("PORTCULLIS_LOG_FORMAT", "human").stderr(Stdio::piped()).spawn()?;
        let mut gateway = Self { process, ports: Vec::new() };
        let log = gateway.process.stderr.take().ok_or("no log")?;
        let (send, lines) = mpsc::channel();
        // To its end, also when nobody listens any more: a gateway that cannot log has other trouble.
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });

        while gateway.ports.len() < 2 {
            let line = lines.recv_timeout(START).map_err(|_| "the gateway does not listen")?;
            if let Some((_, address)) = line.split_once("proxy listening on 127.0.0.1:") {
                gateway.ports.push(address.chars().take_while(char::is_ascii_digit).collect());
            }
        }
        Ok(gateway)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::read_summary;

    #[test]
    fn the_last_line_is_read() {
        let found = read_summary("146 tests, 145 passed, 1 skipped, 0 failed").unwrap();
        assert_eq!((found.passed, found.skipped, found.failed), (145, 1, 0));
        assert!(read_summary("Finished in 1.5 seconds").is_none());
    }
}
