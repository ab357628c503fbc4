//! The limits of one stream: until when it must have made progress, and whom to wake when it has not.

use super::clock::{Clock, NEVER, millis};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What a stream keeps allocated for the written heads of its next requests.
const KEPT: usize = 4096;

/// Until when a stream must have made progress, and whom to wake when it has not.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Rc<Clock>,
    read_by: Cell<u64>,
    /// Starts to count when a read has to wait; `NEVER`: reads may wait.
    read_limit: Cell<u64>,
    write_by: Cell<u64>,
    write_limit: Cell<u64>,
    /// Becomes the deadline when the next byte comes: a client that begins a head.
    after_first_byte: Cell<Option<u64>>,
    /// When a stream that rests has rested long enough to fall asleep.
    asleep_from: Cell<u64>,
    /// A body is still on its way in, although what asked for it may be over.
    body: Cell<bool>,
    /// What was written is kept, and reads that brought something, or the end, are counted.
    keeping: Cell<bool>,
    written: RefCell<Vec<u8>>,
    reads: Cell<u8>,
    /// Somebody has asked for bytes that are not there yet.
    reading: Cell<bool>,
    /// Reads are not expected while this side still waits for the other one's body.
    uploading: Cell<bool>,
    /// It is that of one HTTP/2 stream: no I/O of its own notes progress here, its bodies do.
    of_stream: bool,
    /// Falls asleep whatever comes meanwhile.
    until_told: Cell<bool>,
    pub(super) read_late: Cell<bool>,
    pub(super) write_late: Cell<bool>,
    /// When the request's whole time is over; `NEVER`: it has no such limit.
    total_by: Cell<u64>,
    /// Its whole time is over, and there is no answer yet.
    overdue: Cell<bool>,
    /// The answer's head is there: what can be done from here on is to break it off.
    answering: Cell<bool>,
    /// The answer ends before its end, and only a connection that breaks off says so.
    cut: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    /// Waits for an answer's head.
    asker: RefCell<Option<Waker>>,
}

impl Watch {
    pub(super) fn new(clock: Rc<Clock>, of_stream: bool) -> Self {
        Self {
            clock,
            of_stream,
            until_told: Cell::new(false),
            read_by: Cell::new(NEVER),
            read_limit: Cell::new(NEVER),
            write_by: Cell::new(NEVER),
            write_limit: Cell::new(NEVER),
            after_first_byte: Cell::new(None),
            asleep_from: Cell::new(NEVER),
            body: Cell::new(false),
            keeping: Cell::new(false),
            written: RefCell::new(Vec::new()),
            reads: Cell::new(0),
            reading: Cell::new(false),
            uploading: Cell::new(false),
            read_late: Cell::new(false),
            write_late: Cell::new(false),
            total_by: Cell::new(NEVER),
            overdue: Cell::new(false),
            answering: Cell::new(false),
            cut: Cell::new(false),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
            asker: RefCell::new(None),
        }
    }

    /// The next byte must have come after `limit` at the latest, however many come before it.
    pub(crate) fn read_within(&self, limit: Duration) {
        self.read_by.set(self.clock.millis().saturating_add(millis(limit)));
    }

    /// Rests: falls asleep after `awake`, closed after `rest` without a byte; from the first byte on, `begun` is what
    /// remains. Means nothing to an HTTP/2 stream, which has no next request.
    pub(crate) fn rest(&self, awake: Duration, rest: Duration, begun: Duration) {
        if self.of_stream {
            return;
        }
        self.read_limit.set(NEVER);
        self.read_within(rest);
        self.after_first_byte.set(Some(millis(begun)));
        self.asleep_from.set(self.clock.millis().saturating_add(millis(awake)));
    }

    /// Rests as HTTP/2 does: falls asleep after `rest`, whatever the client says that is no request; closed when it is
    /// still there after `told`.
    pub(crate) fn rest_until_told(&self, rest: Duration, told: Duration) {
        self.read_freely();
        self.until_told.set(true);
        self.read_within(rest.saturating_add(told));
        self.asleep_from.set(self.clock.millis().saturating_add(millis(rest)));
    }

