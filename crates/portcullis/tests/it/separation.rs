//! What one route, endpoint or caller learns never reaches another.

use std::thread;

use portcullis_testkit::{AuthServer, DEADLINE, Gateway, Reply};
use serde_json::{Value, json};

use crate::identity::identity;
use crate::stage::{BINARY, Stage, declarative, plugin};

/// A service with one route at `/NAME`.
fn guarded(stage: &Stage, name: &str, plugin: Value) -> Value {
    let routes = json!([{"name": name, "paths": [format!("/{name}")]}]);
    json!({"name": name, "url": stage.upstream.url(), "routes": routes, "plugins": [plugin]})
}

#[test]
fn two_servers_two_answers() {
    let stage = Stage::new();
    let other = AuthServer::start();
    let services = json!([
        guarded(&stage, "a", plugin(&stage.server.url(), json!({}))),
        guarded(&stage, "b", plugin(&other.url(), json!({}))),
    ]);
    stage.gateway.reload(&declarative(services, json!([])));
    // S-3, S-6, I-80: one after the other, in both orders; the second server knows nothing of the token.
    stage.grant("first", json!({}));
    stage.grant("second", json!({}));
    assert_eq!(["/a", "/b", "/a"].map(|path| stage.gateway.get_as("first", path).status), [200, 401, 200]);
    assert_eq!(["/b", "/a", "/b"].map(|path| stage.gateway.get_as("second", path).status), [401, 200, 401]);

    // S-3, I-89, I-94: at the same time, so that neither has an answer when the other asks.
    stage.grant("both", json!({}));
    stage.server.hold();
    other.hold();
    thread::scope(|scope| {
        let a = scope.spawn(|| stage.gateway.get_as("both", "/a").status);
        let b = scope.spawn(|| stage.gateway.get_as("both", "/b").status);
        stage.server.wait_for_calls(3, DEADLINE);
        other.wait_for_calls(3, DEADLINE);
        other.release();
        assert_eq!(b.join().unwrap(), 401);
        stage.server.release();
        assert_eq!(a.join().unwrap(), 200);
    });
}

#[test]
fn a_byte_that_moves_to_the_next_field_is_another_question() {
    let stage = Stage::new();
    let at = |name: &str, config: Value| guarded(&stage, name, plugin(&stage.server.url(), config));
    let headers = |name: &str, value: &str| json!({"custom_introspection_headers": {name: value}});
    let services = json!([
        at("plain", json!({})),
        at("a", headers("x-t", "bc")),
        at("b", headers("x-tb", "c")),
        at("c", headers("x-t", "b")),
        at("d", json!({"token_type_hint": "bc"})),
        at("e", json!({"token_type_hint": "b"})),
    ]);
    stage.gateway.reload(&declarative(services, json!([])));
    stage.server.otherwise(Reply::active(json!({})));
    // S-5, I-80, I-100: `b` + `ctoken` is not `bc` + `token`.
    for token in ["token", "ctoken", "bctoken"] {
        for path in ["/plain", "/a", "/b", "/c", "/d", "/e"] {
            assert_eq!(stage.gateway.get_as(token, path).status, 200, "{token} {path}");
        }
        assert_eq!(stage.server.calls_for(token), 6, "{token}: no answer is shared");
    }
}

