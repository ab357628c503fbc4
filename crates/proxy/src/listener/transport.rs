//! Bytes to and from a client.

use crate::net::TcpStream;
use std::task::{Context, Poll};
use tokio::io::ReadBuf;
use tokio_rustls::server::TlsStream;

/// A client's connection.
pub(crate) type Transport = crate::transport::Transport<TlsStream<TcpStream>>;

impl Transport {
    /// Whether there is something to read, without reading it.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let tcp = match self {
            Transport::Plain(tcp) => tcp,
            Transport::Tls(tls) => {
                let (tcp, session) = tls.get_ref();
                // Came with the end of the handshake.
                if !session.wants_read() {
                    return Poll::Ready(true);
                }
                tcp
            }
        };
        // Looked at, not asked for: a socket counts as readable until a read has shown otherwise.
        let mut byte = [0];
        tcp.poll_peek(cx, &mut ReadBuf::new(&mut byte)).map(|peeked| peeked.is_ok_and(|length| length > 0))
    }

    /// Ends it so that the client cannot take what it has for everything: an answer to HTTP/1.0 has no other end.
    pub(crate) fn reset(self) {
        let tcp = match &self {
            Transport::Plain(tcp) => tcp,
            Transport::Tls(tls) => tls.get_ref().0,
        };
        // Only a socket that is gone already refuses it.
        let _ = tcp.set_zero_linger();
    }
}
