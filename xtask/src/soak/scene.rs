//! The gateway, its neighbours, and its file.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::bench::certificate::Certificate;
use crate::bench::scratch::Scratch;
use crate::soak::faults::Faults;
use crate::soak::names::{ADDRESSES, NAME, NameServer};
use crate::soak::part::Running;
use crate::soak::random::Random;
use crate::soak::servers::{HEALTH, MODE, Mode, Role};

/// So that memory reaches its height early, and connections at rest are gone when descriptors are counted.
const SETTINGS: &str = "introspection:\n  cache:\n    bytes: 8388608\nlimits:\n  upstream_idle: 5\n";
/// Below the ports that systems hand out: while a neighbour is down, nobody else must get its port, least of all a
/// connection to that very port.
const PORTS: std::ops::Range<u64> = 20_000..32_000;

const READY_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Scene {
    pub(super) gateway: Running,
    pub(super) proxy: SocketAddr,
    pub(super) secure: SocketAddr,
    pub(super) certificate: Certificate,
    status: SocketAddr,
    pub(super) authorization_server: Neighbour,
    pub(super) upstream: Neighbour,
    /// Of an upstream entity.
    pub(super) targets: Vec<Neighbour>,
    /// Where the name may lead: the same port at several addresses.
    pub(super) named: Vec<Neighbour>,
    pub(super) names: NameServer,
    declared: Declared,
    file: PathBuf,
    admitted: PathBuf,
    pub(super) faults: Faults,
    // Last, since the others write into it until they end.
    _scratch: Scratch,
}

pub(super) struct Neighbour {
    pub(super) running: Mutex<Running>,
    addr: SocketAddr,
}

impl Scene {
    pub(super) fn start(binary: &Path, seed: u64) -> Result<Self, Failure> {
        let scratch = Scratch::new()?;
        let folder = scratch.path().to_owned();
        // The process decides with the seed: another soak may run beside.
        let mut ports = Random::new(seed, u64::from(std::process::id()));
        let (proxy, secure, status) = (port(&mut ports)?, port(&mut ports)?, port(&mut ports)?);
        let certificate = Certificate::new(&scratch)?;
        let names = NameServer::start()?;
        let admitted = folder.join("admitted");
        let me = std::env::current_exe()?;
        let neighbour = |role: Role, addr: SocketAddr| -> Result<Neighbour, Failure> {
            let name = if role == Role::Upstream { "upstream" } else { "authorization-server" };
            let listen = addr.to_string();
            let words = ["soak-part", name, "--listen", &listen, "--admitted", &admitted.display().to_string()];
            let args = words.map(str::to_owned).to_vec();
            let running = Running::start(&me, args, addr, folder.join(format!("{name}-{addr}.log")))?;
            Ok(Neighbour { running: Mutex::new(running), addr })
        };
        let authorization_server = neighbour(Role::AuthorizationServer, port(&mut ports)?)?;
        let upstream = neighbour(Role::Upstream, port(&mut ports)?)?;
        let target = |_| neighbour(Role::Upstream, port(&mut ports)?);
        let targets: Vec<Neighbour> = (0..3).map(target).collect::<Result<_, _>>()?;
        let shared = port(&mut ports)?.port();
        let named = ADDRESSES.iter().map(|address| neighbour(Role::Upstream, (*address, shared).into()));
        let named: Vec<Neighbour> = named.collect::<Result<_, _>>()?;
        let declared = Declared {
            certificate: certificate.declared()?,
            authorization_server: authorization_server.addr,
            upstream: upstream.addr,
            targets: targets.iter().map(|target| target.addr).collect(),
            named: shared,
        };

        // In a folder of its own: a gateway sees changes in the folder of its file.
        let file = scratch.write("configuration/kong.yaml", &declared.text(0))?;
        let settings = format!("{SETTINGS}dns:\n  servers: {}\n", names.addr);
        let settings = scratch.write("portcullis.yaml", &settings)?;
        let words = [
            "serve",
            "--declarative",
            &file.display().to_string(),
            "--settings",
            &settings.display().to_string(),
            "--access-log",
            &folder.join("access.log").display().to_string(),
            "--proxy-listen",
            &format!("{proxy} http2, {secure} ssl"),
            "--status-listen",
            &status.to_string(),
            "--workers",
            "2",
        ];
        let gateway = Running::start(binary, words.map(str::to_owned).to_vec(), proxy, folder.join("gateway.log"))?;
        let faults = Faults::default();
        let this = Self {
            gateway,
            proxy,
            secure,
            certificate,
            status,
            authorization_server,
            upstream,
            targets,
            named,
            names,
            declared,
            file,
            admitted,
            faults,
            _scratch: scratch,
        };
        // It listens before it has read its configuration.
        let start = Instant::now();
        while !this.knows("/variant-0/x") {
            if start.elapsed() > READY_WITHIN {
                this.gateway.tell_log();
                return Err(format!("the gateway is not ready after {READY_WITHIN:?}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(this)
    }

    /// A configuration that loads; its number shows in a route.
    pub(super) fn declare(&self, number: u64) -> Result<(), Failure> {
        self.write(&self.declared.text(number))
    }

    /// Puts any text in the file's place, at one moment.
    pub(super) fn write(&self, text: &str) -> Result<(), Failure> {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, text)?;
        Ok(fs::rename(&fresh, &self.file)?)
    }

    pub(super) fn remove_file(&self) -> Result<(), Failure> {
        Ok(fs::remove_file(&self.file)?)
    }

    /// A metric of the gateway, summed over its labels.
    pub(super) fn metric(&self, name: &str) -> Result<f64, Failure> {
        let (_, text) = get(self.status, "/metrics")?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next())?;
            value?.parse::<f64>().ok()
        });
        Ok(values.sum())
    }

