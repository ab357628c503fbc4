//! The proxies that are measured, and the upstream behind them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use crate::Failure;
use crate::bench::process::Process;
use crate::bench::scratch::Scratch;

/// The proxies' core. Load and upstream share the other one.
const PROXY_CORE: usize = 0;
pub(super) const LOAD_CORE: usize = 1;

/// A proxy that runs.
pub(super) struct Contestant {
    pub(super) process: Process,
    pub(super) addr: SocketAddr,
}

/// The members give the eight identity headers of the measurement.
pub(super) const ANSWER: &str = r#"{"active":true,"scope":"read write","client_id":"bench-client","token_type":"Bearer","exp":4102444800,"sub":"0f8c9a52-6b1d-4b0e","aud":"https://api.example","iss":"https://as.example","jti":"7d1f5c0e9ab34d2c"}"#;

/// The cheapest upstream there is, and beside it, on `/introspect`, the authorization server of the one cold call.
pub(super) fn upstream(scratch: &Scratch) -> Result<Contestant, Failure> {
    let addr = free()?;
    let places = format!(
        "location / {{ return 200 'hello'; }}
         location = /introspect {{ default_type application/json; return 200 '{ANSWER}'; }}"
    );
    nginx(scratch, "upstream", LOAD_CORE, addr, "access_log off;", "", &places)
}

/// nginx as a plain proxy that checks nothing, in one process, as lean as its manual says.
pub(super) fn plain_nginx(scratch: &Scratch, upstream: SocketAddr, access_log: bool) -> Result<Contestant, Failure> {
    let log = if access_log {
        // Buffered, as ours is.
        format!("access_log {}/nginx-access.log combined buffer=64k flush=1s;", scratch.path().display())
    } else {
        "access_log off;".to_owned()
    };
    let before = format!("upstream up {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}");
    let places = "location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; }";
    nginx(scratch, "nginx", PROXY_CORE, free()?, &log, &before, places)
}

/// How a Portcullis is set up.
pub(super) struct Setup<'a> {
    pub(super) upstream: SocketAddr,
    /// Who answers `/introspect`.
    pub(super) authorization_server: SocketAddr,
    pub(super) access_log: bool,
    /// Content of its settings file.
    pub(super) settings: &'a str,
    /// What it runs under, program and arguments; empty: nothing.
    pub(super) under: &'a [String],
}

impl Setup<'_> {
    pub(super) fn new(upstream: SocketAddr, authorization_server: SocketAddr) -> Self {
        Self { upstream, authorization_server, access_log: false, settings: "", under: &[] }
    }
}

/// Portcullis with one worker, metrics on, one guarded route.
pub(super) fn portcullis(scratch: &Scratch, binary: &Path, setup: &Setup<'_>) -> Result<Contestant, Failure> {
    let (proxy, status) = (free()?, free()?);
    let file = format!(
        r#"_format_version: "3.0"
services:
- name: upstream
  url: http://{upstream}
  routes:
  - name: all
    paths: [/]
  plugins:
  - name: oauth2-introspection
    config:
      introspection_url: http://{server}/introspect
      authorization_value: Basic YmVuY2g6YmVuY2g=
      ttl: 86400
"#,
        upstream = setup.upstream,
        server = setup.authorization_server,
    );
    // Each in a folder of its own: a gateway sees changes in the folder of its file.
    let port = proxy.port();
    let file = scratch.write(&format!("{port}/kong.yaml"), &file)?.display().to_string();
    let settings = scratch.write(&format!("{port}/portcullis.yaml"), setup.settings)?.display().to_string();
    let log =
        if setup.access_log { format!("{}/{port}/access.log", scratch.path().display()) } else { "off".to_owned() };
    let (proxy_text, status_text, binary) = (proxy.to_string(), status.to_string(), binary.display().to_string());
    let under: Vec<&str> = setup.under.iter().map(String::as_str).chain([binary.as_str()]).collect();
    let listen = ["--proxy-listen", &proxy_text, "--status-listen", &status_text, "--workers", "1"];
    let files = ["serve", "--declarative", &file, "--settings", &settings, "--access-log", &log];
    let args = [&under[1..], &files, &listen].concat();
    let process = Process::start("portcullis", PROXY_CORE, under[0], &args, proxy)?;
    Ok(Contestant { process, addr: proxy })
}

fn nginx(
    scratch: &Scratch,
    name: &'static str,
    core: usize,
    addr: SocketAddr,
    log: &str,
    before: &str,
    places: &str,
) -> Result<Contestant, Failure> {
    let folder = scratch.path().display();
    // One process without a master, so that its id is the one that was started.
    let text = format!(
        "daemon off; master_process off; pid {folder}/{name}.pid; error_log {folder}/{name}.log warn;
         events {{ worker_connections 12000; }}
         http {{
           client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
           fastcgi_temp_path {folder}/{name}-fastcgi; uwsgi_temp_path {folder}/{name}-uwsgi;
           scgi_temp_path {folder}/{name}-scgi;
           {log} tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;
           {before}
           server {{ listen {addr} backlog=4096; {places} }}
         }}"
    );
    let file = scratch.write(&format!("{name}.conf"), &text)?.display().to_string();
    let log = format!("{folder}/{name}.log");
    let process = Process::start(name, core, "nginx", &["-c", &file, "-e", &log], addr)?;
    Ok(Contestant { process, addr })
}

/// A port that is free now.
fn free() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
