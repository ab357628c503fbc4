//! A process of the scene: the gateway or one of its neighbours.

use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::program::{command, run};

/// Started again with the same words after it was killed.
pub(super) struct Running {
    program: PathBuf,
    args: Vec<String>,
    addr: SocketAddr,
    log: PathBuf,
    child: Child,
}

impl Running {
    /// Starts it and waits until it listens on `addr`.
    pub(super) fn start(program: &Path, args: Vec<String>, addr: SocketAddr, log: PathBuf) -> Result<Self, Failure> {
        let child = spawn(program, &args, &log)?;
        let mut this = Self { program: program.to_owned(), args, addr, log, child };
        this.listening()?;
        Ok(this)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal such as `STOP`.
    pub(super) fn signal(&self, name: &str) -> Result<(), Failure> {
        run(&mut command("kill", &["-s", name, &self.child.id().to_string()]))
    }

    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        self.child = spawn(&self.program, &self.args, &self.log)?;
        self.listening()
    }

    /// The end of what it has said.
    pub(super) fn tell_log(&self) {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(60)..] {
            eprintln!("  log: {line}");
        }
    }

    fn listening(&mut self) -> Result<(), Failure> {
        let start = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            if let Some(status) = self.child.try_wait()? {
                self.tell_log();
                return Err(format!("{} ended with {status}", self.program.display()).into());
            }
            if start.elapsed() > Duration::from_secs(30) {
                return Err(format!("{} does not listen on {}", self.program.display(), self.addr).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(program: &Path, args: &[String], log: &Path) -> Result<Child, Failure> {
    let said: File = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    command.env("PORTCULLIS_LOG", "warn").env("PORTCULLIS_LOG_FORMAT", "human");
    Ok(command.spawn()?)
}
