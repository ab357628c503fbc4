use std::error::Error as _;

use proptest::prelude::*;

use super::*;

/// The answer, or code and cause of its refusal.
fn read(json: &str) -> Result<Answer, String> {
    Answer::from_json(json.as_bytes()).map_err(|failure| {
        format!("{}: {}", failure.code(), failure.source().map(ToString::to_string).unwrap_or_default())
    })
}

fn active(members: &str) -> Answer {
    read(&format!("{{\"active\":true,{members}}}")).unwrap()
}

#[test]
fn only_a_boolean_is_a_verdict() {
    // I-17
    assert!(read(r#"{"active":true}"#).unwrap().active());
    assert!(!read(r#"{"active":false,"exp":"never","scope":7}"#).unwrap().active());
    for json in [r#"{}"#, r#"{"active":"true"}"#, r#"{"active":1}"#, r#"{"active":null}"#, r#"{"Active":true}"#] {
        assert!(read(json).unwrap_err().starts_with("as_bad_answer"), "{json}");
    }
}

#[test]
fn documents_that_are_no_answer_are_refused() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{{\"active\":true,\"x\":{}0{}}}", open.repeat(levels), close.repeat(levels))
    };
    let many = |count: usize| {
        let members: Vec<_> = (0..count).map(|number| format!("\"m{number}\":0")).collect();
        format!("{{\"active\":true,\"x\":{{{}}}}}", members.join(","))
    };
    let rows = [
        // I-149
        (r#"{"active":true,"active":true}"#.to_owned(), "as_bad_answer: a member name comes twice"), // I-29
        (r#"{"active":true,"\u0061ctive":false}"#.to_owned(), "as_bad_answer: a member name comes twice"),
        (r#"{"active":true,"cnf":{"jkt":"a","jkt":"b"}}"#.to_owned(), "as_bad_answer: a member name comes twice"),
        ("\u{feff}{\"active\":true}".to_owned(), "as_bad_answer: the body is not JSON"),
        (r#"{"active":true}x"#.to_owned(), "as_bad_answer: the body is not JSON"),
        (r#"{"active":true}{"active":true}"#.to_owned(), "as_bad_answer: the body is not JSON"),
        (r#"{"active":true,}"#.to_owned(), "as_bad_answer: the body is not JSON"),
        (r#"{"active":true,"sub":"\ud800"}"#.to_owned(), "as_bad_answer: the body is not JSON"),
        ("{\"active\":true,\"sub\":\"\0\"}".to_owned(), "as_bad_answer: the body is not JSON"),
        (r#"{"active":true,"x":1e400}"#.to_owned(), "as_bad_answer: the body is not JSON"),
        (r#"[{"active":true}]"#.to_owned(), "as_bad_answer: the document is no JSON object"),
        (r#""active""#.to_owned(), "as_bad_answer: the document is no JSON object"),
        // I-8, S-70
        (nested("[", "]", 10_000), "as_answer_too_large: nested deeper than 64 levels"),
        (nested("{\"a\":", "}", 10_000), "as_answer_too_large: nested deeper than 64 levels"),
        (nested("[", "]", 64), "as_answer_too_large: nested deeper than 64 levels"),
        (many(4095), "as_answer_too_large: more than 4096 members"),
        (
            format!("{{\"active\":true,\"x\":\"{}\"}}", "x".repeat(256 * 1024)),
            "as_answer_too_large: more than 262144 bytes",
        ),
        // I-21
        (r#"{"active":true,"sub":7}"#.to_owned(), "as_bad_answer: a member that must be a string is none"),
        (r#"{"active":true,"username":["a"]}"#.to_owned(), "as_bad_answer: a member that must be a string is none"),
        // I-18, S-26
        (r#"{"active":true,"scope":["a b"]}"#.to_owned(), "as_bad_answer: an element of `scope` holds a space"),
        (r#"{"active":true,"scope":["a\u0020b"]}"#.to_owned(), "as_bad_answer: an element of `scope` holds a space"),
        (r#"{"active":true,"scope":[1]}"#.to_owned(), "as_bad_answer: `scope` is no string and no list of strings"),
        // I-19
        (r#"{"active":true,"aud":{"a":1}}"#.to_owned(), "as_bad_answer: `aud` is no string and no list of strings"),
    ];
    for (json, expected) in rows {
        let shown = json.get(..60).unwrap_or(&json).to_owned();
        assert_eq!(read(&json).map(|_| ()), Err(expected.to_owned()), "{shown}");
    }
    assert!(Answer::from_json(b"{\"active\":true,\"x\":\"\xff\"}").is_err());
    read(&nested("[", "]", 63)).unwrap();
    read(&many(4094)).unwrap();
    read(r#"{"active":true,"__proto__":{},"x":"\u0000","y":123456789012345678901234567890}"#).unwrap();
}

#[test]
fn dates_are_numbers_of_seconds() {
    let rows = [
        // I-20, I-147, I-148
        ("1795210633", Ok(Some(1_795_210_633_000))),
        ("1795210633.5", Ok(Some(1_795_210_633_500))),
        ("1.7e9", Ok(Some(1_700_000_000_000))),
        ("0", Ok(Some(0))),
        ("null", Ok(None)),
        ("1e14", Ok(Some(u64::MAX))),
        ("9007199254740992", Ok(Some(u64::MAX))),
        ("1000000000000000000", Ok(Some(u64::MAX))),
        ("1e300", Ok(Some(u64::MAX))),
        ("1795210633000", Err(())),
        ("1e11", Err(())),
        ("99999999999999", Err(())),
        ("-1", Err(())),
        ("-0", Err(())),
        ("1e400", Err(())),
        ("true", Err(())),
        ("[1795210633]", Err(())),
        ("{}", Err(())),
        ("\"1795210633\"", Err(())),
        ("\"\"", Err(())),
    ];
    for (raw, expected) in rows {
        for name in ["exp", "iat", "nbf"] {
            let answer = read(&format!("{{\"active\":true,\"{name}\":{raw}}}"));
            let got = answer.as_ref().map_err(|_| ()).map(|answer| match name {
                "exp" => answer.exp(),
                "iat" => answer.iat(),
                _ => answer.nbf(),
            });
            assert_eq!(got, expected, "{name} {raw}");
        }
    }
    let read = |raw: &str, milliseconds, strings| {
        let reading = Reading { millisecond_dates: milliseconds, string_dates: strings, ..Reading::default() };
        Answer::read(format!("{{\"active\":true,\"exp\":{raw}}}").as_bytes(), &reading)
            .ok()
            .and_then(|answer| answer.exp())
    };
    assert_eq!(read("1795210633000", true, false), Some(1_795_210_633_000));
    assert_eq!(read("1795210633", true, false), Some(1_795_210_633_000));
    assert_eq!(read("\"1795210633\"", false, true), Some(1_795_210_633_000));
    for raw in ["\"\"", "\"-1\"", "\"1e3\"", "\"abc\"", "\" 1\""] {
        assert_eq!(read(raw, true, true), None, "{raw}");
    }
}

#[test]
fn members_are_kept_and_read() {
    let answer = active(
        r#" "scope" : "read  write ", "client_id":"app", "username":"Zo\u00eb", "aud":["a","b"], "jti":null,
            "sub":"s\\1", "https://example/x" : { "a" : [1, 2] } , "n\u0061me":1.50 "#,
    );
    assert_eq!(answer.scope().collect::<Vec<_>>(), ["read", "write"]); // I-18
    assert_eq!(answer.client_id(), Some("app"));
    assert_eq!(answer.username(), Some("Zoë"));
    assert_eq!(answer.sub(), Some("s\\1"));
    assert_eq!(answer.aud().collect::<Vec<_>>(), ["a", "b"]); // I-19
    assert_eq!((answer.jti(), answer.iss(), answer.token_type(), answer.exp()), (None, None, None, None)); // I-21
    assert_eq!(answer.expires(), u64::MAX);
    // I-29
    assert_eq!(answer.get("https://example/x"), Some(r#"{ "a" : [1, 2] }"#));
    assert_eq!(answer.get("name"), Some("1.50"));
    assert_eq!(answer.get("username"), Some(r#""Zo\u00eb""#));
    assert_eq!(answer.get_str("username").as_deref(), Some("Zoë"));
    assert_eq!(answer.get("absent"), None);
    assert_eq!(answer.members().count(), 9);
    assert_eq!(active(r#""aud":"one two, three""#).aud().collect::<Vec<_>>(), ["one two, three"]);
    assert_eq!(active(r#""scope":["x","y"]"#).scope().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(active(r#""scope":"""#).scope().count(), 0);
}

#[test]
fn header_values_are_ready() {
    let rows = [
        // I-155, I-156, S-24, S-25
        (Standard::Scope, r#""scope":"read write""#, Some("read write")),
        (Standard::Scope, r#""scope":["read","write"]"#, Some("read write")),
        (Standard::ClientId, r#""client_id":"a\"b""#, Some("a\"b")),
        (Standard::ClientId, r#""client_id":"\"ab\"""#, Some("\"ab\"")),
        (Standard::Exp, r#""exp":1.7e9"#, Some("1700000000")),
        (Standard::Exp, r#""exp":1795210633"#, Some("1795210633")),
        (Standard::Aud, r#""aud":"api""#, Some("api")),
        (Standard::Aud, r#""aud":["a", "Zoë"]"#, Some(r#"["a","Zo\u00eb"]"#)),
        (Standard::Aud, r#""aud":["a","b"]"#, Some(r#"["a","b"]"#)),
        (Standard::Username, r#""username":"Zoë""#, Some("Zoë")),
        (Standard::Username, r#""username":null"#, None), // I-152
        (Standard::Username, r#""x":1"#, None),
        (Standard::Sub, r#""sub":"a\r\nX-Consumer-Id: root""#, None),
        (Standard::Sub, r#""sub":"a\u0000""#, None),
        (Standard::Sub, r#""sub":"a\tb""#, None),
    ];
    for (member, json, expected) in rows {
        let answer = active(json);
        let value = answer.header_value(member);
        assert_eq!(value.as_ref().map(|value| str::from_utf8(value.as_bytes()).unwrap()), expected, "{json}");
        // A member that is there is either sent or reported.
        let present = answer.get(member.name()).is_some_and(|raw| raw != "null");
        assert_eq!(present, value.is_some() || answer.not_sendable().eq([member]), "{json}");
        assert_eq!(answer.encode(member.name()).ok().flatten(), value, "{json}");
    }
    let answer = active(r#""roles":["user,admin","x"],"bad":"a\nb","flag":true,"none":null,"text":"plain""#);
    assert_eq!(answer.encode("roles").unwrap().unwrap(), r#"["user,admin","x"]"#);
    assert_eq!(answer.encode("flag").unwrap().unwrap(), "true");
    assert_eq!(answer.encode("text").unwrap().unwrap(), "plain");
    assert_eq!(answer.encode("bad"), Err(NotSendable::Control)); // K-158
    assert_eq!((answer.encode("none"), answer.encode("absent")), (Ok(None), Ok(None)));
}

#[test]
fn an_answer_is_light() {
    let json = r#"{"active":true,"scope":"read write","client_id":"app","username":"zoe","token_type":"Bearer","exp":1795210633,"iat":1795207033,"nbf":1795207033,"sub":"248289761001","aud":["https://api.example"],"iss":"https://as.example","jti":"0d5b1b1e-8d6d-4f6b-9c3f-1d2f4c5b6a79"}"#;
    let answer = read(json).unwrap();
    assert!(answer.weight() < json.len() + 350, "{} for {}", answer.weight(), json.len());
}

#[test]
fn nothing_of_it_is_printed() {
    assert_eq!(format!("{:?}", active(r#""sub":"canary""#)), "Answer { active: true, members: 2, .. }");
}

proptest! {
    // S-52, I-149
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Answer::from_json(&bytes);
    }

    // S-52: whatever the members are, reading is consistent, and only `true` is active.
    #[test]
    fn any_members_are_read_or_refused(members in proptest::collection::btree_map(name(), value(), 0..8)) {
        let json = serde_json::to_string(&members).unwrap();
        match Answer::from_json(json.as_bytes()) {
            Err(_) => {}
            Ok(answer) if !answer.active() => prop_assert_eq!(&members["active"], &serde_json::Value::Bool(false)),
            Ok(answer) => {
                prop_assert_eq!(&members["active"], &serde_json::Value::Bool(true));
                for (name, value) in &members {
                    let raw = answer.get(name).unwrap();
                    prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(raw).unwrap(), value);
                    let _ = answer.encode(name);
                }
                for member in Standard::ALL {
                    let encoded = answer.encode(member.name()).ok().flatten();
                    prop_assert_eq!(answer.header_value(member), encoded);
                }
                prop_assert_eq!(answer.scope().filter(|scope| scope.contains(' ')).count(), 0);
            }
        }
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("active".to_owned()),
        6 => proptest::sample::select(Standard::ALL.to_vec()).prop_map(|member| member.name().to_owned()),
        2 => ".{0,6}",
    ]
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        4 => Just(Value::Bool(true)),
        1 => Just(Value::Bool(false)),
        1 => Just(Value::Null),
        2 => any::<i64>().prop_map(Value::from),
        2 => (0..4_000_000_000u64).prop_map(Value::from),
        4 => ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,4}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
