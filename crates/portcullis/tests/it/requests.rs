//! The introspection call as the authorization server receives it.

use portcullis_testkit::Reply;
use serde_json::json;

use crate::stage::{CREDENTIAL, Stage};

#[test]
fn the_call_is_a_form_post() {
    let stage = Stage::new();
    stage.grant("abc", json!({}));
    assert_eq!(stage.gateway.get_as("abc", "/private?x=1").status, 200);
    let call = &stage.server.calls()[0];
    // I-2, K-7
    assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/introspect"));
    assert_eq!(call.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(call.form, [("token".to_owned(), "abc".to_owned())]);
    // I-11, K-7
    assert_eq!(call.header("authorization"), Some(CREDENTIAL));
    assert_eq!(call.header("accept"), Some("application/json"));
    assert_eq!(call.header("host"), Some(stage.server.addr().to_string().as_str()));
    // Nothing of the client's request reaches the server unasked.
    let sent = format!("{call:?}");
    assert!(!sent.contains("private") && !sent.contains("x-request"), "{sent}");
}

#[test]
fn hint_and_headers_are_sent_when_configured() {
    let headers = json!({"X-Tenant": "blue", "x-second": "2"});
    let stage = Stage::with(json!({"token_type_hint": "access_token", "custom_introspection_headers": headers}));
    stage.gateway.get_as("abc", "/");
    let call = &stage.server.calls()[0];
    // I-3, K-8
    assert_eq!(call.field("token_type_hint"), Some("access_token"));
    // I-4, K-10
    assert_eq!((call.header("x-tenant"), call.header("x-second")), (Some("blue"), Some("2")));
}

#[test]
fn the_token_is_one_form_field_whatever_it_holds() {
    let stage = Stage::new();
    // I-2, I-6, S-57: refused by its form, or sent encoded; the server never sees a second field.
    for token in ["a%26token=b", "a%2Bb", "a%26x", "a%25b", "aa~b.c-d_e/f==", "a%3D%3D"] {
        stage.gateway.get(&format!("/?access_token={token}"), &[]);
    }
    for token in ["a+b", "a~b", "a/b=="] {
        stage.gateway.get_as(token, "/");
        assert_eq!(stage.server.calls_for(token), 1, "{token}");
    }
    for call in stage.server.calls() {
        assert_eq!((call.form.len(), call.count("token")), (1, 1), "{call:?}");
    }
}

#[test]
fn connections_to_the_server_are_kept() {
    let stage = Stage::new();
    stage.server.otherwise(Reply::active(json!({})));
    for n in 0..20 {
        assert_eq!(stage.gateway.get_as(&format!("t{n}"), "/").status, 200);
    }
    // I-10
    assert_eq!((stage.server.calls().len(), stage.server.connections()), (20, 1));
}

#[test]
fn a_stale_connection_is_no_outage() {
    let mut stage = Stage::new();
    stage.server.otherwise(Reply::active(json!({})));
    assert_eq!(stage.gateway.get_as("before", "/").status, 200);
    stage.server.restart();
    // I-10
    assert_eq!(stage.gateway.get_as("after", "/").status, 200);
}
