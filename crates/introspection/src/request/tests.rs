use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{BasicEncoding, Config};

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &[7; 32])
}

fn config() -> Config {
    Config::new("https://as.example/introspect").unwrap().client_auth(ClientAuth::basic("id", "secret"))
}

fn inputs(config: Config) -> Inputs {
    config.into_inputs().unwrap().0
}

fn fingerprint(config: Config) -> Fingerprint {
    Fingerprint::of(&inputs(config), &key())
}

// I-80, I-94, I-100, S-3, S-4, S-5
#[test]
fn every_constant_input_makes_another_profile() {
    let header =
        |name: &'static str, value: &'static str| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let with_headers = |headers: &[(HeaderName, HeaderValue)]| {
        headers.iter().cloned().fold(config(), |config, (name, value)| config.header(name, value))
    };
    let auth = |auth| config().client_auth(auth);
    let configs = [
        config(),
        Config::new("https://as.example/introspect/").unwrap().client_auth(ClientAuth::basic("id", "secret")),
        Config::new("https://as.example/introspect?a").unwrap().client_auth(ClientAuth::basic("id", "secret")),
        Config::new("https://as2.example/introspect").unwrap().client_auth(ClientAuth::basic("id", "secret")),
        Config::new("http://as.example/introspect")
            .unwrap()
            .client_auth(ClientAuth::basic("id", "secret"))
            .allow_http(true),
        auth(ClientAuth::basic("id2", "secret")),
        auth(ClientAuth::basic("id", "secret2")),
        auth(ClientAuth::basic("ids", "ecret")),
        auth(ClientAuth::basic_encoded("id", "secret", BasicEncoding::Raw)),
        auth(ClientAuth::post("id", "secret")),
        auth(ClientAuth::none("id")),
        auth(ClientAuth::authorization("id")),
        config().token_type_hint("access_token"),
        config().token_type_hint(""),
        config().parameter("a", "bc"),
        config().parameter("ab", "c"),
        config().parameter("a", "b").parameter("c", "d"),
        config().parameter("c", "d").parameter("a", "b"),
        with_headers(&[header("x-a", "bc")]),
        with_headers(&[header("x-ab", "c")]),
        with_headers(&[header("x-a", "b"), header("x-c", "d")]),
        config().accept(HeaderValue::from_static("application/token-introspection+jwt")),
        config().ca_certificates("x"),
        config().max_answer_bytes(1),
        config().max_answer_depth(1),
        config().max_answer_members(1),
        config().millisecond_dates(true),
        config().string_dates(true),
    ];
    let count = configs.len();
    let distinct: HashSet<_> = configs.into_iter().map(fingerprint).collect();
    assert_eq!(distinct.len(), count);
}

// I-80: what is not in the key
#[test]
fn times_and_numbers_of_calls_do_not_part_profiles() {
    let second = std::time::Duration::from_secs(1);
    let other = config()
        .ttl(second)
        .timeout(second)
        .connect_timeout(second)
        .keep_alive(second)
        .concurrent_calls(1)
        .queued_calls(1);
    assert_eq!(fingerprint(config()), fingerprint(other));
}

// I-80, S-5
#[test]
fn every_input_of_a_call_makes_another_key() {
    let (a, b) = (HeaderName::from_static("x-a"), HeaderName::from_static("x-ab"));
    let value = HeaderValue::from_static;
    let (bc, c, empty) = (value("bc"), value("c"), value(""));
    let long = "x".repeat(3000);
    let calls = [
        Call::new("token"),
        Call::new("token2"),
        Call::new(""),
        Call::new("token").with_header(&a, &bc),
        Call::new("token").with_header(&b, &c),
        Call::new("token").with_header(&a, &empty),
        Call::new("token").with_parameter("a", "bc"),
        Call::new("token").with_parameter("ab", "c"),
        Call::new("token").with_parameter("x-a", "bc"),
        Call::new("tok").with_parameter("a", "en"),
        Call::new(&long),
        Call::new(&long[1..]),
        Call::new(&long).with_parameter("a", &long),
    ];
    let mut keys = Vec::new();
    for call in &calls {
        let key = Key::of(call, &key());
        assert!(!keys.contains(&key));
        keys.push(key);
    }
    assert!(Key::of(&calls[0], &fingerprint(config()).derive(&key())) != keys[0]);
}

proptest! {
    // S-5: only equal calls have equal keys, on the stack and beyond it.
    #[test]
    fn keys_tell_calls_apart(
        one in proptest::collection::vec(("[ab]{0,3}", "[ab]{0,3}"), 0..4),
        other in proptest::collection::vec(("[ab]{0,3}", "[ab]{0,3}"), 0..4),
        pad in prop_oneof![Just(0usize), Just(900), Just(1100)],
    ) {
        let token = "t".repeat(pad);
        let of = |fields: &[(String, String)]| {
            let call = fields.iter().fold(Call::new(&token), |call, (name, value)| call.with_parameter(name, value));
            Key::of(&call, &key())
        };
        prop_assert_eq!(of(&one) == of(&other), one == other);
    }
}

#[test]
fn an_attempt_says_what_was_configured() {
    let config = config()
        .client_auth(ClientAuth::post("my id", "s&cret"))
        .token_type_hint("access_token")
        .parameter("resource", "a b")
        .header(HeaderName::from_static("x-tenant"), HeaderValue::from_static("one"));
    let path = (HeaderName::from_static("x-request-path"), HeaderValue::from_static("/p"));
    let call = Call::new("a&token=b+/~")
        .with_header(&path.0, &path.1)
        .with_parameter("more", "1")
        .with_parameter("token", "x");
    let Attempt { url, headers, body } = attempt(&inputs(config), &call.to_asked());
    // I-2, I-3, I-4, I-11, S-57
    assert_eq!(
        body,
        "token=a%26token%3Db%2B%2F%7E&token_type_hint=access_token&resource=a+b&more=1&client_id=my+id&client_secret=s%26cret"
    );
    assert_eq!(url.as_str(), "https://as.example/introspect");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(headers["accept"], "application/json");
    assert_eq!(headers["x-tenant"], "one");
    assert_eq!(headers["x-request-path"], "/p");
    assert!(!headers.contains_key("authorization"));

    let value = "Custom  a,b=c ";
    let auth = ClientAuth::authorization(value);
    let Attempt { headers, body, .. } = attempt(&inputs(self::config().client_auth(auth)), &Call::new("t").to_asked());
    assert_eq!((headers["authorization"].as_bytes(), body.as_str()), (value.as_bytes(), "token=t"));
    assert!(headers["authorization"].is_sensitive());
}
