//! Who the upstream is told the caller is: headers that the gateway sets, and those that never arrive.

use portcullis_testkit::SeenRequest;
use serde_json::json;

use crate::stage::{Stage, declarative, plugin};

/// Headers that say who calls, in the order of their names.
pub(crate) fn identity(seen: &SeenRequest) -> Vec<(String, String)> {
    let mut found: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| {
            let folded = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            ["x-consumer-", "x-credential-", "x-anonymous-", "x-authenticated-groups", "x-userinfo", "eg-consumer-"]
                .iter()
                .any(|reserved| folded.starts_with(reserved))
        })
        .cloned()
        .collect();
    found.sort();
    found
}

pub(crate) fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn members_become_headers() {
    let stage = Stage::with(json!({"custom_claims_forward": ["tenant", "roles", "n", "ok", "nothing", "absent"]}));
    let exp = crate::stage::now() + 600;
    stage.grant(
        "full",
        json!({
            "scope": "read write", "client_id": "app", "token_type": "Bearer", "exp": exp, "iat": 1_700_000_000,
            "nbf": 1_700_000_000, "sub": "s-1", "aud": ["a", "b"], "iss": "https://as", "jti": "j-1",
            "username": "Zoë", "tenant": "blue", "roles": ["user,admin", "é"], "n": 1.5, "ok": true,
            "nothing": null, "unlisted": "secret",
        }),
    );
    assert_eq!(stage.gateway.get_as("full", "/").status, 200);
    // K-19, K-20, K-21, K-22, I-155, I-156, I-157, S-26
    let expected = [
        ("x-credential-aud", r#"["a","b"]"#),
        ("x-credential-client-id", "app"),
        ("x-credential-exp", &exp.to_string()),
        ("x-credential-iat", "1700000000"),
        ("x-credential-identifier", "Zoë"),
        ("x-credential-iss", "https://as"),
        ("x-credential-jti", "j-1"),
        ("x-credential-n", "1.5"),
        ("x-credential-nbf", "1700000000"),
        ("x-credential-ok", "true"),
        ("x-credential-roles", r#"["user,admin","\u00e9"]"#),
        ("x-credential-scope", "read write"),
        ("x-credential-sub", "s-1"),
        ("x-credential-tenant", "blue"),
        ("x-credential-token-type", "Bearer"),
        ("x-credential-username", "Zoë"),
    ];
    assert_eq!(identity(&stage.upstream.requests()[0]), pairs(&expected));

    // K-19, I-152, S-22: what the answer does not say is not sent.
    stage.grant("bare", json!({}));
    let forged = [("Authorization", "Bearer bare"), ("X-Credential-Sub", "root"), ("X-Credential-Tenant", "root")];
    assert_eq!(stage.gateway.get("/", &forged).status, 200);
    assert_eq!(identity(&stage.upstream.requests()[1]), pairs(&[]));
}

#[test]
fn control_characters_never_leave() {
    let stage = Stage::with(json!({"custom_claims_forward": ["tenant"]}));
    // K-158, I-156, S-24
    for (number, value) in ["a\r\nX-Consumer-Id: root", "a\nb", "a\rb", "a\u{0}b"].into_iter().enumerate() {
        let token = format!("t{number}");
        stage.grant(&token, json!({"tenant": value, "sub": "alice"}));
        assert_eq!(stage.gateway.get_as(&token, "/").status, 200, "{value:?}");
        assert_eq!(identity(&stage.upstream.requests()[number]), pairs(&[("x-credential-sub", "alice")]), "{value:?}");
    }
}

#[test]
fn a_consumer_by_username() {
    let consumers = json!([
        {"id": "11111111-1111-4111-8111-111111111111", "username": "alice", "custom_id": "c-1"},
        {"id": "22222222-2222-4222-8222-222222222222", "username": "c-1", "custom_id": "bob"},
        {"id": "33333333-3333-4333-8333-333333333333", "username": "carol"},
    ]);
    let stage = Stage::with_consumers(json!({}), consumers);
    let alice = "11111111-1111-4111-8111-111111111111";
    let rows: [(serde_json::Value, &[(&str, &str)]); 5] = [
        // K-24, I-153, I-154
        (
            json!({"username": "alice"}),
            &[("x-consumer-custom-id", "c-1"), ("x-consumer-id", alice), ("x-consumer-username", "alice")],
        ),
        (
            json!({"username": "carol"}),
            &[("x-consumer-id", "33333333-3333-4333-8333-333333333333"), ("x-consumer-username", "carol")],
        ),
        // K-26, I-153
        (json!({"username": "nobody"}), &[]),
        (json!({"sub": "alice"}), &[]),
        // K-164, I-154, S-27: `bob` is a custom_id, which this rule does not look at.
        (json!({"username": "bob", "client_id": "alice"}), &[]),
    ];
    for (number, (members, expected)) in rows.into_iter().enumerate() {
        let token = format!("t{number}");
        stage.grant(&token, members.clone());
        assert_eq!(stage.gateway.get_as(&token, "/").status, 200, "{members}");
        let mut found = identity(&stage.upstream.requests()[number]);
        found.retain(|(name, _)| name.starts_with("x-consumer"));
        assert_eq!(found, pairs(expected), "{members}");
    }
}

#[test]
fn a_consumer_by_client_id() {
    let consumers = json!([
        {"username": "app", "custom_id": "other"},
        {"username": "machine", "custom_id": "app"},
        {"username": "plain"},
    ]);
    let stage = Stage::with_consumers(json!({"consumer_by": "client_id"}), consumers);
    // K-25, K-164, I-154, S-27
    for (members, username) in [
        (json!({"client_id": "app"}), Some("machine")),
        (json!({"client_id": "plain"}), None),
        (json!({"username": "app"}), None),
        (json!({"client_id": "machine", "username": "plain"}), None),
    ] {
        let token = format!("t{}", stage.upstream.requests().len());
        stage.grant(&token, members.clone());
        assert_eq!(stage.gateway.get_as(&token, "/").status, 200, "{members}");
        let seen = stage.upstream.requests().pop().unwrap();
        assert_eq!(seen.header("x-consumer-username"), username, "{members}");
    }
}

/// Spellings that back-ends take for the same name, some of them several times.
const FORGED: &[(&str, &str)] = &[
    ("X-Consumer-ID", "root"),
    ("x-consumer-id", "root"),
    ("X_Consumer_ID", "root"),
    ("X.Consumer.Id", "root"),
    ("x-consumer-username", "root"),
    ("X~Consumer~Custom~ID", "root"),
    ("X-Consumer-Anything", "root"),
    ("x-credential-sub", "root"),
    ("X_CREDENTIAL_SCOPE", "admin"),
    ("X-Credential-Username", "root"),
    ("X!Credential!Sub", "root"),
    ("X*Consumer+ID", "root"),
    ("X^Credential^Sub", "root"),
    ("X'Credential'Sub", "root"),
    ("X-Anonymous-Consumer", "true"),
    ("X|Anonymous|Consumer", "true"),
    ("X-Authenticated-Groups", "admin"),
    ("X-Userinfo", "e30="),
    ("EG-Consumer-Id", "root"),
    ("eg_consumer_id", "root"),
];

#[test]
fn forged_headers_never_arrive() {
    let stage = Stage::with_consumers(json!({}), json!([{"username": "alice"}]));
    stage.grant("good", json!({"sub": "s-1", "username": "alice"}));
    let mut headers = vec![("Authorization", "Bearer good")];
    headers.extend_from_slice(FORGED);
    headers.extend_from_slice(FORGED);
    // K-23, I-151, S-18, S-20
    assert_eq!(stage.gateway.get("/", &headers).status, 200);
    let seen = stage.upstream.requests().pop().unwrap();
    assert_eq!(seen.all("x-credential-sub"), ["s-1"]);
    assert_eq!(seen.all("x-consumer-username"), ["alice"]);
    let found = identity(&seen);
    assert!(found.iter().all(|(_, value)| !["root", "admin", "true", "e30="].contains(&value.as_str())), "{found:?}");

    // I-151, S-23: refused or not, and by whatever method, they never arrive.
    for method in ["GET", "OPTIONS", "DELETE"] {
        let answer = stage.gateway.client().request(method, "/", FORGED);
        assert_eq!(answer.status, 401, "{method}");
    }
    assert_eq!(stage.upstream.requests().len(), 1);
}

#[test]
fn forged_headers_do_not_pass_unguarded_routes() {
    let stage = Stage::new();
    let service = json!({"name": "open", "url": stage.upstream.url(), "routes": [{"name": "o", "paths": ["/open"]}]});
    stage.gateway.reload(&declarative(json!([service]), json!([])));
    // I-151, S-23
    assert_eq!(stage.gateway.get("/open", FORGED).status, 200);
    assert_eq!(identity(&stage.upstream.requests()[0]), pairs(&[]));
}

#[test]
fn names_that_a_configuration_sets_are_reserved_on_its_routes() {
    let stage = Stage::with(json!({"custom_claims_forward": ["tenant"]}));
    stage.grant("good", json!({}));
    let headers = [("Authorization", "Bearer good"), ("x_credential_tenant", "root"), ("X-Tenant", "mine")];
    assert_eq!(stage.gateway.get("/", &headers).status, 200);
    // I-151, I-152
    let seen = &stage.upstream.requests()[0];
    assert_eq!((identity(seen), seen.header("x-tenant")), (pairs(&[]), Some("mine")));
}

#[test]
fn forged_trailers_never_arrive() {
    let stage = Stage::new();
    stage.grant("good", json!({"sub": "s-1"}));
    let mut client = stage.gateway.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Consumer-Id, x_credential_sub\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Consumer-Id: root\r\nx_credential_sub: root\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
    // S-19
    let seen = &stage.upstream.requests()[0];
    assert_eq!((&seen.body[..], &seen.trailers), (&b"hello"[..], &vec![]));
    assert_eq!(identity(seen), pairs(&[("x-credential-sub", "s-1")]));
}

#[test]
fn hop_by_hop_names_do_not_remove_identity() {
    let stage = Stage::with_consumers(json!({}), json!([{"username": "alice"}]));
    stage.grant("good", json!({"username": "alice"}));
    let headers = [
        ("Authorization", "Bearer good"),
        ("Connection", "x-consumer-username, x-mine, keep-alive"),
        ("X-Mine", "hop by hop"),
    ];
    // S-21
    assert_eq!(stage.gateway.get("/", &headers).status, 200);
    let seen = &stage.upstream.requests()[0];
    assert_eq!((seen.header("x-consumer-username"), seen.header("x-mine")), (Some("alice"), None));
    assert!(!seen.header("connection").unwrap_or_default().contains("consumer"));
}

#[test]
fn consumers_are_looked_up_live() {
    let stage = Stage::with_consumers(json!({}), json!([{"username": "alice", "custom_id": "1"}]));
    stage.grant("good", json!({"username": "alice"}));
    let custom_id = || {
        assert_eq!(stage.gateway.get_as("good", "/").status, 200);
        stage.upstream.requests().pop().unwrap().header("x-consumer-custom-id").map(str::to_owned)
    };
    assert_eq!(custom_id().as_deref(), Some("1"));
    // I-95
    for (consumers, expected) in [(json!([{"username": "alice", "custom_id": "2"}]), Some("2")), (json!([]), None)] {
        let service = json!({
            "name": "echo", "url": stage.upstream.url(), "routes": [{"name": "all", "paths": ["/"]}],
            "plugins": [plugin(&stage.server.url(), json!({}))],
        });
        stage.gateway.reload(&declarative(json!([service]), consumers));
        assert_eq!(custom_id().as_deref(), expected);
    }
    // The token itself stayed cached all the while.
    assert_eq!(stage.server.calls_for("good"), 1);
}
