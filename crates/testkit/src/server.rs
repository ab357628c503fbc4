//! A loopback HTTP/1 server on a thread of its own, which can be killed and started again on its port.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::reply::ReplyBody;

pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response<ReplyBody>, io::Error>> + Send>>;
pub(crate) type Handler = Arc<dyn Fn(Request<Incoming>) -> Answering + Send + Sync>;

/// Listens from construction until it is dropped or stopped.
pub(crate) struct Server {
    addr: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    handler: Handler,
    connections: Arc<AtomicUsize>,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(handler: Handler, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
        let mut server = Self {
            addr: listener.local_addr().unwrap(),
            acceptor: tls.map(TlsAcceptor::from),
            handler,
            connections: Arc::default(),
            running: None,
        };
        server.run(listener);
        server
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections accepted since the start, those before a restart included.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.acceptor.is_some() { "https" } else { "http" }
    }

    /// Closes the listener and every connection, and returns when that is done.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.stop);
            running.thread.join().expect("the server's thread ended well");
        }
    }

    /// Listens again on the same port.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let listener = TcpListener::bind(self.addr).expect("the port is still free");
        self.run(listener);
    }

    fn run(&mut self, listener: TcpListener) {
        let (stop, stopped) = oneshot::channel();
        let (acceptor, handler, connections) =
            (self.acceptor.clone(), Arc::clone(&self.handler), Arc::clone(&self.connections));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, acceptor, handler, connections) => {}
                    _ = stopped => {}
                }
            });
            // The runtime goes, and with it every connection's task.
        });
        self.running = Some(Running { stop, thread });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, handler: Handler, connections: Arc<AtomicUsize>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        let (acceptor, handler) = (acceptor.clone(), Arc::clone(&handler));
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream, handler).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, handler).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, handler: Handler) {
    // A connection that a peer or a script breaks is not this server's failure.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(|request| handler(request))).await);
}
