//! New upstream connections: name, TCP, TLS.

use super::link::Link;
use super::origin::Origin;
use super::resolve::Unresolved;
use crate::core::Core;
use crate::net::TcpStream;
use hyper::client::conn::http1;
use portcullis_model::plan::Service;
use std::io;
use std::net::SocketAddr;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why there is no connection, in one line: a log of JSON shows no sources. Nothing of the request was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// The name has no address, or its server did not answer.
    #[error("cannot resolve the host's name: {0}")]
    Name(Unresolved),
    #[error("cannot connect: {0}")]
    Tcp(io::Error),
    /// Most likely a certificate that no trusted one vouches for; the text says what is wrong with it.
    #[error("cannot agree on TLS: {0}")]
    Tls(io::Error),
    #[error("the engine refused the connection: {0}")]
    Engine(hyper::Error),
    #[error("connecting took too long")]
    TimedOut,
}

/// Opens a connection: tries the addresses, each once, at most one more than the service's retries (what could not
/// connect was certainly not received), each for at most the connect limit. The first is another one each time.
pub(super) async fn connect(core: &Core, origin: &Origin, service: &Service) -> Result<Box<Link>, NoConnection> {
    let addresses = match timeout(service.connect_timeout, origin.place.addresses()).await {
        Ok(addresses) => addresses.map_err(NoConnection::Name)?,
        // Whether there is a name could not be found out in time.
        Err(_) => return Err(NoConnection::Name(Unresolved)),
    };
    let mut outcome = NoConnection::Name(Unresolved);
    for address in addresses.into_iter().take(usize::from(service.retries) + 1) {
        match timeout(service.connect_timeout, open(core, origin, SocketAddr::new(address, origin.port))).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(error)) => outcome = error,
            Err(_) => outcome = NoConnection::TimedOut,
        }
    }
    Err(outcome)
}

async fn open(core: &Core, origin: &Origin, address: SocketAddr) -> Result<Box<Link>, NoConnection> {
    let tcp = TcpStream::connect(address).await.map_err(NoConnection::Tcp)?;
    tcp.set_nodelay(true).map_err(NoConnection::Tcp)?;
    let transport = match &origin.tls {
        None => Transport::Plain(tcp),
        Some(tls) => {
            let connecting = TlsConnector::from(tls.config.clone()).connect(tls.name.clone(), tcp);
            Transport::Tls(Box::new(connecting.await.map_err(NoConnection::Tls)?))
        }
    };
    let (io, watch) = core.watches.watch(transport);
    let engine = http1::Builder::new().handshake(io).await.map_err(NoConnection::Engine)?;
    Ok(Link::new(origin.index, address, core.clock.coarse(), watch, engine))
}

/// A connection to an upstream.
pub(crate) type Transport = crate::transport::Transport<TlsStream<TcpStream>>;
