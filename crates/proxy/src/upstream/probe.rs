//! Active health checks: requests of our own, at intervals, to addresses that are healthy and to those that are not.

use super::balancer::{Balancer, Peer};
use super::health::Event;
use crate::net::TcpStream;
use futures_util::StreamExt;
use futures_util::future::Either;
use futures_util::stream;
use http::{HeaderName, HeaderValue};
use portcullis_model::plan::{ActiveChecks, CheckKind, ServiceTls, Upstream};
use portcullis_model::problem::{Path, Problems};
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsConnector;

/// Of an answer, nothing but its first line is looked at.
const STATUS_LINE: usize = 512;

/// How checks speak TLS, where they do: as no service says, but as the upstream does.
pub(crate) fn tls(upstream: &Upstream) -> Option<Arc<ServiceTls>> {
    let checks = &upstream.health.active;
    (checks.kind == CheckKind::Https).then(|| {
        let client_certificate = upstream.client_certificate.clone();
        Arc::new(ServiceTls {
            verify: Some(checks.https_verify_certificate),
            client_certificate,
            ..ServiceTls::default()
        })
    })
}

/// Says what no check can be made of.
pub(crate) fn check(upstream: &Upstream, at: &Path, problems: &mut Problems) {
    let at = at.key("healthchecks").key("active");
    let checks = &upstream.health.active;
    for (name, values) in &checks.headers {
        let fine =
            name.parse::<HeaderName>().is_ok() && values.iter().all(|value| HeaderValue::from_str(value).is_ok());
        if !fine {
            problems.error(at.key("headers").key(name.clone()), "no header can be written so");
        }
    }
    if checks.http_path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        problems.error(at.key("http_path"), "a path has no spaces and no control characters; write them as %20");
    }
    let name = checks.https_sni.as_ref().filter(|_| checks.kind == CheckKind::Https);
    if name.is_some_and(|name| ServerName::try_from(&**name).is_err()) {
        problems.error(at.key("https_sni"), "not a name that a certificate could prove");
    }
}

/// Checks the peers of this health, for ever; returns at once where that is switched off.
pub(crate) async fn keep_checking(balancer: &Balancer, healthy: bool) {
    let checks = &balancer.upstream.health.active;
    let every = if healthy { checks.healthy_interval } else { checks.unhealthy_interval };
    if every.is_zero() {
        return;
    }
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let members = balancer.peers().members.clone();
        let due: Vec<Arc<Peer>> = members.iter().map(|member| member.peer.clone()).collect();
        let due = due.into_iter().filter(|peer| peer.health.is_healthy() == healthy);
        let probing = due.map(|peer| async move {
            let shown = timeout(checks.timeout, probe(balancer, &peer)).await;
            balancer.checked(&peer, shown.unwrap_or(Err(Event::Timeout)));
        });
        stream::iter(probing).buffer_unordered(checks.concurrency.max(1)).collect::<()>().await;
    }
}

async fn probe(balancer: &Balancer, peer: &Peer) -> Result<Option<u16>, Event> {
    let checks = &balancer.upstream.health.active;
    let outcome = async {
        let tcp = TcpStream::connect(SocketAddr::new(peer.address, peer.port)).await?;
        let mut io = match checks.kind {
            CheckKind::Tcp => return Ok(None),
            CheckKind::Http => Either::Left(tcp),
            CheckKind::Https => {
                let host = balancer.upstream.host_header.as_deref().unwrap_or(&peer.host);
                let name = checks.https_sni.as_deref().unwrap_or(host);
                let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
                let config = balancer.probe_tls.clone().ok_or_else(|| io::Error::other("no TLS is set up"))?;
                Either::Right(TlsConnector::from(config).connect(name, tcp).await?)
            }
        };
        let request = request(checks, balancer.upstream.host_header.as_deref(), peer);
        match &mut io {
            Either::Left(io) => status(io, &request).await.map(Some),
            Either::Right(io) => status(io, &request).await.map(Some),
        }
    };
    outcome.await.map_err(|error: io::Error| {
        tracing::debug!(target = %peer.target(), address = %peer.address, %error, "a health check failed");
        Event::TcpFailure
    })
}

/// HTTP/1.0, so that the server ends the connection.
fn request(checks: &ActiveChecks, host_header: Option<&str>, peer: &Peer) -> String {
    let mut request = format!("GET {} HTTP/1.0\r\nConnection: close\r\n", checks.http_path);
    if !checks.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        match host_header {
            Some(host) => request.extend(["Host: ", host, "\r\n"]),
            None => request.push_str(&format!("Host: {}\r\n", peer.target())),
        }
    }
    for (name, values) in &checks.headers {
        for value in values {
            request.extend([&**name, ": ", value, "\r\n"]);
        }
    }
    request.push_str("\r\n");
    request
}

async fn status(io: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> io::Result<u16> {
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let mut line = Vec::with_capacity(STATUS_LINE);
    let mut io = io.take(STATUS_LINE as u64);
    while !line.contains(&b'\n') {
        if io.read_buf(&mut line).await? == 0 {
            break;
        }
    }
    let digits = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..5)?.strip_prefix(b" "));
    let status = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1"))
}
