//! A client's keep-alive connection: in clear, or over TLS by `openssl s_client` between two ends of a pipe.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::bench::certificate::{Certificate, NAME};
use crate::program::command;

pub(super) struct Connection {
    pub(super) writer: Box<dyn Write + Send>,
    pub(super) reader: BufReader<Box<dyn Read + Send>>,
    /// Who speaks TLS.
    client: Option<Child>,
}

impl Connection {
    pub(super) fn plain(addr: SocketAddr, patience: Duration) -> Result<Self, Failure> {
        let writer = TcpStream::connect(addr)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(patience))?;
        writer.set_write_timeout(Some(patience))?;
        let reader: Box<dyn Read + Send> = Box::new(writer.try_clone()?);
        Ok(Self { reader: BufReader::new(reader), writer: Box::new(writer), client: None })
    }

    /// The certificate has to be the right one for the name.
    pub(super) fn secure(addr: SocketAddr, certificate: &Certificate, patience: Duration) -> Result<Self, Failure> {
        let (writer, far) = UnixStream::pair()?;
        writer.set_read_timeout(Some(patience))?;
        writer.set_write_timeout(Some(patience))?;
        let pipe = |end: UnixStream| Stdio::from(OwnedFd::from(end));
        let mut openssl = command("openssl", &["s_client", "-quiet", "-nocommands"]);
        openssl.args(["-connect", &addr.to_string(), "-servername", NAME, "-verify_hostname", NAME]);
        openssl.arg("-verify_return_error").arg("-CAfile").arg(certificate.trusted());
        openssl.stdin(pipe(far.try_clone()?)).stdout(pipe(far)).stderr(Stdio::null());
        let client = Some(openssl.spawn()?);
        // The command still holds the far end, which must be its child's alone: else an end is never seen.
        drop(openssl);
        let reader: Box<dyn Read + Send> = Box::new(writer.try_clone()?);
        Ok(Self { reader: BufReader::new(reader), writer: Box::new(writer), client })
    }
}

impl Connection {
    /// Whether it has ended without a byte of an answer. What speaks TLS for us ends with it; if it has not read all of
    /// a request by then, that looks like a reset.
    pub(super) fn ended(&mut self) -> io::Result<bool> {
        match self.reader.fill_buf() {
            Ok(bytes) => Ok(bytes.is_empty()),
            Err(failure) if failure.kind() == io::ErrorKind::ConnectionReset && self.client.is_some() => Ok(true),
            Err(failure) => Err(failure),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(client) = &mut self.client {
            drop(client.kill());
            drop(client.wait());
        }
    }
}
