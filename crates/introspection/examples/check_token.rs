//! Checks one token: `check_token ENDPOINT CLIENT_ID TOKEN`, the secret in `CLIENT_SECRET`.
//!
//! Ends with 0 if the token may pass, 1 if not, 2 if nobody can tell.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::process::ExitCode;

use portcullis_introspection::{Cache, CacheConfig, ClientAuth, Clients, Config, Introspector, Requirement};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, client_id, token] = arguments.as_slice() else {
        eprintln!("usage: CLIENT_SECRET=... check_token ENDPOINT CLIENT_ID TOKEN");
        return ExitCode::from(2);
    };
    check(endpoint, client_id, token).await.unwrap_or_else(|error| {
        eprintln!("{error}");
        let mut source = error.source();
        while let Some(cause) = source {
            eprintln!("  because: {cause}");
            source = cause.source();
        }
        ExitCode::from(2)
    })
}

async fn check(endpoint: &str, client_id: &str, token: &str) -> Result<ExitCode, Box<dyn Error>> {
    let secret = std::env::var("CLIENT_SECRET").unwrap_or_default();
    let config = Config::new(endpoint)?
        .client_auth(ClientAuth::basic(client_id, secret))
        .allow_http(endpoint.starts_with("http://127.0.0.1")); // for trying it out on one machine
    let cache = Cache::new(CacheConfig::default());
    let introspector = Introspector::new(config, &cache, &Clients::new(), None)?;

    let answer = introspector.introspect(token).await?;
    if let Err(unmet) = Requirement::default().check(&answer, cache.clock().wall()) {
        println!("refused: {unmet}");
        return Ok(ExitCode::FAILURE);
    }
    println!("may pass");
    for (name, value) in answer.members() {
        println!("  {name}: {value}");
    }
    Ok(ExitCode::SUCCESS)
}
