//! TLS and HTTP/2 on the proxy listener, as curl sees them, with certificates in files.

use portcullis_testkit::{AuthServer, Certificates, Curl, Gateway, GatewayBuilder, Reply, Scratch, Upstream, until};
use serde_json::json;
use std::process::Command;

use crate::stage::{BINARY, guarded};

const SETTINGS: &str = "\
tls:
  certificates:
  - {cert: a.pem, key: a.key}
  - {cert: b.pem, key: b.key}
";

struct Names {
    a: Certificates,
    b: Certificates,
    /// Where curl finds whom to trust.
    trusted: Scratch,
}

impl Names {
    fn new() -> Self {
        let trusted = Scratch::new();
        let (a, b) = (Certificates::for_names(&["a.example"]), Certificates::for_names(&["*.b.example"]));
        trusted.write("a.pem", &a.authority_pem);
        trusted.write("b.pem", &b.authority_pem);
        Self { a, b, trusted }
    }

    fn builder(&self, upstream: &Upstream, server: &AuthServer) -> GatewayBuilder {
        Gateway::builder(BINARY, &guarded(upstream, server, json!({}), json!([])))
            .listen("127.0.0.1:0 ssl")
            .settings(SETTINGS)
            .file("a.pem", &self.a.leaf_pem)
            .file("a.key", &self.a.key_pem)
            .file("b.pem", &self.b.leaf_pem)
            .file("b.key", &self.b.key_pem)
    }

    /// Asks for a name and trusts one authority alone.
    fn ask(&self, gateway: &Gateway, name: &str, authority: &str) -> Curl {
        let file = self.trusted.path().join(authority);
        let curl = Curl::new(gateway.addr(), &format!("https://{name}/x")).header("Authorization", "Bearer t");
        curl.arg("--cacert").arg(&file.display().to_string())
    }
}

fn stage() -> (Names, Upstream, AuthServer) {
    let server = AuthServer::start();
    server.otherwise(Reply::active(json!({"username": "alice"})));
    (Names::new(), Upstream::start(), server)
}

#[test]
fn certificates_are_found_by_the_names_in_them() {
    let (names, upstream, server) = stage();
    let gateway = names.builder(&upstream, &server).arg("--access-log").arg("access.log").start();
    for (name, authority, fine) in [
        ("a.example", "a.pem", true),
        ("x.b.example", "b.pem", true),
        ("a.example", "b.pem", false),
        // The first is shown for names that none is for, and is none of theirs.
        ("c.example", "a.pem", false),
    ] {
        let answer = names.ask(&gateway, name, authority).run();
        assert_eq!(answer.map(|answer| answer.status).ok(), fine.then_some(200), "{name} {authority}");
    }
    until("the refusals", || {
        let refused = gateway.metric("portcullis_tls_handshake_failures_total", "reason=\"refused\"");
        (refused >= 1.0).then_some(())
    });
    // By ALPN, unless the client wants HTTP/1; over TLS 1.2 too.
    for (arg, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--tls-max", "2")] {
        let curl = names.ask(&gateway, "a.example", "a.pem").arg(arg);
        let curl = if arg == "--tls-max" { curl.arg("1.2") } else { curl };
        assert_eq!(curl.run().unwrap().status, 200, "{arg}");
        let seen = upstream.requests().pop().unwrap();
        assert!(seen.header("via").unwrap().starts_with(&format!("{version} portcullis/")), "{arg}: {seen:?}");
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"), "{arg}");
        let wanted = format!("\"http_version\":\"{version}\"");
        until(arg, || gateway.file("access.log").lines().last()?.contains(&wanted).then_some(()));
    }
}