    /// Whether it has rested for so long that what it holds for the next request may go. Not while anything is left
    /// to read of a body or to write.
    pub(crate) fn is_asleep(&self) -> bool {
        self.clock.millis() >= self.asleep_from.get() && !self.body.get() && self.write_by.get() == NEVER
    }

    /// It sleeps, and need not be told again.
    pub(super) fn has_fallen_asleep(&self) {
        self.asleep_from.set(NEVER);
    }

    /// Says whether a body is on its way in.
    pub(crate) fn expect_body(&self, body: bool) {
        self.body.set(body);
    }

    /// Reads may wait as long as they like.
    pub(crate) fn read_freely(&self) {
        self.read_by.set(NEVER);
        self.read_limit.set(NEVER);
        self.after_first_byte.set(None);
        self.asleep_from.set(NEVER);
    }

    /// From now on no read may wait longer than `limit`.
    pub(crate) fn limit_reads(&self, limit: Duration) {
        self.read_limit.set(millis(limit));
        // One that waits already is not asked again before something comes.
        self.read_by.set(if self.reading.get() { self.deadline(&self.read_limit) } else { NEVER });
    }

    /// Undoes [`Watch::limit_reads`], if it still counts.
    pub(crate) fn unlimit_reads(&self) {
        if self.read_limit.get() != NEVER {
            self.read_freely();
        }
    }

    /// From now on no write may wait longer than `limit`.
    pub(crate) fn limit_writes(&self, limit: Duration) {
        self.write_limit.set(millis(limit));
    }

    /// While true, a late read is nobody's fault: the peer has not been told everything yet.
    pub(crate) fn uploading(&self, uploading: bool) {
        if self.uploading.replace(uploading) && !uploading && self.read_by.get() != NEVER {
            self.read_by.set(self.deadline(&self.read_limit));
        }
    }

    /// From now on what is written is kept, or not.
    pub(crate) fn keep_written(&self, keep: bool) {
        self.keeping.set(keep);
        self.reads.set(0);
        let mut written = self.written.borrow_mut();
        written.clear();
        // One huge head must not stay with its connection.
        written.shrink_to(KEPT);
    }

    /// What was written, if it was kept and nothing came back but the end (`ended`) or an error.
    pub(crate) fn written_in_vain(&self, ended: bool) -> Option<Vec<u8>> {
        (self.keeping.get() && self.reads.get() <= u8::from(ended)).then(|| self.written.take())
    }

