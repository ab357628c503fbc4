//! curl, for what the raw client does not speak: TLS and HTTP/2.

use std::net::SocketAddr;
use std::process::{Command, Output};

use crate::client::Response;
use crate::wait::DEADLINE;

/// One run of curl against one address, whatever name it asks for.
#[derive(Debug)]
pub struct Curl {
    command: Command,
}

impl Curl {
    /// `GET` of this URL, whose host is looked for at `addr`.
    pub fn new(addr: SocketAddr, url: &str) -> Self {
        let mut command = Command::new("curl");
        let seconds = DEADLINE.as_secs().to_string();
        command.args(["--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", &seconds]);
        command.args(["--connect-to", &format!("::{}:{}", addr.ip(), addr.port())]).arg(url);
        Self { command }
    }

    /// Whether it was built with HTTP/2.
    pub fn speaks_http2() -> bool {
        let version = Command::new("curl").arg("--version").output();
        version.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).contains("HTTP2"))
    }

    /// One more argument.
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// A header of the request.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.arg("--header").arg(&format!("{name}: {value}"))
    }

    /// HTTP/2 without asking first.
    pub fn http2(self) -> Self {
        self.arg("--http2-prior-knowledge")
    }

    /// Runs it to its end. An error is curl's own exit status: 60 for a certificate that it does not trust.
    ///
    /// # Panics
    /// When there is no curl, or it shows no answer.
    pub fn run(mut self) -> Result<Response, i32> {
        let Output { status, stdout, .. } = self.command.output().expect("curl");
        if !status.success() {
            return Err(status.code().unwrap_or_default());
        }
        let end = stdout.windows(4).position(|end| end == b"\r\n\r\n").expect("the end of a head");
        let head = String::from_utf8_lossy(&stdout[..end]).into_owned();
        let mut lines = head.lines();
        let line = lines.next().expect("a status line");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let fields = lines.filter_map(|line| line.split_once(':'));
        let headers = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Ok(Response { status, headers, body: stdout[end + 4..].to_vec(), trailers: Vec::new() })
    }
}
