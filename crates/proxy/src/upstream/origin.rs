//! Where services are: each address is numbered once, so that workers find its pool by index.

use super::resolve::{Names, Place};
use super::tls::{BadTls, Configs};
use http::HeaderValue;
use portcullis_model::plan::{Protocol, ServiceTls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// How many addresses there are before those that nobody uses are looked for.
const FORGET_FROM: usize = 64;

/// An address that upstream connections lead to, and how TLS is spoken there. Services with the same one share its
/// connections.
#[derive(Debug)]
pub struct Origin {
    /// Never given to another address, even when no service uses this one any more: its pool may still hold
    /// connections. So pools only grow, by some tens of bytes per address.
    pub(crate) index: usize,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    pub(crate) place: Place,
    /// `None` speaks plain HTTP.
    pub(crate) tls: Option<Secure>,
    /// `Host` for it, with the port where it is not the scheme's own.
    pub(crate) host_header: HeaderValue,
}

/// How TLS is spoken to an address.
#[derive(Debug)]
pub(crate) struct Secure {
    /// The name that the server must prove.
    pub(crate) name: ServerName<'static>,
    pub(crate) config: Arc<ClientConfig>,
}

/// Every address of the configurations that are in use.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    known: HashMap<Key, Weak<Origin>>,
    /// How many there have been.
    numbered: usize,
    forget_at: usize,
    configs: Configs,
}

/// Protocol, host, port, the name that the server must prove, and the rest of what TLS depends on.
type Key = (Protocol, Box<str>, u16, Box<str>, Arc<ServiceTls>);

/// Why no connection can lead to a service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadOrigin {
    #[error("'{0}' is no host name or address")]
    Host(Box<str>),
    #[error("'{0}' is no name that a certificate could prove")]
    TlsName(Box<str>),
    #[error(transparent)]
    Tls(#[from] BadTls),
}

impl Origins {
    /// The origin at an address, the same for the same one. `proves` is the name that the server must prove by its
    /// certificate; it counts, as `tls` does, for `https` alone.
    pub(crate) fn intern(
        &mut self,
        names: &Names,
        protocol: Protocol,
        host: &str,
        port: u16,
        proves: &str,
        tls: &Arc<ServiceTls>,
    ) -> Result<Arc<Origin>, BadOrigin> {
        let host: Box<str> = host.to_ascii_lowercase().into();
        let (proves, tls) = match protocol {
            Protocol::Http => (Box::default(), Arc::default()),
            Protocol::Https => (proves.to_ascii_lowercase().into(), tls.clone()),
        };
        let key: Key = (protocol, host, port, proves, tls);
        if let Some(known) = self.known.get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let (protocol, host, port, proves, tls) = key.clone();
        let tls = match protocol {
            Protocol::Http => None,
            Protocol::Https => {
                let name = ServerName::try_from(&*proves).map_err(|_| BadOrigin::TlsName(proves.clone()))?.to_owned();
                Some(Secure { name, config: self.configs.of(&tls)? })
            }
        };
        let host_header = host_header(protocol, &host, port)?;
        let place = names.place(&host);
        let origin = Arc::new(Origin { index: self.numbered, place, host, port, tls, host_header });
        self.numbered += 1;
        self.forget_unused();
        self.known.insert(key, Arc::downgrade(&origin));
        Ok(origin)
    }

    /// How TLS is spoken as `tls` says.
    pub(crate) fn client_config(&mut self, tls: &Arc<ServiceTls>) -> Result<Arc<ClientConfig>, BadOrigin> {
        Ok(self.configs.of(tls)?)
    }

    /// Looks through all of them only once they have doubled.
    fn forget_unused(&mut self) {
        if self.known.len() >= self.forget_at {
            self.known.retain(|_, origin| origin.strong_count() > 0);
            self.forget_at = FORGET_FROM.max(self.known.len() * 2);
        }
    }
}

/// `Host` for a server, with the port where it is not the scheme's own.
pub(super) fn host_header(protocol: Protocol, host: &str, port: u16) -> Result<HeaderValue, BadOrigin> {
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let own_port = if protocol == Protocol::Http { 80 } else { 443 };
    let authority = if port == own_port { bracketed } else { format!("{bracketed}:{port}") };
    HeaderValue::try_from(authority).map_err(|_| BadOrigin::Host(host.into()))
}
