//! `portcullis demo`: a gateway, an authorization server and an upstream on loopback, in one process.
//!
//! The gateway is the real one: the same data plane, plugins and declarative format as `serve`.

mod authorization_server;
mod echo;

use crate::cli::DemoArgs;
use crate::declarative;
use crate::failure::{Failure, plain};
use crate::gateway::{Gateway, Plugins};
use crate::log;
use crate::settings::Settings;
use authorization_server::{AuthorizationServer, Client};
use axum::Router;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use uuid::Uuid;

/// How long the demo's gateway uses an answer: short enough to wait for after a revocation.
const TTL: Duration = Duration::from_secs(5);
/// Client id of the application that gets tokens; the demo's consumer has it as its custom id.
const APPLICATION: &str = "demo-app";
/// How long requests may still run after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs the demo until Ctrl-C.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    log::start(log::filter("warn").unwrap_or_default(), log::Format::Human);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::system("start threads"))?;
    runtime.block_on(async {
        let demo = start(args.port, TTL).await?;
        let _ = io::stdout().lock().write_all(demo.page().as_bytes());
        tokio::signal::ctrl_c().await.map_err(Failure::system("listen for Ctrl-C"))?;
        demo.gateway.drain(DRAIN).await;
        Ok(())
    })
}

/// A demo that runs.
struct Demo {
    gateway: Gateway,
    proxy: SocketAddr,
    authorization_server: SocketAddr,
    application: Client,
    ttl: Duration,
}

/// Starts all three. Port 0 takes free ones.
async fn start(port: u16, ttl: Duration) -> Result<Demo, Failure> {
    let application = Client { id: APPLICATION.to_owned(), secret: "demo-secret".to_owned() };
    let gateway_client = Client { id: "gateway".to_owned(), secret: Uuid::new_v4().simple().to_string() };

    let default = Settings::default();
    let settings = Settings {
        proxy_listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()],
        proxy: portcullis_proxy::Settings { workers: 1, ..default.proxy.clone() },
        ..default
    };
    // Before the others, so that a port that is taken is the first thing said.
    let plugins = Plugins::new(&settings, tokio::runtime::Handle::current(), HashMap::new());
    let registry = plugins.registry.clone();
    let gateway = Gateway::start(&settings, plugins, "--port")?;
    let proxy = gateway.addresses()[0];

    let server = AuthorizationServer::new(application.clone(), gateway_client.clone());
    let authorization_server = serve(server.app(), proxy.port().checked_add(1)).await?;
    let upstream = serve(echo::app(), None).await?;
    let text = configuration(upstream, authorization_server, &gateway_client, ttl);
    let refused = |problems| declarative::failure("demo", &text, problems, &*registry);
    let compiled = declarative::compile(&text, &*registry).map_err(refused)?;
    gateway.load(compiled.plan).map_err(refused)?;
    Ok(Demo { gateway, proxy, authorization_server, application, ttl })
}

/// Serves `app` on loopback, at `wanted` if that port is free, else at any.
async fn serve(app: Router, wanted: Option<u16>) -> Result<SocketAddr, Failure> {
    let bind = async |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = match bind(wanted.unwrap_or(0)).await {
        Ok(listener) => Ok(listener),
        Err(_) => bind(0).await,
    };
    let failed = |error: io::Error| Failure::Listen {
        address: Ipv4Addr::LOCALHOST.to_string(),
        why: plain(&error),
        setting: "--port",
    };
    let listener = listener.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tokio::spawn(axum::serve(listener, app).into_future());
    Ok(address)
}

/// What the demo's gateway runs, as its users would write it.
fn configuration(upstream: SocketAddr, server: SocketAddr, gateway: &Client, ttl: Duration) -> String {
    let ttl = ttl.as_secs_f64();
    use base64::Engine;
    let credential = base64::prelude::BASE64_STANDARD.encode(format!("{}:{}", gateway.id, gateway.secret));
    format!(
        r#"_format_version: "3.0"
services:
- name: echo
  url: http://{upstream}
  routes:
  - name: everything
    paths: [/]
    strip_path: false
  plugins:
  - name: oauth2-introspection
    config:
      introspection_url: http://{server}/introspect
      authorization_value: Basic {credential}
      consumer_by: client_id
      ttl: {ttl}
consumers:
- username: demo
  custom_id: {APPLICATION}
"#
    )
}

impl Demo {
    /// What the demo prints: lines to paste, and what they show.
    fn page(&self) -> String {
        let Demo { proxy, authorization_server: server, application, ttl, .. } = self;
        let (ttl, retries) = (ttl.as_secs(), ttl.as_secs() + 2);
        let client = format!("{}:{}", application.id, application.secret);
        let mut page = format!(
            "\
Gateway               http://{proxy}
Authorization server  http://{server}  (/token, /introspect, /revoke)
Behind the gateway, an upstream echoes what reaches it. Paste these into another terminal:

"
        );
        let get_token = format!("curl -s -u {client} -d grant_type=client_credentials http://{server}/token");
        let lines = [
            ("Without a token: 401.", format!("curl -i http://{proxy}/hello")),
            ("A token, as its client sees it.", get_token.clone()),
            (
                "Another one, kept in the shell.",
                format!(r#"TOKEN=$({get_token} | sed 's/.*"access_token":"\([^"]*\)".*/\1/'); echo $TOKEN"#),
            ),
            (
                "With it: 200, and the echo shows who called (x-consumer-*, x-credential-*).",
                format!(r#"curl -i -H "Authorization: Bearer $TOKEN" http://{proxy}/hello"#),
            ),
            (
                "A forged identity never arrives, however it is spelled.",
                format!(
                    r#"curl -s -H "Authorization: Bearer $TOKEN" -H "X_Consumer_ID: root" -H "x-credential-sub: root" http://{proxy}/hello"#
                ),
            ),
            ("Revoke it.", format!("curl -i -u {client} -d token=$TOKEN http://{server}/revoke")),
        ];
        for (number, (says, line)) in lines.iter().enumerate() {
            let _ = write!(page, "# {} {says}\n{line}\n\n", number + 1);
        }
        let _ = write!(
            page,
            "\
# {} The gateway uses an answer for {ttl} s (its ttl), so the 401 comes within {ttl} s.
for i in $(seq {retries}); do curl -s -o /dev/null -w '%{{http_code}}\\n' -H \"Authorization: Bearer $TOKEN\" http://{proxy}/hello; sleep 1; done

Ctrl-C ends the demo.
",
            lines.len() + 1
        );
        page
    }
}

#[cfg(test)]
mod tests;
