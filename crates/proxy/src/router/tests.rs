use super::*;
use http::HeaderValue;
use portcullis_model::plan::{HeaderMatch, HostMatch, HostName, Matcher, Protocols};
use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use uuid::Uuid;

static ROUTE: LazyLock<Arc<Route>> = LazyLock::new(|| {
    Arc::new(Route {
        id: Uuid::nil(),
        name: Some("r".into()),
        protocols: Protocols::ALL,
        https_redirect_status: 426,
        strip_path: true,
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        service: None,
        steps: Vec::new(),
    })
});

/// An endpoint in one line, its parts parted by spaces: `/prefix`, `~/regex`, `a.com`, `*.a.com:8080`, `GET`,
/// `x-name:value,value`, `x-name:~*regex`, `sni=a.com`.
fn endpoint(text: &str) -> Endpoint {
    let mut matcher = Matcher::default();
    for part in text.split_whitespace() {
        if let Some(regex) = part.strip_prefix('~') {
            matcher.paths.push(PathMatch::Regex(regex.into()));
        } else if part.starts_with('/') {
            matcher.paths.push(PathMatch::Prefix(part.into()));
        } else if let Some(sni) = part.strip_prefix("sni=") {
            matcher.snis.push(sni.into());
        } else if let Some((name, values)) = part.split_once(':').filter(|(name, _)| name.starts_with("x-")) {
            let regex = values.strip_prefix("~*").map(str::to_owned);
            let values = if regex.is_some() { Vec::new() } else { values.split(',').map(str::to_owned).collect() };
            matcher.headers.push(HeaderMatch { name: name.into(), values, regex });
        } else if part.bytes().all(|byte| byte.is_ascii_uppercase()) {
            matcher.methods.push(part.into());
        } else {
            let (name, port) = part.split_once(':').map_or((part, None), |(name, port)| (name, port.parse().ok()));
            let name = match (name.strip_prefix('*'), name.strip_suffix('*')) {
                (Some(end), _) => HostName::Suffix(end.into()),
                (_, Some(start)) => HostName::Prefix(start.into()),
                _ => HostName::Exact(name.into()),
            };
            matcher.hosts.push(HostMatch { name, port });
        }
    }
    Endpoint { matcher, route: ROUTE.clone() }
}

/// `METHOD host[:port]/path`, then header lines; `sni: name` is said by TLS (`sni: ` there is TLS without a name).
struct Asking {
    method: Method,
    host: String,
    port: u16,
    path: String,
    headers: HeaderMap,
    sni: Option<String>,
}

fn asking(text: &str) -> Asking {
    let mut lines = text.split('\n');
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).unwrap();
    let (authority, path) = target.split_at(target.find('/').unwrap());
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let mut headers = HeaderMap::new();
    let mut sni = None;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name == "sni" {
            sni = Some(value.to_owned());
            continue;
        }
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    Asking {
        method: method.parse().unwrap(),
        host: host.into(),
        port: port.parse().unwrap(),
        path: path.into(),
        headers,
        sni,
    }
}

impl Asking {
    fn criteria(&self) -> Criteria<'_> {
        Criteria {
            host: &self.host,
            port: self.port,
            path: &self.path,
            method: &self.method,
            headers: &self.headers,
            sni: self.sni.as_deref(),
        }
    }
}

/// Each row: a request, and the index of the endpoint with the matched bytes.
fn check(endpoints: &[&str], rows: &[(&str, Option<(usize, usize)>)]) {
    let endpoints: Vec<Endpoint> = endpoints.iter().map(|text| endpoint(text)).collect();
    let router = Router::compile(&endpoints).unwrap();
    for (request, wanted) in rows {
        let asking = asking(request);
        let found = router.find(&asking.criteria());
        assert_eq!(found.map(|found| (found.endpoint, found.matched)), *wanted, "{request}");
        assert_eq!(found, naive(&endpoints, &asking.criteria()), "naive: {request}");
    }
}

