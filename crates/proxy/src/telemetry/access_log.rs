//! One JSON line per request, written by a thread of its own.
//!
//! A core puts its line into a shared buffer and goes on; the writer takes the buffer whole, some
//! times a second, so that a line costs a core neither a system call nor an allocation. When the file cannot keep up and the buffer is
//! full, lines are dropped and counted: a slow disk slows no request.
//!
//! A line never holds the query of a request or anything else that a token may stand in.

mod line;

pub use line::Entry;

use std::cell::RefCell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Lines wait so long for company before they are written: what an operator who watches the file does not notice.
const LINGER: Duration = Duration::from_millis(50);

/// Bytes that may wait for the writer: a second of 16,000 requests. Twice that is held at most, as one buffer fills
/// while the other is written.
const ROOM: usize = 8 << 20;

/// A log and its writer. Dropped, it writes what is left and ends.
pub struct AccessLog {
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to do for a writer that waits without limit.
    wake: Condvar,
    /// A request of [`AccessLog::flush`] may be done.
    written: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    room: usize,
    dropped: u64,
    /// The writer sleeps until it is woken.
    idle: bool,
    /// The writer shall not linger.
    hurry: bool,
    /// The writer holds lines that are not yet written.
    writing: bool,
    stop: bool,
    /// To be used once the lines before it are written.
    next_file: Option<Sink>,
}

type Sink = Box<dyn Write + Send>;

impl AccessLog {
    /// Writes to standard output.
    pub fn to_stdout() -> io::Result<Self> {
        Self::start(Box::new(io::stdout()), None, ROOM)
    }

    /// Appends to a file, which is made if it is not there.
    pub fn to_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        Self::start(Box::new(open(path)?), Some(path.to_owned()), ROOM)
    }

    /// Writes a line, soon. Neither waits nor fails: a line that finds no room is dropped and counted.
    pub fn log(&self, entry: &Entry<'_>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            entry.write(line);
            self.shared.push(line);
        });
    }

    /// Opens the file at the path anew, after somebody has moved the old one away. Lines that were logged before still
    /// go to the old one. If it cannot be opened, the old one stays in use. Nothing to do for standard output.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let file = open(path)?;
            let mut state = self.shared.lock();
            state.next_file = Some(Box::new(file));
            self.shared.hurry(&mut state);
        }
        Ok(())
    }

    /// Waits until everything that was logged is written.
    pub fn flush(&self) {
        let mut state = self.shared.lock();
        self.shared.hurry(&mut state);
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty() || state.next_file.is_some();
        drop(self.shared.written.wait_while(state, busy).unwrap_or_else(PoisonError::into_inner));
    }

    /// Lines that were lost: no room, or the file refused them.
    pub fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    /// A function that says [`AccessLog::dropped`], for the metrics, and keeps no log alive.
    pub fn dropped_source(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || shared.lock().dropped
    }

    fn start(sink: Sink, path: Option<PathBuf>, room: usize) -> io::Result<Self> {
        let state = State { room, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new(), written: Condvar::new() });
        let for_writer = shared.clone();
        let writer = thread::Builder::new().name("access-log".into()).spawn(move || for_writer.write(sink))?;
        Ok(Self { shared, path, writer: Some(writer) })
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stop = true;
        self.shared.hurry(&mut state);
        drop(state);
        if let Some(writer) = self.writer.take() {
            // It does not panic; had it, there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shared {
    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > state.room {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        // One wake-up per burst: the writer comes back by itself while lines come.
        if state.idle {
            state.idle = false;
            self.wake.notify_one();
        }
    }

    /// The writer's life.
    fn write(&self, mut sink: Sink) {
        let mut lines = Vec::new();
        let mut healthy = true;
        loop {
            let (next_file, stop) = self.take(&mut lines);
            let result = sink.write_all(&lines).and_then(|()| sink.flush());
            if let Err(error) = &result
                && healthy
            {
                tracing::error!(%error, "the access log cannot be written; lines are lost");
            }
            healthy = result.is_ok();
            sink = next_file.unwrap_or(sink);
            let mut state = self.lock();
            if !healthy {
                state.dropped += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
            }
            lines.clear();
            state.writing = false;
            self.written.notify_all();
            if stop {
                return;
            }
        }
    }

    /// Waits for lines, lets some more come, and takes them all; `lines` comes in empty and leaves its room behind.
    /// Says what to write into from then on, and whether these lines are the last.
    fn take(&self, lines: &mut Vec<u8>) -> (Option<Sink>, bool) {
        let mut state = self.lock();
        state.idle = state.waiting.is_empty();
        let asleep = |state: &mut State| state.idle && !state.hurry;
        state = self.wake.wait_while(state, asleep).unwrap_or_else(PoisonError::into_inner);
        state.idle = false;
        let lingering = |state: &mut State| !state.hurry && state.waiting.len() < state.room / 2;
        state = self.wake.wait_timeout_while(state, LINGER, lingering).unwrap_or_else(PoisonError::into_inner).0;
        state.hurry = false;
        state.writing = true;
        std::mem::swap(&mut state.waiting, lines);
        (state.next_file.take(), state.stop)
    }

    fn hurry(&self, state: &mut State) {
        state.hurry = true;
        self.wake.notify_one();
    }

    /// The state is whole between any two statements that hold it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests;
