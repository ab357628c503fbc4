//! One path is open, another guarded: no spelling of the one leads an upstream to the other.

use portcullis_testkit::{Client, Response};
use serde_json::json;

use crate::stage::{Stage, declarative, plugin};

/// `/public` without a plugin, and `/admin` behind a token; the first one stripped as `/stripped` too.
fn stage() -> Stage {
    let stage = Stage::new();
    let service = |name: &str, path: &str, strip: bool, plugins: serde_json::Value| {
        json!({
            "name": name, "url": stage.upstream.url(), "plugins": plugins,
            "routes": [{"name": name, "paths": [path], "strip_path": strip}],
        })
    };
    let guard = json!([plugin(&stage.server.url(), json!({}))]);
    let services = json!([
        service("open", "/public", false, json!([])),
        {
            "name": "stripped", "url": format!("{}/public", stage.upstream.url()),
            "routes": [{"name": "stripped", "paths": ["/stripped"], "strip_path": true}],
        },
        {
            "name": "regex", "url": stage.upstream.url(),
            "routes": [{"name": "regex", "paths": ["~/public/\\d+$"], "strip_path": false}],
        },
        service("guarded", "/admin", false, guard),
    ]);
    stage.gateway.reload(&declarative(services, json!([])));
    stage
}

fn ask(stage: &Stage, request_line: &str) -> Response {
    let mut client = Client::connect(stage.gateway.addr());
    client.send(format!("{request_line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    client.response()
}

/// Where the most careless server would end up: escapes decoded, backslashes taken for slashes, parameters cut off,
/// empty segments dropped, and then dots resolved.
fn careless(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap();
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| byte == b'%').and_then(|two| str::from_utf8(two).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => (bytes.push(decoded), rest = &after[2..]),
            None => (bytes.push(byte), rest = after),
        };
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/").to_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment.split([';', '\0']).next().unwrap() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            plain => segments.push(plain),
        }
    }
    format!("/{}", segments.join("/"))
}

/// What may stand between `/public` and `admin`.
const CLIMBS: [&str; 34] = [
    "/../",
    "/%2e%2e/",
    "/%2E%2E/",
    "/%2e%2E/",
    "/.%2e/",
    "/%2e./",
    "/./../",
    "//../",
    "/x/../../",
    "/x//../../",
    "/..//",
    "/..%2f",
    "/..%2F",
    "%2f..%2f",
    "%2F..%2F",
    "/..%5c",
    "/..%5C",
    "\\..\\",
    "/..\\",
    "%5c..%5c",
    "/..;/",
    "/..;x=y/",
    "/;/../",
    "/;x/..;y/",
    "/%2e%2e;/",
    "/..%3b/",
    "/..%3B/",
    "/.;/../",
    "/..%00/",
    "/..%09/",
    "/..%0d%0a/",
    "/x;/..;/../",
    "/x%2f../../",
    "/x%2f..%2f..%2f",
];

// S-30, S-31, S-32, S-33, S-34
#[test]
fn no_spelling_leads_past_the_guard() {
    let stage = stage();
    let mut reached = 0;
    for prefix in ["/public", "/stripped", "/public/1"] {
        for climb in CLIMBS {
            for suffix in ["admin", "admin/", "admin?x=/public", "admin;x", "admin/1"] {
                let target = format!("{prefix}{climb}{suffix}");
                let answer = ask(&stage, &format!("GET {target}"));
                let seen = stage.upstream.requests();
                // Refused, not found, guarded; or an open path that nobody can take for the guarded one.
                match answer.status {
                    200 => {
                        let forwarded = &seen.last().unwrap().target;
                        let there = careless(forwarded);
                        assert!(there.starts_with("/public"), "{target} went on as {forwarded}, which is {there}");
                    }
                    status => assert!([400, 401, 404].contains(&status), "{target}: {status}"),
                }
                assert_eq!(seen.len() - reached, usize::from(answer.status == 200), "{target}");
                reached = seen.len();
            }
        }
    }
    // Most of them are no business of the upstream, but the test would prove nothing if none was.
    assert!(reached > 0);
}

// S-31: nothing is decoded twice.
#[test]
fn escapes_of_escapes_stay() {
    let stage = stage();
    for target in ["/public/%252e%252e/admin", "/public%252f..%252fadmin", "/public/%25"] {
        assert_eq!(ask(&stage, &format!("GET {target}")).status, 200);
        assert_eq!(stage.upstream.requests().last().unwrap().target, target);
    }
}

// S-34, S-35: a defined result for each form; rules look at the path alone, and from its beginning.
#[test]
fn forms_of_a_target() {
    let stage = stage();
    for (line, status) in [
        ("GET /admin", 401),
        ("GET //admin", 401),
        ("GET ///admin//", 401),
        ("GET /admin/", 401),
        ("GET /./admin", 401),
        ("GET /%61dmin", 401),
        ("GET /adm%69n", 401),
        ("GET /ADMIN", 404),
        ("GET /admin/../admin", 401),
        ("GET http://a/admin", 401),
        ("GET http://a//admin", 401),
        ("GET http://a/public/../admin", 401),
        ("GET http://public/admin", 400),
        ("GET /admin?/public", 401),
        ("GET /admin?x=/public/1", 401),
        ("GET /admin#/public/1", 401),
        ("GET /admin;/public/1", 401),
        ("GET /admin/public/1", 401),
        ("GET /x/public/1", 404),
        ("GET //x@public/admin", 404),
        ("GET", 400),
        ("GET ?x=/public", 400),
        ("GET public", 400),
        ("GET /public\\..\\admin", 400),
        ("GET /public\t/../admin", 400),
        ("OPTIONS *", 400),
        ("OPTIONS /admin", 401),
        ("CONNECT /admin", 405),
        ("CONNECT a:80", 405),
        ("TRACE /admin", 405),
    ] {
        assert_eq!(ask(&stage, line).status, status, "{line}");
    }
    assert!(stage.upstream.requests().is_empty());
}

// S-38: a route for GET alone; what the wire says counts, in its own case, and no header changes it.
#[test]
fn the_method_on_the_wire_counts() {
    let stage = stage();
    let routes = json!([{"name": "get", "paths": ["/public"], "methods": ["GET"], "strip_path": false}]);
    let open = json!({"name": "open", "url": stage.upstream.url(), "routes": routes});
    let guarded = json!({
        "name": "guarded", "url": stage.upstream.url(), "routes": [{"name": "rest", "paths": ["/"], "strip_path": false}],
        "plugins": [plugin(&stage.server.url(), json!({}))],
    });
    stage.gateway.reload(&declarative(json!([open, guarded]), json!([])));
    let overrides = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"];
    for name in overrides {
        for method in ["DELETE", "get", "HEAD", "OPTIONS"] {
            let answer = stage.gateway.client().request(method, "/public", &[(name, "GET")]);
            assert_eq!(answer.status, 401, "{method} {name}");
        }
        assert_eq!(stage.gateway.get("/public?_method=DELETE", &[(name, "DELETE")]).status, 200);
        assert_eq!(stage.upstream.requests().last().unwrap().method, "GET");
    }
    assert_eq!(stage.upstream.requests().len(), overrides.len());
}