#[test]
fn changed_files_are_shown_to_new_connections() {
    let (names, upstream, server) = stage();
    let gateway = names.builder(&upstream, &server).start();
    assert!(names.ask(&gateway, "a.example", "a.pem").run().is_ok());
    // A file alone that does not fit its pair: those of before stay.
    let new = Certificates::for_names(&["a.example"]);
    names.trusted.write("new.pem", &new.authority_pem);
    gateway.write("a.pem", &new.leaf_pem);
    until("the refusal", || {
        gateway.output().contains("tls.certificates[0].key: a.key: the key is not the certificate's").then_some(())
    });
    assert!(names.ask(&gateway, "a.example", "a.pem").run().is_ok());
    gateway.write("a.key", &new.key_pem);
    until("the new certificate", || names.ask(&gateway, "a.example", "new.pem").run().ok());
    assert!(names.ask(&gateway, "a.example", "a.pem").run().is_err());
    assert!(names.ask(&gateway, "x.b.example", "b.pem").run().is_ok());
    // Asked by signal it says again what is still wrong.
    gateway.write("b.key", "nothing");
    let said = || gateway.output().matches("certificates[1].key: b.key: no private key in it").count();
    until("the refusal", || (said() == 1).then_some(()));
    gateway.signal("HUP");
    until("another", || (said() == 1).then_some(()));
    assert!(names.ask(&gateway, "x.b.example", "b.pem").run().is_ok());
    assert_eq!(gateway.revision(), 1);
}

#[test]
fn what_is_wrong_with_a_file_ends_the_start() {
    let (names, upstream, server) = stage();
    let folder = Scratch::new();
    folder.write("kong.yaml", &guarded(&upstream, &server, json!({}), json!([])));
    folder.write("portcullis.yaml", SETTINGS);
    folder.write("a.pem", &names.a.leaf_pem);
    folder.write("a.key", &names.b.key_pem);
    let args = ["serve", "--declarative", "kong.yaml", "--settings", "portcullis.yaml", "--proxy-listen"];
    let run = || {
        Gateway::run(
            BINARY,
            &[&args[..], &["127.0.0.1:0 ssl", "--status-listen", "127.0.0.1:0"]].concat(),
            folder.path(),
        )
    };
    let ended = run();
    assert_eq!(ended.status.code(), Some(1));
    for wanted in ["b.pem: it cannot be read: there is no such file", "certificates[1].key: b.key: it cannot be read"] {
        assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
    }
    folder.write("b.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder.write("b.key", &names.b.key_pem);
    let ended = run();
    assert_eq!(ended.status.code(), Some(1));
    for wanted in ["tls.certificates[0].key: a.key: the key is not", "tls.certificates[1].cert: b.pem: the certificate"]
    {
        assert!(ended.stderr.contains(wanted), "{}", ended.stderr);
    }
}

// I-68: asked for, taken from whoever holds the key.
#[test]
fn client_certificates_are_asked_for_by_setting() {
    let (names, upstream, server) = stage();
    let client = Certificates::for_names(&["client.example"]);
    names.trusted.write("client.pem", &client.leaf_pem);
    names.trusted.write("client.key", &client.key_pem);
    let path = |name: &str| names.trusted.path().join(name).display().to_string();
    for (word, asked) in [("ask", true), ("auto", false), ("never", false)] {
        let settings = format!("{SETTINGS}  client_certificates: {word}\n");
        let gateway = names.builder(&upstream, &server).settings(&settings).start();
        assert_eq!(names.ask(&gateway, "a.example", "a.pem").run().unwrap().status, 200);
        let curl = names.ask(&gateway, "a.example", "a.pem");
        let curl = curl.arg("--cert").arg(&path("client.pem")).arg("--key").arg(&path("client.key"));
        assert_eq!(curl.run().unwrap().status, 200, "{word}");
        if let Ok(seen) = Command::new("openssl")
            .args(["s_client", "-connect", &gateway.addr().to_string(), "-servername", "a.example", "-brief"])
            .stdin(std::process::Stdio::null())
            .output()
        {
            let said = String::from_utf8_lossy(&seen.stderr).into_owned();
            assert_eq!(said.contains("Requested Signature Algorithms"), asked, "{word}: {said}");
        }
    }
}
