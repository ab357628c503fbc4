//! Which route a request takes and what its upstream gets, however the request is spelt.

use crate::gateway::{endpoint, plan, quick, route, service, start, start_with};
use crate::wire::{Upstream, Wire};
use portcullis_model::plan::{Endpoint, HeaderMatch, Plan, Protocols, Service};
use portcullis_proxy::{DataPlane, Settings};
use std::net::SocketAddr;
use std::time::Instant;

fn endpoints(endpoints: Vec<Endpoint>) -> Plan {
    Plan { endpoints, ..Plan::default() }
}

/// A gateway that trusts its clients, as one behind a load balancer does.
fn trusting(plan: Plan) -> (DataPlane, SocketAddr) {
    let trusted_ips = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()];
    start_with(Settings { trusted_ips, limits: quick(), ..Settings::default() }, plan)
}

// K-130, K-131, S-29: what an untrusted peer says of the way here is overwritten, what a trusted one says stays; the
// addresses are appended to and the peer's is ours either way.
#[tokio::test]
async fn forwarded_headers_by_trust() {
    const NAMES: [&str; 7] = ["For", "Proto", "Host", "Port", "Path", "Prefix", "Real-IP"];
    let upstream = Upstream::echo().await;
    let plan = || endpoints(vec![endpoint("/api", route(Some(service(upstream.address)), &[]))]);
    let (_open, untrusting) = start(plan());
    let (_behind, trusting) = trusting(plan());
    let told = "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nX-Forwarded-For: 10.0.0.3\r\nX-Forwarded-Proto: https\r\n\
                X-Forwarded-Host: outer.example:8443\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Path: /outer/api\r\n\
                X-Forwarded-Prefix: /outer\r\nX-Real-IP: 10.0.0.1\r\n";
    let twice = "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\nx-forwarded-host: a\r\nx-forwarded-host: b\r\n";
    let listed = "Connection: x-forwarded-proto, x-forwarded-for, x-real-ip\r\nX-Forwarded-Proto: https\r\n";
    let chain = "10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.1";
    let us = "127.0.0.1";
    for (address, given, path, wanted) in [
        (untrusting, told, "/api/b?c", [chain, "http", "a.example", "PORT", "/api/b", "/api", us]),
        (trusting, told, "/api/b?c", [chain, "https", "outer.example:8443", "8443", "/outer/api", "/outer", us]),
        (trusting, "", "/api/b?c", [us, "http", "a.example", "PORT", "/api/b", "/api", us]),
        (untrusting, twice, "/api", [us, "http", "a.example", "PORT", "/api", "/api", us]),
        (trusting, twice, "/api", [us, "https|http", "a|b", "PORT", "/api", "/api", us]),
        (untrusting, listed, "/api", [us, "http", "a.example", "PORT", "/api", "/api", us]),
        (trusting, listed, "/api", [us, "http", "a.example", "PORT", "/api", "/api", us]),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example:8000\r\nForwarded: for=10.0.0.1\r\n{given}\r\n");
        let seen = Wire::connect(address).await.ask(request).await.seen();
        for (name, wanted) in NAMES.iter().zip(wanted) {
            let name = if *name == "Real-IP" { "X-Real-IP".to_owned() } else { format!("X-Forwarded-{name}") };
            let wanted = wanted.replace("PORT", &address.port().to_string());
            assert_eq!(seen.all(&name).join("|"), wanted, "{name} of {given:?} trusted={}", address == trusting);
        }
    }
}

// K-131: without a prefix, with the root as prefix, and where nothing is stripped.
#[tokio::test]
async fn a_prefix_is_told_only_where_one_was_stripped() {
    let upstream = Upstream::echo().await;
    let mut kept = route(Some(service(upstream.address)), &[]);
    kept.strip_path = false;
    let stripped = || route(Some(service(upstream.address)), &[]);
    let (_gateway, address) =
        start(endpoints(vec![endpoint("/kept", kept), endpoint("/api/", stripped()), endpoint("/", stripped())]));
    let mut wire = Wire::connect(address).await;
    for (path, prefix) in [("/kept/a", None), ("/api/a", Some("/api/")), ("/other", None), ("/", None)] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-Prefix: /spoofed\r\n\r\n");
        assert_eq!(wire.ask(request).await.seen().one("x-forwarded-prefix"), prefix, "{path}");
    }
}

