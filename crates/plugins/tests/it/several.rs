//! Two authentication plugins on one route: with `anonymous` one of them suffices, without it both must succeed.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_introspection::CacheConfig;
use portcullis_model::plan::{Condition, Consumer, Consumers, PluginConfig, Protocol};
use portcullis_plugins::Built;
use portcullis_plugins::context::HeaderEdit;
use portcullis_plugins::env::EnvSettings;
use portcullis_plugins::registry::{Build, Registry};
use portcullis_plugins::{Context, Env, Flow, Plugin, Reason, Seen};
use portcullis_testkit::AuthServer;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// The registry, and one more authentication plugin.
#[derive(Debug)]
struct WithKeys(Registry);

impl Build for WithKeys {
    fn build(&self, config: &PluginConfig) -> Built {
        match &*config.plugin {
            "keys" => Ok(Arc::new(Keys { anonymous: config.config["anonymous"] == true })),
            _ => self.0.build(config),
        }
    }
}

/// Lets in whoever sends `X-Key: good`, as Kong's plugins of that kind do.
#[derive(Debug)]
struct Keys {
    anonymous: bool,
}

impl Plugin for Keys {
    fn step(&self, seen: &Seen<'_>, cx: &mut Context) -> Flow {
        if self.anonymous && cx.authenticated {
            return Flow::Continue;
        }
        if seen.headers.get("x-key").is_some_and(|key| key == "good") {
            cx.authenticated = true;
            cx.consumer = seen.consumers.by_username("key-owner").cloned();
        } else if !self.anonymous {
            return cx.refuse(Reason::NoToken);
        }
        Flow::Continue
    }
}

/// How a request ended: the consumer that the upstream is told of, or the reason.
fn outcome(flow: &Flow, cx: &Context) -> String {
    match flow {
        Flow::Refuse(refusal) => refusal.reason.code().to_owned(),
        _ => cx.consumer.as_ref().and_then(|consumer| consumer.username.as_deref()).unwrap_or("nobody").to_owned(),
    }
}

async fn run(plugins: &[Arc<dyn Plugin>], headers: &[(&'static str, &'static str)]) -> (String, Context) {
    let consumer = |name: &str| Consumer { id: Uuid::new_v4(), username: Some(name.into()), custom_id: None };
    let consumers = Consumers::new(["alice", "guest", "key-owner"].map(consumer));
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
    let seen = Seen {
        method: &Method::GET,
        raw_path: "/",
        query: None,
        headers: &headers,
        body: None,
        protocol: Protocol::Http,
        peer: IpAddr::from([127, 0, 0, 1]),
        consumers: &consumers,
    };
    let mut cx = Context::default();
    for plugin in plugins {
        let mut flow = plugin.step(&seen, &mut cx);
        while let Flow::Wait(future) = flow {
            flow = plugin.resume(&seen, future.await, &mut cx);
        }
        if !matches!(flow, Flow::Continue) {
            return (outcome(&flow, &cx), cx);
        }
    }
    (outcome(&Flow::Continue, &cx), cx)
}

fn says_anonymous(cx: &Context) -> bool {
    cx.edits.headers.iter().any(|edit| matches!(edit, HeaderEdit::Set(name, _) if name == "x-anonymous-consumer"))
}

#[tokio::test]
async fn one_suffices_or_both_must_succeed() {
    let server = AuthServer::start();
    server.on("good", portcullis_testkit::Reply::active(json!({"username": "alice"})));
    let registry = Registry::new(Arc::new(Env::new(EnvSettings {
        runtime: tokio::runtime::Handle::current(),
        cache: CacheConfig::default(),
        concurrent_calls: None,
        queued_calls: None,
        body_tokens: true,
        authorization_servers: Vec::new(),
        variables: HashMap::new(),
    })));
    let all = WithKeys(registry);
    let build = |plugin: &str, config: Value| {
        let config = PluginConfig {
            id: Uuid::new_v4(),
            plugin: plugin.into(),
            when: Condition::Always,
            config,
            origin: "plugins[0]".into(),
        };
        all.build(&config).unwrap()
    };
    let endpoint = json!({"introspection_url": server.url(), "authorization_value": "Basic x"});
    let with_guest = |mut config: Value| {
        config["anonymous"] = "guest".into();
        config
    };
    let tokens_or = build("oauth2-introspection", with_guest(endpoint.clone()));
    let tokens_and = build("oauth2-introspection", endpoint);
    let (keys_or, keys_and) = (build("keys", json!({"anonymous": true})), build("keys", json!({})));

    let (key, good, bad) = (("x-key", "good"), ("authorization", "Bearer good"), ("authorization", "Bearer bad"));
    // K-32: what came first and succeeded suppresses what comes later.
    let or = [keys_or.clone(), tokens_or.clone()];
    for (headers, expected) in [(&[key][..], "key-owner"), (&[key, bad], "key-owner"), (&[key, good], "key-owner")] {
        let (found, cx) = run(&or, headers).await;
        assert_eq!((found.as_str(), says_anonymous(&cx)), (expected, false), "{headers:?}");
    }
    assert!(server.calls().is_empty(), "nobody was asked about a token that did not matter");
    for (headers, expected) in [(&[good][..], "alice"), (&[bad], "guest"), (&[], "guest")] {
        let (found, cx) = run(&or, headers).await;
        assert_eq!((found.as_str(), says_anonymous(&cx)), (expected, expected == "guest"), "{headers:?}");
        assert_eq!(cx.authenticated, expected != "guest", "a guest is not authenticated");
    }
    // The other order: an accepted token is enough for the second plugin.
    let turned = [tokens_or, keys_or];
    for (headers, expected) in [(&[good][..], "alice"), (&[good, key], "alice"), (&[key], "key-owner")] {
        assert_eq!(run(&turned, headers).await.0, expected, "{headers:?}");
    }
    // Without `anonymous` each of them has to agree.
    let and = [keys_and, tokens_and];
    for (headers, expected) in
        [(&[key, good][..], "alice"), (&[key], "no_token"), (&[key, bad], "inactive"), (&[good], "no_token")]
    {
        assert_eq!(run(&and, headers).await.0, expected, "{headers:?}");
    }
}