    /// Whether the gateway knows a path: it asks for a token there.
    pub(super) fn knows(&self, path: &str) -> bool {
        get(self.proxy, path).is_ok_and(|(status, _)| status == 401)
    }

    /// Requests that reached the upstream without a valid token.
    pub(super) fn admitted(&self) -> Result<u64, Failure> {
        match fs::read_to_string(&self.admitted) {
            Ok(text) => {
                text.lines().take(20).for_each(|line| println!("  admitted: {line}"));
                Ok(text.lines().count() as u64)
            }
            Err(failure) if failure.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(failure) => Err(failure.into()),
        }
    }
}

impl Neighbour {
    pub(super) fn set(&self, mode: Mode) -> Result<(), Failure> {
        match get(self.addr, &format!("{MODE}{}", mode as u8))? {
            (200, _) => Ok(()),
            (status, _) => Err(format!("a mode was not set: {status}").into()),
        }
    }
}

/// What declarative files are made of.
struct Declared {
    /// As an entity.
    certificate: String,
    authorization_server: SocketAddr,
    upstream: SocketAddr,
    targets: Vec<SocketAddr>,
    /// The port where the name leads.
    named: u16,
}

impl Declared {
    /// Three kinds of routes to one upstream, one to several targets, one to a name; short time limits, so that much
    /// fails in little time.
    fn text(&self, number: u64) -> String {
        // Each variant differs in more than its number.
        let ttl = 15 + number % 7;
        let Self { certificate, authorization_server, upstream, named, .. } = self;
        let limits = "connect_timeout: 1000\n  read_timeout: 2000\n  write_timeout: 2000";
        let targets: String = self.targets.iter().map(|target| format!("  - target: {target}\n")).collect();
        format!(
            r#"_format_version: "3.0"
{certificate}plugins:
- name: oauth2-introspection
  config:
    introspection_url: http://{authorization_server}/introspect
    authorization_value: Basic c29hazpzb2Fr
    timeout: 2000
    keepalive: 5000
    ttl: {ttl}
upstreams:
- name: pool
  targets:
{targets}  healthchecks:
    active:
      http_path: {HEALTH}
      timeout: 1.5
      healthy: {{interval: 0.5, successes: 1}}
      unhealthy: {{interval: 0.5, http_failures: 2, tcp_failures: 2, timeouts: 2}}
    passive:
      unhealthy: {{http_failures: 3, tcp_failures: 2, timeouts: 2}}
services:
- name: guarded
  url: http://{upstream}
  {limits}
  routes:
  - name: prefix
    paths: [/a/]
    strip_path: false
  - name: regex
    paths: ['~/r/\d+/']
    strip_path: false
  - name: host
    hosts: [h.example]
    strip_path: false
  - name: variant-{number}
    paths: [/variant-{number}/]
    strip_path: false
- name: pooled
  host: pool
  {limits}
  routes:
  - name: pooled
    paths: [/p/]
    strip_path: false
- name: named
  url: http://{NAME}:{named}
  {limits}
  routes:
  - name: named
    paths: [/n/]
    strip_path: false
"#
        )
    }
}

fn port(random: &mut Random) -> Result<SocketAddr, Failure> {
    for _ in 0..1000 {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, random.among(PORTS) as u16));
        if ADDRESSES.iter().all(|address| TcpListener::bind((*address, addr.port())).is_ok()) {
            return Ok(addr);
        }
    }
    Err("no port is free".into())
}

fn get(addr: SocketAddr, path: &str) -> Result<(u16, String), Failure> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut reader = BufReader::new(stream);
    let head = super::servers::head(&mut reader)?.ok_or("no answer")?;
    let status = head.first.split(' ').nth(1).unwrap_or_default().parse()?;
    let mut body = vec![0; head.length as usize];
    reader.read_exact(&mut body)?;
    Ok((status, String::from_utf8(body)?))
}
