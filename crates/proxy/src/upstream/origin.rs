//! Where services are: each address is numbered once, so that workers find its pool by index.

use http::HeaderValue;
use portcullis_model::plan::{Protocol, Service};
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::sync::Arc;

/// An address that upstream connections lead to. Services with the same one share its connections.
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
    known: HashMap<(Protocol, Box<str>, u16), Arc<Origin>>,
}

/// Why no connection can lead to a service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadOrigin {
    #[error("'{0}' is no host name or address")]
    Host(Box<str>),
    #[error("'{0}' is no name that a certificate could prove")]
    TlsName(Box<str>),
}

impl Origins {
    /// The origin of a service, the same for the same address.
    pub(crate) fn intern(&mut self, service: &Service) -> Result<Arc<Origin>, BadOrigin> {
        let host: Box<str> = service.host.to_ascii_lowercase().into();
        let key = (service.protocol, host, service.port);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let (protocol, host, port) = key.clone();
        let tls_name = match protocol {
            Protocol::Http => None,
            Protocol::Https => {
                Some(ServerName::try_from(&*host).map_err(|_| BadOrigin::TlsName(host.clone()))?.to_owned())
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
