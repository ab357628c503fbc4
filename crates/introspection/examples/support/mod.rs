//! What the examples share: an authorization server in the same process, so that they run by themselves, and a client.

use std::error::Error;

use portcullis_introspection::{Cache, CacheConfig, ClientAuth, Clients, Config, Introspector};
use reqwest::{Client, Response};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The one token that the authorization server below says is active.
pub(crate) const GOOD: &str = "2YotnFZFEjr1zCsicMWpAA";

/// An introspector as a program has it, asking the authorization server below.
pub(crate) async fn introspector() -> Result<Introspector> {
    let config = Config::new(&authorization_server().await?)?
        .allow_http(true) // it is on loopback; elsewhere the endpoint is https
        .client_auth(ClientAuth::basic("api", "secret"));
    Ok(Introspector::new(config, &Cache::new(CacheConfig::default()), &Clients::new(), None)?)
}

/// Starts an authorization server that knows one token; returns its introspection endpoint.
async fn authorization_server() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}/introspect", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(endpoint)
}

async fn serve(stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut form = vec![0; length];
        stream.read_exact(&mut form).await?;
        let known = String::from_utf8_lossy(&form).contains(GOOD);
        let answer =
            if known { r#"{"active":true,"sub":"alice","scope":"read write"}"# } else { r#"{"active":false}"# };
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).await?;
    }
}

/// Sends one request with or without a token, and shows what comes back.
pub(crate) async fn ask(client: &Client, url: &str, token: Option<&str>, body: Vec<u8>) -> Result<Response> {
    let mut request = client.post(url).body(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await?;
    println!("{}: {}", token.map_or("without a token", |_| "with a token"), response.status());
    for (name, value) in response.headers() {
        println!("  {name}: {}", value.to_str()?);
    }
    Ok(response)
}