// K-124, S-29: TLS that a trusted peer has ended counts, and its clients are sent to the host that they know; what
// anybody else says of that changes nothing.
#[tokio::test]
async fn https_by_trust() {
    let upstream = Upstream::echo().await;
    let secure = |path: &str, status| {
        let mut secure = route(Some(service(upstream.address)), &[]);
        secure.protocols = Protocols { http: false, https: true };
        secure.https_redirect_status = status;
        endpoint(path, secure)
    };
    let plan = || {
        endpoints(vec![
            secure("/426", 426),
            secure("/301", 301),
            secure("/302", 302),
            secure("/307", 307),
            secure("/308", 308),
        ])
    };
    let (_open, untrusting) = start(plan());
    let (_behind, trusting) = trusting(plan());
    let proto = "X-Forwarded-Proto: https\r\n";
    let host = "X-Forwarded-Host: outer.example:8443\r\n";
    let standard = "Forwarded: proto=https;host=evil\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\n";
    for (address, path, given, status, location) in [
        (untrusting, "/426/a", proto, 426, None),
        (untrusting, "/426/a", standard, 426, None),
        (untrusting, "/301/a?b=c", host, 301, Some("https://a.example/301/a?b=c")),
        (untrusting, "/301/a", proto, 301, Some("https://a.example/301/a")),
        (trusting, "/426/a", proto, 200, None),
        (trusting, "/301/a", proto, 200, None),
        (trusting, "/426/a", "X-Forwarded-Proto: http\r\n", 426, None),
        (trusting, "/426/a", "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", 426, None),
        (trusting, "/426/a", "X-Forwarded-Proto: https, http\r\n", 426, None),
        (trusting, "/426/a", standard, 426, None),
        (trusting, "/426/a", "", 426, None),
        (trusting, "/301/a?b=c", host, 301, Some("https://outer.example:8443/301/a?b=c")),
        (trusting, "/302/a", "X-Forwarded-Host: evil/x\r\n", 302, Some("https://a.example/302/a")),
        (trusting, "/307/a", "X-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\n", 307, Some("https://a.example/307/a")),
        (trusting, "/308/?", "", 308, Some("https://a.example/308/?")),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{given}\r\n");
        let answer = Wire::connect(address).await.ask(request).await;
        let trusted = address == trusting;
        assert_eq!((answer.status(), answer.one("location")), (status, location), "{path} {given:?} trusted={trusted}");
        if status == 426 {
            assert_eq!((answer.one("connection"), answer.one("upgrade")), (Some("Upgrade"), Some("TLS/1.2, HTTP/1.1")));
            assert!(answer.text().contains("Please use HTTPS protocol"), "{}", answer.text());
        } else if status != 200 {
            assert_eq!(answer.text(), "", "a redirect has no body");
        }
    }
}

// S-29: no forwarded header chooses a route, from a trusted peer neither.
#[tokio::test]
async fn forwarded_headers_choose_no_route() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) =
        trusting(endpoints(vec![endpoint("/public", route(Some(service(upstream.address)), &[]))]));
    for name in ["Path", "Prefix", "Uri", "Url", "Original-Url", "Rewrite-Url"] {
        let spoofed = format!("X-Forwarded-{name}: /public\r\nX-{name}: /public\r\n");
        let request = format!("GET /secret HTTP/1.1\r\nHost: a\r\n{spoofed}\r\n");
        assert_eq!(Wire::connect(address).await.ask(request).await.status(), 404, "{name}");
    }
}

