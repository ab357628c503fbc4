//! TLS towards clients, with a client that takes any certificate and says which it saw.

use crate::gateway::{endpoint, fakes, plan, quick, route, service};
use crate::wire::{PATIENCE, Upstream, Wire};
use portcullis_model::plan::{Certificate, KeyPair, Plan};
use portcullis_proxy::{ClientCertificates, DataPlane, Limits, Listen, Settings, TlsVersion};
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ALL_VERSIONS, ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme, SupportedProtocolVersion,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

type Versions = &'static [&'static SupportedProtocolVersion];
static TLS12_ALONE: Versions = &[&TLS12];
static TLS13_ALONE: Versions = &[&TLS13];

/// A listener that speaks TLS, on a free port.
pub(crate) fn secured() -> Listen {
    Listen { address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: true, http2: false }
}

pub(crate) fn start_secured(settings: Settings, plan: Plan) -> (DataPlane, SocketAddr) {
    let gateway = DataPlane::start(settings, &[secured()], fakes(), None).unwrap();
    gateway.load(plan).unwrap();
    let address = gateway.addresses()[0];
    (gateway, address)
}

fn settings() -> Settings {
    Settings { limits: quick(), ..Settings::default() }
}

/// A certificate for these names.
pub(crate) fn pair(names: &[&str], algorithm: &'static SignatureAlgorithm) -> Arc<KeyPair> {
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Arc::new(KeyPair { certificates: certificate.pem(), key: key.serialize_pem() })
}

pub(crate) fn ecdsa(names: &[&str]) -> Arc<KeyPair> {
    pair(names, &PKCS_ECDSA_P256_SHA256)
}

fn shown_for(snis: &[&str], pairs: &[&Arc<KeyPair>]) -> Arc<Certificate> {
    let snis: Vec<String> = snis.iter().map(|&name| name.to_owned()).collect();
    let pairs = pairs.iter().map(|&pair| pair.clone()).collect();
    Arc::new(Certificate { id: Uuid::new_v4(), snis, pairs })
}

/// A client.
#[derive(Clone)]
pub(crate) struct Secure {
    schemes: Vec<SignatureScheme>,
    versions: Versions,
    protocols: Vec<Vec<u8>>,
    certificate: Option<Arc<CertifiedKey>>,
    resumption: Resumption,
}

impl Secure {
    pub(crate) fn new() -> Self {
        Self {
            schemes: default_provider().signature_verification_algorithms.supported_schemes(),
            versions: ALL_VERSIONS,
            protocols: Vec::new(),
            certificate: None,
            resumption: Resumption::disabled(),
        }
    }

    pub(crate) fn speaking(protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self { protocols, ..Self::new() }
    }

    fn config(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting(self.schemes.clone())));
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => builder.with_client_cert_resolver(Arc::new(Own(certificate.clone()))),
        };
        config.alpn_protocols = self.protocols.clone();
        config.resumption = self.resumption.clone();
        Arc::new(config)
    }

    /// Without a name it asks for none.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        name: Option<&str>,
    ) -> Result<Wire<TlsStream<TcpStream>>, Error> {
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned()).unwrap(),
            None => ServerName::from(address.ip()),
        };
        let tcp = TcpStream::connect(address).await.unwrap();
        let handshake = TlsConnector::from(self.config()).connect(name, tcp);
        match timeout(PATIENCE, handshake).await.expect("a handshake in time") {
            Ok(io) => Ok(Wire { io, buffer: Vec::new() }),
            Err(error) => Err(error.downcast().unwrap_or_else(|error| Error::General(error.to_string()))),
        }
    }
}

