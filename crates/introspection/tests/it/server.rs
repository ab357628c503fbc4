//! A server that says exactly the bytes it is told to, on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_introspection::{Cache, CacheConfig, ClientAuth, Clients, Config, Introspector};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::{TlsAcceptor, rustls};

/// What the server does with one request.
pub(crate) enum Act {
    Say(Vec<u8>),
    /// The same, once [`Server::release`] lets it.
    Hold(Vec<u8>),
    /// Says this again and again.
    Repeat {
        head: Vec<u8>,
        chunk: Vec<u8>,
    },
    /// Says this, and no more.
    Break(Vec<u8>),
    Close,
}

pub(crate) struct Server {
    pub address: SocketAddr,
    state: Arc<State>,
}

/// Number of the request among all, its number on its connection, the request.
type Script = dyn Fn(usize, usize, &str) -> Act + Send + Sync;

struct State {
    script: Box<Script>,
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    gate: Semaphore,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(usize, usize, &str) -> Act + Send + Sync + 'static) -> Self {
        Self::listen(script, None).await
    }

    /// Every request gets the same answer, over TLS.
    pub(crate) async fn secured(reply: Vec<u8>, tls: rustls::ServerConfig) -> Self {
        Self::listen(move |_, _, _| Act::Say(reply.clone()), Some(TlsAcceptor::from(Arc::new(tls)))).await
    }

    async fn listen(
        script: impl Fn(usize, usize, &str) -> Act + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Box::new(script),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Every request gets the same answer.
    pub(crate) async fn always(reply: Vec<u8>) -> Self {
        Self::start(move |_, _, _| Act::Say(reply.clone())).await
    }

    pub(crate) fn calls(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn release(&self, replies: usize) {
        self.state.gate.add_permits(replies);
    }

    pub(crate) async fn called(&self, times: usize) {
        until(|| self.calls() >= times).await;
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(&format!("http://{}/introspect", self.address))
            .unwrap()
            .allow_http(true)
            .client_auth(ClientAuth::basic("api", "canary-secret"))
    }

    pub(crate) fn introspector(&self) -> Introspector {
        introspector(self.config())
    }
}

/// An introspector with a cache of its own, on the current runtime.
pub(crate) fn introspector(config: Config) -> Introspector {
    Introspector::new(config, &Cache::new(CacheConfig::default()), &Clients::new(), None).unwrap()
}

/// Waits until something is so; ten seconds are as good as never.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), poll).await.expect("the state that was waited for");
}

pub(crate) fn json(body: &str) -> Vec<u8> {
    reply("200 OK", "Content-Type: application/json\r\n", body.as_bytes())
}

pub(crate) fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let mut on_connection = 0;
    while let Some(request) = read(&mut stream).await {
        let number = {
            let mut requests = state.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        let bytes = match (state.script)(number, on_connection, &request) {
            Act::Say(bytes) => bytes,
            Act::Hold(bytes) => {
                state.gate.acquire().await.unwrap().forget();
                bytes
            }
            Act::Repeat { head, chunk } => {
                let _ = stream.write_all(&head).await;
                while stream.write_all(&chunk).await.is_ok() {}
                return;
            }
            Act::Break(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Act::Close => return,
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        on_connection += 1;
    }
}

/// One request, as far as a `Content-Length` says; nothing if the peer has closed or speaks no HTTP.
async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, length)| length.trim().parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        } else if bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            let _ = stream.write_all(&reply("400 Bad Request", "", b"")).await;
            return None;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
