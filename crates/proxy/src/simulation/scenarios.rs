//! What fails, who fails, and what comes of it.

mod answers;
mod checks;
mod client;
mod configuration;
mod drain;
mod handshake;
mod kept;
mod leaving;
mod names;
mod repeated;
mod targets;
mod tunnel;
mod upstream;

use super::*;

/// The service of most scenarios.
const UP: &str = "10.0.0.1";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody";
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers everything.
async fn well(mut up: Party) {
    while up.answers().await {}
}

/// Reads a request and never answers.
async fn never(mut up: Party) {
    up.asked().await;
    up.listens().await;
}

async fn ask(client: &mut Party) {
    client.says(GET).await;
    client.answered().await;
}
