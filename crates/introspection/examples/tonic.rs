//! Guards a gRPC service, with refusals as gRPC statuses:
//! `cargo run -p portcullis-introspection --features tower --example tonic`
//!
//! The service is written by hand, so that nothing needs `protoc`; one that tonic generated is guarded alike.

#![allow(clippy::print_stdout)]

mod support;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use portcullis_introspection::layer::{Introspected, IntrospectionLayer, Refusal};
use support::{GOOD, Result, ask, introspector};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use tower_service::Service;

/// The refusal of the layer in gRPC's words: the status travels in headers, under HTTP 200.
fn grpc(refusal: &Refusal<'_>, _: &HeaderMap) -> Response<Bytes> {
    let code = match refusal.status().as_u16() {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        503 => Code::Unavailable,
        _ => Code::Internal,
    };
    Status::new(code, refusal.error_description()).into_http()
}

/// The service behind the guard: `example.Greeter`.
#[derive(Clone)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "example.Greeter";
}

type Answering<T, E> = Pin<Box<dyn Future<Output = std::result::Result<T, E>> + Send>>;

impl Service<Request<Body>> for Greeter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(Text).unary(Greet, request).await) })
    }
}

/// Its one method. Extensions of the HTTP request are those of tonic's request too.
struct Greet;

impl Service<tonic::Request<String>> for Greet {
    type Response = tonic::Response<String>;
    type Error = Status;
    type Future = Answering<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        let who = request.extensions().get::<Introspected>().and_then(|token| token.sub()).unwrap_or("somebody");
        let text = format!("{}, {who}", request.get_ref());
        Box::pin(async move { Ok(tonic::Response::new(text)) })
    }
}

/// Messages that are text and nothing else, where a real service has protobuf.
#[derive(Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, buffer: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        buffer.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> std::result::Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        String::from_utf8(bytes.into()).map(Some).map_err(|_| Status::invalid_argument("no text"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    run().await
}

pub(crate) async fn run() -> Result<()> {
    let guard = IntrospectionLayer::new(introspector().await?).on_refusal(grpc);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/{}/Greet", listener.local_addr()?, Greeter::NAME);
    let server = Server::builder().layer(guard).add_service(Greeter);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    // A gRPC call from its parts: HTTP/2, the media type, and a message behind its flag and length.
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, "application/grpc".parse()?)]);
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().default_headers(headers).build()?;
    let message = [&[0, 0, 0, 0, 5], b"hello".as_slice()].concat();

    let refused = ask(&client, &url, None, message.clone()).await?;
    assert_eq!(refused.headers()["grpc-status"], "16"); // unauthenticated

    let answered = ask(&client, &url, Some(GOOD), message).await?;
    assert_eq!(answered.status(), 200);
    let text = String::from_utf8_lossy(&answered.bytes().await?[5..]).into_owned();
    println!("  {text}");
    assert_eq!(text, "hello, alice");
    Ok(())
}