/// The same question, answered by going through the list.
fn naive(endpoints: &[Endpoint], criteria: &Criteria<'_>) -> Option<Found> {
    endpoints.iter().enumerate().find_map(|(endpoint, Endpoint { matcher, .. })| {
        let host = criteria.host.to_ascii_lowercase();
        let host = matcher.hosts.is_empty()
            || matcher.hosts.iter().any(|wanted| {
                let name = match &wanted.name {
                    HostName::Exact(name) => host == *name,
                    HostName::Suffix(end) => host.ends_with(end),
                    HostName::Prefix(start) => host.starts_with(start),
                };
                name && wanted.port.is_none_or(|port| port == criteria.port)
            });
        let method =
            matcher.methods.is_empty() || matcher.methods.iter().any(|method| method == criteria.method.as_str());
        let headers = matcher.headers.iter().all(|wanted| {
            criteria.headers.get_all(&wanted.name).iter().any(|value| {
                let value = value.to_str().unwrap().to_lowercase();
                match &wanted.regex {
                    Some(regex) => another_engine(regex).is_match(value.as_bytes()),
                    None => wanted.values.contains(&value),
                }
            })
        });
        let sni = match criteria.sni {
            Some(sni) => matcher.snis.is_empty() || matcher.snis.iter().any(|wanted| wanted == sni),
            None => true,
        };
        let matched = if matcher.paths.is_empty() {
            Some(0)
        } else {
            matcher.paths.iter().find_map(|path| match path {
                PathMatch::Prefix(prefix) => criteria.path.starts_with(prefix).then_some(prefix.len()),
                PathMatch::Regex(regex) => {
                    another_engine(&format!("^(?:{regex})")).find(criteria.path.as_bytes()).map(|found| found.end())
                }
            })
        };
        (host && method && headers && sni).then_some(())?;
        Some(Found { endpoint, matched: matched? })
    })
}

/// The same expression by the crate's other door, compiled once.
fn another_engine(regex: &str) -> Regex {
    static KNOWN: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap();
    let compile = |unicode| RegexBuilder::new(regex).unicode(unicode).build();
    known.entry(regex.to_owned()).or_insert_with(|| compile(false).or_else(|_| compile(true)).unwrap()).clone()
}

#[test]
fn the_order_of_the_plan_decides() {
    check(
        &["/a/b", "/a", "/", "/a/b/c"],
        &[
            ("GET h/a/b/c", Some((0, 4))),
            ("GET h/a/c", Some((1, 2))),
            ("GET h/b", Some((2, 1))),
            // K-127
            ("GET h/abc", Some((1, 2))),
        ],
    );
    check(&["/", "/a"], &[("GET h/a", Some((0, 1)))]);
    check(&["/a"], &[("GET h/", None), ("GET h/b", None), ("GET h/A", None)]);
    check(&[], &[("GET h/", None)]);
}

#[test]
fn nothing_configured_finds_nothing() {
    assert_eq!(Router::empty().find(&asking("GET h/").criteria()), None);
}

#[test]
fn hosts() {
    check(
        &["a.example /x", "*.example", "www.*", "b.example:8080", "*.b.example:81 c.example:82 c.example:83", "/any"],
        &[
            ("GET a.example/x", Some((0, 2))),
            ("GET A.Example/x", Some((0, 2))),
            ("GET a.example/y", Some((1, 0))),
            ("GET deep.er.example/", Some((1, 0))),
            ("GET WWW.other/", Some((2, 0))),
            ("GET www.example/", Some((1, 0))),
            ("GET example/", None),
            ("GET wwwother/any", Some((5, 4))),
            ("GET /any", Some((5, 4))),
            ("GET /", None),
        ],
    );
    check(
        &["b.example:8080", "*.b.example:81 c.example:82 c.example:83", "b.example"],
        &[
            ("GET b.example:8080/", Some((0, 0))),
            ("GET b.example:8081/", Some((2, 0))),
            ("GET x.b.example:81/", Some((1, 0))),
            ("GET x.b.example/", None),
            ("GET c.example:82/", Some((1, 0))),
            ("GET c.example:83/", Some((1, 0))),
            ("GET c.example:84/", None),
        ],
    );
}

#[test]
fn hosts_of_any_length_and_script() {
    let long = "a".repeat(5000);
    let endpoints = [endpoint("*.example"), endpoint("www.*"), endpoint("h")];
    let router = Router::compile(&endpoints).unwrap();
    for host in [&*long, &format!("www.{long}"), &format!("{long}.example"), "\u{e9}.example", "ww\u{e9}", "\u{e9}"] {
        let asking = Asking { host: host.to_owned(), ..asking("GET h/") };
        assert_eq!(router.find(&asking.criteria()), naive(&endpoints, &asking.criteria()), "{host:.20}");
    }
}

