//! What is written where, and what it then means.

use super::*;
use crate::problems;

fn parse(text: &str, flags: &[(&'static str, &str)], env: &[(&str, &str)]) -> Result<Settings, Complaints> {
    let flags = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let environment = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Settings::parse(text, &flags, &environment)
}

fn good(text: &str, flags: &[(&'static str, &str)], env: &[(&str, &str)]) -> Settings {
    parse(text, flags, env).unwrap_or_else(|complaints| panic!("{text}: {complaints:?}"))
}

/// Every complaint as a line.
fn complaints(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let complaints = parse(text, &[], env).expect_err(text);
    complaints.outside.into_iter().chain(problems::lines("p.yaml", &complaints.file)).collect()
}

#[test]
fn flag_then_environment_then_file_then_default() {
    // File, flag, environment, what counts.
    let rows = [
        ("workers: 6", Some("4"), Some("5"), 4),
        ("workers: 6", None, Some("5"), 5),
        ("workers: 6", None, None, 6),
        ("workers: 6", None, Some(""), 6),
        ("", None, None, Settings::default().proxy.workers),
    ];
    for (text, flag, variable, wanted) in rows {
        let flags: Vec<_> = flag.map(|value| ("workers", value)).into_iter().collect();
        let env: Vec<_> = variable.map(|value| ("PORTCULLIS_WORKERS", value)).into_iter().collect();
        assert_eq!(good(text, &flags, &env).proxy.workers, wanted, "{text} {flag:?} {variable:?}");
    }
}

#[test]
fn every_flag_is_the_setting_of_its_name() {
    let args = ServeArgs {
        declarative: Some("kong.yaml".into()),
        proxy_listen: Some("127.0.0.1:1, [::1]:2".to_owned()),
        status_listen: Some("127.0.0.1:3".to_owned()),
        workers: Some(7),
        access_log: Some("-".to_owned()),
        settings: None,
    };
    let settings = Settings::read(&args, &|_| None).unwrap();
    assert_eq!(settings.declarative, Some("kong.yaml".into()));
    assert_eq!(settings.proxy_listen.len(), 2);
    assert_eq!(settings.status_listen[0].port(), 3);
    assert_eq!(settings.proxy.workers, 7);
    assert_eq!(settings.access_log, AccessLogTo::StandardOutput);
}

#[test]
fn nested_keys_have_variables_too() {
    let env = [
        ("PORTCULLIS_INTROSPECTION_CACHE_MAX_LIFETIME", "0.5e2"),
        ("PORTCULLIS_LIMITS_MAX_CONNECTIONS", "12"),
        ("PORTCULLIS_IDENTITY_HEADERS_UNGUARDED_ROUTES", "pass"),
        ("PORTCULLIS_METHOD_OVERRIDES", "remove"),
        ("PORTCULLIS_DECLARATIVE", "123"),
        ("PORTCULLIS_PORT", "tcp://10.0.0.1:8000"), // Kubernetes sets this for a service of our name
    ];
    let settings = good("", &[], &env);
    assert!(format!("{:?}", settings.introspection).contains("max_lifetime: 50s"));
    assert_eq!(settings.proxy.limits.max_connections, 12);
    assert!(settings.proxy.unguarded_identity_headers);
    assert!(settings.proxy.removes_method_overrides);
    assert_eq!(settings.declarative, Some("123".into()));
}

#[test]
fn everything_wrong_is_said_at_once() {
    let text = "\
workers: many
proxy_listen: 0.0.0.0:8443 proxy_protocol
worker: 2
access_log: off
log: portcullis=loud
drain: -1
limits:
  max_connections: 0
  tick: 1
introspection: 5
identity_headers: {unguarded_routes: keep}
authorization_servers:
- concurrent_calls: 0
  ca_certificates: /etc/ca.pem
- endpoint: id.example.com
  issuers: [1]
";
    let said = complaints(text, &[("PORTCULLIS_STATUS_LISTEN", "8007"), ("PORTCULLIS_LIMITS_BODY_IDLE", "soon")]);
    let wanted = [
        "PORTCULLIS_STATUS_LISTEN: '8007' is no listener",
        "PORTCULLIS_LIMITS_BODY_IDLE: expected a number of seconds",
        "p.yaml:1:10: workers: expected an integer",
        "p.yaml:2:15: proxy_listen: 'proxy_protocol' is not built yet",
        "p.yaml:3:1: worker: unknown field; known here: ",
        "p.yaml:5:6: log: ",
        "p.yaml:6:8: drain: value should be between 0 and 86400 seconds",
        "p.yaml:8:20: limits.max_connections: value should be between 1 and 10000000",
        "p.yaml:9:3: limits.tick: unknown field",
        "p.yaml:10:16: introspection: expected a mapping",
        "p.yaml:11:38: identity_headers.unguarded_routes: expected one of: remove, pass",
        "p.yaml:13:3: authorization_servers[0].endpoint: required field missing",
        "p.yaml:13:21: authorization_servers[0].concurrent_calls: value should be between 1 and 100000",
        "p.yaml:14:20: authorization_servers[0].ca_certificates: expected a reference",
        "p.yaml:15:13: authorization_servers[1].endpoint: expected a URL",
        "p.yaml:16:13: authorization_servers[1].issuers[0]: expected a string",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for (line, wanted) in said.iter().zip(wanted) {
        assert!(line.contains("; "), "{line} does not say what to write");
        assert!(line.starts_with(wanted), "{line}\n{wanted}");
    }
}

// D18, S-29
#[test]
fn certificates_and_trusted_networks() {
    let settings = good(
        "trusted_ips: [10.0.0.0/8, 192.0.2.1, 'fd00::/8']\n\
         tls:\n  client_certificates: ask\n  min_version: '1.3'\n  certificates:\n\
         \x20 - {cert: a.pem, key: a.key, cert_alt: b.pem, key_alt: b.key}\n",
        &[],
        &[("PORTCULLIS_TLS_MIN_VERSION", "1.2")],
    );
    let trusted: Vec<_> = settings.proxy.trusted_ips.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]);
    assert_eq!(settings.proxy.client_certificates, proxy::ClientCertificates::Ask);
    assert_eq!(settings.proxy.tls_min_version, proxy::TlsVersion::Tls12);
    let pair = |cert: &str, key: &str| (PathBuf::from(cert), PathBuf::from(key));
    assert_eq!(settings.certificates, [CertificateFiles(vec![pair("a.pem", "a.key"), pair("b.pem", "b.key")])]);

    let said = complaints(
        "trusted_ips: [10.0.0.0/33, example.com]\n\
         tls:\n  client_certificates: verify\n  certificates:\n\
         \x20 - {cert: a.pem}\n  - {cert: a.pem, key: a.key, cert_alt: b.pem}\n  - {cert: a.pem, key: a.key, key_alt: b.key}\n",
        &[],
    );
    let wanted = [
        "trusted_ips: '10.0.0.0/33' is no address or network; write",
        "trusted_ips: 'example.com' is no address or network; write",
        "tls.client_certificates: expected one of: auto, never, ask",
        "tls.certificates[0].key: required field missing",
        "tls.certificates[1].key_alt: required field missing",
        "tls.certificates[2].key_alt: there is no cert_alt",
    ];
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
    for wanted in wanted {
        assert!(said.iter().any(|line| line.contains(wanted)), "{wanted}: {said:#?}");
    }
}

// D13
#[test]
fn bodies_are_a_source_unless_turned_off() {
    let on = |text: &str, env: &[(&str, &str)]| good(text, &[], env).introspection.body_tokens;
    assert!(on("", &[]) && on("introspection: {body_tokens: on}", &[]));
    assert!(!on("introspection: {body_tokens: off}", &[]));
    assert!(!on("introspection: {body_tokens: on}", &[("PORTCULLIS_INTROSPECTION_BODY_TOKENS", "off")]));
    let said = complaints("introspection:\n  body_tokens: false", &[]);
    assert!(said[0].starts_with("p.yaml:2:16: introspection.body_tokens: expected a string"), "{said:?}");
}

#[test]
fn what_is_no_mapping_or_no_yaml_is_said() {
    assert!(complaints("[1]", &[])[0].contains("expected a mapping"));
    assert!(complaints("a: 1\na: 2", &[])[0].starts_with("p.yaml:2:1: "));
    assert!(complaints("authorization_servers: {}", &[])[0].contains("expected a list"));
}

/// The reference in `examples/` names every key, and its values are the defaults.
#[test]
fn the_example_is_the_reference() {
    let example = include_str!("../../../../examples/portcullis.yaml");
    let written = good(&example.replace("# ca_certificates: file:", "# "), &[], &[]);
    let mut default = Settings {
        declarative: Some("kong.yaml".into()),
        authorization_servers: written.authorization_servers.clone(),
        proxy: proxy::Settings { workers: 4, ..proxy::Settings::default() },
        ..Settings::default()
    };
    // The library keeps these two to itself; its documents say 64 and 10,000.
    default.introspection.concurrent_calls = Some(64);
    default.introspection.queued_calls = Some(10_000);
    assert_eq!(format!("{written:#?}"), format!("{default:#?}"));

    // Every key that can be written stands in it: an unknown key is answered with those that are known.
    let with_unknown = |path: &str| complaints(path, &[]).into_iter().find(|line| line.contains("known here")).unwrap();
    let rows = [
        "x: 1",
        "limits: {x: 1}",
        "identity_headers: {x: 1}",
        "tls: {x: 1}",
        "dns: {x: 1}",
        "introspection: {x: 1}",
        "introspection: {cache: {x: 1}}",
        "authorization_servers: [{endpoint: 'https://a', x: 1}]",
    ];
    for row in rows {
        let said = with_unknown(row);
        let (_, known) = said.split_once("known here: ").unwrap();
        for key in known.split(", ") {
            assert!(example.contains(&format!("{key}:")), "{key} is not in examples/portcullis.yaml");
        }
    }
}
