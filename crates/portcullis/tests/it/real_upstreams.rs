//! Upstreams that nobody wrote for this gateway: nginx over TLS, and Node's own server and WebSocket client.
//!
//! Where a program is not installed, its tests say so and prove nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use portcullis_testkit::{AuthServer, Certificates, DEADLINE, Gateway, Reply, Scratch, until};
use serde_json::{Value, json};

use crate::stage::{BINARY, declarative, plugin};

const CA: &str = "8f2b1c3a-0d5e-4c7b-9a61-1f0e2d3c4b5a";
const CLIENT: &str = "3c9d7e10-5b2f-4a86-8c41-7a6b5c4d3e2f";

/// A program that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    #[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// An nginx over TLS that wants to see a certificate, and says what it saw.
fn nginx(scratch: &Scratch, server: &Certificates, client: &Certificates) -> (Running, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    scratch.write("server.pem", &server.leaf_pem);
    scratch.write("server.key", &server.key_pem);
    scratch.write("clients.pem", &client.authority_pem);
    let folder = scratch.path().display();
    scratch.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
             access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;\n\
             uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
             gzip on; gzip_min_length 1; gzip_types text/plain; gzip_proxied any; default_type text/plain;\n\
             server {{\n\
             listen {address} ssl; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;\n\
             ssl_client_certificate {folder}/clients.pem; ssl_verify_client on; ssl_protocols TLSv1.2 TLSv1.3;\n\
             location / {{ return 200 '$ssl_client_verify $ssl_client_s_dn $connection_requests $ssl_protocol'; }}\n\
             }} }}\n"
        ),
    );
    let conf = scratch.path().join("nginx.conf");
    let process = Running(spawn(Command::new("nginx").arg("-c").arg(conf).arg("-p").arg(scratch.path())));
    until("nginx", || TcpStream::connect(address).ok());
    (process, address)
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// A file with one service at nginx, whose TLS settings are `more`, and the entities that they may name.
fn over_tls(address: SocketAddr, server: &Certificates, client: &Certificates, more: Value) -> String {
    let mut service = json!({
        "name": "nginx", "url": format!("https://{address}"), "routes": [{"name": "all", "paths": ["/"]}],
    });
    service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut file: Value = serde_json::from_str(&declarative(json!([service]), json!([]))).unwrap();
    file["ca_certificates"] = json!([{"id": CA, "cert": server.authority_pem}]);
    file["certificates"] = json!([{"id": CLIENT, "cert": client.leaf_pem, "key": client.key_pem}]);
    file.to_string()
}

// S-50; kong.md 3.1: client certificate, own CA and verification of a service, against OpenSSL's side of it.
#[test]
fn nginx_over_tls() {
    if !is_installed("nginx") {
        return;
    }
    let (server, client) = (Certificates::new(), Certificates::for_names(&["gateway"]));
    let scratch = Scratch::new();
    let (_nginx, address) = nginx(&scratch, &server, &client);
    let file = |more| over_tls(address, &server, &client, more);
    let full = json!({"ca_certificates": [CA], "client_certificate": {"id": CLIENT}, "tls_verify": true, "tls_verify_depth": 1});
    let gateway = Gateway::builder(BINARY, &file(full)).start();
    let mut wire = gateway.client();
    for request in 1..=5 {
        // The connection is kept, and what nginx compresses passes as it is.
        let plain = wire.get("/", &[]).text();
        assert!(plain.starts_with("SUCCESS CN=gateway"), "{plain}");
        assert!(plain.contains(&format!(" {} TLSv1.3", 2 * request - 1)), "{plain}");
        let packed = wire.get("/", &[("Accept-Encoding", "gzip")]);
        assert_eq!((packed.header("content-encoding"), packed.body.get(..2)), (Some("gzip"), Some(&[0x1f, 0x8b][..])));
    }
    for (name, more, status) in [
        ("no certificate shown", json!({"ca_certificates": [CA]}), 400),
        ("the bundled roots", json!({"client_certificate": {"id": CLIENT}}), 502),
        ("not verified", json!({"client_certificate": {"id": CLIENT}, "tls_verify": false}), 200),
    ] {
        gateway.reload(&file(more));
        assert_eq!(gateway.get("/", &[]).status, status, "{name}");
    }
    let output = gateway.output();
    assert!(output.contains("UnknownIssuer"), "the log says what is wrong with the certificate: {output}");
    assert!(output.contains("tls_verify is false") && output.contains("nginx"), "{output}");
    assert!(!output.contains("PRIVATE KEY"));
}

