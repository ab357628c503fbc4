//! A scripted authorization server: answers by token, counts and keeps every call.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::reply::Reply;
use crate::server::Server;
use crate::tls::Certificates;

/// An authorization server that says what the test wrote down for a token, and `{"active": false}` for every other.
#[derive(Debug)]
pub struct AuthServer {
    server: Server,
    shared: Arc<Shared>,
}

/// One introspection call as it arrived.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    /// Path with query.
    pub target: String,
    /// Names in lower case, in the order of arrival, repeated ones included.
    pub headers: Vec<(String, String)>,
    /// The body, form-decoded.
    pub form: Vec<(String, String)>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    calls: Mutex<Vec<Call>>,
    arrived: Condvar,
    held: watch::Sender<bool>,
}

#[derive(Debug)]
struct Script {
    by_token: HashMap<String, Reply>,
    otherwise: Reply,
}

impl AuthServer {
    /// Starts on a free loopback port, in the clear.
    pub fn start() -> Self {
        Self::on_port(None)
    }

    /// Starts on a free loopback port with the leaf certificate of `certificates`.
    pub fn start_tls(certificates: &Certificates) -> Self {
        Self::on_port(Some(certificates.server_config(None)))
    }

    /// As [`start_tls`](Self::start_tls), as one of several hosts on an address: a client that does not ask for `name`
    /// by SNI gets no certificate at all.
    pub fn start_virtual_host(certificates: &Certificates, name: &str) -> Self {
        Self::on_port(Some(certificates.server_config(Some(name))))
    }

    /// Answers calls for `token` with `reply` from now on.
    pub fn on(&self, token: &str, reply: Reply) {
        self.shared.script.lock().unwrap().by_token.insert(token.to_owned(), reply);
    }

    /// Answers calls for all tokens without a script of their own with `reply` from now on.
    pub fn otherwise(&self, reply: Reply) {
        self.shared.script.lock().unwrap().otherwise = reply;
    }

    /// The introspection endpoint. Any path is served; scripts do not tell them apart.
    pub fn url(&self) -> String {
        format!("{}://{}/introspect", self.server.scheme(), self.addr())
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Every call since the start, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The number of calls for `token`.
    pub fn calls_for(&self, token: &str) -> usize {
        self.shared.calls.lock().unwrap().iter().filter(|call| call.field("token") == Some(token)).count()
    }

    /// Blocks until `n` calls have arrived, answered or not, and returns all that have.
    ///
    /// # Panics
    /// When `deadline` passes first.
    pub fn wait_for_calls(&self, n: usize, deadline: Duration) -> Vec<Call> {
        let start = Instant::now();
        let mut calls = self.shared.calls.lock().unwrap();
        while calls.len() < n {
            let left = deadline.checked_sub(start.elapsed());
            let left = left.unwrap_or_else(|| panic!("{} of {n} calls after {deadline:?}", calls.len()));
            calls = self.shared.arrived.wait_timeout(calls, left).unwrap().0;
        }
        calls.clone()
    }

    /// Keeps back every answer, of calls under way too, until [`release`](Self::release).
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets the answers go that [`hold`](Self::hold) kept back.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Connections accepted since the start.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Goes away: connections break, new ones are refused.
    pub fn kill(&mut self) {
        self.server.stop();
    }

    /// Comes back on the same port with the same scripts and records.
    pub fn restart(&mut self) {
        self.server.restart();
    }

    fn on_port(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(Script { by_token: HashMap::new(), otherwise: Reply::inactive() }),
            calls: Mutex::default(),
            arrived: Condvar::new(),
            held: watch::Sender::new(false),
        });
        let handler = {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| -> crate::server::Answering {
                let shared = Arc::clone(&shared);
                Box::pin(async move { judge(&shared, request).await.answer().await })
            })
        };
        Self { server: Server::start(handler, tls), shared }
    }
}

impl Call {
    /// The first form field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// How often the form has this field.
    pub fn count(&self, name: &str) -> usize {
        self.form.iter().filter(|(key, _)| key == name).count()
    }

    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Records the call, waits at the gate, and picks the reply that stands when the gate opens.
async fn judge(shared: &Shared, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let call = Call {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        form: form_urlencoded::parse(&body).into_owned().collect(),
    };
    let token = call.field("token").map(str::to_owned).unwrap_or_default();
    shared.calls.lock().unwrap().push(call);
    shared.arrived.notify_all();
    drop(shared.held.subscribe().wait_for(|held| !held).await);
    let script = shared.script.lock().unwrap();
    script.by_token.get(&token).unwrap_or(&script.otherwise).clone()
}
