use super::*;
use portcullis_model::plan::{Consumer, Protocol, Protocols, Route, Service};
use portcullis_plugins::context::Digest;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

fn entry<'a>() -> Entry<'a> {
    Entry {
        time: UNIX_EPOCH + Duration::from_millis(1_795_275_462_123),
        request_id: "0123456789abcdef0123456789abcdef",
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        version: http::Version::HTTP_11,
        method: "GET",
        host: "api.example",
        path: "/orders",
        status: 404,
        route: None,
        upstream: None,
        total: Duration::from_micros(1_234),
        upstream_time: None,
        bytes_sent: 42,
        reason: None,
        cache: None,
        token: None,
        consumer: None,
    }
}

fn line(entry: &Entry<'_>) -> String {
    let mut line = Vec::new();
    entry.write(&mut line);
    String::from_utf8(line).unwrap()
}

fn route(name: Option<&str>, service_name: Option<&str>) -> Route {
    let service = Service {
        id: Uuid::from_u128(2),
        name: service_name.map(str::to_owned),
        protocol: Protocol::Http,
        host: "upstream".into(),
        port: 80,
        upstream: None,
        tls: Arc::default(),
        path: None,
        retries: 5,
        connect_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(60),
        read_timeout: Duration::from_secs(60),
    };
    Route {
        id: Uuid::from_u128(1),
        name: name.map(str::to_owned),
        protocols: Protocols::ALL,
        https_redirect_status: 426,
        strip_path: true,
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        service: Some(Arc::new(service)),
        steps: Vec::new(),
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    assert_eq!(
        line(&entry()),
        concat!(
            r#"{"time":"2026-11-21T15:37:42.123Z","request_id":"0123456789abcdef0123456789abcdef","#,
            r#""client":"127.0.0.1","http_version":"1.1","method":"GET","host":"api.example","path":"/orders","status":404,"#,
            r#""latency_ms":1.234,"bytes_sent":42}"#,
            "\n"
        )
    );
}

#[test]
fn everything_that_is_known_is_there() {
    let route = route(Some("orders"), Some("shop"));
    let consumer = Consumer { id: Uuid::from_u128(3), username: Some("alice".into()), custom_id: None };
    let line = line(&Entry {
        route: Some(&route),
        upstream: Some(([10, 0, 0, 1], 8080).into()),
        upstream_time: Some(Duration::from_millis(1)),
        reason: Some("inactive"),
        cache: Some("negative"),
        token: Some(Digest([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef])),
        consumer: Some(&consumer),
        ..entry()
    });
    let value: Value = serde_json::from_str(&line).unwrap();
    for (member, wanted) in [
        ("route", json!("orders")),
        ("service", json!("shop")),
        ("upstream", json!("10.0.0.1:8080")),
        ("upstream_latency_ms", json!(1.0)),
        ("reason", json!("inactive")),
        ("cache", json!("negative")),
        ("token", json!("0123456789abcdef")),
        ("consumer_id", json!(Uuid::from_u128(3))),
        ("consumer_username", json!("alice")),
    ] {
        assert_eq!(value[member], wanted, "{member} in {line}");
    }
}

#[test]
fn names_give_way_to_ids() {
    let route = route(None, None);
    let value: Value = serde_json::from_str(&line(&Entry { route: Some(&route), ..entry() })).unwrap();
    assert_eq!((&value["route"], &value["service"]), (&json!(Uuid::from_u128(1)), &json!(Uuid::from_u128(2))));
}

// I-56: a token in the query is in no log, even if a caller forgets to cut the query off.
#[test]
fn the_query_is_cut_off() {
    for path in ["/orders?access_token=secret", "/orders#access_token=secret"] {
        let value: Value = serde_json::from_str(&line(&Entry { path, ..entry() })).unwrap();
        assert_eq!(value["path"], "/orders");
    }
}

#[test]
fn a_request_cannot_forge_a_line() {
    let hostile = "a\"}\n{\"status\":200,\u{0}\u{7f}\u{2028}\\";
    let line = line(&Entry { path: hostile, host: hostile, method: hostile, ..entry() });
    assert_eq!(line.matches('\n').count(), 1);
    let value: Value = serde_json::from_str(&line).unwrap();
    for member in ["path", "host", "method"] {
        assert_eq!(value[member], hostile);
    }
}

#[test]
fn times() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, "2000-02-28T23:59:59.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_800, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000Z"),
        (1_798_761_599, "2026-12-31T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799, "9999-12-31T23:59:59.000Z"),
    ] {
        let line = line(&Entry { time: UNIX_EPOCH + Duration::from_secs(seconds), ..entry() });
        assert!(line.contains(&format!("\"time\":\"{text}\"")), "{text} in {line}");
    }
    let before = line(&Entry { time: UNIX_EPOCH - Duration::from_secs(1), ..entry() });
    assert!(before.contains("1970-01-01T00:00:00.000Z"));
    let now: SystemTime = httpdate::parse_http_date("Sat, 21 Nov 2026 15:37:42 GMT").unwrap();
    assert!(line(&Entry { time: now, ..entry() }).contains("2026-11-21T15:37:42.000Z"));
}

