//! What a change of the file leads to.

use super::*;
use crate::gateway::Plugins;
use crate::settings::Settings;
use notify::event::{AccessKind, CreateKind, DataChange, RenameMode};
use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

const GOOD: &str =
    "_format_version: '3.0'\nservices:\n- {name: a, url: 'http://127.0.0.1:1', routes: [{paths: [/]}]}\n";

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-reload-{}", Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A reloader for `path`, in whose gateway its content is live.
fn reloader(path: &Path) -> Reloader {
    let settings = Settings {
        proxy_listen: vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()],
        proxy: portcullis_proxy::Settings::default(),
        ..Settings::default()
    };
    let plugins = Plugins::new(&settings, Handle::current(), HashMap::new());
    let gateway = Gateway::start(&settings, plugins, "--proxy-listen").unwrap();
    let text = declarative::read(path).unwrap();
    gateway.load(declarative::compile(&text, gateway.catalog()).unwrap().plan).unwrap();
    let status = Status {
        revision: Box::new(|| 0),
        metrics: Box::new(String::new),
        draining: false.into(),
        refused_over: 0.into(),
    };
    let certificates = Certificates::show(&[], &gateway).unwrap();
    Reloader::new(path.to_owned(), &text, certificates, Arc::new(gateway), Arc::new(status))
}

#[tokio::test]
async fn the_last_good_one_serves_on() {
    let folder = Folder::new();
    let path = folder.write("kong.yaml", GOOD);
    let mut reloader = reloader(&path);
    let more = format!("{GOOD}- {{name: b, url: 'http://127.0.0.1:2'}}\n");
    let unresolved = format!(
        "{GOOD}plugins:\n- name: oauth2-introspection\n  config: {{introspection_url: 'https://a/', authorization_value: '{{vault://env/none}}'}}\n"
    );
    // What is written (nothing: removed), what that leads to, which revision is live then, what the status says.
    let rows = [
        (Some(GOOD), Outcome::Unchanged, 1, false),
        (Some(more.as_str()), Outcome::Loaded, 2, false),
        (Some("_format_version: '3.0'\nservice: []\n"), Outcome::Refused, 2, true),
        (Some("_format_version: '3.0'\nservice: []\n"), Outcome::Unchanged, 2, true),
        (Some("_format_version: ["), Outcome::Refused, 2, true),
        (Some(""), Outcome::Refused, 2, true),
        (None, Outcome::Unreadable, 2, true),
        (None, Outcome::Unreadable, 2, true),
        (Some(more.as_str()), Outcome::Loaded, 3, false),
        (Some(unresolved.as_str()), Outcome::Refused, 3, true),
        (Some(GOOD), Outcome::Loaded, 4, false),
    ];
    for (row, (text, outcome, revision, refused)) in rows.into_iter().enumerate() {
        match text {
            Some(text) => folder.write("kong.yaml", text),
            None => fs::remove_file(&path).map(|()| path.clone()).unwrap_or_default(),
        };
        assert_eq!(reloader.look(false), outcome, "row {row}");
        assert_eq!(reloader.gateway.revision(), revision, "row {row}");
        assert_eq!(reloader.status.refused_over.load(Ordering::Relaxed) == revision, refused, "row {row}");
    }
    // Each refusal counts once, whether reading, checking or building found the fault.
    let metrics = reloader.gateway.metrics();
    let failures = metrics.lines().find_map(|l| l.strip_prefix("portcullis_configuration_reload_failures_total "));
    assert_eq!(failures, Some("5"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_before_the_watch_is_seen() {
    let folder = Folder::new();
    let path = folder.write("kong.yaml", GOOD);
    let reloader = reloader(&path);
    let gateway = reloader.gateway.clone();
    folder.write("kong.yaml", &GOOD.replace("name: a", "name: b"));
    let running = tokio::spawn(reloader.run(signal(SignalKind::hangup()).unwrap()));
    let seen = async {
        while gateway.revision() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), seen).await.expect("the change is seen");
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_by_itself() {
    let folder = Folder::new();
    let path = folder.write("kong.yaml", GOOD);
    let reloader = reloader(&path);
    let gateway = reloader.gateway.clone();
    let running = tokio::spawn(reloader.run(signal(SignalKind::hangup()).unwrap()));
    // The watch begins some time after the task: write until it is seen.
    let seen = async {
        for number in 2.. {
            folder.write("kong.yaml", &format!("{GOOD}# {number}\n"));
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if gateway.revision() > 1 {
                    return;
                }
            }
        }
    };
    timeout(Duration::from_secs(20), seen).await.expect("a change of the file is seen");
    running.abort();
}

#[tokio::test]
async fn every_way_to_replace_a_file_is_seen() {
    let folder = Folder::new();
    let seen = async |path: &Path, change: &dyn Fn()| {
        let changed = Arc::new(Notify::new());
        let _watcher = watch(&[path], changed.clone()).unwrap();
        change();
        timeout(Duration::from_secs(10), settled(&changed)).await.is_ok()
    };

    let path = folder.write("kong.yaml", "a");
    assert!(seen(&path, &|| drop(folder.write("kong.yaml", "b"))).await, "written in place");

    let new = folder.write("new", "c");
    assert!(seen(&path, &|| fs::rename(&new, &path).unwrap()).await, "another file renamed over it");

    // As Kubernetes mounts a ConfigMap: kong.yaml -> ..data/kong.yaml, ..data -> one of several folders.
    for version in ["v1", "v2"] {
        fs::create_dir(folder.0.join(version)).unwrap();
        folder.write(&format!("{version}/mounted.yaml"), version);
    }
    symlink("v1", folder.0.join("..data")).unwrap();
    let mounted = folder.0.join("mounted.yaml");
    symlink("..data/mounted.yaml", &mounted).unwrap();
    let exchange = || {
        symlink("v2", folder.0.join("..new")).unwrap();
        fs::rename(folder.0.join("..new"), folder.0.join("..data")).unwrap();
    };
    assert!(seen(&mounted, &exchange).await, "the link beside it exchanged");

    let elsewhere = Folder::new();
    let target = elsewhere.write("target.yaml", "a");
    let link = folder.0.join("link.yaml");
    symlink(&target, &link).unwrap();
    assert!(seen(&link, &|| drop(elsewhere.write("target.yaml", "b"))).await, "its target written in place");
}

#[test]
fn a_log_beside_the_file_is_no_change() {
    let names = [OsString::from("kong.yaml")];
    let event = |kind, name: &str| Event::new(kind).add_path(Path::new("/etc").join(name));
    let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let rows = [
        (data, "kong.yaml", true),
        (data, "access.log", false),
        (EventKind::Access(AccessKind::Read), "kong.yaml", false),
        (EventKind::Create(CreateKind::File), "other", true),
        (EventKind::Modify(ModifyKind::Name(RenameMode::To)), "..data", true),
    ];
    for (kind, name, wanted) in rows {
        assert_eq!(concerns(&event(kind, name), &names), wanted, "{kind:?} {name}");
    }
}