#[test]
fn the_same_answer_is_judged_by_each_route_in_any_order() {
    let stage = Stage::new();
    let url = stage.server.url();
    // Equal profiles: these three share every answer, and differ in what they make of it.
    let services = json!([
        guarded(&stage, "name", plugin(&url, json!({}))),
        guarded(&stage, "client", plugin(&url, json!({"consumer_by": "client_id"}))),
        guarded(&stage, "claim", plugin(&url, json!({"custom_claims_forward": ["tenant"], "ttl": 0}))),
    ]);
    let consumers = json!([{"username": "alice"}, {"username": "machine", "custom_id": "app"}]);
    stage.gateway.reload(&declarative(services, consumers));
    let answer = json!({"username": "alice", "client_id": "app", "tenant": "blue"});
    let seen_by = |token: &str, path: &str| {
        assert_eq!(stage.gateway.get_as(token, path).status, 200, "{path}");
        let mut found = identity(&stage.upstream.requests().pop().unwrap());
        found.retain(|(name, _)| name != "x-consumer-id");
        found
    };
    let paths = ["/name", "/client", "/claim"];
    // What each route makes of a fresh answer.
    let fresh = paths.map(|path| {
        let token = format!("fresh{}", path.replace('/', "-"));
        stage.grant(&token, answer.clone());
        seen_by(&token, path)
    });
    assert!(fresh[0] != fresh[1] && fresh[1] != fresh[2] && fresh[0] != fresh[2], "{fresh:?}");
    // I-27, I-99: the same of a stored one, whoever stored it.
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let token = format!("shared-{order:?}").replace(['[', ']', ',', ' '], "");
        stage.grant(&token, answer.clone());
        for place in order {
            assert_eq!(seen_by(&token, paths[place]), fresh[place], "{order:?}: {}", paths[place]);
        }
        assert_eq!(stage.server.calls_for(&token), 1, "{order:?}");
    }
}

#[test]
fn rules_are_checked_in_their_order() {
    let stage = Stage::new();
    let settings = format!(
        "authorization_servers:\n- endpoint: {}\n  issuers: [\"https://as\"]\n  audiences: [api]\n",
        stage.server.url()
    );
    let services = json!([guarded(&stage, "a", plugin(&stage.server.url(), json!({})))]);
    let gateway = Gateway::builder(BINARY, &declarative(services, json!([]))).settings(&settings).start();
    let reason_of = |members: &Value, active: bool| {
        let token = format!("t{}", stage.server.calls().len());
        stage.server.on(&token, if active { Reply::active(members.clone()) } else { Reply::inactive() });
        let refusals = |text: String| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("portcullis_refusals_total{")).map(str::to_owned).collect()
        };
        let before = refusals(gateway.status_get("/metrics").text());
        let status = gateway.get_as(&token, "/a").status;
        let after = refusals(gateway.status_get("/metrics").text());
        let changed = after.iter().find(|line| !before.contains(line));
        let reason = changed.and_then(|line| line.split('"').nth(1)).unwrap_or_default();
        (status, reason.to_owned())
    };
    // I-28, I-65, I-144: one fault after the other is put right, in the order in which they are found.
    let mut members = json!({
        "token_use": "refresh_token", "exp": 1_000, "iss": "https://other", "aud": "other", "cnf": {"jkt": "x"},
    });
    assert_eq!(reason_of(&members, false), (401, "inactive".to_owned()));
    for (expected, name, right) in [
        ("wrong_kind", "token_use", json!("access_token")),
        ("expired", "exp", json!(crate::stage::now() + 600)),
        ("wrong_issuer", "iss", json!("https://as")),
        ("binding_unknown", "cnf", Value::Null),
        ("wrong_audience", "aud", json!("api")),
    ] {
        assert_eq!(reason_of(&members, true), (401, expected.to_owned()), "{members}");
        match right {
            Value::Null => drop(members.as_object_mut().unwrap().remove(name)),
            right => members[name] = right,
        }
    }
    assert_eq!(reason_of(&members, true), (200, String::new()));
}

