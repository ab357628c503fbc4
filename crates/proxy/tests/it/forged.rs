//! Identity headers that a client sends arrive nowhere.

use crate::gateway::{plan, plan_with, quick, service, start, start_with};
use crate::wire::{Message, Upstream, Wire};
use portcullis_proxy::Settings;

async fn echoed(plugins: &[&str], request: &str) -> Message {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, plugins));
    Wire::connect(address).await.ask(request).await.seen()
}

// S-18, K-23: case, every separator, duplicates; also names that a plugin of the route sets.
#[tokio::test]
async fn forged_names_never_arrive() {
    for separator in "-_.~!'*+^|".chars() {
        for name in
            ["X-Consumer-ID", "x-credential-SUB", "X-Anonymous-Consumer", "X-Userinfo", "eg-consumer-id", "x-tenant"]
        {
            let name = name.replace('-', &separator.to_string());
            let request =
                format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: forged\r\nX-Fine: yes\r\n{name}: forged\r\n\r\n");
            let seen = echoed(&["identify"], &request).await;
            assert!(!seen.head.contains("forged"), "{name}:\n{}", seen.head);
            assert_eq!(seen.one("x-fine"), Some("yes"));
        }
    }
}

// S-20, S-22: several copies in, one out; what the step does not set is absent.
#[tokio::test]
async fn three_copies_in_one_out() {
    let seen = echoed(
        &["identify"],
        "GET / HTTP/1.1\r\nHost: a\r\nX-Consumer-Id: 1\r\nX_Consumer_Id: 2\r\nX-Consumer-Id: 3\r\nX-Consumer-Username: root\r\n\r\n",
    )
    .await;
    assert_eq!(seen.one("x-consumer-id"), Some("ours"));
    assert_eq!(seen.one("x-consumer-username"), None);
}

// S-23, S-37: every path that a request can take, and routes without any plugin.
#[tokio::test]
async fn on_every_path() {
    let forged = "X-Consumer-Id: forged\r\nX-Credential-Sub: forged\r\n";
    for (plugins, method) in
        [(&["identify"][..], "OPTIONS"), (&["wait"], "GET"), (&[], "GET"), (&["wait", "identify"], "POST")]
    {
        let seen = echoed(plugins, &format!("{method} / HTTP/1.1\r\nHost: a\r\n{forged}\r\n")).await;
        assert!(!seen.head.contains("forged"), "{plugins:?} {method}:\n{}", seen.head);
    }
}

// D17: let through where the settings say so, and only on routes that no plugin guards.
#[tokio::test]
async fn an_unguarded_route_may_pass_them() {
    let upstream = Upstream::echo().await;
    let settings = || Settings { unguarded_identity_headers: true, limits: quick(), ..Settings::default() };
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Consumer-Id: outer\r\n\r\n";
    let (_unguarded, address) = start_with(settings(), plan_with(service(upstream.address)));
    assert_eq!(Wire::connect(address).await.ask(request).await.seen().one("x-consumer-id"), Some("outer"));
    let (_guarded, address) = start_with(settings(), plan(upstream.address, &["wait"]));
    assert_eq!(Wire::connect(address).await.ask(request).await.seen().one("x-consumer-id"), None);
}

// S-21: a client cannot have our own headers taken away as hop-by-hop.
#[tokio::test]
async fn reserved_names_in_connection_are_ignored() {
    let seen = echoed(
        &["identify"],
        "GET / HTTP/1.1\r\nHost: a\r\nX-Hop: 1\r\nConnection: x-consumer-id, X-Credential-Sub, x-hop, host\r\n\r\n",
    )
    .await;
    assert_eq!((seen.one("x-consumer-id"), seen.one("x-credential-sub")), (Some("ours"), Some("ours")));
    assert_eq!((seen.one("x-hop"), seen.one("connection")), (None, None));
}

// S-19: trailers of a request are dropped.
#[tokio::test]
async fn trailers_are_dropped() {
    let seen = echoed(
        &["identify"],
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Consumer-Id\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Consumer-Id: forged\r\n\r\n",
    )
    .await;
    assert!(seen.head.ends_with("abc") && !seen.head.contains("forged"), "{}", seen.head);
    assert_eq!((seen.one("trailer"), seen.one("te")), (None, Some("trailers")));
}

// S-38: removed where the settings say so, in every spelling; passed on otherwise.
#[tokio::test]
async fn method_overrides() {
    let upstream = Upstream::echo().await;
    let names = ["X-HTTP-Method-Override", "x_http_method", "X.Method.Override"];
    let fields: String = names.iter().map(|name| format!("{name}: DELETE\r\n")).collect();
    for (removes_method_overrides, arrive) in [(false, 3), (true, 0)] {
        let settings = Settings { removes_method_overrides, limits: quick(), ..Settings::default() };
        let (_gateway, address) = start_with(settings, plan(upstream.address, &[]));
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let seen = Wire::connect(address).await.ask(request).await.seen();
        assert!(seen.head.starts_with("GET / "), "{}", seen.head);
        assert_eq!(seen.head.matches("DELETE").count(), arrive, "{}", seen.head);
    }
}

// S-18, S-29: other spellings of what this hop says of the client, or of where a message ends.
#[tokio::test]
async fn lookalikes_never_arrive() {
    for name in [
        "X_Forwarded_For",
        "x.forwarded.for",
        "X_Forwarded-Proto",
        "X~Forwarded~Host",
        "X_Forwarded_Port",
        "x!forwarded!path",
        "X_FORWARDED_PREFIX",
        "X_Real_IP",
        "x.real-ip",
        "X_Kong_Request_ID",
        "Content_Length",
        "content.length",
        "Transfer_Encoding",
        "TRANSFER~ENCODING",
    ] {
        let seen = echoed(&[], &format!("GET / HTTP/1.1\r\nHost: a\r\nX-Fine: yes\r\n{name}: forged\r\n\r\n")).await;
        assert!(!seen.head.contains("forged"), "{name}:\n{}", seen.head);
        assert_eq!(seen.one("x-fine"), Some("yes"));
    }
    // Neighbours are no business of ours.
    for name in ["X_Forwarded_User", "X_Real_Ips", "Content_Lengths", "X_Tenant", "Transfer-Encodings"] {
        let seen = echoed(&[], &format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: passed\r\n\r\n")).await;
        assert_eq!(seen.one(name), Some("passed"));
    }
}
