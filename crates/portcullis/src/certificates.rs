//! Certificates in files (`tls.certificates` of the settings): read at the start, and again when they change.
//!
//! They are shown together or not at all: a file that is half written leaves those of before in use.

use crate::failure::{Failure, plain};
use crate::gateway::Gateway;
use crate::settings::tls::CertificateFiles;
use portcullis_model::plan::KeyPair;
use portcullis_model::problem::Problems;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files, and what was in them when they were looked at last.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Vec<CertificateFiles>,
    seen: Result<Vec<Vec<Arc<KeyPair>>>, Vec<String>>,
}

impl Certificates {
    /// Reads the files and shows what is in them.
    pub(crate) fn show(files: &[CertificateFiles], gateway: &Gateway) -> Result<Self, Failure> {
        let drawn =
            |lines: Vec<String>| Failure::Problems(lines.iter().map(|line| format!("portcullis: {line}\n")).collect());
        let pairs = read(files).map_err(drawn)?;
        gateway.show_certificates(&pairs).map_err(|problems| drawn(lines(files, &problems)))?;
        Ok(Self { files: files.to_vec(), seen: Ok(pairs) })
    }

    /// Every file there is.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().flat_map(|files| &files.0).flat_map(|(cert, key)| [cert.as_path(), key.as_path()])
    }

    /// Looks at the files again, and shows what is in them if that has changed. `asked`: says it again if something
    /// is still wrong.
    pub(crate) fn look(&mut self, gateway: &Gateway, asked: bool) {
        let read = read(&self.files);
        if read == self.seen && !(asked && read.is_err()) {
            return;
        }
        let shown = match &read {
            Ok(pairs) => gateway.show_certificates(pairs).map_err(|problems| lines(&self.files, &problems)),
            Err(lines) => Err(lines.clone()),
        };
        match shown {
            Ok(()) => tracing::info!("certificates read again, new connections get them"),
            Err(lines) => {
                tracing::error!("certificates refused, those of before stay in use: {}", lines.join(" | "));
            }
        }
        self.seen = read;
    }
}

/// The text of every file, or a line for each that cannot be read.
fn read(files: &[CertificateFiles]) -> Result<Vec<Vec<Arc<KeyPair>>>, Vec<String>> {
    let mut problems = Vec::new();
    let mut text = |index: usize, field: &str, path: &PathBuf| match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(line(index, field, path, &format!("it cannot be read: {}", plain(&error))));
            String::new()
        }
    };
    let mut all = Vec::with_capacity(files.len());
    for (index, CertificateFiles(files)) in files.iter().enumerate() {
        let mut pairs = Vec::with_capacity(files.len());
        for ((cert, key), (cert_field, key_field)) in files.iter().zip(FIELDS) {
            let certificates = text(index, cert_field, cert);
            pairs.push(Arc::new(KeyPair { certificates, key: text(index, key_field, key) }));
        }
        all.push(pairs);
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

const FIELDS: [(&str, &str); 2] = [("cert", "key"), ("cert_alt", "key_alt")];

fn line(index: usize, field: &str, path: &Path, what: &str) -> String {
    format!("tls.certificates[{index}].{field}: {}: {what}", path.display())
}

/// What the data plane says of them, with the file's name.
fn lines(files: &[CertificateFiles], problems: &Problems) -> Vec<String> {
    let mut lines = Vec::new();
    for problem in problems.iter() {
        let place = problem.path.to_string();
        let file = files.iter().enumerate().find_map(|(index, CertificateFiles(pairs))| {
            pairs.iter().zip(FIELDS).find_map(|((cert, key), (cert_field, key_field))| {
                [(cert, cert_field), (key, key_field)]
                    .into_iter()
                    .find(|(_, field)| place == format!("certificates[{index}].{field}"))
                    .map(|(path, field)| line(index, field, path, &problem.message))
            })
        });
        lines.push(file.unwrap_or_else(|| format!("tls.{place}: {}", problem.message)));
    }
    lines
}