// S-30, S-31, S-32, S-34, S-35, K-129, K-134: every spelling has one form or is refused, and that form is what the
// upstream is asked for.
#[tokio::test]
async fn spellings() {
    let upstream = Upstream::echo().await;
    let (_gateway, address) = start(plan(upstream.address, &[]));
    for (target, wanted) in [
        ("/public/../admin", "/admin"),
        ("/public/%2e%2e/admin", "/admin"),
        ("/public/%2E%2E/admin", "/admin"),
        ("/public/.%2e/admin", "/admin"),
        ("/./a", "/a"),
        ("/a/.", "/a/"),
        ("/..", "/"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%252fb", "/a%252fb"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/a%5cb", "400"),
        ("/a\\b", "400"),
        ("/a%00", "400"),
        ("/%zz", "400"),
        ("/..;/admin", "400"),
        ("/a/..;x=y/admin", "400"),
        ("/a/%2e%2e%3b/admin", "400"),
        ("/a/..%2fadmin", "400"),
        ("/;x/a", "/;x/a"),
        ("/.;/a", "/.;/a"),
        ("/a;v=1/b;w", "/a;v=1/b;w"),
        ("//host/path", "/host/path"),
        ("///a//b//", "/a/b/"),
        ("/a", "/a"),
        ("/A", "/A"),
        ("/a/", "/a/"),
        ("/%7ea%2D", "/~a-"),
        ("/%c3%a9", "/%C3%A9"),
        ("/{a}", "/%7Ba%7D"),
        ("http://a", "/"),
        ("http://a?b", "/?b"),
        ("http://a/x/../y?q=/../z", "/y?q=/../z"),
        ("http://other/x", "400"),
        ("/a#/../b", "/a"),
        ("/a?b#c", "/a?b"),
        ("/a?", "/a?"),
        ("/a\tb", "400"),
        ("", "400"),
        ("a", "400"),
        ("*", "400"),
        ("a:80", "400"),
    ] {
        let answer = Wire::connect(address).await.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let found = match answer.status() {
            200 => answer.text().split(' ').nth(1).unwrap().to_owned(),
            status => status.to_string(),
        };
        assert_eq!(found, wanted, "{target:?}");
    }
}

// S-30, S-33, S-34, S-35: no spelling leads around the step that guards a path, stripped or not.
#[tokio::test]
async fn no_spelling_leads_around_a_rule() {
    let upstream = Upstream::echo().await;
    let behind = Service { path: Some("/srv".into()), ..service(upstream.address) };
    let (_gateway, address) = start(endpoints(vec![
        endpoint("/admin", route(Some(service(upstream.address)), &["refuse"])),
        endpoint("/pub", route(Some(behind), &[])),
    ]));
    for (target, wanted) in [
        ("/admin", "401"),
        ("/pub/../admin", "401"),
        ("/pub/%2e%2e/admin", "401"),
        ("/pub/x/..//../admin", "401"),
        ("//admin", "401"),
        ("/./admin", "401"),
        ("/%61dmi%6E", "401"),
        ("http://a/admin", "401"),
        ("/admin#/pub", "401"),
        ("/admin?/pub", "401"),
        ("/admin;x=1", "401"),
        ("/admin%2f..%2fpub", "400"),
        ("/admin/../pub/a", "/srv/a"),
        ("/ADMIN", "404"),
        ("/pub../admin", "/srv/admin"),
        ("/pub..", "/srv"),
        ("/pub..;/admin", "400"),
        ("/pub/..%2fadmin", "400"),
        ("/pub?/../admin", "/srv?/../admin"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1.0\r\n\r\n");
        let answer = Wire::connect(address).await.ask(request).await;
        let found = match answer.status() {
            200 => answer.text().split(' ').nth(1).unwrap().to_owned(),
            status => status.to_string(),
        };
        assert_eq!(found, wanted, "{target:?}");
    }
}

// S-38, S-34: the method on the wire counts, in its own case; K-136: headers, without regard to case.
#[tokio::test]
async fn methods_and_headers() {
    let upstream = Upstream::echo().await;
    let to = || route(Some(service(upstream.address)), &[]);
    let mut reading = endpoint("/read", to());
    reading.matcher.methods = vec!["GET".into()];
    let mut versioned = endpoint("/", to());
    let header = |name: &str, values: &[&str], regex: Option<&str>| HeaderMatch {
        name: name.into(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        regex: regex.map(str::to_owned),
    };
    versioned.matcher.headers =
        vec![header("x-version", &["v1", "v2"], None), header("x-kind", &[], Some("^(a|b)[0-9]"))];
    let (_gateway, address) = start(endpoints(vec![reading, versioned]));
    for (method, path, headers, status) in [
        ("GET", "/read", "", 200),
        ("GET", "/read", "X-HTTP-Method-Override: DELETE\r\n", 200),
        ("POST", "/read", "X-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n", 404),
        ("get", "/read", "", 404),
        ("HEAD", "/read", "", 404),
        ("OPTIONS", "/read", "", 404),
        ("TRACE", "/read", "", 405),
        ("GET", "/", "X-Version: V2\r\nX-KIND: B7-more\r\n", 200),
        ("GET", "/", "X-Version: v3\r\nX-Version: v1\r\nx-kind: a0\r\n", 200),
        ("GET", "/", "X-Version: v1\r\nX-Kind: c0\r\n", 404),
        ("GET", "/", "X-Version: v1\r\n", 404),
    ] {
        let mut wire = Wire::connect(address).await;
        wire.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")).await;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(tokio::io::AsyncReadExt::read_u8(&mut wire.io).await.unwrap());
        }
        let line = String::from_utf8(line).unwrap();
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path} {headers:?}: {line}");
    }
}

