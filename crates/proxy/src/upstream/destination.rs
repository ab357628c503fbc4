//! Where the requests of a route go.

use super::balancer::{Balancer, Member, Shown, Wish};
use super::origin::{self, BadOrigin, Origin, Origins};
use crate::core::Shared;
use arc_swap::ArcSwapOption;
use http::HeaderValue;
use portcullis_model::plan::{Protocol, Service, ServiceTls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::{Arc, PoisonError};

/// The place or places behind a service.
#[derive(Debug, Clone)]
pub enum Destination {
    /// The service's own host.
    Host(Arc<Origin>),
    /// The targets of the upstream entity that the service's host names.
    Balanced(Arc<Balanced>),
}

/// The targets of an upstream, spoken to as one service says.
#[derive(Debug)]
pub struct Balanced {
    pub(super) balancer: Arc<Balancer>,
    protocol: Protocol,
    tls: Arc<ServiceTls>,
    /// Kept, so that every target has the same one.
    _config: Option<Arc<ClientConfig>>,
    /// The upstream's own `Host`; without one, each target's is sent.
    host_header: Option<HeaderValue>,
    /// Stands in until a target is picked.
    service_host: HeaderValue,
    doors: ArcSwapOption<Doors>,
}

/// How to get to each of the balancer's members, as long as those are these.
#[derive(Debug)]
struct Doors {
    to: Arc<[Member]>,
    doors: Box<[Option<Door>]>,
}

/// The way to one address of a target.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) origin: Arc<Origin>,
    /// The target as it is known to its clients.
    host_header: HeaderValue,
}

impl Destination {
    /// `Host` for it, with the port where it is not the scheme's own. A balanced request may yet get that of its
    /// target.
    pub(crate) fn host_header(&self) -> &HeaderValue {
        match self {
            Destination::Host(origin) => &origin.host_header,
            Destination::Balanced(balanced) => balanced.host_header.as_ref().unwrap_or(&balanced.service_host),
        }
    }

    /// What a request says about which of several places it should go to.
    pub(crate) fn wish(&self, shown: Shown<'_>) -> Wish {
        match self {
            Destination::Host(_) => Wish::default(),
            Destination::Balanced(balanced) => balanced.balancer.wish(shown),
        }
    }
}

impl Balanced {
    pub(crate) fn new(balancer: Arc<Balancer>, service: &Service, origins: &mut Origins) -> Result<Self, BadOrigin> {
        let upstream = &balancer.upstream;
        let own = |host: &String| HeaderValue::try_from(host).map_err(|_| BadOrigin::Host(host.as_str().into()));
        let host_header = upstream.host_header.as_ref().map(own).transpose()?;
        let mut tls = service.tls.clone();
        if tls.client_certificate.is_none() && upstream.client_certificate.is_some() {
            tls = Arc::new(ServiceTls { client_certificate: upstream.client_certificate.clone(), ..(*tls).clone() });
        }
        let mut config = None;
        if service.protocol == Protocol::Https {
            // What cannot be is said at load, not when a target is picked.
            config = Some(origins.client_config(&tls)?);
            for target in &upstream.targets {
                let proves = upstream.host_header.as_deref().map_or(&*target.host, without_port);
                ServerName::try_from(proves).map_err(|_| BadOrigin::TlsName(proves.into()))?;
            }
        }
        let service_host = origin::host_header(service.protocol, &service.host, service.port)?;
        let doors = ArcSwapOption::empty();
        Ok(Self { protocol: service.protocol, tls, _config: config, host_header, service_host, doors, balancer })
    }

    /// The way to one of `members`.
    pub(super) fn door(&self, shared: &Shared, members: &Arc<[Member]>, place: usize) -> Option<Door> {
        if let Some(doors) = &*self.doors.load()
            && Arc::ptr_eq(&doors.to, members)
        {
            return doors.doors[place].clone();
        }
        // The members are others than before: rare, and soon done.
        let doors: Box<[Option<Door>]> = members.iter().map(|member| self.open(shared, member)).collect();
        let door = doors[place].clone();
        self.doors.store(Some(Arc::new(Doors { to: members.clone(), doors })));
        door
    }

    fn open(&self, shared: &Shared, member: &Member) -> Option<Door> {
        let peer = &member.peer;
        let mut origins = shared.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let address = peer.address.to_string();
        let proves = self.balancer.upstream.host_header.as_deref().map_or(&*peer.host, without_port);
        let opened =
            origins.intern(&shared.names, self.protocol, &address, peer.port, proves, &self.tls).and_then(|origin| {
                let host_header = origin::host_header(self.protocol, &peer.host, peer.port)?;
                Ok(Door { origin, host_header })
            });
        opened.inspect_err(|error| tracing::error!(target = %peer.target(), %error, "a target cannot be reached")).ok()
    }

    /// `Host` for a request that goes through this door; `None` where the upstream has one for all.
    pub(super) fn host_header(&self, door: &Door) -> Option<HeaderValue> {
        self.host_header.is_none().then(|| door.host_header.clone())
    }
}

/// The name in a `Host`.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) && !name.contains(':') =>
        {
            name
        }
        _ => host,
    }
}
