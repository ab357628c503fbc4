//! The handshake with a client, from its first byte to a stream that can be read.

use super::resolver::{Resolver, normal};
use crate::net::TcpStream;
use rustls::server::Acceptor;
use rustls::{Error, ServerConfig};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

/// The fatal alert `unrecognized_name` (RFC 6066 section 3), as a record. The library would say `access_denied`.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A connection that is secured.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<TcpStream>,
    /// Empty when the client asked for none.
    pub(crate) server_name: Arc<str>,
}

/// Why there is no secured connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeFailure {
    /// No certificate is shown for the name that the client asked for.
    #[error("no certificate for the name {0:?}")]
    UnknownName(String),
    /// Most likely a port scan, or a client that does not trust the certificate and is curt about it.
    #[error("the client left")]
    Closed(#[source] io::Error),
    #[error("it took too long")]
    TimedOut,
    /// Version, cipher, signature or application protocol: nothing that both know.
    #[error("nothing in common")]
    NothingInCommon(#[source] Error),
    /// Most likely it does not trust the certificate.
    #[error("the client refused")]
    Refused(#[source] Error),
    /// Most likely plain HTTP on a TLS port.
    #[error("the client does not speak TLS as it should")]
    Garbage(#[source] Error),
}

impl HandshakeFailure {
    pub(crate) const CODES: [&str; 6] =
        ["unknown_name", "closed", "timeout", "nothing_in_common", "refused", "garbage"];

    /// Place of its code in [`Self::CODES`].
    pub(crate) fn index(&self) -> usize {
        match self {
            Self::UnknownName(_) => 0,
            Self::Closed(_) => 1,
            Self::TimedOut => 2,
            Self::NothingInCommon(_) => 3,
            Self::Refused(_) => 4,
            Self::Garbage(_) => 5,
        }
    }
}

impl From<Error> for HandshakeFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::NothingInCommon(error),
            Error::AlertReceived(_) => Self::Refused(error),
            _ => Self::Garbage(error),
        }
    }
}

impl From<io::Error> for HandshakeFailure {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => error.into(),
            Err(error) => Self::Closed(error),
        }
    }
}

/// Leads the handshake. Whoever calls limits its time.
pub(crate) async fn accept(
    config: &Arc<ServerConfig>,
    resolver: &Resolver,
    mut tcp: TcpStream,
) -> Result<Secured, HandshakeFailure> {
    let mut acceptor = Acceptor::default();
    let mut buffer = [0; 4096];
    let accepted = loop {
        let read = tcp.read(&mut buffer).await?;
        if read == 0 {
            return Err(HandshakeFailure::Closed(io::ErrorKind::UnexpectedEof.into()));
        }
        let mut unread = &buffer[..read];
        while !unread.is_empty() {
            acceptor.read_tls(&mut unread)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                alert.write_all(&mut bytes)?;
                let _ = tcp.write_all(&bytes).await;
                return Err(error.into());
            }
        }
    };
    let server_name = accepted.client_hello().server_name().map(normal);
    if resolver.find(server_name.as_deref()).is_none() {
        // The client may have left, which changes nothing.
        let _ = tcp.write_all(&UNRECOGNIZED_NAME).await;
        return Err(HandshakeFailure::UnknownName(server_name.unwrap_or_default().into()));
    }
    let stream = StartHandshake::from_parts(accepted, tcp).into_stream(config.clone()).await?;
    Ok(Secured { stream, server_name: server_name.unwrap_or_default().into() })
}