    pub(super) fn keep<'a>(&self, outcome: &Poll<io::Result<usize>>, parts: impl IntoIterator<Item = &'a [u8]>) {
        if let Poll::Ready(Ok(mut length)) = *outcome
            && self.keeping.get()
        {
            let mut written = self.written.borrow_mut();
            for part in parts {
                let taken = part.len().min(length);
                written.extend_from_slice(&part[..taken]);
                length -= taken;
            }
        }
    }

    /// A request has come, which may take this long until its answer's end.
    pub(crate) fn limit_request(&self, limit: Option<Duration>) {
        if let Some(limit) = limit {
            self.overdue.set(false);
            self.answering.set(false);
            self.total_by.set(self.clock.millis().saturating_add(millis(limit)));
        }
    }

    /// Waits for what leads to the request's answer, for as long as the request may take.
    pub(crate) async fn in_time<F: Future>(&self, mut work: Pin<&mut F>) -> Result<F::Output, Overdue> {
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.total_by.get() == NEVER => Poll::Pending,
            Poll::Pending if self.overdue.get() => Poll::Ready(Err(Overdue { by_client: self.lacks_body() })),
            Poll::Pending => {
                keep_waker(&self.asker, cx);
                Poll::Pending
            }
        })
        .await
    }

    /// The answer's head is there. One that is late breaks off from here on; what is said of a request that is
    /// overdue has its time.
    pub(crate) fn answer_begins(&self) {
        self.answering.set(true);
        if self.overdue.get() {
            self.total_by.set(NEVER);
        }
    }

    /// The request is over.
    pub(crate) fn request_ended(&self) {
        self.total_by.set(NEVER);
    }

    /// The upstream's answer has broken off, and this one's end is that of its connection.
    pub(crate) fn cut(&self) {
        self.cut.set(true);
    }

    /// Whether the client must see that its answer is cut: it has no other end, or the request's whole time is over.
    pub(crate) fn breaks_off(&self) -> bool {
        self.cut.get() || (self.overdue.get() && self.answering.get() && self.write_late.get())
    }

    /// Somebody waits for more of the client's body.
    fn lacks_body(&self) -> bool {
        self.reading.get() && self.read_limit.get() != NEVER
    }

    /// Whether a limit has passed; stays so.
    pub(crate) fn expired(&self) -> bool {
        self.read_late.get() || self.write_late.get()
    }

    /// The body of an HTTP/2 stream was asked for bytes. An error says that the client is late with them.
    pub(crate) fn body_asked(&self, pending: bool, cx: &Context<'_>) -> Result<(), Late> {
        match (self.of_stream, pending) {
            (false, _) => {}
            (true, false) => self.read_progressed(),
            (true, true) if self.read_late.get() => return Err(Late),
            (true, true) => self.read_waits(cx),
        }
        Ok(())
    }

    /// The answer's body was asked for more, so the client has room for it.
    pub(crate) fn answer_taken(&self) {
        if self.of_stream {
            self.write_by.set(NEVER);
        }
    }

    /// A part of the answer's body is on its way to the client, who may be slow to make room for it.
    pub(crate) fn answer_given(&self) {
        if self.of_stream {
            self.write_by.set(self.deadline(&self.write_limit));
        }
    }

    /// Whether the client of an HTTP/2 stream has left its answer unread for too long; whoever asks is woken then.
    pub(crate) fn is_unread(&self, cx: &Context<'_>) -> bool {
        keep_waker(&self.writer, cx);
        self.write_late.get()
    }

    /// Wakes whoever reads here, so that it looks at the worker's state.
    pub(crate) fn wake(&self) {
        for waker in [self.reader.take(), self.writer.take(), self.asker.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    pub(super) fn expire_if_late(&self) {
        let now = self.clock.millis();
        let read_late = now >= self.read_by.get() && !self.uploading.get() && !self.read_late.replace(true);
        let write_late = now >= self.write_by.get() && !self.write_late.replace(true);
        let overdue = now >= self.total_by.get() && !self.overdue.replace(true);
        if overdue && self.answering.get() {
            // Neither an end nor anything else goes to the client any more.
            self.read_late.set(true);
            self.write_late.set(true);
        }
        if read_late || write_late || overdue || self.is_asleep() {
            self.wake();
        }
    }

    fn deadline(&self, limit: &Cell<u64>) -> u64 {
        self.clock.millis().saturating_add(limit.get())
    }

    pub(super) fn read_progressed(&self) {
        self.reads.set(self.reads.get().saturating_add(1));
        self.reading.set(false);
        if !self.until_told.get() {
            self.asleep_from.set(NEVER);
        }
        match self.after_first_byte.take() {
            Some(limit) => self.read_by.set(self.clock.millis().saturating_add(limit)),
            None if self.read_limit.get() != NEVER => self.read_by.set(NEVER),
            None => {}
        }
    }

    pub(super) fn read_waits(&self, cx: &Context<'_>) {
        self.reading.set(true);
        if self.read_by.get() == NEVER {
            self.read_by.set(self.deadline(&self.read_limit));
        }
        keep_waker(&self.reader, cx);
    }

    pub(super) fn write_progressed(&self) {
        self.write_by.set(NEVER);
        // What was just sent gives the peer its time to answer.
        if self.read_limit.get() != NEVER && self.read_by.get() != NEVER {
            self.read_by.set(self.deadline(&self.read_limit));
        }
    }

    pub(super) fn write_waits(&self, cx: &Context<'_>) {
        if self.write_by.get() == NEVER {
            self.write_by.set(self.deadline(&self.write_limit));
        }
        keep_waker(&self.writer, cx);
    }
}

/// A request has taken longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overdue {
    /// What it waited for was the client's body.
    pub(crate) by_client: bool,
}

/// A client is late with its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late;

fn keep_waker(slot: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut slot = slot.borrow_mut();
    match &mut *slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}
