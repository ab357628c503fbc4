//! Where services are: each address is numbered once, so that workers find its pool by index.

use http::HeaderValue;
use portcullis_model::plan::{Protocol, ServiceTls};
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::sync::Arc;

/// An address that upstream connections lead to, and how TLS is spoken there. Services with the same one share its
/// connections.
#[derive(Debug)]
pub struct Origin {
    /// Never given to another address, even when no service uses this one any more: its pool may still hold
    /// connections.
    pub(crate) index: usize,
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// The name that the server must prove; `None` speaks plain HTTP.
    pub(crate) tls_name: Option<ServerName<'static>>,
    /// `Host` for it, with the port where it is not the scheme's own.
    pub(crate) host_header: HeaderValue,
}

/// Every address that was ever configured since the start. It only grows, by some hundred bytes per address.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    known: HashMap<Key, Arc<Origin>>,
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
}

impl Origins {
    /// The origin at an address, the same for the same one. `proves` is the name that the server must prove by its
    /// certificate; it counts, as `tls` does, for `https` alone.
    pub(crate) fn intern(
        &mut self,
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
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let (protocol, host, port, proves, _) = key.clone();
        let tls_name = match protocol {
            Protocol::Http => None,
            Protocol::Https => {
                Some(ServerName::try_from(&*proves).map_err(|_| BadOrigin::TlsName(proves.clone()))?.to_owned())
            }
        };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
        let own_port = if protocol == Protocol::Http { 80 } else { 443 };
        let authority = if port == own_port { bracketed } else { format!("{bracketed}:{port}") };
        let host_header = HeaderValue::try_from(authority).map_err(|_| BadOrigin::Host(host.clone()))?;
        let origin = Arc::new(Origin { index: self.known.len(), host, port, tls_name, host_header });
        self.known.insert(key, origin.clone());
        Ok(origin)
    }
}
