//! A measured process: pinned to a core, ended by its id, asked through `/proc` what it used.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::ops::Add;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::program::{command, run as run_program};

pub(super) struct Process {
    name: &'static str,
    child: Child,
}

/// CPU time used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// All of it, to the nanosecond.
    pub(super) total: Duration,
    /// Outside the kernel and inside it, in ticks of 10 ms: good for their share, too coarse for more.
    pub(super) user_ticks: u64,
    pub(super) kernel_ticks: u64,
}

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            user_ticks: self.user_ticks + other.user_ticks,
            kernel_ticks: self.kernel_ticks + other.kernel_ticks,
        }
    }
}

impl Process {
    /// Starts `program` on these cores, such as `0` or `0,1`, and waits until it listens on `addr`.
    pub(super) fn start(
        name: &'static str,
        cores: &str,
        program: &str,
        args: &[&str],
        addr: SocketAddr,
    ) -> Result<Self, Failure> {
        let mut command = Command::new("taskset");
        command.args(["-c", cores, program]).args(args);
        // The table is what this recipe says; errors still come through.
        command.env("PORTCULLIS_LOG", "error");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        let mut this = Self { name, child };
        let start = Instant::now();
        while TcpStream::connect(addr).is_err() {
            if let Some(status) = this.child.try_wait()? {
                return Err(format!("{name} ended with {status}").into());
            }
            if start.elapsed() > Duration::from_secs(60) {
                return Err(format!("{name} does not listen on {addr}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(this)
    }

    /// What all threads of the process have used.
    pub(super) fn cpu(&self) -> Result<Cpu, Failure> {
        let id = self.child.id();
        let mut total = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            total += Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?);
        }
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name may hold spaces, so counting begins behind its bracket: utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).ok_or("a short /proc/PID/stat");
        Ok(Cpu { total, user_ticks: ticks(11)?.parse()?, kernel_ticks: ticks(12)?.parse()? })
    }

    /// Resident memory in bytes.
    pub(super) fn resident(&self) -> Result<u64, Failure> {
        self.memory("VmRSS:")
    }

    /// The most resident memory in bytes since [`Self::forget_peak`], or since the start.
    pub(super) fn peak(&self) -> Result<u64, Failure> {
        self.memory("VmHWM:")
    }

    pub(super) fn forget_peak(&self) -> Result<(), Failure> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn memory(&self, name: &str) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).ok_or("a line of /proc/PID/status is missing")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }

    /// Asks the process to end and waits until it has.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        run_program(&mut command("kill", &["-TERM", &self.child.id().to_string()]))?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > Duration::from_secs(60) {
                return Err(format!("{} does not end", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