/// A folder of the test's own, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn read(&self, file: &str) -> Vec<u16> {
        let text = std::fs::read_to_string(self.0.join(file)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["status"].as_u64().unwrap() as u16)
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn lines_arrive_in_order_and_are_appended() {
    let folder = Folder::new("append");
    for half in [0..50, 50..100] {
        let log = AccessLog::to_file(folder.0.join("log")).unwrap();
        for status in half {
            log.log(&Entry { status, ..entry() });
        }
        // Dropped, not flushed.
    }
    assert_eq!(folder.read("log"), (0..100).collect::<Vec<_>>());
}

#[test]
fn rotation_loses_nothing() {
    let folder = Folder::new("rotation");
    let path = folder.0.join("log");
    let log = AccessLog::to_file(&path).unwrap();
    log.log(&Entry { status: 1, ..entry() });
    std::fs::rename(&path, folder.0.join("old")).unwrap();
    log.log(&Entry { status: 2, ..entry() });
    log.reopen().unwrap();
    log.flush();
    log.log(&Entry { status: 3, ..entry() });
    log.flush();
    assert_eq!((folder.read("old"), folder.read("log")), (vec![1, 2], vec![3]));
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_path_that_cannot_be_opened_is_said() {
    let folder = Folder::new("missing");
    assert!(AccessLog::to_file(folder.0.join("no/such/folder")).is_err());
    let path = folder.0.join("log");
    let log = AccessLog::to_file(&path).unwrap();
    std::fs::rename(&path, folder.0.join("old")).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(log.reopen().is_err());
    log.log(&entry());
    drop(log);
    assert_eq!(folder.read("old"), [404], "the old file stays in use");
}

/// Passes on what is written, one write per permission.
struct Gate {
    open: mpsc::Receiver<()>,
    written: mpsc::Sender<Vec<u8>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.open.recv().map_err(io::Error::other)?;
        self.written.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_buffer_drops_lines_and_counts_them() {
    let (opener, open) = mpsc::channel();
    let (written, lines) = mpsc::channel();
    let length = line(&entry()).len();
    let log = AccessLog::start(Box::new(Gate { open, written }), None, 2 * length).unwrap();
    // Nothing is written while the gate is shut: at most the writer holds one buffer while the other fills.
    let logged = 100;
    for _ in 0..logged {
        log.log(&entry());
    }
    let dropped = log.dropped();
    assert!(dropped >= logged - 4, "{dropped}");
    assert_eq!(log.dropped_source()(), dropped);
    // One for each of the two buffers.
    opener.send(()).unwrap();
    opener.send(()).unwrap();
    log.flush();
    let kept: usize = lines.try_iter().map(|chunk| chunk.len() / length).sum();
    assert_eq!(kept as u64 + dropped, logged);
}

#[test]
fn lines_that_the_file_refuses_are_counted() {
    let (opener, open) = mpsc::channel();
    let (written, lines) = mpsc::channel();
    drop((opener, lines));
    let log = AccessLog::start(Box::new(Gate { open, written }), None, ROOM).unwrap();
    log.log(&entry());
    log.log(&entry());
    log.flush();
    assert_eq!(log.dropped(), 2);
}

#[test]
fn many_threads_one_file() {
    let folder = Folder::new("threads");
    let log = AccessLog::to_file(folder.0.join("log")).unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || (0..500).for_each(|i| log.log(&Entry { status: thread * 500 + i, ..entry() })));
        }
    });
    drop(log);
    let mut seen = folder.read("log");
    seen.sort_unstable();
    assert_eq!(seen, (0..2000).collect::<Vec<_>>());
}
