//! TLS to services: who is believed, what is shown, and what happens otherwise.

use crate::gateway::{plan_with, service, start};
use crate::wire::{Upstream, Wire, answer};
use portcullis_model::plan::{KeyPair as Pair, Protocol, Service, ServiceTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    Authority::self_signed(authority_params(), KeyPair::generate().unwrap()).unwrap()
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A certificate and its key, with the certificates between it and the root behind it.
struct Leaf {
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    pem: String,
    key: KeyPair,
}

impl Leaf {
    fn issue(params: CertificateParams, issuer: &Authority, between: &[&Authority]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        let mut chain = vec![certificate.der().clone()];
        chain.extend(between.iter().map(|authority| authority.der().clone()));
        Self { chain, pem: certificate.pem(), key }
    }

    fn of(name: &str, issuer: &Authority) -> Self {
        Self::issue(CertificateParams::new([name.to_owned()]).unwrap(), issuer, &[])
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    fn pair(&self) -> Arc<Pair> {
        Arc::new(Pair { certificates: self.pem.clone(), key: self.key.serialize_pem() })
    }

    /// Shown to everybody; `clients`: who must have issued the client's certificate.
    fn server(&self, clients: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        Arc::new(builder.with_single_cert(self.chain.clone(), self.private()).unwrap())
    }
}

/// An upstream over TLS that answers with the name it was asked for; counts the sessions that were resumed.
async fn upstream(config: Arc<ServerConfig>) -> (Upstream, Arc<AtomicUsize>) {
    let (acceptor, resumed) = (TlsAcceptor::from(config), Arc::new(AtomicUsize::new(0)));
    let count = resumed.clone();
    let upstream = Upstream::start(move |_, wire| {
        let (acceptor, count) = (acceptor.clone(), count.clone());
        async move {
            let Ok(io) = acceptor.accept(wire.io).await else { return };
            let session = io.get_ref().1;
            if session.handshake_kind() == Some(HandshakeKind::Resumed) {
                count.fetch_add(1, Ordering::SeqCst);
            }
            let text = format!("{:?}", session.server_name());
            let mut wire = Wire { io, buffer: Vec::new() };
            while let Some(request) = wire.request().await {
                wire.send(answer(200, text.as_bytes())).await;
                if request.head.starts_with("GET /close") {
                    let _ = wire.io.shutdown().await;
                    return;
                }
            }
        }
    })
    .await;
    (upstream, resumed)
}

fn secure(upstream: SocketAddr, tls: ServiceTls) -> Service {
    Service { protocol: Protocol::Https, tls: Arc::new(tls), ..service(upstream) }
}

fn trusting(authority: &Authority) -> ServiceTls {
    ServiceTls { ca_certificates: vec![authority.pem().into()], ..ServiceTls::default() }
}

async fn status(upstream: SocketAddr, tls: ServiceTls) -> u16 {
    let (_gateway, address) = start(plan_with(secure(upstream, tls)));
    Wire::connect(address).await.ask(GET).await.status()
}

// S-50: the service's own CAs are believed, and nobody else; what is wrong is a 502.
#[tokio::test]
async fn who_is_believed() {
    let (ours, other) = (authority(), authority());
    let mut expired = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let unverified = || ServiceTls { verify: Some(false), ..ServiceTls::default() };
    for (name, leaf, tls, expected) in [
        ("own authority", Leaf::of("127.0.0.1", &ours), trusting(&ours), 200),
        (
            "own authority, asked for",
            Leaf::of("127.0.0.1", &ours),
            ServiceTls { verify: Some(true), ..trusting(&ours) },
            200,
        ),
        ("another authority", Leaf::of("127.0.0.1", &other), trusting(&ours), 502),
        ("the bundled roots", Leaf::of("127.0.0.1", &ours), ServiceTls::default(), 502),
        ("another address", Leaf::of("127.0.0.2", &ours), trusting(&ours), 502),
        ("a name", Leaf::of("localhost", &ours), trusting(&ours), 502),
        ("expired", Leaf::issue(expired, &ours, &[]), trusting(&ours), 502),
        ("not verified", Leaf::of("elsewhere", &other), unverified(), 200),
    ] {
        let (upstream, _) = upstream(leaf.server(None)).await;
        assert_eq!(status(upstream.address, tls).await, expected, "{name}");
    }
}

// Not verified does not mean not encrypted: whoever answers must have the key of the certificate it shows.
#[tokio::test]
async fn several_authorities_and_the_name_that_is_proven() {
    let (one, two) = (authority(), authority());
    let (upstream, _) = upstream(Leaf::of("localhost", &two).server(None)).await;
    let both = ServiceTls { ca_certificates: vec![one.pem().into(), two.pem().into()], ..ServiceTls::default() };
    let named = Service { host: "LocalHost".into(), ..secure(upstream.address, both) };
    let (_gateway, address) = start(plan_with(named));
    let answer = Wire::connect(address).await.ask(GET).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "Some(\"localhost\")"));
}

