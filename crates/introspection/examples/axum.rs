//! Guards an axum router, and shows what comes without a token, with a bad one and with a good one:
//! `cargo run -p portcullis-introspection --features tower --example axum`

#![allow(clippy::print_stdout)]

mod support;

use axum::routing::post;
use axum::{Extension, Router};
use portcullis_introspection::Requirement;
use portcullis_introspection::layer::{Introspected, IntrospectionLayer};
use support::{GOOD, Result, ask, introspector};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    run().await
}

pub(crate) async fn run() -> Result<()> {
    let guard = IntrospectionLayer::new(introspector().await?).realm("notes");
    // Each route demands what it needs; both share one cache.
    let reading = guard.clone().requirement(Requirement::default().scopes(["read"]));
    let ruling = guard.requirement(Requirement::default().scopes(["admin"]));
    let app = Router::new()
        .route("/notes", post(notes).layer(reading))
        .route("/admin", post(notes).layer(ruling))
        .route("/public", post(async || "everybody may read this\n"));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let client = reqwest::Client::builder().no_proxy().build()?;
    let rows = [
        ("/notes", None, 401),
        ("/notes", Some("another"), 401),
        ("/notes", Some(GOOD), 200),
        ("/admin", Some(GOOD), 403),
        ("/public", None, 200),
    ];
    for (path, token, expected) in rows {
        println!("{path}");
        let response = ask(&client, &format!("{base}{path}"), token, Vec::new()).await?;
        assert_eq!(response.status(), expected);
        print!("  {}", response.text().await?);
        println!();
    }
    Ok(())
}

async fn notes(Extension(token): Extension<Introspected>) -> String {
    format!("hello, {}", token.sub().unwrap_or("somebody"))
}
