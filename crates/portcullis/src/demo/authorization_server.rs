//! The demo's authorization server: opaque tokens by client credentials (RFC 6749 section 4.4), introspection
//! (RFC 7662) and revocation (RFC 7009). Tokens live in memory and end with the process.

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::{Router, routing::post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// How long a token lives: long enough to read the demo's page while it counts.
const LIFETIME: Duration = Duration::from_secs(3600);
/// More tokens than this are not kept; nobody pastes that many lines, and a loop must not fill the memory.
const TOKENS: usize = 10_000;

/// Who may ask.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub id: String,
    pub secret: String,
}

/// The clients it knows and the tokens it has issued.
#[derive(Debug)]
pub(crate) struct AuthorizationServer {
    /// Gets tokens and revokes them.
    application: Client,
    /// Introspects them.
    gateway: Client,
    tokens: Mutex<HashMap<String, Issued>>,
}

#[derive(Debug, Clone)]
struct Issued {
    scope: String,
    issued_at: u64,
    expires_at: u64,
}

/// Parameters of all three endpoints; each takes those that it needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    grant_type: String,
    scope: Option<String>,
    token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

impl AuthorizationServer {
    pub(crate) fn new(application: Client, gateway: Client) -> Self {
        Self { application, gateway, tokens: Mutex::default() }
    }

    /// Its three endpoints.
    pub(crate) fn app(self) -> Router {
        Router::new()
            .route("/token", post(token))
            .route("/introspect", post(introspect))
            .route("/revoke", post(revoke))
            .with_state(Arc::new(self))
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, Issued>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Shared = State<Arc<AuthorizationServer>>;

async fn token(State(server): Shared, headers: HeaderMap, Form(asked): Form<Parameters>) -> Response {
    if !is(&server.application, &headers, &asked) {
        return invalid_client();
    }
    if asked.grant_type != "client_credentials" {
        return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let now = now();
    let token = Uuid::new_v4().simple().to_string();
    let scope = asked.scope.unwrap_or_else(|| "read".to_owned());
    let issued = Issued { scope: scope.clone(), issued_at: now, expires_at: now + LIFETIME.as_secs() };
    let mut tokens = server.tokens();
    tokens.retain(|_, other| other.expires_at > now);
    if tokens.len() >= TOKENS {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");
    }
    tokens.insert(token.clone(), issued);
    let answer = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": LIFETIME.as_secs(), "scope": scope,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

async fn introspect(State(server): Shared, headers: HeaderMap, Form(asked): Form<Parameters>) -> Response {
    if !is(&server.gateway, &headers, &asked) {
        return invalid_client();
    }
    let Some(token) = &asked.token else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request");
    };
    let found = server.tokens().get(token).cloned().filter(|issued| issued.expires_at > now());
    let client = &server.application.id;
    Json(match found {
        None => json!({ "active": false }),
        Some(issued) => json!({
            "active": true, "token_type": "Bearer", "client_id": client, "username": client, "sub": client,
            "scope": issued.scope, "iat": issued.issued_at, "exp": issued.expires_at,
        }),
    })
    .into_response()
}

/// Answers 200 also for a token that it does not know (RFC 7009 section 2.2).
async fn revoke(State(server): Shared, headers: HeaderMap, Form(asked): Form<Parameters>) -> Response {
    if !is(&server.application, &headers, &asked) {
        return invalid_client();
    }
    let Some(token) = &asked.token else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request");
    };
    server.tokens().remove(token);
    StatusCode::OK.into_response()
}

/// Whether the request comes from `client`, by the `Authorization` header or by the body (RFC 6749 section 2.3.1).
fn is(client: &Client, headers: &HeaderMap, asked: &Parameters) -> bool {
    let wanted = BASE64_STANDARD.encode(format!("{}:{}", client.id, client.secret));
    match headers.get(header::AUTHORIZATION) {
        Some(value) => value.to_str().is_ok_and(|value| value.strip_prefix("Basic ") == Some(wanted.as_str())),
        None => asked.client_id.as_ref() == Some(&client.id) && asked.client_secret.as_ref() == Some(&client.secret),
    }
}

fn invalid_client() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, r#"Basic realm="demo""#)];
    (challenge, refuse(StatusCode::UNAUTHORIZED, "invalid_client")).into_response()
}

fn refuse(status: StatusCode, error: &'static str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
