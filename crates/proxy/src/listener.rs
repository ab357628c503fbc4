//! The listener: accepts connections, secures those of TLS, and serves them. It alone knows the server side of the
//! HTTP engine.

mod http2;
mod transport;

pub(crate) use transport::Transport;

use crate::core::Core;
use crate::head::Arrival;
use crate::net::{self, TcpStream};
use crate::request;
use crate::settings::Listen;
use crate::stream::{Watch, Watched};
use crate::tls::{self, HandshakeFailure, Secured};
use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use portcullis_model::plan::Protocol;
use socket2::{Domain, Socket, Type};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Connections that wait to be accepted, per socket.
const BACKLOG: i32 = 1024;
/// How long to wait when the system gives no more connections, most likely for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// What the workers are told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    Not,
    /// No more connections; requests in flight may end within this time.
    Drain(Duration),
}

/// One address, bound once per worker.
pub(crate) struct Bound {
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Vec<TcpListener>,
}

/// What is known of a client before it has said anything. One per connection; on HTTP/2 one per stream.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) arrival: Arrival,
    pub(crate) peer_header: HeaderValue,
    /// The port it came to.
    pub(crate) port_header: HeaderValue,
    /// Of the connection, or of the one stream that the request is on.
    pub(crate) watch: Rc<Watch>,
}

impl Client {
    /// The same client, for a stream of its connection.
    fn of_stream(&self, watch: Rc<Watch>) -> Self {
        Self {
            arrival: self.arrival.clone(),
            peer_header: self.peer_header.clone(),
            port_header: self.port_header.clone(),
            watch,
        }
    }
}

/// Binds `address` once per worker; the system spreads connections over them. That also lets two processes listen on
/// one port without either noticing, so it is first bound without sharing.
pub(crate) fn bind(mut address: SocketAddr, workers: usize) -> io::Result<Bound> {
    if address.port() != 0 {
        drop(socket(address, false)?);
    }
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = socket(address, true)?;
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(Bound { address, sockets })
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A worker's life: accepts, ticks, and ends when it is told to and its connections have ended.
pub(crate) async fn run(core: Rc<Core>, listeners: Vec<(Listen, TcpListener)>, mut stop: watch::Receiver<Stop>) {
    let ticking = tokio::task::spawn_local(tick(core.clone()));
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|(kind, listener)| tokio::task::spawn_local(accept(core.clone(), kind, listener)))
        .collect();
    // An error says that the handle is gone.
    let _ = stop.wait_for(|stop| matches!(stop, Stop::Drain(_))).await;
    let limit = match *stop.borrow() {
        Stop::Drain(limit) => limit,
        Stop::Not => Duration::ZERO,
    };
    for task in accepting {
        task.abort();
    }
    core.draining.set(true);
    core.drain_began.notify_waiters();
    core.watches.wake_all();
    let _ = timeout(limit, core.no_connections()).await;
    ticking.abort();
}

async fn tick(core: Rc<Core>) {
    let mut ticks = interval(core.limits().tick.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        core.tick();
    }
}

async fn accept(core: Rc<Core>, kind: Listen, listener: TcpListener) {
    let listener = match net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be used"),
    };
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => open(&core, kind, socket, peer),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Serves one connection, if there is room for it.
pub(crate) fn open(core: &Rc<Core>, kind: Listen, socket: TcpStream, peer: SocketAddr) {
    let Some(seat) = Seat::take(core) else {
        return tracing::warn!("a connection is closed: there are as many as the limit allows");
    };
    let Ok(local) = socket.local_addr() else {
        return;
    };
    // Only a socket that is gone already refuses it.
    let _ = socket.set_nodelay(true);
    let peer = peer.ip().to_canonical();
    let trusted = core.shared.settings.trusted_ips.iter().any(|network| network.contains(&peer));
    let arrival = Arrival { protocol: Protocol::Http, peer, sni: None, trusted };
    let core = core.clone();
    if kind.tls {
        tokio::task::spawn_local(secure(core, socket, arrival, local, seat));
    } else {
        let speaks = if kind.http2 { Speaks::AsItBegins } else { Speaks::Http1 };
        tokio::task::spawn_local(serve(core, Transport::Plain(socket), speaks, arrival, local, seat));
    }
}