// K-135: a server name is asked for on TLS alone.
#[tokio::test]
async fn server_names_do_not_count_on_plain_connections() {
    let upstream = Upstream::echo().await;
    let mut named = endpoint("/", route(Some(service(upstream.address)), &[]));
    named.matcher.snis = vec!["a.example".into()];
    let (_gateway, address) = start(endpoints(vec![named]));
    let answer = Wire::connect(address).await.ask("GET / HTTP/1.1\r\nHost: b\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
}

// K-133: the client's host with its port, or the service's with a port that is not the scheme's own.
#[tokio::test]
async fn hosts_for_the_upstream() {
    let upstream = Upstream::echo().await;
    let mut kept = route(Some(service(upstream.address)), &[]);
    kept.preserve_host = true;
    let (_gateway, address) =
        start(endpoints(vec![endpoint("/kept", kept), endpoint("/", route(Some(service(upstream.address)), &[]))]));
    let mut wire = Wire::connect(address).await;
    let own = upstream.address.to_string();
    for (path, host) in [("/kept", "A.example:8000"), ("/", &*own)] {
        let seen = wire.ask(format!("GET {path} HTTP/1.1\r\nHost: A.example:8000\r\n\r\n")).await.seen();
        assert_eq!(seen.one("host"), Some(host), "{path}");
    }
}

/// Prints what a load of many routes with plugins costs. Run it with
/// `cargo test --release -p portcullis-proxy loads_of -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, for a quiet machine and a release build"]
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
async fn loads_of_ten_thousand_routes() {
    let to = service(SocketAddr::from(([127, 0, 0, 1], 1)));
    let plan = |touched: usize| {
        endpoints(
            (0..10_000)
                .map(|number| {
                    let mut one =
                        endpoint(&format!("/route-{number}/v1"), route(Some(to.clone()), &["identify", "wait"]));
                    if number == touched {
                        one.matcher.methods = vec!["GET".into()];
                    }
                    one
                })
                .collect(),
        )
    };
    let (gateway, _) = start(plan(0));
    for touched in 1..6 {
        let next = plan(touched);
        let began = Instant::now();
        let loaded = gateway.load(next).unwrap();
        println!("10,000 routes loaded in {:.1?}", began.elapsed());
        assert_eq!(loaded.changes.routes.changed, 2);
    }
}
