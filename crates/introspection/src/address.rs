//! Addresses that no authorization server has: link-local ones, where clouds keep their metadata services (S-49).
//!
//! A name is looked up anew for every connection and its addresses are looked at then, so that a name which changes
//! its mind later (DNS rebinding) gains nothing. Loopback and private networks stay allowed: that is where many an
//! authorization server is.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// The metadata address of one large cloud that is not link-local (`fd00:ec2::254`).
const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether no call may go there. An IPv4 address written as IPv6 is judged as what it is.
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified() || address == METADATA,
    }
}

/// Whether a URL names such an address outright; then no resolver would ever see it.
pub(crate) fn names_forbidden(host: Option<Host<&str>>) -> bool {
    match host {
        Some(Host::Ipv4(address)) => is_forbidden(address.into()),
        Some(Host::Ipv6(address)) => is_forbidden(address.into()),
        Some(Host::Domain(_)) | None => false,
    }
}

/// The system's resolver, less the forbidden addresses.
#[derive(Debug)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| !is_forbidden(address.ip())).collect();
            if allowed.is_empty() {
                let why = "the name has no address that a call may go to (link-local ones are refused)";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    // S-49
    #[test]
    fn link_local_and_metadata_addresses_are_refused_however_they_are_written() {
        for (url, refused) in [
            ("http://169.254.169.254/latest", true),
            ("http://0xa9fea9fe/", true),
            ("http://[::ffff:169.254.169.254]/", true),
            ("http://[fe80::1]/", true),
            ("http://[fd00:ec2::254]/", true),
            ("http://0.0.0.0/", true),
            ("http://127.0.0.1/", false),
            ("http://[::1]/", false),
            ("http://10.0.0.1/", false),
            ("http://[fd00::1]/", false),
            ("https://as.example/", false),
        ] {
            assert_eq!(names_forbidden(Url::parse(url).unwrap().host()), refused, "{url}");
        }
    }

    // S-49
    #[tokio::test]
    async fn a_name_is_judged_by_its_addresses() {
        let mut found = Resolver.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.all(|address| address.ip().is_loopback()));
        assert!(Resolver.resolve("169.254.169.254".parse().unwrap()).await.is_err());
    }
}
