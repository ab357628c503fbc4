//! The proxies that ours is measured beside, and the upstream behind them. Ours stands in `gateway.rs`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::Failure;
use crate::bench::process::Process;
use crate::bench::scratch::Scratch;

/// The proxies' core. Load and upstream share the other one.
pub(super) const PROXY_CORE: &str = "0";
pub(super) const LOAD_CORE: &str = "1";

/// A proxy that runs.
pub(super) struct Contestant {
    pub(super) process: Process,
    pub(super) addr: SocketAddr,
}

/// The members give the eight identity headers of the measurement.
pub(super) const ANSWER: &str = r#"{"active":true,"scope":"read write","client_id":"bench-client","token_type":"Bearer","exp":4102444800,"sub":"0f8c9a52-6b1d-4b0e","aud":"https://api.example","iss":"https://as.example","jti":"7d1f5c0e9ab34d2c"}"#;

/// The cheapest upstream there is, and beside it, on `/introspect`, the authorization server of the one cold call.
pub(super) fn upstream(scratch: &Scratch) -> Result<Contestant, Failure> {
    upstream_on(scratch, LOAD_CORE)
}

pub(super) fn upstream_on(scratch: &Scratch, cores: &str) -> Result<Contestant, Failure> {
    let places = format!(
        "location / {{ return 200 'hello'; }}
         location = /introspect {{ default_type application/json; return 200 '{ANSWER}'; }}"
    );
    start_nginx(scratch, "upstream", &Nginx { cores, ..Nginx::default() }, "", &places)
}

/// nginx as a plain proxy that checks nothing, in one process, as lean as its manual says.
pub(super) fn plain_nginx(scratch: &Scratch, upstream: SocketAddr, access_log: bool) -> Result<Contestant, Failure> {
    let log = if access_log {
        // Buffered, as ours is.
        format!("access_log {}/nginx-access.log combined buffer=64k flush=1s;", scratch.path().display())
    } else {
        "access_log off;".to_owned()
    };
    proxying_nginx(scratch, upstream, &Nginx { log: &log, ..Nginx::default() })
}

/// How an nginx that proxies differs from the plain one.
pub(super) struct Nginx<'a> {
    pub(super) cores: &'a str,
    pub(super) log: &'a str,
    /// Words behind the listener's address.
    pub(super) listener: &'a str,
    /// Directives of its server.
    pub(super) more: &'a str,
    /// Another one's address, to share it by `reuseport`.
    pub(super) addr: Option<SocketAddr>,
}

impl Default for Nginx<'_> {
    fn default() -> Self {
        Self { cores: PROXY_CORE, log: "access_log off;", listener: "", more: "", addr: None }
    }
}

pub(super) fn proxying_nginx(
    scratch: &Scratch,
    upstream: SocketAddr,
    nginx: &Nginx<'_>,
) -> Result<Contestant, Failure> {
    let before = format!("upstream up {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}");
    let places = format!(
        "{} location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; }}",
        nginx.more
    );
    start_nginx(scratch, "nginx", nginx, &before, &places)
}

fn start_nginx(
    scratch: &Scratch,
    name: &'static str,
    nginx: &Nginx<'_>,
    before: &str,
    places: &str,
) -> Result<Contestant, Failure> {
    let addr = nginx.addr.map_or_else(free, Ok)?;
    // Files of its own: several may run at once.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let folder = scratch.folder(&format!("{name}-{}", NEXT.fetch_add(1, Relaxed)))?.display().to_string();
    let Nginx { cores, log, listener, .. } = nginx;
    // One process without a master, so that its id is the one that was started.
    let text = format!(
        "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
         events {{ worker_connections 12000; }}
         http {{
           client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
           fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
           {log} tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;
           {before}
           server {{ listen {addr} backlog=4096 {listener}; {places} }}
         }}"
    );
    let (file, log) = (format!("{folder}/nginx.conf"), format!("{folder}/error.log"));
    std::fs::write(&file, text)?;
    let process = Process::start(name, cores, "nginx", &["-c", &file, "-e", &log], addr)?;
    Ok(Contestant { process, addr })
}

/// haproxy as a plain proxy that checks nothing, one thread.
pub(super) fn plain_haproxy(scratch: &Scratch, upstream: SocketAddr) -> Result<Contestant, Failure> {
    let addr = free()?;
    // It reckons with two files for each connection, of which idle ones need one.
    let text = format!(
        "global\n nbthread 1\n maxconn 11000\n no strict-limits\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 600s\n timeout server 60s\n http-reuse always\n\
         frontend in\n bind {addr} backlog 4096\n default_backend up\n\
         backend up\n server up {upstream}\n"
    );
    let file = scratch.write(&format!("haproxy-{}/haproxy.cfg", addr.port()), &text)?.display().to_string();
    let process = Process::start("haproxy", PROXY_CORE, "haproxy", &["-db", "-q", "-f", &file], addr)?;
    Ok(Contestant { process, addr })
}

/// A port that is free now.
pub(crate) fn free() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