#[tokio::test]
async fn depth_counts_what_stands_between() {
    let root = authority();
    let middle = Authority::signed_by(authority_params(), KeyPair::generate().unwrap(), &root).unwrap();
    let direct = Leaf::of("127.0.0.1", &root);
    let below = Leaf::issue(CertificateParams::new(["127.0.0.1".to_owned()]).unwrap(), &middle, &[&middle]);
    // One more certificate than it needs: what is sent does not count, what is used does.
    let talkative = Leaf { chain: [&direct.chain[..], &below.chain[1..]].concat(), ..direct };
    for (name, leaf, depth, expected) in [
        ("direct", &talkative, Some(0), 200),
        ("one between, none allowed", &below, Some(0), 502),
        ("one between, one allowed", &below, Some(1), 200),
        ("no limit", &below, None, 200),
    ] {
        let (upstream, _) = upstream(leaf.server(None)).await;
        let tls = ServiceTls { verify_depth: depth, ..trusting(&root) };
        assert_eq!(status(upstream.address, tls).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_certificate_of_ours_is_shown() {
    let (servers, clients) = (authority(), authority());
    let (upstream, _) = upstream(Leaf::of("127.0.0.1", &servers).server(Some(&clients))).await;
    let shown = |leaf: &Leaf| ServiceTls { client_certificate: Some(leaf.pair()), ..trusting(&servers) };
    let (good, foreign) = (Leaf::of("gateway", &clients), Leaf::of("gateway", &servers));
    assert_eq!(status(upstream.address, shown(&good)).await, 200);
    assert_eq!(status(upstream.address, shown(&foreign)).await, 502);
    assert_eq!(status(upstream.address, trusting(&servers)).await, 502);
}

// Connections belong to an address and the way TLS is spoken there; sessions are resumed.
#[tokio::test]
async fn connections_and_sessions() {
    let (servers, clients) = (authority(), authority());
    let (upstream, resumed) = upstream(Leaf::of("127.0.0.1", &servers).server(None)).await;
    let shown = ServiceTls { client_certificate: Some(Leaf::of("a", &clients).pair()), ..trusting(&servers) };
    let (gateway, address) = start(plan_with(secure(upstream.address, trusting(&servers))));
    let mut wire = Wire::connect(address).await;
    for _ in 0..3 {
        assert_eq!(wire.ask(GET).await.status(), 200);
    }
    assert_eq!(upstream.connections(), 1);
    gateway.load(plan_with(secure(upstream.address, shown))).unwrap();
    assert_eq!(wire.ask(GET).await.status(), 200);
    assert_eq!((upstream.connections(), resumed.load(Ordering::SeqCst)), (2, 0));
    gateway.load(plan_with(secure(upstream.address, trusting(&servers)))).unwrap();
    assert_eq!(wire.ask(GET.replace("/", "/close").replace("HTTP/close", "HTTP/")).await.status(), 200);
    while resumed.load(Ordering::SeqCst) == 0 {
        assert_eq!(wire.ask(GET).await.status(), 200);
        assert!(upstream.connections() < 5, "new connections take up their session");
    }
}

// What cannot be used is said with its place, and what serves goes on serving.
#[tokio::test]
async fn unusable_settings_are_refused_at_load() {
    let (ours, other) = (authority(), authority());
    let (upstream, _) = upstream(Leaf::of("127.0.0.1", &ours).server(None)).await;
    let (gateway, address) = start(plan_with(secure(upstream.address, trusting(&ours))));
    let (leaf, foreign) = (Leaf::of("a", &ours), Leaf::of("a", &other));
    let with = |pem: &str| ServiceTls { ca_certificates: vec![ours.pem().into(), pem.into()], ..ServiceTls::default() };
    let showing = |certificates: &str, key: String| ServiceTls {
        client_certificate: Some(Arc::new(Pair { certificates: certificates.into(), key })),
        ..trusting(&ours)
    };
    let key = leaf.key.serialize_pem();
    for (path, message, tls) in [
        ("services.service.ca_certificates[1]", "no certificate", with("")),
        (
            "services.service.ca_certificates[1]",
            "no PEM",
            with("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"),
        ),
        ("services.service.client_certificate", "no certificate", showing("", key.clone())),
        ("services.service.client_certificate", "no PEM of a private key", showing(&leaf.pem, "canary".into())),
        ("services.service.client_certificate", "", showing(&foreign.pem, key)),
    ] {
        let problems = gateway.load(plan_with(secure(upstream.address, tls))).unwrap_err();
        let shown: Vec<String> = problems.0.iter().map(|one| format!("{}: {}", one.path, one.message)).collect();
        assert!(shown.len() == 1 && shown[0].starts_with(path) && shown[0].contains(message), "{message}: {shown:?}");
        assert!(!shown[0].contains("canary"));
        assert_eq!(Wire::connect(address).await.ask(GET).await.status(), 200);
    }
}

// An answer whose end only the connection's end could tell is broken when TLS does not say that it was the end.
#[tokio::test]
async fn a_truncated_answer_is_broken() {
    let ours = authority();
    let acceptor = TlsAcceptor::from(Leaf::of("127.0.0.1", &ours).server(None));
    let upstream = Upstream::start(move |_, wire| {
        let acceptor = acceptor.clone();
        async move {
            let mut wire = Wire { io: acceptor.accept(wire.io).await.unwrap(), buffer: Vec::new() };
            wire.request().await;
            wire.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
            wire.io.flush().await.unwrap();
        }
    })
    .await;
    let (_gateway, address) = start(plan_with(secure(upstream.address, trusting(&ours))));
    let mut wire = Wire::connect(address).await;
    wire.send(GET).await;
    let mut got = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut wire.io, &mut got).await;
    let got = String::from_utf8_lossy(&got);
    assert!(!got.ends_with("0\r\n\r\n"), "{got}");
}
