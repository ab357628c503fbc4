//! Guards a plain service under hyper, with no framework at all:
//! `cargo run -p portcullis-introspection --features tower --example hyper`

#![allow(clippy::print_stdout)]

mod support;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis_introspection::layer::{Introspected, IntrospectionLayer};
use support::{GOOD, Result, ask, introspector};
use tokio::net::TcpListener;
use tower_layer::Layer as _;
use tower_service::Service;

/// The service behind the guard.
#[derive(Clone)]
struct Hello;

impl Service<Request<Incoming>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let who = request.extensions().get::<Introspected>().and_then(|token| token.sub()).unwrap_or("somebody");
        ready(Ok(Response::new(Full::from(format!("hello, {who}")))))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    run().await
}

pub(crate) async fn run() -> Result<()> {
    let service = IntrospectionLayer::new(introspector().await?).layer(Hello);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });

    let client = reqwest::Client::builder().no_proxy().build()?;
    for (token, expected) in [(None, 401), (Some(GOOD), 200)] {
        let response = ask(&client, &url, token, Vec::new()).await?;
        assert_eq!(response.status(), expected);
        println!("  {}", response.text().await?);
    }
    Ok(())
}
