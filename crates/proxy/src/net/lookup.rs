//! Who is asked for names: the hosts file and the servers of the system's configuration, or servers of our own.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// One question to one server; each is tried twice.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct Lookup {
    /// Empty: the system's.
    servers: Vec<SocketAddr>,
    /// Made when it is first needed: a gateway that only knows addresses needs no configuration of names.
    built: OnceCell<TokioResolver>,
}

impl Lookup {
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, built: OnceCell::new() }
    }

    /// The addresses of `host` and how long they are good: IPv4 ones, or IPv6 ones where there are none, since all of
    /// them get requests, and many a machine that has names for both reaches only one.
    pub(crate) async fn ask(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
        let resolver = self.built.get_or_try_init(|| async { self.build() }).await?;
        let found = resolver.lookup_ip(host).await?;
        Ok((found.iter().collect(), found.valid_until().saturating_duration_since(Instant::now())))
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.servers.iter().map(|server| {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                config.connections.iter_mut().for_each(|connection| connection.port = server.port());
                config
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        options.timeout = ANSWER_WITHIN;
        // What is known is kept by whoever asks, with a rule of its own for what has run out.
        options.cache_size = 0;
        builder.build()
    }
}