/// Leads the handshake of one connection, then serves it. One that has not got through it when the worker drains is
/// closed like one that rests.
async fn secure(core: Rc<Core>, socket: TcpStream, mut arrival: Arrival, local: SocketAddr, seat: Seat) {
    if core.draining.get() {
        return;
    }
    let handshake = Box::pin(tls::accept(&core.shared.client_tls, &core.shared.certificates, socket));
    let limited = timeout(core.limits().header_timeout, handshake);
    let outcome = tokio::select! {
        outcome = limited => outcome.unwrap_or(Err(HandshakeFailure::TimedOut)),
        () = core.drain_began.notified() => return,
    };
    match outcome {
        Ok(Secured { stream, server_name }) => {
            (arrival.protocol, arrival.sni) = (Protocol::Https, Some(server_name));
            let speaks = if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Speaks::Http2 } else { Speaks::Http1 };
            serve(core, Transport::Tls(Box::new(stream)), speaks, arrival, local, seat).await;
        }
        Err(failure) => {
            core.metrics.handshake_failed(&failure);
            let error = &failure as &dyn std::error::Error;
            tracing::debug!(peer = %arrival.peer, error, "a TLS handshake failed");
        }
    }
}

/// Serves one connection to its end.
async fn serve(core: Rc<Core>, socket: Transport, speaks: Speaks, arrival: Arrival, local: SocketAddr, _seat: Seat) {
    let limits = core.limits();
    let (mut io, watch) = core.watches.watch(socket);
    watch.read_within(limits.header_timeout);
    watch.limit_writes(limits.client_read_idle);
    let client = Rc::new(Client {
        peer_header: HeaderValue::try_from(arrival.peer.to_string()).unwrap_or_else(|_| HeaderValue::from_static("")),
        arrival,
        port_header: HeaderValue::from(local.port()),
        watch,
    });
    match speaks {
        Speaks::Http1 => http1(&core, io, client).await,
        // Boxed: the future is as large as the largest of its branches, and most connections need none of that.
        Speaks::Http2 => Box::pin(http2::serve(&core, io, client)).await,
        Speaks::AsItBegins => match io.begins_with(http2::PREFACE, || core.draining.get()).await {
            Some(true) => Box::pin(http2::serve(&core, io, client)).await,
            Some(false) => http1(&core, io, client).await,
            None => {}
        },
    }
}

/// The version of HTTP on a connection.
#[derive(Clone, Copy)]
enum Speaks {
    Http1,
    Http2,
    /// HTTP/2 if it begins with its preface (D18), else HTTP/1.
    AsItBegins,
}

async fn http1(core: &Rc<Core>, mut io: Watched<Transport>, client: Rc<Client>) {
    let limits = core.limits();
    // The engine takes no less.
    let head_bytes = limits.max_head_bytes.max(8 * 1024);
    let mut engine = http1::Builder::new();
    engine
        .max_buf_size(head_bytes)
        .max_header_size(head_bytes)
        // The watch has this limit, without a timer per request.
        .header_read_timeout(None)
        .auto_date_header(false);
    let switched = RefCell::new(None);
    let service = service_fn(|request| {
        let (core, client, switched) = (core.clone(), client.clone(), &switched);
        async move {
            let mut answer = request::handle(&core, &client, request).await;
            if let Some(tunnel) = answer.body_mut().switched() {
                switched.replace(Some(tunnel));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    // The engine's buffers are most of what a connection costs, so it has them only while it is in use: not before
    // its first byte, and not once it has rested for a while.
    while io.readable(|| core.draining.get()).await {
        let mut connection = engine.serve_connection(io, service);
        let mut told = false;
        let ended = poll_fn(|cx| {
            if core.draining.get() && !told {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            match Pin::new(&mut connection).poll(cx) {
                Poll::Pending if client.watch.is_asleep() => Poll::Ready(None),
                polled => polled.map(Some),
            }
        });
        match ended.await {
            None => {
                let parts = connection.into_parts();
                io = parts.io;
                io.unread(parts.read_buf);
            }
            Some(Ok(())) => {
                // Out of the cell before anything is waited for.
                let tunnel = switched.take();
                if let Some(tunnel) = tunnel {
                    let parts = connection.into_parts();
                    let mut io = parts.io;
                    // What the client said before the upstream agreed has waited here (S-42).
                    io.unread(parts.read_buf);
                    tunnel.carry(io).await;
                }
                return;
            }
            Some(Err(error)) => {
                let peer = client.arrival.peer;
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection broke off");
                if client.watch.breaks_off() {
                    connection.into_parts().io.reset();
                }
                return;
            }
        }
    }
}

/// A place among the connections that are allowed.
struct Seat(Rc<Core>);

impl Seat {
    fn take(core: &Rc<Core>) -> Option<Self> {
        let taken = core.shared.connections.fetch_add(1, Ordering::Relaxed);
        core.connections.set(core.connections.get() + 1);
        core.metrics.connection_opened();
        let seat = Self(core.clone());
        (taken < core.limits().max_connections).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.metrics.connection_closed();
        self.0.connection_closed.notify_waiters();
    }
}