#[test]
fn methods() {
    check(
        &["/ GET HEAD", "/ PURGE", "/ POST", "/x"],
        &[
            ("GET h/x", Some((0, 1))),
            ("HEAD h/x", Some((0, 1))),
            ("POST h/x", Some((2, 1))),
            ("PURGE h/x", Some((1, 1))),
            ("BAN h/x", Some((3, 2))),
            ("DELETE h/x", Some((3, 2))),
            // S-38: the method on the wire, in its own case.
            ("get h/", None),
            ("OPTIONS h/", None),
        ],
    );
}

// K-136
#[test]
fn headers() {
    check(
        &["/ x-version:v1,v2", "/ x-version:v3 x-more:yes", r"/ x-version:~*^v\d+$", "/"],
        &[
            ("GET h/\nx-version: v1", Some((0, 1))),
            ("GET h/\nX-Version: V2", Some((0, 1))),
            ("GET h/\nx-version: v3", Some((2, 1))),
            ("GET h/\nx-version: v3\nx-more: YES", Some((1, 1))),
            ("GET h/\nx-version: V99", Some((2, 1))),
            ("GET h/\nx-version: v", Some((3, 1))),
            ("GET h/\nx-version: v1x", Some((3, 1))),
            ("GET h/\nx-version: none\nx-version: v2", Some((0, 1))),
            ("GET h/", Some((3, 1))),
        ],
    );
}

// K-135: server names count on TLS alone; a handshake that named none agrees with none.
#[test]
fn server_names() {
    check(
        &["/ sni=a.example sni=b.example", "/ sni=c.example GET x-a:1", "/x", "/ sni=d.example"],
        &[
            ("GET h/x\nsni: a.example", Some((0, 1))),
            ("GET h/\nsni: b.example", Some((0, 1))),
            ("GET h/x\nsni: c.example\nx-a: 1", Some((1, 1))),
            ("GET h/x\nsni: c.example", Some((2, 2))),
            ("GET h/x\nsni: ", Some((2, 2))),
            ("GET h/\nsni: d.example", Some((3, 1))),
            ("GET h/\nsni: ", None),
            ("GET h/\nsni: e.example", None),
            ("GET h/", Some((0, 1))),
        ],
    );
}

// A regular expression takes its place in the order like any path.
#[test]
fn regular_expressions() {
    check(
        &[r"~/users/\d+$", r"~/users/(?<name>[a-z]+)/posts", "/users/", r"~/[^/]+/x", "~/a|b", "/"],
        &[
            ("GET h/users/12", Some((0, 9))),
            ("GET h/users/12/", Some((2, 7))),
            ("GET h/users/bob/posts/7", Some((1, 16))),
            ("GET h/q/x/y", Some((3, 4))),
            // Anchored as a whole, not its first branch alone.
            ("GET h/a/b", Some((4, 2))),
            ("GET h/cb", Some((5, 1))),
            ("GET h/users/\u{660}", Some((2, 7))),
        ],
    );
    check(
        &["~/(?i)case", "~/x*", "~(?P<old>/old)", r"~/\p{Greek}", "~/^a"],
        &[("GET h/CASE", Some((0, 5))), ("GET h/xxx", Some((1, 4))), ("GET h/", Some((1, 1)))],
    );
    check(&[r"~^/a\z"], &[("GET h/a", Some((0, 2))), ("GET h/ab", None)]);
}

#[test]
fn of_several_paths_the_first_that_agrees_counts() {
    check(
        &["/a /a/b ~/c/. ~/c", "~/d /d/e"],
        &[
            ("GET h/a/b", Some((0, 2))),
            ("GET h/c/x", Some((0, 4))),
            ("GET h/c", Some((0, 2))),
            ("GET h/d/e", Some((1, 2))),
        ],
    );
}

// What cannot be had in linear time is refused at load, all of it at once and by the route's name.
#[test]
fn what_cannot_be_compiled_is_reported() {
    let bad = ["~/(?=x)", "~/(", r"~/(a)\1", "/ x-a:~*[", "~/a{1000}{1000}", "/fine"].map(endpoint);
    let problems = Router::compile(&bad).unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 5, "{texts:#?}");
    assert!(texts[0].starts_with("routes.r.paths: invalid regex: '/(?=x)' (look-around"), "{}", texts[0]);
    assert!(texts[2].contains("backreferences are not supported"), "{}", texts[2]);
    assert!(texts[3].starts_with("routes.r.headers.x-a: invalid regex: '['"), "{}", texts[3]);
    assert!(texts.iter().all(|text| !text.contains('\n')), "{texts:#?}");
}

