//! Why a command ended without having done its work: one clear sentence, or every problem of a file.

use portcullis_proxy as proxy;
use std::error::Error;
use std::io::{self, Write};
use std::iter;
use std::path::{Path, PathBuf};

/// What is printed before the process ends with status 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A file that was named on the command line, in the environment or in the settings.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    /// Problems of a file, drawn already; they name the file themselves.
    #[error("{0}")]
    Problems(String),
    /// Nothing says what to serve.
    #[error("no declarative file; write --declarative FILE, PORTCULLIS_DECLARATIVE, or `declarative:` in the settings")]
    NothingToServe,
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {why}; choose another address with {setting}")]
    Listen { address: String, why: String, setting: &'static str },
    /// The access log cannot be opened.
    #[error("cannot open the access log {}: {why}", path.display())]
    AccessLog { path: PathBuf, why: String },
    /// The data plane does not start.
    #[error("the data plane does not start")]
    DataPlane(#[source] proxy::StartError),
    /// The operating system refuses threads, signals and the like.
    #[error("cannot {what}: {why}")]
    System { what: &'static str, why: io::Error },
}

impl Failure {
    /// Prints it on standard error. A reader that has gone away is no failure of ours.
    pub(crate) fn print(&self) {
        let mut out = io::stderr().lock();
        let _ = match self {
            Failure::Problems(drawn) => write!(out, "{drawn}"),
            sentence => {
                let causes = iter::successors(sentence.source(), |&cause| cause.source());
                let causes: String = causes.map(|cause| format!(": {cause}")).collect();
                writeln!(out, "portcullis: {sentence}{causes}")
            }
        };
    }

    /// For `map_err`: the file at `path` could not be read.
    pub(crate) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Failure {
        let path = path.to_owned();
        move |error| Failure::Unreadable { path, why: plain(&error) }
    }

    /// For `map_err`: the operating system refused `what`.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Failure {
        move |why| Failure::System { what, why }
    }
}

/// An I/O error in words, without the number that the operating system gives it.
pub(crate) fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        io::ErrorKind::AddrInUse => "the address is already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => error.to_string(),
    }
}
