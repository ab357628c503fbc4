//! Portcullis, as a measurement starts it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;
use crate::bench::clients::Client;
use crate::bench::contestant::{Contestant, PROXY_CORE, free};
use crate::bench::process::Process;
use crate::bench::scratch::Scratch;

/// For the largest files, and under valgrind.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How a Portcullis with one guarded route is set up.
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
    let launch = Launch {
        access_log: setup.access_log,
        settings: setup.settings,
        under: setup.under,
        ..Launch::new(guarded(setup.upstream, setup.authorization_server, &[Route::all()]))
    };
    Ok(launch.start(scratch, binary)?.contestant)
}

/// A declarative file with one guarded service; further entities may be appended.
pub(super) fn guarded(upstream: SocketAddr, authorization_server: SocketAddr, routes: &[Route]) -> String {
    let mut text = format!(
        r#"_format_version: "3.0"
services:
- name: upstream
  url: http://{upstream}
  plugins:
  - name: oauth2-introspection
    config:
      introspection_url: http://{authorization_server}/introspect
      authorization_value: Basic YmVuY2g6YmVuY2g=
      ttl: 86400
  routes:
"#
    );
    for (n, route) in routes.iter().enumerate() {
        route.write(n, &mut text);
    }
    text
}

/// A route by one attribute. It leaves the path as it is.
pub(super) enum Route {
    /// A prefix, or with `~` in front a regular expression.
    Path(String),
    Host(String),
    /// A prefix, and a plugin of its own that lets every request of a measurement pass.
    WithPlugin(String),
}

impl Route {
    pub(super) fn all() -> Self {
        Self::Path("/".to_owned())
    }

    fn write(&self, n: usize, text: &mut String) {
        let (attribute, value) = match self {
            Self::Path(path) | Self::WithPlugin(path) => ("paths", path),
            Self::Host(host) => ("hosts", host),
        };
        text.push_str(&format!("  - name: route-{n}\n    {attribute}: ['{value}']\n    strip_path: false\n"));
        if let Self::WithPlugin(_) = self {
            text.push_str("    plugins:\n    - name: request-termination\n      config: {trigger: x-closed}\n");
        }
    }
}

/// A Portcullis that is to be started.
pub(super) struct Launch<'a> {
    /// Content of its declarative file.
    pub(super) declaration: String,
    pub(super) settings: &'a str,
    pub(super) access_log: bool,
    pub(super) workers: usize,
    /// Words behind the listener's address.
    pub(super) listener: &'a str,
    pub(super) cores: &'a str,
    pub(super) under: &'a [String],
}

/// A Portcullis that runs, and whom to ask and what to write for another configuration.
pub(super) struct Gateway {
    pub(super) contestant: Contestant,
    pub(super) status: SocketAddr,
    file: PathBuf,
}

impl Launch<'_> {
    pub(super) fn new(declaration: String) -> Self {
        Self { declaration, settings: "", access_log: false, workers: 1, listener: "", cores: PROXY_CORE, under: &[] }
    }

    pub(super) fn start(&self, scratch: &Scratch, binary: &Path) -> Result<Gateway, Failure> {
        let (addr, status) = (free()?, free()?);
        // Each in a folder of its own: a gateway sees changes in the folder of its file.
        let port = addr.port();
        let file = scratch.write(&format!("{port}/kong.yaml"), &self.declaration)?;
        let settings = scratch.write(&format!("{port}/portcullis.yaml"), self.settings)?.display().to_string();
        let log =
            if self.access_log { format!("{}/{port}/access.log", scratch.path().display()) } else { "off".to_owned() };
        let (declarative, binary) = (file.display().to_string(), binary.display().to_string());
        let under: Vec<&str> = self.under.iter().map(String::as_str).chain([binary.as_str()]).collect();
        let (proxy, ask, workers) = (format!("{addr} {}", self.listener), status.to_string(), self.workers.to_string());
        let listen = ["--proxy-listen", proxy.trim(), "--status-listen", &ask, "--workers", &workers];
        let files = ["serve", "--declarative", &declarative, "--settings", &settings, "--access-log", &log];
        let args = [&under[1..], &files, &listen].concat();
        let process = Process::start("portcullis", self.cores, under[0], &args, addr)?;
        let gateway = Gateway { contestant: Contestant { process, addr }, status, file };
        // It listens before it has read a large file, and answers 503 until then.
        let start = Instant::now();
        while gateway.revision().unwrap_or_default() == 0 {
            if start.elapsed() > READY_WITHIN {
                return Err(format!("no configuration is live after {READY_WITHIN:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(gateway)
    }
}

impl Gateway {
    /// The revision that is live, as the status listener says.
    pub(super) fn revision(&self) -> Result<u64, Failure> {
        let body = Client::new(self.status)?.get("/readyz")?;
        Ok(serde_json::from_str::<Value>(&body)?["revision"].as_u64().ok_or("/readyz tells no revision")?)
    }

    /// Puts another declarative file in place of the present one, at one moment.
    pub(super) fn declare(&self, declaration: &str) -> Result<(), Failure> {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, declaration)?;
        Ok(fs::rename(&fresh, &self.file)?)
    }
}