/// Thousands at one node: by tenant header, by method, by expression.
#[test]
fn crowds_at_one_place() {
    let mut all: Vec<Endpoint> = (0..3000).map(|i| endpoint(&format!("/ x-kind:a x-tenant:t{i}"))).collect();
    all.extend((0..50).map(|i| endpoint(&format!("/ x-kind:b{i},c{i} GET"))));
    all.extend((0..50).map(|i| endpoint(&format!(r"~/[a-z]+/{i}$"))));
    all.push(endpoint("/ PUT"));
    // Never reached: whatever it takes, one before it has taken.
    all.extend((0..3000).map(|_| endpoint("/ PUT")));
    let router = Router::compile(&all).unwrap();
    for request in [
        "GET h/\nx-kind: a\nx-tenant: T2999",
        "GET h/\nx-kind: b\nx-tenant: t5",
        "GET h/\nx-kind: a\nx-tenant: t7\nx-tenant: t6",
        "GET h/\nx-kind: c49",
        "POST h/\nx-kind: c49",
        "GET h/abc/49",
        "GET h/abc/50",
        "PUT h/abc/3",
        "PUT h/abc",
    ] {
        let asking = asking(request);
        assert_eq!(router.find(&asking.criteria()), naive(&all, &asking.criteria()), "{request}");
    }
    let [Bucket::Grouped(grouped)] = &router.buckets[..] else {
        panic!("{:?}", router.buckets.len());
    };
    assert_eq!(grouped.rest_len(), 1, "what is never reached is not kept");
}

/// Prefixes of prefixes, and a path of the greatest length that passes all of them.
#[test]
fn a_deep_path_is_walked_once() {
    let deep = "/ab".repeat(2700);
    let endpoints: Vec<Endpoint> = (1..=900).rev().map(|depth| endpoint(&deep[..9 * depth])).collect();
    let router = Router::compile(&endpoints).unwrap();
    for (path, wanted) in [(&*deep, Some((0, 8100))), (&deep[..8099], Some((1, 8091))), ("/ab", None)] {
        let asking = Asking { path: path.to_owned(), ..asking("GET h/") };
        let found = router.find(&asking.criteria());
        assert_eq!(found.map(|found| (found.endpoint, found.matched)), wanted, "{}", path.len());
    }
}

fn parts(choices: &'static [&'static str], up_to: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(choices), 0..=up_to)
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    const HOSTS: &[&str] = &["a.b", "b", "*.b", "*.a.b", "a.*", "a.b:80", "a.b:81", "*.b:81"];
    const PATHS: &[&str] = &[
        "/",
        "/a",
        "/ab",
        "/a/",
        "/a/b",
        "/b",
        "/a/b/c",
        "~/a",
        "~/[ab]+",
        "~/a/.*c",
        r"~/\w",
        "~/(a|b)/",
        "~/a$",
        "~/$",
        "~/[a-c]+/(ab|c/a)",
        "~/(?i).*BC",
        "~/.+ab/?c",
        "~/[^/]+/(?:ab)+$",
        "~.*/(?:cb|[ab]c)",
    ];
    const METHODS: &[&str] = &["GET", "PUT", "PURGE", "BAN"];
    const HEADERS: &[&str] = &["x-a:1", "x-a:2,3", "x-b:1", "x-a:~*^[12]$"];
    const SNIS: &[&str] = &["sni=a.b", "sni=b"];
    (parts(HOSTS, 2), parts(PATHS, 3), parts(METHODS, 2), parts(HEADERS, 2), parts(SNIS, 1)).prop_map(
        |(hosts, paths, methods, headers, snis)| endpoint(&[hosts, paths, methods, headers, snis].concat().join(" ")),
    )
}

