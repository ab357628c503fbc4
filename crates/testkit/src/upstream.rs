//! An upstream that answers with what it saw, unless a path is scripted otherwise.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Request, request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use crate::reply::Reply;
use crate::server::{Answering, Server};
use crate::wait::until;

/// An echo server. Its answer is JSON: `method`, `target`, `headers` (array of `[name, value]`), `body_length`,
/// `body_sha256` (hex) and `trailers`; the body itself is in [`requests`](Self::requests).
#[derive(Debug)]
pub struct Upstream {
    server: Server,
    shared: Arc<Shared>,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    pub method: String,
    /// Path with query, byte for byte.
    pub target: String,
    /// Names in lower case, repeated ones included.
    pub headers: Vec<(String, String)>,
    /// Empty when the script answered early.
    pub body: Bytes,
    pub trailers: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Shared {
    by_path: Mutex<HashMap<String, Reply>>,
    requests: Mutex<Vec<SeenRequest>>,
}

impl Upstream {
    /// Starts on a free loopback port.
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let handler = {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| -> Answering {
                let shared = Arc::clone(&shared);
                Box::pin(async move { take(&shared, request).await.answer().await })
            })
        };
        Self { server: Server::start(handler, None), shared }
    }

    /// Answers requests for exactly this path (without query) with `reply` from now on.
    pub fn on(&self, path: &str, reply: Reply) {
        self.shared.by_path.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// `http://127.0.0.1:PORT`, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Every request since the start, in the order in which their bodies ended.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Blocks until `n` requests have been taken.
    pub fn wait_for_requests(&self, n: usize) -> Vec<SeenRequest> {
        until("requests at the upstream", || Some(self.requests()).filter(|seen| seen.len() >= n))
    }

    /// Connections accepted since the start.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Goes away: connections break, new ones are refused.
    pub fn kill(&mut self) {
        self.server.stop();
    }

    /// Comes back on the same port.
    pub fn restart(&mut self) {
        self.server.restart();
    }
}

impl SeenRequest {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of this header (lower case name).
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

async fn take(shared: &Shared, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let reply = shared.by_path.lock().unwrap().get(head.uri.path()).cloned();
    if let Some(reply) = reply.clone().filter(Reply::is_early) {
        shared.requests.lock().unwrap().push(seen(&head, Bytes::new(), Vec::new()));
        // The rest of the upload is read beside the answer, as a server with two hands does.
        tokio::spawn(body.collect());
        return reply;
    }
    let Ok(body) = body.collect().await else { return Reply::reset() };
    let trailers = body.trailers().map(pairs).unwrap_or_default();
    let seen = seen(&head, body.to_bytes(), trailers);
    let echo = echo(&seen);
    shared.requests.lock().unwrap().push(seen);
    reply.unwrap_or(echo)
}

fn seen(head: &request::Parts, body: Bytes, trailers: Vec<(String, String)>) -> SeenRequest {
    SeenRequest {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: pairs(&head.headers),
        body,
        trailers,
    }
}

fn echo(seen: &SeenRequest) -> Reply {
    let hex: String = digest(&SHA256, &seen.body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Reply::json(&json!({
        "method": seen.method,
        "target": seen.target,
        "headers": seen.headers,
        "body_length": seen.body.len(),
        "body_sha256": hex,
        "trailers": seen.trailers,
    }))
}

fn pairs(headers: &http::HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
