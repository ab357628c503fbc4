use super::*;

/// Row, sources, `Authorization` values, query, outcome.
type Row<'a> = (&'a str, &'a Sources<'a>, &'a [&'a str], &'a str, Outcome<'a>);
type Outcome<'a> = Result<Option<(&'a str, Place)>, Unusable>;

fn headers(values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
}

#[test]
fn tokens_are_taken_from_where_they_may_be() {
    let kong = Sources { query: &["access_token"], search_all: false, ..Sources::default() };
    let native = Sources::default();
    let query_only = Sources { header: false, query: &["access_token"], ..Sources::default() };
    let none = Ok(None);
    let header = Ok(Some(("tok", Place::Header)));
    let from_query = Ok(Some(("tok", Place::Query)));
    let rows: [Row<'_>; 31] = [
        // I-54
        ("nothing", &kong, &[], "", none),
        ("bearer", &kong, &["Bearer tok"], "", header),
        ("scheme in another case", &kong, &["bEARER tok"], "", header),
        ("several spaces", &kong, &["Bearer   tok"], "", header),
        ("scheme alone", &kong, &["Bearer"], "", none),
        ("scheme and space", &kong, &["Bearer "], "", none),
        ("two parts", &kong, &["Bearer tok en"], "", Err(Unusable::Ambiguous)),
        ("tab inside", &kong, &["Bearer tok\ten"], "", Err(Unusable::Ambiguous)),
        ("two in a list", &kong, &["Bearer tok, Bearer tok"], "", Err(Unusable::Ambiguous)),
        ("another scheme", &kong, &["Basic dG9r"], "", none),
        ("another scheme, then the query", &kong, &["Basic dG9r"], "access_token=tok", from_query),
        ("token scheme, not asked for", &kong, &["token tok"], "", none),
        ("no b64token", &kong, &["Bearer t{k"], "", Err(Unusable::Malformed)), // I-6
        ("not ASCII", &kong, &["Bearer t\u{f6}k"], "", Err(Unusable::Malformed)),
        ("padding inside", &kong, &["Bearer t=k"], "", Err(Unusable::Malformed)),
        ("padding alone", &kong, &["Bearer =="], "", Err(Unusable::Malformed)),
        // I-45, I-59
        ("two headers", &kong, &["Bearer tok", "Bearer tok"], "", Err(Unusable::Ambiguous)),
        ("two headers, one of them not ours", &kong, &["Bearer tok", "Basic dG9r"], "", Err(Unusable::Ambiguous)),
        ("header and query", &kong, &["Bearer tok"], "access_token=tok", Err(Unusable::Ambiguous)),
        ("twice in the query", &kong, &[], "access_token=tok&a=b&access_token=tok", Err(Unusable::Ambiguous)),
        ("an alias in the query", &kong, &[], "access_token=tok&access%5Ftoken=tok", Err(Unusable::Ambiguous)),
        // I-56
        ("query", &kong, &[], "a=b&access_token=tok", from_query),
        ("encoded name", &kong, &[], "access%5ftoken=tok", from_query),
        ("encoded value", &kong, &[], "access_token=t%6Fk", from_query),
        ("empty argument", &kong, &[], "access_token=", none),
        ("argument without a value", &kong, &[], "access_token&a", none),
        ("name in another case", &kong, &[], "Access_Token=tok", none),
        ("injection", &kong, &[], "access_token=a%26token%3Db", Err(Unusable::Malformed)), // S-57
        // I-55, I-59
        ("query is no source natively", &native, &[], "access_token=tok", none),
        ("but is searched", &native, &["Bearer tok"], "access_token=tok", Err(Unusable::Ambiguous)),
        ("header is no source", &query_only, &["Bearer tok"], "", none),
    ];
    for (row, sources, values, query, expected) in rows {
        let headers = headers(values);
        let taken = take(&headers, Some(query), sources);
        let got = taken.as_ref().map(|taken| taken.as_ref().map(|taken| (taken.token.as_ref(), taken.place)));
        assert_eq!(got.map_err(|unusable| *unusable), expected, "{row}");
    }
}

#[test]
fn the_token_scheme_is_an_option() {
    let sources = Sources { token_scheme: true, ..Sources::default() };
    let headers = headers(&["Token tok"]);
    assert_eq!(take(&headers, None, &sources).unwrap().unwrap().token, "tok");
}

// I-6, S-39, S-47
#[test]
fn tokens_have_a_syntax_and_a_length() {
    for token in ["a", "abc", "A-._~+/z==", &"a".repeat(MAX_BYTES)] {
        check(token, MAX_BYTES).unwrap();
    }
    for token in ["", "=", "a b", "a\"", "a&token=b", "a%26x", "ä", &"a".repeat(MAX_BYTES + 1)] {
        assert_eq!(check(token, MAX_BYTES), Err(Unusable::Malformed), "{token}");
    }
}

// I-61
#[test]
fn challenges_stay_inside_their_grammar() {
    let challenge = Challenge {
        realm: Some("a \"quoted\\\" realm\r\n\u{eb}"),
        error: Some("insufficient_scope"),
        scope: Some("read write"),
        ..Challenge::default()
    };
    let expected = r#"Bearer realm="a quoted realm", scope="read write", error="insufficient_scope""#;
    assert_eq!(challenge.to_value(), expected);
    assert_eq!(Challenge::default().to_value(), "Bearer"); // I-44
}

// I-87
#[test]
fn the_age_of_a_jwt_is_read_from_its_payload() {
    let jwt = |payload: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload));
    assert_eq!(jwt_issued_at(&jwt(r#"{"iat":1700000000.5,"a":[]}"#)), Some(1_700_000_000_500));
    for token in ["opaque", "a.b", "a.b.c", "a.b.c.d", &jwt("{}"), &jwt(r#"{"iat":"1"}"#), &jwt("[")] {
        assert_eq!(jwt_issued_at(token), None, "{token}");
    }
}

#[test]
fn ordinary_tokens_are_taken_without_a_copy() {
    let everywhere = Sources { query: &[QUERY_NAME], ..Sources::default() };
    let rows = [("Bearer tok.en-_~/+==", "a=b"), ("Basic eDp5", "a=b+c&access_token=tok.en-_~/&d=%20")];
    for (value, query) in rows {
        let headers = headers(&[value]);
        let taken = take(&headers, Some(query), &everywhere).unwrap().unwrap();
        assert!(matches!(taken.token, Cow::Borrowed(_)), "{query}");
    }
}
