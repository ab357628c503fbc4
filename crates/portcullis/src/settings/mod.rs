//! The settings of a process: what no route language has a field for (D13).
//!
//! Each is read from a flag, else from `PORTCULLIS_` and its key in upper case, else from the settings file, else it
//! has a default. They are read once; the declarative file is what changes while the process runs. The reference of
//! every key is `examples/portcullis.yaml`.

pub(crate) mod access_log;
mod authorization_server;
mod dns;
mod introspection;
mod limits;
pub(crate) mod listen;
mod secret;
mod section;
pub(crate) mod tls;

use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::log;
use access_log::AccessLogTo;
use introspection::Introspection;
use ipnet::IpNet;
use portcullis_model::problem::Problems;
use portcullis_model::yaml;
use portcullis_plugins::env::AuthorizationServer;
use portcullis_proxy::{self as proxy, Listen};
use section::{Complaints, Section, Sources};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tls::CertificateFiles;
use tracing_subscriber::EnvFilter;

/// What is meant: every value is there and usable.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub declarative: Option<PathBuf>,
    pub proxy_listen: Vec<Listen>,
    pub status_listen: Vec<SocketAddr>,
    pub access_log: AccessLogTo,
    /// Filter of the process's own log, checked.
    pub log: String,
    pub log_format: log::Format,
    /// How long requests may still run once the process was asked to end.
    pub drain: Duration,
    pub certificates: Vec<CertificateFiles>,
    /// Workers, limits, reserved names, and whom to trust.
    pub proxy: proxy::Settings,
    pub introspection: Introspection,
    pub authorization_servers: Vec<AuthorizationServer>,
}

impl Default for Settings {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            declarative: None,
            // Kong's port, on every address: a gateway is there to be reached.
            proxy_listen: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8000)).into()],
            // Loopback: metrics name routes and authorization servers, which is nobody else's business.
            status_listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8007))],
            // A line per request costs CPU and disk that not everybody wants to spend.
            access_log: AccessLogTo::Nowhere,
            log: "info".to_owned(),
            log_format: log::Format::Auto,
            // What container platforms give by default before they kill.
            drain: Duration::from_secs(30),
            certificates: Vec::new(),
            proxy: proxy::Settings { workers, ..proxy::Settings::default() },
            introspection: Introspection::default(),
            authorization_servers: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads flags, environment and the settings file that one of them names.
    pub(crate) fn read(args: &ServeArgs, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let named = args.settings.clone().or_else(|| environment("PORTCULLIS_SETTINGS").map(PathBuf::from));
        let (name, text) = match named.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            None => (PathBuf::new(), String::new()),
            Some(path) => (path.to_owned(), std::fs::read_to_string(path).map_err(Failure::unreadable(path))?),
        };
        Self::parse(&text, &flags(args), environment).map_err(|complaints| complaints.failure(&name, &text))
    }

    fn parse(
        text: &str,
        flags: &HashMap<&'static str, String>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Complaints> {
        let node =
            yaml::parse(text).map_err(|problem| Complaints { file: Problems(vec![problem]), outside: Vec::new() })?;
        let sources = Sources { flags, environment };
        let (settings, mut complaints) =
            Section::root(node.to_json(), sources, |section| Self::of(section, environment));
        for problem in &mut complaints.file.0 {
            problem.place = Some(if problem.message == section::UNKNOWN {
                node.key_place(&problem.path)
            } else {
                node.place(&problem.path)
            });
        }
        if complaints.is_empty() { Ok(settings) } else { Err(complaints) }
    }

    /// Every key there is, in the order of `examples/portcullis.yaml`.
    fn of(section: &mut Section<'_>, environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let default = Self::default();
        let log = section.parsed("log", |text| log::filter(text).map(|_| text.to_owned()));
        let tls = section.section("tls", tls::read);
        let formats = [("auto", log::Format::Auto), ("human", log::Format::Human), ("json", log::Format::Json)];
        Self {
            declarative: section.parsed("declarative", |text| Ok(PathBuf::from(text))),
            proxy_listen: section.parsed("proxy_listen", listen::parse_list).unwrap_or(default.proxy_listen),
            status_listen: section.parsed("status_listen", listen::parse_plain_list).unwrap_or(default.status_listen),
            access_log: section.parsed("access_log", access_log::parse).unwrap_or(default.access_log),
            log: log.unwrap_or(default.log),
            log_format: section.word("log_format", &formats).unwrap_or(default.log_format),
            drain: section.seconds("drain", 0.0..=86_400.0).unwrap_or(default.drain),
            proxy: proxy::Settings {
                workers: section.size("workers", 1..=1024).unwrap_or(default.proxy.workers),
                limits: section.section("limits", limits::read),
                unguarded_identity_headers: section.section("identity_headers", |section| {
                    let words = [("remove", false), ("pass", true)];
                    section.word("unguarded_routes", &words).unwrap_or(default.proxy.unguarded_identity_headers)
                }),
                removes_method_overrides: section
                    .word("method_overrides", &[("pass", false), ("remove", true)])
                    .unwrap_or(default.proxy.removes_method_overrides),
                trusted_ips: section.parsed_list("trusted_ips", NETWORK, |text| {
                    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
                }),
                client_certificates: tls.client_certificates,
                tls_min_version: tls.min_version,
                name_servers: section.section("dns", dns::read),
            },
            certificates: tls.certificates,
            introspection: section.section("introspection", introspection::read),
            authorization_servers: section
                .list("authorization_servers", |entry| authorization_server::read(entry, environment)),
        }
    }

    /// The filter of the log. It was checked when the settings were read.
    pub(crate) fn log_filter(&self) -> EnvFilter {
        log::filter(&self.log).unwrap_or_default()
    }
}

/// What `trusted_ips` are.
const NETWORK: &str = "address or network; write such as 10.0.0.0/8, 192.0.2.1 or fd00::/8";

/// The flags that were given, by the key that each stands for.
fn flags(args: &ServeArgs) -> HashMap<&'static str, String> {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    [
        ("declarative", args.declarative.as_ref().map(path)),
        ("proxy_listen", args.proxy_listen.clone()),
        ("status_listen", args.status_listen.clone()),
        ("workers", args.workers.map(|workers| workers.to_string())),
        ("access_log", args.access_log.clone()),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}

#[cfg(test)]
mod tests;
