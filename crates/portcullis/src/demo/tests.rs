//! What the demo's page promises, done as a person would.

use super::*;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body of an answer.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    if !body.is_empty() {
        let _ =
            write!(request, "content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n", body.len());
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status =
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"));
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn basic(client: &Client) -> String {
    use base64::Engine;
    format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{}:{}", client.id, client.secret)))
}

fn token_of(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_keeps_its_promises() {
    let demo = start(0, Duration::from_millis(50)).await.unwrap();
    let application = basic(&demo.application);
    assert_eq!(ask(demo.proxy, "GET", "/hello", &[], "").await.0, 401);

    let credential = [("authorization", application.as_str())];
    let (status, body) =
        ask(demo.authorization_server, "POST", "/token", &credential, "grant_type=client_credentials").await;
    assert_eq!(status, 200, "{body}");
    let token = token_of(&body);
    let bearer = format!("Bearer {token}");
    let forged = [("authorization", bearer.as_str()), ("X_Consumer_ID", "root"), ("x-credential-sub", "root")];
    let (status, echoed) = ask(demo.proxy, "GET", "/hello", &forged, "").await;
    assert_eq!(status, 200, "{echoed}");
    assert!(echoed.contains(r#""x-consumer-username": "demo""#), "{echoed}");
    assert!(echoed.contains(r#""x-credential-client-id": "demo-app""#) && !echoed.contains("root"), "{echoed}");

    let revocation = format!("token={token}");
    assert_eq!(ask(demo.authorization_server, "POST", "/revoke", &credential, &revocation).await.0, 200);
    let revoked = Instant::now();
    while ask(demo.proxy, "GET", "/hello", &forged, "").await.0 != 401 {
        assert!(revoked.elapsed() < Duration::from_secs(10), "still valid long after its ttl");
    }
    demo.gateway.drain(DRAIN).await;
}

#[tokio::test]
async fn the_authorization_server_knows_who_may_do_what() {
    let client = |id: &str| Client { id: id.to_owned(), secret: "s".to_owned() };
    let (application, gateway) = (client("app"), client("gateway"));
    let server = serve(AuthorizationServer::new(application.clone(), gateway.clone()).app(), None).await.unwrap();
    let (application, gateway) = (basic(&application), basic(&gateway));
    let post = async |path: &str, credential: &str, body: &str| {
        ask(server, "POST", path, &[("authorization", credential)], body).await
    };
    let grant = "grant_type=client_credentials&scope=a%20b";
    let token = token_of(&post("/token", &application, grant).await.1);
    let rows = [
        ("/token", gateway.as_str(), grant.to_owned(), 401, "invalid_client"),
        ("/token", &application, "grant_type=password".to_owned(), 400, "unsupported_grant_type"),
        ("/introspect", &application, format!("token={token}"), 401, "invalid_client"),
        ("/introspect", &gateway, "other=1".to_owned(), 400, "invalid_request"),
        ("/introspect", &gateway, "token=nobody".to_owned(), 200, r#"{"active":false}"#),
        ("/introspect", &gateway, format!("token={token}"), 200, r#""active":true"#),
        ("/introspect", &gateway, format!("token={token}"), 200, r#""scope":"a b""#),
        ("/revoke", &gateway, format!("token={token}"), 401, "invalid_client"),
        ("/revoke", &application, "token=nobody".to_owned(), 200, ""),
        ("/revoke", &application, format!("token={token}"), 200, ""),
        ("/introspect", &gateway, format!("token={token}"), 200, r#"{"active":false}"#),
    ];
    for (path, credential, body, status, part) in rows {
        let answer = post(path, credential, &body).await;
        assert!(answer.0 == status && answer.1.contains(part), "{path} {body}: {answer:?}");
    }
    let in_the_body = format!("{grant}&client_id=app&client_secret=s");
    assert_eq!(ask(server, "POST", "/token", &[], &in_the_body).await.0, 200);
    assert_eq!(ask(server, "GET", "/token", &[], "").await.0, 405);
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_sentence() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = start(address.port(), TTL).await.err().expect("the port is taken").to_string();
    assert_eq!(
        error,
        format!("cannot listen on {address}: the address is already in use; choose another address with --port")
    );
}