#[test]
fn nothing_a_caller_sends_chooses_the_server() {
    let stage = Stage::new();
    let evil = AuthServer::start();
    evil.otherwise(Reply::active(json!({})));
    let (host, url) = (evil.addr().to_string(), evil.url());
    // Its header and payload, {"alg":"none","jku":"http://evil"} and {"iss":"http://evil/"}, are never read.
    let token = "eyJhbGciOiJub25lIiwiamt1IjoiaHR0cDovL2V2aWwifQ.eyJpc3MiOiJodHRwOi8vZXZpbC8ifQ.c2ln";
    let bearer = format!("Bearer {token}");
    for headers in [
        vec![("X-Forwarded-Host", host.as_str()), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Server", &host)],
        vec![("Forwarded", "host=evil;proto=https"), ("X-Original-URL", &url), ("X-Rewrite-URL", &url)],
        vec![("Introspection-Url", &url), ("X-Introspection-Endpoint", &url), ("Referer", &url), ("Origin", &url)],
    ] {
        let headers = [vec![("Authorization", bearer.as_str())], headers].concat();
        // I-9, S-29
        assert_eq!(stage.gateway.client().host(&host).get("/", &headers).status, 401);
        let query = format!("/?introspection_url={url}&iss={url}&jku={url}");
        assert_eq!(stage.gateway.get(&query, &headers).status, 401);
    }
    // The absolute form names a host of its own.
    assert_eq!(stage.gateway.client().host(&host).get(&url, &[("Authorization", &bearer)]).status, 401);
    assert_eq!((evil.connections(), stage.server.calls_for(token)), (0, 1));
    assert!(stage.server.calls().iter().all(|call| call.header("host") == Some(&stage.server.addr().to_string())));
}

#[test]
fn forwarded_headers_neither_route_nor_authenticate() {
    let stage = Stage::new();
    let open = json!({
        "name": "open", "url": stage.upstream.url(),
        "routes": [{"name": "open", "hosts": ["open.test"], "paths": ["/open"]}],
    });
    let closed = guarded(&stage, "closed", plugin(&stage.server.url(), json!({})));
    stage.gateway.reload(&declarative(json!([open, closed]), json!([])));
    // S-29
    for (name, value) in [
        ("X-Forwarded-Host", "open.test"),
        ("X-Forwarded-Uri", "/open"),
        ("X-Forwarded-Path", "/open"),
        ("X-Forwarded-Prefix", "/open"),
        ("X-Original-URL", "/open"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1;host=open.test;proto=https"),
    ] {
        let answer = stage.gateway.get("/closed", &[(name, value), ("X-Consumer-Username", "root")]);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{name}");
    }
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn a_token_is_taken_once_and_from_its_source() {
    let stage = Stage::new();
    stage.grant("good", json!({"sub": "alice"}));
    stage.server.on("other", Reply::active(json!({"sub": "mallory"})));
    let elsewhere = [
        ("Proxy-Authorization", "Bearer other"),
        ("X-Access-Token", "other"),
        ("Access-Token", "other"),
        ("Cookie", "access_token=other"),
        ("X-Authorization", "Bearer other"),
        ("X-Forwarded-Access-Token", "other"),
    ];
    // I-60: what is asked about is what was sent where tokens are sent, and the upstream is told of that one.
    let headers = [&elsewhere[..], &[("Authorization", "Bearer good")]].concat();
    for _ in 0..2 {
        assert_eq!(stage.gateway.get("/?token=other&accesstoken=other", &headers).status, 200);
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!(seen.header("x-credential-sub"), Some("alice"));
    }
    assert_eq!(stage.gateway.get("/?token=other", &elsewhere).status, 401);
    assert_eq!((stage.server.calls_for("good"), stage.server.calls().len()), (1, 1));
}

// S-20
#[test]
fn of_many_copies_one_arrives() {
    let stage = Stage::new();
    stage.grant("good", json!({"sub": "alice", "client_id": "app"}));
    let copies = [("X-Credential-Sub", "a"), ("x-credential-sub", "b"), ("X_CREDENTIAL_SUB", "c")];
    let headers = [&copies[..], &[("Authorization", "Bearer good")], &copies[..]].concat();
    assert_eq!(stage.gateway.get("/", &headers).status, 200);
    let seen = stage.upstream.requests().pop().unwrap();
    assert_eq!(seen.all("x-credential-sub"), ["alice"]);
    assert!(seen.headers.iter().all(|(name, _)| !name.contains('_')), "{:?}", seen.headers);
}
