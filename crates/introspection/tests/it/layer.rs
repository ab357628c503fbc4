//! The tower layer: what passes, and what each refusal looks like.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use portcullis_introspection::bearer::Sources;
use portcullis_introspection::layer::{Introspected, IntrospectionLayer, ResponseBody};
use portcullis_introspection::{Cache, CacheConfig, Clients, Introspector, ManualClock, Requirement};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::server::{Act, Server, json, reply};

/// Says who asks; counts, and insists on being polled ready before each call.
#[derive(Default)]
struct Hello {
    calls: Arc<AtomicUsize>,
    ready: bool,
}

impl Clone for Hello {
    fn clone(&self) -> Self {
        Self { calls: Arc::clone(&self.calls), ready: false }
    }
}

impl Service<Request<()>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        let who = request.extensions().get::<Introspected>().unwrap().sub().unwrap_or_default().to_owned();
        ready(Ok(Response::new(Full::from(who))))
    }
}

/// One request by its `Authorization` values, answered.
async fn ask<S>(service: &mut S, uri: &str, values: &[&str]) -> Response<String>
where
    S: Service<Request<()>, Response = Response<ResponseBody<Full<Bytes>>>, Error = Infallible>,
{
    let mut request = Request::builder().uri(uri);
    for value in values {
        request = request.header("authorization", *value);
    }
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let response = service.call(request.body(()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Response::from_parts(parts, String::from_utf8(bytes.into()).unwrap())
}

fn header<'r>(response: &'r Response<String>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Answers by what the token's name says.
async fn server() -> Server {
    Server::start(|_, _, request| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        let token = body.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
        Act::Say(match token {
            "good" => json(r#"{"active":true,"sub":"alice","scope":"read"}"#),
            "bound" => json(r#"{"active":true,"cnf":{"jkt":"x"}}"#),
            "poor" => json(r#"{"active":true,"scope":"write"}"#),
            "refused" => reply("400 Bad", "Content-Type: application/json\r\n", br#"{"error":"invalid_request"}"#),
            "busy" => reply("429 Slow", "Retry-After: 17\r\n", b""),
            "down" => reply("500 Oops", "", b"{\"active\":true}"),
            "ours" => reply("401 No", "", b""),
            _ => json(r#"{"active":false}"#),
        })
    })
    .await
}

// I-44, I-45, I-46, I-47, I-48, I-61
#[tokio::test]
async fn refusals_are_answered_by_the_layer() {
    let server = server().await;
    let inner = Hello::default();
    let layer = IntrospectionLayer::new(server.introspector())
        .requirement(Requirement::default().scopes(["read"]))
        .realm("api \"x\"");
    let mut service = layer.layer(inner.clone());
    let rows: &[(&[&str], u16, &str, &str)] = &[
        (&[], 401, "invalid_request", r#"Bearer realm="api x""#),
        (&["Basic eDp5"], 401, "invalid_request", r#"Bearer realm="api x""#),
        (&["Bearer a b"], 400, "invalid_request", r#"error="invalid_request""#),
        (&["Bearer a", "Bearer b"], 400, "invalid_request", r#"error="invalid_request""#),
        (&["Bearer a{b"], 401, "invalid_token", r#"error="invalid_token", error_description="the token is malformed""#),
        (&["Bearer dead"], 401, "invalid_token", r#"error_description="the token is not active""#),
        (&["Bearer bound"], 401, "invalid_token", "is bound to a key"),
        (&["Bearer refused"], 401, "invalid_token", r#"error="invalid_token""#),
        (&["Bearer poor"], 403, "insufficient_scope", r#"scope="read", error="insufficient_scope""#),
        (&["Bearer busy"], 503, "temporarily_unavailable", ""),
        (&["Bearer down"], 503, "temporarily_unavailable", ""),
        (&["Bearer ours"], 503, "temporarily_unavailable", ""),
    ];
    for (values, status, error, challenge) in rows {
        for round in ["cold", "again"] {
            let response = ask(&mut service, "/", values).await;
            assert_eq!(response.status(), *status, "{values:?} {round}");
            assert!(
                response.body().starts_with(&format!(r#"{{"error":"{error}","error_description":""#)),
                "{values:?}"
            );
            assert_eq!(header(&response, "cache-control"), "no-store", "{values:?}");
            assert_eq!(header(&response, "content-type"), "application/json", "{values:?}");
            let said = header(&response, "www-authenticate");
            assert!(said.contains(challenge) && said.is_empty() == (*status == 503), "{values:?}: {said}");
            // I-43
            let after = if *status != 503 {
                ""
            } else if *values == ["Bearer busy"] {
                "17"
            } else {
                "5"
            };
            assert_eq!(header(&response, "retry-after"), after, "{values:?}");
        }
    }
    let bare = ask(&mut IntrospectionLayer::new(server.introspector()).layer(inner.clone()), "/", &[]).await;
    assert_eq!(header(&bare, "www-authenticate"), "Bearer");
    assert_eq!(inner.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_good_token_reaches_the_service_cold_and_cached() {
    let server = server().await;
    let inner = Hello::default();
    let mut service = IntrospectionLayer::new(server.introspector()).layer(inner.clone());
    for _ in 0..3 {
        let response = ask(&mut service, "/", &["Bearer good"]).await;
        assert_eq!((response.status().as_u16(), response.body().as_str()), (200, "alice"));
        assert!(response.headers().is_empty());
    }
    assert_eq!((server.calls(), inner.calls.load(Ordering::SeqCst)), (1, 3));
    // I-59
    let twice = ask(&mut service, "/?access_token=good", &["Bearer good"]).await;
    assert_eq!(twice.status(), 400);
}

// I-86, I-101
#[tokio::test]
async fn each_layer_has_its_own_ttl() {
    let server = server().await;
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let cache = Cache::new(CacheConfig { clock: clock.clone(), ..CacheConfig::default() });
    let introspector = Introspector::new(server.config(), &cache, &Clients::new(), None).unwrap();
    let layer = IntrospectionLayer::new(introspector);
    let mut strict = layer.clone().ttl(Duration::from_secs(10)).layer(Hello::default());
    let mut lenient = layer.layer(Hello::default());
    ask(&mut strict, "/", &["Bearer good"]).await;
    clock.advance(Duration::from_secs(11));
    ask(&mut lenient, "/", &["Bearer good"]).await;
    assert_eq!(server.calls(), 1);
    ask(&mut strict, "/", &["Bearer good"]).await;
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn refusals_take_another_shape_and_tokens_another_place() {
    let server = server().await;
    let layer = IntrospectionLayer::new(server.introspector())
        .sources(Sources { query: &["access_token"], ..Sources::default() })
        .on_refusal(|refusal, headers| {
            let mut response = Response::new(Bytes::from(format!("{} {}", refusal.code(), headers.len())));
            *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
            response
        });
    let mut service = layer.layer(Hello::default());
    let refused = ask(&mut service, "/?access_token=dead", &["Basic eDp5"]).await;
    assert_eq!((refused.status().as_u16(), refused.body().as_str()), (418, "inactive 1"));
    assert_eq!(ask(&mut service, "/?access_token=good", &[]).await.body(), "alice");
}

// I-49
#[test]
fn a_fault_of_ours_is_a_500() {
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = here.block_on(server());
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cache = Cache::new(CacheConfig::default());
    let introspector = Introspector::new(server.config(), &cache, &Clients::new(), ended.handle().clone()).unwrap();
    drop(ended);
    let mut service = IntrospectionLayer::new(introspector).layer(Hello::default());
    let response = here.block_on(ask(&mut service, "/", &["Bearer good"]));
    assert_eq!(response.status(), 500);
    assert!(response.body().contains("server_error"));
    assert_eq!((header(&response, "www-authenticate"), header(&response, "retry-after")), ("", ""));
}