/// Node's server behind the gateway, guarded; the token `t` is good for `sub`.
struct Node {
    _server: AuthServer,
    _process: Running,
    gateway: Gateway,
}

impl Node {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real-upstreams/server.mjs");
        let mut process = spawn(Command::new("node").arg(script));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = format!("http://{}", line.trim().strip_prefix("listening on ").expect("it listens"));
        let server = AuthServer::start();
        server.on("t", Reply::active(json!({"sub": "alice"})));
        let service = json!({
            "name": "node", "url": url, "plugins": [plugin(&server.url(), json!({}))],
            "routes": [{"name": "all", "paths": ["/"]}],
        });
        let gateway = Gateway::builder(BINARY, &declarative(json!([service]), json!([]))).start();
        Self { _server: server, _process: Running(process), gateway }
    }
}

// S-42: a real client's handshake, checked by a real client, with the token in the query as browsers must send it.
#[test]
fn websocket_between_two_nodes() {
    if !is_installed("node") {
        return;
    }
    let node = Node::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real-upstreams/client.mjs");
    let talk = |token: &str| {
        let url = format!("ws://{}/chat?access_token={token}", node.gateway.addr());
        let talk = Command::new("node").args(["--experimental-websocket", script, &url]).output().unwrap();
        String::from_utf8(talk.stdout).unwrap()
    };
    let heard = talk("t");
    assert_eq!(heard, "sub alice\necho word 1\necho word 2\necho word 3\nclosed 1000 true\n");
    assert!(talk("bad").contains("error"));
    until("the tunnel is counted", || {
        (node.gateway.metric("portcullis_requests_total", "status=\"101\"") > 0.0).then_some(())
    });
}

// An event reaches the client while the answer goes on, and the server hears of a client that leaves.
#[test]
fn events_of_node() {
    if !is_installed("node") {
        return;
    }
    let node = Node::start();
    let mut events = TcpStream::connect(node.gateway.addr()).unwrap();
    events.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(events, "GET /events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\n\r\n").unwrap();
    let mut heard = Vec::new();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        while !String::from_utf8_lossy(&heard).contains(event) {
            let mut byte = [0];
            events.read_exact(&mut byte).expect("the event comes at once");
            heard.push(byte[0]);
        }
        assert_eq!(node.gateway.get_as("t", "/next").status, 200);
    }
    drop(events);
    until("node hears of it", || (node.gateway.get_as("t", "/left").text() == "1").then_some(()));
}

// Chunks both ways, and the trailers that Node sends behind them.
#[test]
fn chunks_and_trailers_of_node() {
    if !is_installed("node") {
        return;
    }
    let node = Node::start();
    let mut wire = TcpStream::connect(node.gateway.addr()).unwrap();
    wire.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(
        wire,
        "POST /echo HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer t\r\nTE: trailers\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    wire.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("x-length: 11"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("set-cookie"), "{answer}");
    // Over one connection to Node per worker, however many requests.
    let mut client = node.gateway.client();
    let told: Vec<u64> = (0..10)
        .map(|_| client.get("/", &[("Authorization", "Bearer t")]).json()["connections"].as_u64().unwrap())
        .collect();
    assert_eq!(told.first(), told.last(), "{told:?}");
}