/// Takes any certificate that the server has the key of.
#[derive(Debug)]
struct Trusting(Vec<SignatureScheme>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

#[derive(Debug)]
struct Own(Arc<CertifiedKey>);

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(certificate: &KeyPair, key: &KeyPair) -> Arc<CertifiedKey> {
    let chain = vec![CertificateDer::from_pem_slice(certificate.certificates.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.key.as_bytes()).unwrap();
    Arc::new(CertifiedKey::new(chain, default_provider().key_provider.load_private_key(key).unwrap()))
}

/// Whether that certificate was shown.
fn saw(wire: &Wire<TlsStream<TcpStream>>, pair: &KeyPair) -> bool {
    let wanted = CertificateDer::from_pem_slice(pair.certificates.as_bytes()).unwrap();
    wire.io.get_ref().1.peer_certificates().unwrap()[0] == wanted
}

/// Asks for `/` and says what came.
async fn ask(wire: &mut Wire<TlsStream<TcpStream>>) -> String {
    wire.io.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    loop {
        if let Some((head, body)) = answer.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return answer;
            }
        }
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, wire.io.read(&mut buffer)).await.expect("an answer in time").unwrap();
        assert_ne!(read, 0, "the connection ended");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

fn failures(gateway: &DataPlane, reason: &str) -> u64 {
    let name = format!("portcullis_tls_handshake_failures_total{{reason=\"{reason}\"}} ");
    let text = gateway.metrics().encode();
    text.lines().find_map(|line| line.strip_prefix(&*name)).unwrap().parse().unwrap()
}

/// A client may see the end of a handshake before it is counted.
async fn counted(gateway: &DataPlane, reason: &str, wanted: u64) {
    let waiting = async {
        while failures(gateway, reason) != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{reason}: {}", failures(gateway, reason)));
}

#[tokio::test]
async fn a_certificate_is_found_by_the_name_asked_for() {
    let upstream = Upstream::echo().await;
    let [exact, below, beside, other, file, second] = [0; 6].map(|_| ecdsa(&["file.example", "*.file.example"]));
    let certificates = vec![
        shown_for(&["a.example"], &[&exact]),
        shown_for(&["*.a.example"], &[&below]),
        shown_for(&["a.*"], &[&beside]),
    ];
    let routes = plan(upstream.address, &[]);
    let (gateway, address) = start_secured(settings(), Plan { certificates: certificates.clone(), ..routes.clone() });
    let check = async |name: Option<&str>, wanted: Option<&Arc<KeyPair>>| match (
        Secure::new().connect(address, name).await,
        wanted,
    ) {
        (Ok(wire), Some(wanted)) => assert!(saw(&wire, wanted), "{name:?}"),
        (Ok(_), None) => panic!("{name:?} got a certificate"),
        (Err(error), wanted) => {
            assert_eq!(error, Error::AlertReceived(rustls::AlertDescription::UnrecognisedName), "{name:?}");
            assert!(wanted.is_none(), "{name:?}");
        }
    };
    let named = async |others: Option<&Arc<KeyPair>>| {
        check(Some("a.example"), Some(&exact)).await;
        check(Some("A.Example"), Some(&exact)).await;
        check(Some("b.a.example"), Some(&below)).await;
        check(Some("a.test"), Some(&beside)).await;
        check(Some("c.b.a.example"), others).await;
        check(Some("b.example"), others).await;
        check(None, others).await;
    };
    named(None).await;
    counted(&gateway, "unknown_name", 3).await;
    // Files: by the names in them, and the first for everybody else.
    gateway.show_certificates(&[vec![file.clone()], vec![second.clone()]]).unwrap();
    named(Some(&file)).await;
    check(Some("b.file.example"), Some(&file)).await;
    // The plan's come first for what both have a name for, and `*` before the first file.
    let mut more = certificates;
    more.push(shown_for(&["*", "file.example"], &[&other]));
    gateway.load(Plan { certificates: more, ..routes }).unwrap();
    named(Some(&other)).await;
    check(Some("file.example"), Some(&other)).await;
    check(Some("b.file.example"), Some(&file)).await;
}

#[tokio::test]
async fn of_several_keys_one_is_shown_that_the_client_knows() {
    let upstream = Upstream::echo().await;
    let (rsa, ec) = (pair(&["a.example"], &PKCS_RSA_SHA256), ecdsa(&["a.example"]));
    let certificates = vec![shown_for(&["*"], &[&rsa, &ec])];
    let (_gateway, address) = start_secured(settings(), Plan { certificates, ..plan(upstream.address, &[]) });
    let rsa_alone = vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
    for versions in [ALL_VERSIONS, TLS12_ALONE, TLS13_ALONE] {
        let client = Secure { versions, ..Secure::new() };
        assert!(saw(&client.connect(address, Some("a.example")).await.unwrap(), &ec));
        let client = Secure { schemes: rsa_alone.clone(), ..client };
        assert!(saw(&client.connect(address, Some("a.example")).await.unwrap(), &rsa));
    }
}

#[tokio::test]
async fn a_reload_reaches_new_handshakes_and_open_connections_go_on() {
    let upstream = Upstream::echo().await;
    let (old, new) = (ecdsa(&["a.example"]), ecdsa(&["a.example"]));
    let routes = plan(upstream.address, &[]);
    let with = |pair| Plan { certificates: vec![shown_for(&["*"], &[pair])], ..routes.clone() };
    let (gateway, address) = start_secured(settings(), with(&old));
    let client = Secure { resumption: Resumption::in_memory_sessions(8), ..Secure::new() };
    let config = client.config();
    let connect = async || {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let io = TlsConnector::from(config.clone()).connect(name, tcp).await.unwrap();
        Wire { io, buffer: Vec::new() }
    };
    let mut open = connect().await;
    assert!(saw(&open, &old));
    assert!(ask(&mut open).await.contains("x-forwarded-proto: https"));
    gateway.load(with(&new)).unwrap();
    let fresh = Secure::new().connect(address, Some("a.example")).await.unwrap();
    assert!(saw(&fresh, &new));
    ask(&mut open).await;
    // A session that began before is resumed.
    let mut resumed = connect().await;
    assert_eq!(resumed.io.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    ask(&mut resumed).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_by_its_place() {
    let (good, other) = (ecdsa(&["a.example"]), ecdsa(&["a.example"]));
    let with = |certificates: &str, key: &str| KeyPair { certificates: certificates.into(), key: key.into() };
    let cut = &good.certificates[..good.certificates.len() / 2];
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let rows = [
        (with("", &good.key), "cert", "no certificate in it"),
        (with(&good.key, &good.key), "cert", "no certificate in it"),
        (with(cut, &good.key), "cert", "the PEM is broken"),
        (with(garbage, &good.key), "cert", "the certificate cannot be read"),
        (with(&good.certificates, ""), "key", "no private key in it"),
        (with(&good.certificates, &good.certificates), "key", "no private key in it"),
        (with(&good.certificates, &other.key), "key", "the key is not the certificate's"),
    ];
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let (gateway, address) = start_secured(settings(), plan(nowhere, &[]));
    gateway.show_certificates(&[vec![good.clone()]]).unwrap();
    for (pair, field, wanted) in rows {
        let pair = Arc::new(pair);
        let check = |problems: portcullis_model::problem::Problems, place: &str| {
            let said: Vec<_> = problems.iter().map(|it| (it.path.to_string(), it.message.clone())).collect();
            assert_eq!(said.len(), 1, "{said:?}");
            assert_eq!(said[0].0, place);
            assert!(said[0].1.starts_with(wanted), "{said:?}");
        };
        let files = [vec![good.clone()], vec![pair.clone()]];
        check(gateway.show_certificates(&files).unwrap_err(), &format!("certificates[1].{field}"));
        let certificates = vec![shown_for(&["*"], &[&good, &pair])];
        let refused = gateway.load(Plan { certificates, ..plan(nowhere, &[]) }).unwrap_err();
        check(refused, &format!("certificates[0].{field}_alt"));
    }
    // Nothing of all that is shown.
    assert!(saw(&Secure::new().connect(address, Some("b.example")).await.unwrap(), &good));
    assert_eq!(gateway.revision(), 1);
}

// I-68
#[tokio::test]
async fn a_client_certificate_is_asked_for_and_its_key_must_be_held() {
    let upstream = Upstream::echo().await;
    let server = ecdsa(&["a.example"]);
    let (own, other) = (ecdsa(&["client"]), ecdsa(&["client"]));
    let start = |client_certificates| {
        let settings = Settings { client_certificates, ..settings() };
        let (gateway, address) = start_secured(settings, plan(upstream.address, &[]));
        gateway.show_certificates(&[vec![server.clone()]]).unwrap();
        (gateway, address)
    };
    let (asking, address) = start(ClientCertificates::Ask);
    for versions in [TLS12_ALONE, TLS13_ALONE] {
        let nobody = Secure { versions, ..Secure::new() };
        ask(&mut nobody.connect(address, None).await.unwrap()).await;
        // Self-signed, by nobody that we know.
        let holder = Secure { certificate: Some(certified(&own, &own)), ..nobody.clone() };
        ask(&mut holder.connect(address, None).await.unwrap()).await;
        let thief = Secure { certificate: Some(certified(&own, &other)), ..nobody };
        // TLS 1.3 says so only after the client's part is done.
        if let Ok(mut wire) = thief.connect(address, None).await {
            let mut rest = Vec::new();
            assert!(wire.io.read_to_end(&mut rest).await.is_err());
        }
    }
    counted(&asking, "garbage", 2).await;
    for quiet in [ClientCertificates::Auto, ClientCertificates::Never] {
        let (_gateway, address) = start(quiet);
        // Asked, it would fail.
        let thief = Secure { certificate: Some(certified(&own, &other)), ..Secure::new() };
        ask(&mut thief.connect(address, None).await.unwrap()).await;
    }
}

#[tokio::test]
async fn versions_and_protocols() {
    let upstream = Upstream::echo().await;
    let old = Secure { versions: TLS12_ALONE, ..Secure::new() };
    for (tls_min_version, fine) in [(TlsVersion::Tls12, true), (TlsVersion::Tls13, false)] {
        let settings = Settings { tls_min_version, ..settings() };
        let (gateway, address) = start_secured(settings, plan(upstream.address, &[]));
        gateway.show_certificates(&[vec![ecdsa(&["a.example"])]]).unwrap();
        assert_eq!(old.connect(address, None).await.is_ok(), fine);
        counted(&gateway, "nothing_in_common", u64::from(!fine)).await;
        for (offered, chosen) in
            [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1", "h2"], "h2"), (&["http/1.1"], "http/1.1")]
        {
            let wire = Secure::speaking(offered).connect(address, None).await.unwrap();
            assert_eq!(wire.io.get_ref().1.alpn_protocol(), Some(chosen.as_bytes()));
        }
        assert!(Secure::speaking(&["http/0.9"]).connect(address, None).await.is_err());
    }
}

// S-46: what is no handshake ends soon, is counted, and takes nobody's place for long.
#[tokio::test]
async fn handshakes_that_fail() {
    let upstream = Upstream::echo().await;
    let limits = Limits { header_timeout: Duration::from_millis(200), awake: Duration::from_millis(20), ..quick() };
    let settings = Settings { limits, ..Settings::default() };
    let (gateway, address) = start_secured(settings, plan(upstream.address, &[]));
    gateway.show_certificates(&[vec![ecdsa(&["a.example"])]]).unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, silent.read_to_end(&mut rest)).await.expect("an end in time").unwrap();
    assert!(rest.is_empty());
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    timeout(PATIENCE, plain.read_to_end(&mut rest)).await.expect("an end in time").unwrap();
    assert_eq!(rest[0], 21, "an alert");
    drop(TcpStream::connect(address).await.unwrap());
    for reason in ["timeout", "garbage", "closed"] {
        counted(&gateway, reason, 1).await;
    }
    // One that rests gives its buffers back and goes on with its next request.
    let mut wire = Secure::new().connect(address, None).await.unwrap();
    ask(&mut wire).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    ask(&mut wire).await;
    // A handshake that has not ended is no reason to stay.
    let mut late = TcpStream::connect(address).await.unwrap();
    let draining = gateway.drain(PATIENCE);
    timeout(PATIENCE / 2, draining).await.expect("the drain ends");
    assert!(!matches!(late.read(&mut [0]).await, Ok(1..)));
}

// A route that takes HTTPS alone is reached.
#[tokio::test]
async fn routes_are_told_that_the_wire_is_secured() {
    let upstream = Upstream::echo().await;
    let mut https = route(Some(service(upstream.address)), &[]);
    https.protocols.http = false;
    let endpoints = vec![endpoint("/", https)];
    let (gateway, address) = start_secured(settings(), Plan { endpoints, ..Plan::default() });
    gateway.show_certificates(&[vec![ecdsa(&["a.example"])]]).unwrap();
    let mut wire = Secure::new().connect(address, Some("a.example")).await.unwrap();
    assert!(ask(&mut wire).await.starts_with("HTTP/1.1 200"));
}
