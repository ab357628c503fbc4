//! Where a token is taken from, and what is no token.

use serde_json::json;

use crate::stage::Stage;

#[test]
fn sources() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);
    let rows: &[Row<'_>] = &[
        // I-54, K-11
        ("/", &[("Authorization", "Bearer good")], 200),
        ("/", &[("authorization", "bearer good")], 200),
        ("/", &[("AUTHORIZATION", "BEARER   good")], 200),
        ("/", &[("Authorization", "token good")], 200),
        // I-55, I-56: the name is compared decoded.
        ("/?access_token=good", &[], 200),
        ("/?a=1&access%5Ftoken=good&b=2", &[], 200),
        ("/?access_token=good", &[("Authorization", "Basic Zm9vOmJhcg==")], 200),
        // I-54: nothing behind the scheme, an empty argument, another scheme: no token.
        ("/", &[("Authorization", "Bearer")], 401),
        ("/", &[("Authorization", "Bearer ")], 401),
        ("/?access_token=", &[], 401),
        ("/?access_tokens=good", &[], 401),
        ("/", &[("Authorization", "Basic Zm9vOmJhcg==")], 401),
        // I-59, K-147
        ("/?access_token=good", &[("Authorization", "Bearer good")], 400),
        ("/?access_token=good&access_token=good", &[], 400),
        ("/?access_token=good&access%5Ftoken=good", &[], 400),
        ("/", &[("Authorization", "Bearer good"), ("Authorization", "Bearer good")], 400),
        ("/", &[("Authorization", "Bearer good other")], 400),
    ];
    for (target, headers, status) in rows {
        let answer = stage.gateway.get(target, headers);
        assert_eq!(answer.status, *status, "{target} {headers:?}: {}", answer.text());
        let error = answer.json()["error"].clone();
        assert!(*status == 200 || error == "invalid_request", "{target} {headers:?}: {error}");
    }
    // One token in every spelling is one entry; the refused ones made no call.
    assert_eq!(stage.server.calls().len(), 1);
}

#[test]
fn what_cannot_be_a_token_is_not_asked_about() {
    let stage = Stage::new();
    stage.server.otherwise(portcullis_testkit::Reply::active(json!({})));
    // I-6, K-167
    let long = format!("Bearer {}", "a".repeat(8 * 1024 + 1));
    for value in ["Bearer a%b", "Bearer a,b", "Bearer \"a\"", "Bearer =", "Bearer a=b", "Bearer a\u{e4}", &long] {
        let answer = stage.gateway.get("/", &[("Authorization", value)]);
        assert_eq!((answer.status, &answer.json()["error"]), (401, &"invalid_token".into()), "{value:.30}");
    }
    assert_eq!(stage.gateway.get("/?access_token=a%20b", &[]).status, 401);
    assert!(stage.server.calls().is_empty());
    // The longest one that can be is asked about.
    assert_eq!(stage.gateway.get_as(&"a".repeat(8 * 1024), "/").status, 200);
}

#[test]
fn short_tokens_are_tokens() {
    let stage = Stage::new();
    // S-39
    for length in 1..=64 {
        assert_eq!(stage.gateway.get_as(&"x".repeat(length), "/").status, 401, "{length}");
    }
    assert!(stage.upstream.requests().is_empty());
    assert_eq!(stage.server.calls().len(), 64);
}

#[test]
fn the_token_passes_on_unchanged() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    // K-4, K-43
    stage.gateway.get("/", &[("Authorization", "bearer  good")]);
    stage.gateway.get("/p?b=%20&access_token=good&a=", &[]);
    let seen = stage.upstream.requests();
    assert_eq!(seen[0].header("authorization"), Some("bearer  good"));
    assert_eq!((seen[1].target.as_str(), seen[1].header("authorization")), ("/p?b=%20&access_token=good&a=", None));
}

#[test]
fn an_answer_to_a_token_in_the_query_is_private() {
    let stage = Stage::new();
    stage.grant("good", json!({}));
    // I-56
    let answer = stage.gateway.get("/?access_token=good", &[]);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("private")));
}
