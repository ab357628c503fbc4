//! Reads the declarative file and the certificates' files again, on SIGHUP and when they change.
//!
//! What serves is replaced whole or not at all. A file that does not load leaves the last good configuration in
//! place and says every problem in the log, once: a content that was looked at before is not looked at again.

use crate::certificates::Certificates;
use crate::declarative::{self, Compiled};
use crate::gateway::{Gateway, summary};
use crate::problems;
use crate::status::Status;
use aws_lc_rs::digest::{SHA256, digest};
use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use portcullis_model::problem::Problems;
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

/// A change is complete when the folder has been quiet for so long; editors write, rename and set times in a row.
const QUIET: Duration = Duration::from_millis(100);
/// After so long it is looked at in any case: a folder may never be quiet.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was live, or refused, when the file was looked at last.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: PathBuf,
    certificates: Certificates,
    gateway: Arc<Gateway>,
    status: Arc<Status>,
    /// Digest of the content that was seen last; `None` while the file cannot be read.
    seen: Option<[u8; 32]>,
}

/// What a look at the file led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unchanged,
    Loaded,
    Refused,
    Unreadable,
}

impl Reloader {
    /// For a gateway in which `text`, the content of `path`, is live, and these certificates are shown.
    pub(crate) fn new(
        path: PathBuf,
        text: &str,
        certificates: Certificates,
        gateway: Arc<Gateway>,
        status: Arc<Status>,
    ) -> Self {
        Self { path, certificates, gateway, status, seen: Some(hash(text)) }
    }

    /// Runs until the task is dropped.
    pub(crate) async fn run(mut self, mut hangups: Signal) {
        let changed = Arc::new(Notify::new());
        let paths: Vec<&Path> = std::iter::once(&*self.path).chain(self.certificates.paths()).collect();
        let watcher = watch(&paths, changed.clone());
        if let Err(error) = &watcher {
            tracing::warn!("cannot watch {} for changes: {error}; SIGHUP still reads it", self.path.display());
        }
        // The file was read at the start, before anybody watched it: a change in between has told nobody.
        changed.notify_one();
        loop {
            let asked = tokio::select! {
                _ = hangups.recv() => true,
                () = settled(&changed) => false,
            };
            // Reading, checking and compiling may take a second for a large file; the runtime has other work.
            let looked = tokio::task::spawn_blocking(move || {
                let outcome = self.look(asked);
                (self, outcome)
            });
            match looked.await {
                Ok((reloader, Outcome::Unchanged)) if asked => {
                    tracing::info!("configuration unchanged: {} is as it was", reloader.path.display());
                    self = reloader;
                }
                Ok((reloader, _)) => self = reloader,
                Err(error) => {
                    tracing::error!("reading the configuration broke off, reload has ended: {error}");
                    return;
                }
            }
        }
    }

    /// Looks at the file and loads it if it is new. `asked` by SIGHUP, which also tells us that logs were moved.
    fn look(&mut self, asked: bool) -> Outcome {
        if asked {
            self.gateway.reopen_access_log();
        }
        self.certificates.look(&self.gateway, asked);
        let text = match declarative::read(&self.path) {
            Ok(text) => text,
            Err(failure) => {
                // Once: a folder in which other things happen would repeat it.
                if asked || self.seen.is_some() {
                    self.refuse(&[failure.to_string()]);
                }
                self.seen = None;
                return Outcome::Unreadable;
            }
        };
        let hash = hash(&text);
        if self.seen.replace(hash) == Some(hash) {
            return Outcome::Unchanged;
        }
        let compiled = declarative::compile(&text, self.gateway.catalog());
        let loaded = compiled.and_then(|Compiled { plan, warnings }| Ok((self.gateway.load(plan)?, warnings)));
        match loaded {
            Ok((loaded, warnings)) => {
                warn(&self.path, &warnings);
                tracing::info!("configuration revision {} live: {}", loaded.revision, summary(&loaded.changes));
                Outcome::Loaded
            }
            Err(problems) => {
                let problems = declarative::located(problems, &text);
                self.refuse(&problems::lines(&self.path.display().to_string(), &problems));
                Outcome::Refused
            }
        }
    }

    fn refuse(&self, lines: &[String]) {
        let revision = self.gateway.revision();
        self.status.refused_over.store(revision, Ordering::Relaxed);
        self.gateway.refused();
        tracing::error!("configuration refused, revision {revision} serves on: {}", lines.join(" | "));
    }
}

/// Says each warning of a configuration that loaded.
pub(crate) fn warn(path: &Path, warnings: &Problems) {
    for line in problems::lines(&path.display().to_string(), warnings) {
        tracing::warn!("{line}");
    }
}

fn hash(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

/// Returns when something has changed and the folder is quiet again.
async fn settled(changed: &Notify) {
    changed.notified().await;
    let latest = Instant::now() + PATIENCE;
    let _ = timeout_at(latest, async { while timeout(QUIET, changed.notified()).await.is_ok() {} }).await;
}

/// Watches the folders and not the files: editors put a new file in its place, and a mounted ConfigMap exchanges a
/// link beside it. Of a link the target's folder is watched too.
fn watch(paths: &[&Path], changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let targets = paths.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf()));
    let both: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).chain(targets).collect();
    let names: Vec<OsString> = both.iter().filter_map(|path| path.file_name()).map(Into::into).collect();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // An error may mean that events were lost: better to look once too often.
        if event.map_or(true, |event| concerns(&event, &names)) {
            changed.notify_one();
        }
    })?;
    let mut watched = HashSet::new();
    for path in &both {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if watched.insert(folder.canonicalize().unwrap_or_else(|_| folder.to_owned())) {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
    }
    Ok(watcher)
}

/// Writes count for the file alone (an access log may lie beside it), new and renamed entries for the whole folder.
fn concerns(event: &Event, names: &[OsString]) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            event.paths.iter().filter_map(|path| path.file_name()).any(|name| names.iter().any(|own| own == name))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
