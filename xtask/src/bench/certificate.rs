//! A certificate that a measurement makes for itself, for both sides the same.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::bench::scratch::Scratch;
use crate::install;
use crate::program::command;

/// The host that clients name.
pub(crate) const NAME: &str = "bench.example";

/// PEM, as text and in files.
pub(crate) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// With a key on the curve P-256, as most are today.
    pub(crate) fn new(scratch: &Scratch) -> Result<Self, Failure> {
        install::program("openssl", &["openssl"])?;
        let folder = scratch.folder("tls")?;
        let this = Self { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
        let (subject, name) = (format!("/CN={NAME}"), format!("subjectAltName=DNS:{NAME}"));
        let made =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"];
        let mut openssl = command("openssl", &made);
        openssl.args(["-subj", &subject, "-addext", &name]);
        openssl.arg("-keyout").arg(&this.key).arg("-out").arg(&this.certificate);
        // It draws lines on its error output when all is well.
        let done = openssl.output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        if done.status.success() { Ok(this) } else { Err(format!("openssl: {said}").into()) }
    }

    /// As an entity of a declarative file.
    pub(crate) fn declared(&self) -> Result<String, Failure> {
        // JSON's strings are YAML's.
        let text = |path| -> Result<String, Failure> { Ok(serde_json::to_string(&fs::read_to_string(path)?)?) };
        let (certificate, key) = (text(&self.certificate)?, text(&self.key)?);
        Ok(format!("certificates:\n- cert: {certificate}\n  key: {key}\n  snis:\n  - name: {NAME}\n"))
    }

    /// What a client trusts to believe it.
    pub(crate) fn trusted(&self) -> &Path {
        &self.certificate
    }

    /// As directives of nginx.
    pub(super) fn directives(&self) -> String {
        format!(
            "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
            self.certificate.display(),
            self.key.display()
        )
    }
}
