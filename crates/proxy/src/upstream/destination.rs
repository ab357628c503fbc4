//! Where the requests of a route go.

use super::origin::Origin;
use http::HeaderValue;
use std::sync::Arc;

/// The place or places behind a service.
#[derive(Debug, Clone)]
pub enum Destination {
    /// The service's own host.
    Host(Arc<Origin>),
}

impl Destination {
    /// `Host` for it, with the port where it is not the scheme's own.
    pub(crate) fn host_header(&self) -> &HeaderValue {
        match self {
            Destination::Host(origin) => &origin.host_header,
        }
    }

    /// Where the next request goes.
    pub(super) fn pick(&self) -> &Arc<Origin> {
        match self {
            Destination::Host(origin) => origin,
        }
    }
}