fn any_request() -> impl Strategy<Value = String> {
    const HOSTS: &[&str] = &["a.b", "A.B", "b", "c.b", "c.a.b", "a.c", "", "a.b:81", "c.b:81", "b.b.b:80"];
    const METHODS: &[&str] = &["GET", "PUT", "PURGE", "BAN", "PATCH"];
    const HEADERS: &[&str] = &["x-a: 1", "x-a: 2", "X-A: 3", "x-b: 1", "x-b: 2", "sni: a.b", "sni: "];
    (prop::sample::select(METHODS), prop::sample::select(HOSTS), "/[abc/]{0,5}", parts(HEADERS, 3))
        .prop_map(|(method, host, path, headers)| format!("{method} {host}{path}\n{}", headers.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // K-127, K-135, K-136: whatever the structure, the answer is that of the list.
    #[test]
    fn finds_what_the_list_says(
        endpoints in prop::collection::vec(any_endpoint(), 0..60),
        requests in prop::collection::vec(any_request(), 1..12),
    ) {
        // With some of the expressions compiled before.
        let before = Router::compile(&endpoints[endpoints.len() / 2..]).unwrap();
        let router = Router::compile_after(&endpoints, &before).unwrap();
        for request in &requests {
            let asking = asking(request);
            prop_assert_eq!(router.find(&asking.criteria()), naive(&endpoints, &asking.criteria()), "{}", request);
        }
    }
}

/// Prints what a look-up costs. Run it with
/// `cargo test --release -p portcullis-proxy look_ups -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, for a quiet machine and a release build"]
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
fn look_ups_cost_the_same_in_a_large_plan() {
    for (name, sizes, shapes) in [
        ("prefixes", &[1, 1_000, 100_000][..], &[("/svc-{}/v1", "h/svc-{}/v1/orders")][..]),
        ("hosts", &[1, 1_000, 100_000], &[("t{}.example /", "t{}.example/orders")]),
        ("regexes, a prefix of their own", &[1, 1_000], &[(r"~/svc-{}/\d+", "h/svc-{}/42")]),
        ("regexes, none", &[1, 1_000, 10_000], &[(r"~/[a-z]+-{}/v1/\d+", "h/orders-{}/v1/42")]),
        ("regexes, none, one host", &[1, 1_000], &[(r"h ~/(?<tenant>[^/]+)/s{}/(?<id>\d+)$", "h/tenant/s{}/42")]),
        ("regexes, any case", &[1, 1_000], &[(r"~/(?i)[a-z]+/Report{}\.(?:pdf|txt)$", "h/a/REPORT{}.pdf")]),
        ("regexes, no text at all", &[1, 64], &[(r"~/[a-z]+/\d{{}}$", "h/a/0")]),
        (
            "mixed",
            &[4, 4_000, 100_000],
            &[
                ("/svc-{}/v1", "h/svc-{}/v1/orders"),
                ("t{}.example /", "t{}.example/orders"),
                ("/mixed/{} GET", "h/mixed/{}"),
                (r"/mixed x-tenant:t{}", "h/mixed\nx-tenant: t{}"),
            ],
        ),
        (
            "mixed with regexes",
            &[3, 3_000],
            &[
                ("/svc-{}/v1", "h/svc-{}/v1/orders"),
                (r"~/[a-z]+-{}/v1/\d+", "h/orders-{}/v1/42"),
                (r"t{}.example ~/orders/\d+$", "t{}.example/orders/1"),
            ],
        ),
    ] {
        for size in sizes.iter().copied() {
            let at = |text: &str, i: usize| {
                text.replace("{{}}", &format!("{{{}}}", i + 1)).replace("{}", &format!("{i:06}"))
            };
            let of = |i: usize| (shapes[i % shapes.len()], i / shapes.len());
            let endpoints: Vec<Endpoint> =
                (0..size).map(of).map(|((one, _), number)| endpoint(&at(one, number))).collect();
            let started = std::time::Instant::now();
            let router = Router::compile(&endpoints).unwrap();
            let compiled = started.elapsed();
            let started = std::time::Instant::now();
            let router = Router::compile_after(&endpoints, &router).unwrap();
            let again = started.elapsed();
            // Some hundred of them, as many as a busy gateway's traffic is spread over.
            let requests: Vec<Asking> = (0..256)
                .map(|i| of(i * 389 % size))
                .map(|((_, one), number)| asking(&format!("GET {}", at(one, number))))
                .collect();
            let mut best = f64::MAX;
            for _ in 0..20 {
                let started = std::time::Instant::now();
                for _ in 0..20 {
                    for asking in &requests {
                        assert!(std::hint::black_box(router.find(&asking.criteria())).is_some());
                    }
                }
                best = best.min(started.elapsed().as_nanos() as f64 / 5_120.0);
            }
            println!("{size:>7} {name:<32} {best:>6.1} ns per find, compiled in {compiled:.1?}, again in {again:.1?}");
        }
    }
}
