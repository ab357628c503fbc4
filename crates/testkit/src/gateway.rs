//! The built binary as a child process: files in a scratch folder, output kept, ended by its id.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::client::{Client, Response};
use crate::wait::until;

/// Lines of output that a failed test shows.
const SHOWN_LINES: usize = 60;

/// A running `portcullis serve`; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    proxy: SocketAddr,
    status: SocketAddr,
    scratch: Scratch,
}

/// What a gateway is started with.
#[derive(Debug)]
pub struct GatewayBuilder {
    binary: PathBuf,
    declarative: String,
    settings: String,
    listen: String,
    env: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    args: Vec<String>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A folder of its own below the system's temporary one; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Gateway {
    /// `binary` is `env!("CARGO_BIN_EXE_portcullis")` of the test; `declarative` is the text of the Kong file.
    pub fn builder(binary: &str, declarative: &str) -> GatewayBuilder {
        GatewayBuilder {
            binary: binary.into(),
            declarative: declarative.to_owned(),
            settings: String::new(),
            listen: "127.0.0.1:0".to_owned(),
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            args: Vec::new(),
        }
    }

    /// Runs the binary with these arguments to its end, at most the test equipment's deadline.
    pub fn run(binary: &str, args: &[&str], folder: &Path) -> Finished {
        let mut process = Process::spawn(command(Path::new(binary)).args(args).current_dir(folder));
        let status = process.wait();
        process.finished(status)
    }

    /// Address of the proxy listener.
    pub fn addr(&self) -> SocketAddr {
        self.proxy
    }

    /// A new connection to the proxy listener.
    pub fn client(&self) -> Client {
        Client::connect(self.proxy)
    }

    /// `GET` on a connection of its own.
    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Response {
        self.client().get(target, headers)
    }

    /// `GET` with `Authorization: Bearer TOKEN` on a connection of its own.
    pub fn get_as(&self, token: &str, target: &str) -> Response {
        self.get(target, &[("Authorization", &format!("Bearer {token}"))])
    }

    /// `GET` on the status listener.
    pub fn status_get(&self, target: &str) -> Response {
        Client::connect(self.status).get(target, &[])
    }

    /// The sum of all samples of this metric (`_total` and the like included in the name) whose labels contain
    /// `labels`, a text such as `outcome="ok"`; the empty text takes all.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.status_get("/metrics").text();
        let samples = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (found, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            found.contains(labels).then(|| value.parse::<f64>().unwrap())
        });
        samples.sum()
    }

    /// Writes the Kong file anew, in one step.
    pub fn write_declarative(&self, text: &str) {
        self.scratch.write("kong.yaml", text);
    }

    /// Writes a file of the gateway's folder anew, in one step.
    pub fn write(&self, name: &str, text: &str) {
        self.scratch.write(name, text);
    }

    /// Writes the Kong file anew and waits until its revision is live.
    pub fn reload(&self, text: &str) {
        let before = self.revision();
        self.write_declarative(text);
        until("the new revision", || (self.revision() != before).then_some(()));
    }

    /// The number of the live configuration.
    pub fn revision(&self) -> u64 {
        self.ready()["revision"].as_u64().expect("a revision")
    }

    /// What `/readyz` says, whatever its status.
    pub fn ready(&self) -> Value {
        self.status_get("/readyz").json()
    }

    /// Everything the process has written so far, standard output first.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// The text of a file in the gateway's folder.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.scratch.path().join(name)).unwrap_or_default()
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Sends a signal by its name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for the process to end by itself.
    pub fn wait(mut self) -> Finished {
        let status = self.process.wait();
        self.process.finished(status)
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    pub fn stop(self) -> Finished {
        self.signal("TERM");
        self.wait()
    }
}

impl GatewayBuilder {
    /// The text of `portcullis.yaml`.
    pub fn settings(self, settings: &str) -> Self {
        Self { settings: settings.to_owned(), ..self }
    }

    /// The proxy listener, such as `127.0.0.1:0 ssl`. Plain HTTP/1 on a free port unless said.
    pub fn listen(self, listen: &str) -> Self {
        Self { listen: listen.to_owned(), ..self }
    }

    /// A file in the gateway's folder, which it starts in.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.to_owned(), text.to_owned());
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// One more argument of `serve`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Starts the gateway on free ports and waits until a configuration is live.
    ///
    /// # Panics
    /// When it ends or does not get ready; its output is shown.
    pub fn start(self) -> Gateway {
        let scratch = Scratch::new();
        scratch.write("kong.yaml", &self.declarative);
        let mut command = command(&self.binary);
        command.arg("serve").args(["--declarative", "kong.yaml", "--workers", "2"]);
        command.args(["--proxy-listen", &self.listen, "--status-listen", "127.0.0.1:0"]);
        for (name, text) in &self.files {
            scratch.write(name, text);
        }
        if !self.settings.is_empty() {
            scratch.write("portcullis.yaml", &self.settings);
            command.args(["--settings", "portcullis.yaml"]);
        }
        command.args(&self.args).envs(&self.env).current_dir(scratch.path());
        let mut process = Process::spawn(&mut command);
        let proxy = process.wait_for_address("proxy listening on ");
        let status = process.wait_for_address("status listening on ");
        let gateway = Gateway { process, proxy, status, scratch };
        until("readiness", || (gateway.status_get("/readyz").status == 200).then_some(()));
        gateway
    }
}

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("portcullis-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a scratch folder");
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in one step: a reader sees the old text or the new one.
    pub fn write(&self, name: &str, text: &str) {
        let fresh = self.path.join(format!(".{name}.new"));
        fs::write(&fresh, text).expect("writing into the scratch folder");
        fs::rename(fresh, self.path.join(name)).expect("replacing a file of the scratch folder");
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

/// A child whose output is read while it runs, so that a full pipe never stops it.
#[derive(Debug)]
struct Process {
    child: Child,
    readers: Vec<JoinHandle<()>>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("starting {command:?}: {e}"));
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            keep(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            keep(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Self { child, readers, stdout, stderr }
    }

    fn output(&self) -> String {
        format!("{}{}", self.stdout.lock().unwrap(), self.stderr.lock().unwrap())
    }

    fn wait_for_address(&mut self, before: &str) -> SocketAddr {
        until(before, || {
            let output = self.output();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gateway ended with {status}:\n{output}");
            }
            let rest = &output[output.find(before)? + before.len()..];
            let text = rest.split(|c: char| !c.is_ascii_digit() && !".:[]".contains(c)).next()?;
            // A line that has been read in part only will be whole next time.
            rest.contains('\n').then(|| text.trim_end_matches('.').parse().ok())?
        })
    }

    fn wait(&mut self) -> ExitStatus {
        let status = until("the end of the process", || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().expect("the output was read");
        }
        status
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        Finished { status, stdout: self.stdout.lock().unwrap().clone(), stderr: self.stderr.lock().unwrap().clone() }
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`: there is no other way without unsafe code that needs no more dependencies.
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status().expect("sh");
        assert!(sent.success(), "{command}: {sent}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let output = self.output();
            let last = output.lines().count().saturating_sub(SHOWN_LINES);
            let shown: Vec<&str> = output.lines().skip(last).collect();
            #[expect(clippy::print_stderr, reason = "a failed test shows what the gateway said")]
            {
                eprintln!("the gateway's last lines:\n{}", shown.join("\n"));
            }
        }
    }
}

/// The binary, without settings that the environment of the tests happens to hold.
fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PORTCULLIS_")) {
        command.env_remove(name);
    }
    command
}

fn keep(from: impl Read + Send + 'static, to: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}
