//! The status listener: is the process alive, is a configuration live, and the numbers.
//!
//! It runs on the control plane's runtime, so a busy data plane does not make it slow. It needs no credential and
//! says nothing secret; it listens on loopback unless told otherwise.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::{Router, routing::get};
use portcullis_proxy::telemetry::metrics::CONTENT_TYPE;
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::net::TcpListener;

/// What the status listener looks at.
pub(crate) struct Status {
    /// Revision of the live configuration; 0 when there is none.
    pub revision: Box<dyn Fn() -> u64 + Send + Sync>,
    /// All metrics, in Prometheus' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// The process is about to end: load balancers send no more.
    pub draining: AtomicBool,
    /// The revision that was live when a newer configuration was refused; 0 if none was. One that goes live has
    /// another number, so it ends this by itself.
    pub refused_over: AtomicU64,
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status")
            .field("draining", &self.draining)
            .field("refused_over", &self.refused_over)
            .finish_non_exhaustive()
    }
}

/// Serves on `listeners` until the task is dropped.
pub(crate) async fn serve(listeners: Vec<TcpListener>, status: Arc<Status>) {
    let app = router(status);
    let mut tasks = tokio::task::JoinSet::new();
    for listener in listeners {
        tasks.spawn(axum::serve(listener, app.clone()).into_future());
    }
    while tasks.join_next().await.is_some() {}
}

fn router(status: Arc<Status>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n"))
        .with_state(status)
}

/// 200 as long as a configuration is live and the process takes requests; the body says which one.
async fn readyz(State(status): State<Arc<Status>>) -> Response {
    let revision = (status.revision)();
    let draining = status.draining.load(Ordering::Relaxed);
    let ready = revision > 0 && !draining;
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": ready,
        "revision": revision,
        "draining": draining,
        "newest_refused": revision > 0 && status.refused_over.load(Ordering::Relaxed) == revision,
    });
    (code, Json(body)).into_response()
}

async fn metrics(State(status): State<Arc<Status>>) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], (status.metrics)()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn ready_means_that_a_configuration_is_live() {
        let revision = Arc::new(AtomicU64::new(0));
        let live = revision.clone();
        let status = Arc::new(Status {
            revision: Box::new(move || live.load(Ordering::Relaxed)),
            metrics: Box::new(|| "# EOF\n".to_owned()),
            draining: false.into(),
            refused_over: 0.into(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(vec![listener], status.clone()));
        let get = async |path: &str| {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: s\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };

        assert!(get("/healthz").await.starts_with("HTTP/1.1 200 "));
        assert!(get("/other").await.starts_with("HTTP/1.1 404 "));
        assert!(get("/metrics").await.ends_with("# EOF\n"));
        assert!(get("/readyz").await.starts_with("HTTP/1.1 503 "));
        revision.store(3, Ordering::Relaxed);
        status.refused_over.store(3, Ordering::Relaxed);
        let ready = get("/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200 "), "an older configuration serves on: {ready}");
        assert!(ready.contains(r#""revision":3"#) && ready.contains(r#""newest_refused":true"#), "{ready}");
        status.draining.store(true, Ordering::Relaxed);
        assert!(get("/readyz").await.starts_with("HTTP/1.1 503 "));
    }
}
