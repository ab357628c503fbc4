use super::*;
use http::Method;
use portcullis_plugins::Reason;
use portcullis_plugins::reason::TABLE;

const ID: &str = "0123456789abcdef0123456789abcdef";

fn asked(headers: &[(&'static str, &str)]) -> Asked {
    asked_by(Method::GET, headers)
}

fn asked_by(method: Method, headers: &[(&'static str, &str)]) -> Asked {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    Asked::of(&method, &map)
}

fn to(asked: &Asked) -> To<'_> {
    To { asked, request_id: ID, elapsed: Duration::from_millis(7) }
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

fn body(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

// K-14, K-15, I-44, I-45, I-46, I-47, I-48, I-49, I-50: status, challenge, body and its member order, for every
// reason there is.
#[test]
fn refusals_follow_the_table() {
    for row in &TABLE {
        let response = refusal(&row.reason.into(), to(&asked(&[])));
        assert_eq!(response.status(), row.status, "{}", row.code);
        assert_eq!(header(&response, "www-authenticate"), row.challenge, "{}", row.code);
        assert_eq!(header(&response, "content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(header(&response, "cache-control"), Some("no-store"), "{}", row.code);
        assert_eq!(header(&response, "x-kong-request-id"), Some(ID));
        assert_eq!(header(&response, "x-kong-response-latency"), Some("7"));
        assert_eq!(header(&response, "server"), Some(PRODUCT));
        assert_eq!(header(&response, "content-length"), Some(&*response.body().len().to_string()));
        let retry_after = (row.status == 503).then_some("5");
        assert_eq!(header(&response, "retry-after"), retry_after, "{}", row.code);
        let wanted = format!(
            r#"{{"message":"{}","error":"{}","error_description":"{}","request_id":"{ID}"}}"#,
            row.message, row.error, row.description
        );
        assert_eq!(body(&response), wanted);
        assert!(httpdate::parse_http_date(header(&response, "date").unwrap()).is_ok());
    }
}

// K-14: a bare challenge.
#[test]
fn no_token() {
    let response = refusal(&Reason::NoToken.into(), to(&asked(&[])));
    assert_eq!(response.status(), 401);
    assert_eq!(header(&response, "www-authenticate"), Some("Bearer"));
}

// I-43: the authorization server's own wish.
#[test]
fn retry_after_of_the_authorization_server() {
    let throttled = Refusal { reason: Reason::AsThrottled, retry_after: Some(42) };
    let response = refusal(&throttled, to(&asked(&[])));
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, Some("42")));
}

// K-159
#[test]
fn refusals_as_text_and_html() {
    let plain = refusal(&Reason::Inactive.into(), to(&asked(&[("accept", "text/plain")])));
    assert_eq!(header(&plain, "content-type"), Some("text/plain; charset=utf-8"));
    let description = "The access token is invalid or has expired";
    let wanted = format!("Unauthorized\nerror: invalid_token\nerror_description: {description}\nrequest_id: {ID}\n");
    assert_eq!(body(&plain), wanted);

    let html = refusal(&Reason::Inactive.into(), to(&asked(&[("accept", "text/html")])));
    assert_eq!(header(&html, "content-type"), Some("text/html; charset=utf-8"));
    assert!(body(&html).starts_with("<!doctype html>"));
    assert!(body(&html).contains("<p>error: invalid_token</p>") && body(&html).contains(ID), "{}", body(&html));
    assert_eq!(header(&html, "www-authenticate"), header(&plain, "www-authenticate"));
}

// The rows of kong.md 3.10: status, text and default format of every failure.
#[test]
fn failures_follow_the_table() {
    let proxied = "An invalid response was received from the upstream server";
    let redirect =
        Failure::RedirectToHttps { status: StatusCode::FOUND, location: HeaderValue::from_static("https://h/") };
    for (place, (failed, status, code, message, json)) in [
        (Failure::NoRoute, 404, "no_route", "no Route matched with those values", true),
        (Failure::NoService, 503, "no_service", "no Service found with those values", true),
        (Failure::HttpsRequired, 426, "https_required", "Please use HTTPS protocol", true),
        (redirect, 302, "https_redirect", "", true),
        (Failure::NameResolution, 503, "name_resolution", "name resolution failed", true),
        (Failure::UpstreamRefused, 502, "upstream_refused", proxied, false),
        (Failure::BadUpstreamResponse, 502, "bad_upstream_response", proxied, false),
        (Failure::UpstreamTimeout, 504, "upstream_timeout", "The upstream server is timing out", false),
        (
            Failure::UpstreamUnavailable,
            503,
            "upstream_unavailable",
            "The upstream server is currently unavailable",
            false,
        ),
        (Failure::BadRequest, 400, "bad_request", "Bad request", false),
        (Failure::MethodNotAllowed, 405, "method_not_allowed", "Method not allowed", false),
        (Failure::RequestTimeout, 408, "request_timeout", "Request timeout", false),
        (Failure::LengthRequired, 411, "length_required", "Length required", false),
        (Failure::PayloadTooLarge, 413, "payload_too_large", "Payload too large", false),
        (Failure::UriTooLong, 414, "uri_too_long", "URI too long", false),
        (Failure::HeadTooLarge, 431, "head_too_large", "Request header or cookie too large", false),
        (Failure::Internal, 500, "internal_error", "An unexpected error occurred", true),
        (Failure::NotReady, 503, "not_ready", "The gateway has no configuration yet", true),
        (Failure::NoHealthyTarget, 503, "no_healthy_target", "failure to get a peer from the ring-balancer", true),
    ]
    .into_iter()
    .enumerate()
    {
        let response = failure(&failed, to(&asked(&[])));
        assert_eq!(response.status(), status, "{code}");
        assert_eq!((failed.code(), failed.index()), (code, place));
        assert_eq!(Failure::codes().nth(place), Some(code));
        let wanted = match (message, json) {
            ("", _) => String::new(),
            (message, true) => format!("{{\n  \"message\":\"{message}\",\n  \"request_id\":\"{ID}\"\n}}"),
            (message, false) => format!("{message}\nrequest_id: {ID}\n"),
        };
        assert_eq!(body(&response), wanted, "{code}");
        assert_eq!(header(&response, "server"), Some(PRODUCT));
        assert_eq!(header(&response, "x-kong-request-id"), Some(ID));
        assert_eq!(header(&response, "x-kong-response-latency").is_none(), failed.is_proxied(), "{code}");
        assert!(response.headers().contains_key(DATE));
        assert_eq!(header(&response, "www-authenticate"), None);
        assert_eq!(header(&response, "cache-control"), Some("no-store"), "{code}");
    }
    assert_eq!(Failure::COUNT, Failure::codes().count());
}

// K-124
#[test]
fn https_required() {
    let response = failure(&Failure::HttpsRequired, to(&asked(&[])));
    assert_eq!(response.status(), 426);
    assert_eq!(header(&response, "connection"), Some("Upgrade"));
    assert_eq!(header(&response, "upgrade"), Some("TLS/1.2, HTTP/1.1"));

    for status in [301, 302, 307, 308] {
        let status = StatusCode::from_u16(status).unwrap();
        let location = HeaderValue::from_static("https://api.example/a?b=c");
        let response = failure(&Failure::RedirectToHttps { status, location }, to(&asked(&[])));
        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "location"), Some("https://api.example/a?b=c"));
        assert_eq!((body(&response), header(&response, "content-type")), ("", None));
    }
}

#[test]
fn a_head_request_is_told_the_length_alone() {
    let response = failure(&Failure::NoRoute, to(&asked_by(Method::HEAD, &[])));
    let length = failure(&Failure::NoRoute, to(&asked(&[]))).body().len().to_string();
    assert_eq!((body(&response), header(&response, "content-length")), ("", Some(&*length)));
}

// K-121, K-122, K-159 and the last lines of kong.md 3.10: who decides on the format.
#[test]
fn formats() {
    let (json, text, html) = ("application/json", "text/plain", "text/html");
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (headers, by_router, by_proxy) in [
        (&[][..], json, text),
        (&[("accept", "*/*")], json, json),
        (&[("accept", "application/json")], json, json),
        (&[("accept", "APPLICATION/JSON; charset=utf-8")], json, json),
        (&[("accept", "text/plain")], text, text),
        (&[("accept", "text/html")], html, html),
        (&[("accept", browser)], html, html),
        (&[("accept", "text/*")], text, text),
        (&[("accept", "application/*")], json, json),
        (&[("accept", "text/plain;q=0.5, text/html;q=0.8")], html, html),
        (&[("accept", "text/plain;q=0.5, application/json;q=0.4")], text, text),
        (&[("accept", "text/html, text/plain")], html, html),
        (&[("accept", "text/plain, text/html")], text, text),
        (&[("accept", "application/json;q=0, */*")], text, text),
        (&[("accept", "*/*;q=0.1, text/html;q=0.0")], json, json),
        (&[("accept", "text/html;q=0.001, text/plain;q=0")], html, html),
        (&[("accept", "text/html;level=1;Q=0.3, text/plain;q=0.2")], html, html),
        (&[("accept", "text/html"), ("accept", "application/json;q=0.9")], html, html),
        (&[("accept", "image/png"), ("accept", "text/html")], html, html),
        // Nothing that we can make, or nothing that can be read: as if it were not there.
        (&[("accept", "image/png")], json, text),
        (&[("accept", "application/json;q=x")], json, text),
        (&[("accept", "application/json;q=7")], json, text),
        (&[("accept", "")], json, text),
        (&[("accept", ",;,")], json, text),
        // The request's own type counts for the proxy layer, where there is no Accept.
        (&[("content-type", "application/json")], json, json),
        (&[("content-type", "Text/HTML; charset=utf-8")], json, html),
        (&[("content-type", "text/plain")], json, text),
        (&[("content-type", "application/x-www-form-urlencoded")], json, text),
        (&[("accept", "text/plain"), ("content-type", "application/json")], text, text),
    ] {
        let asked = asked(headers);
        for (failed, wanted) in [(Failure::NoRoute, by_router), (Failure::BadUpstreamResponse, by_proxy)] {
            let response = failure(&failed, to(&asked));
            let media_type = header(&response, "content-type").and_then(|value| value.split(';').next());
            assert_eq!(media_type, Some(wanted), "{headers:?} {failed:?}");
        }
        let response = refusal(&Reason::NoToken.into(), to(&asked));
        let media_type = header(&response, "content-type").and_then(|value| value.split(';').next());
        assert_eq!(media_type, Some(by_router), "{headers:?}");
    }
}

// Not that an id of ours could hold such a thing.
#[test]
fn ids_are_escaped_in_json() {
    let asked = asked(&[]);
    let response = failure(&Failure::NoRoute, To { request_id: "a\"b\\", ..to(&asked) });
    let value: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(value["request_id"], "a\"b\\");
}
