//! HTTP/2: one connection, many requests at once, each with its own limits.
//!
//! The connection is a task, and so is every stream, so that a slow one holds up nobody. What one client may hold is
//! bounded (S-45, S-46): the number of streams, what each may send ahead and leave unread, and how many requests it
//! may take back beyond those it has waited for.

use super::{Client, Transport};
use crate::core::Core;
use crate::request;
use crate::stream::{Watch, Watched};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// What a client with prior knowledge begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams that failed by the client's fault and are reset by us, per connection (S-45, MadeYouReset).
const LOCAL_RESETS: usize = 1024;
/// Streams that were reset by the client before the engine has handed them over.
const PENDING_RESETS: usize = 20;
/// Bytes of an answer that wait in the engine for a client to read them, per stream.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a client has for the answer to a ping.
const PONG: Duration = Duration::from_secs(20);

/// Serves one connection to its end.
pub(super) async fn serve(core: &Rc<Core>, io: Watched<Transport>, client: Rc<Client>) {
    let limits = core.limits();
    let streams = Streams::new(core, &client);
    let mut engine = http2::Builder::new(streams.clone());
    engine
        .max_concurrent_streams(limits.http2_max_streams)
        .initial_stream_window_size(limits.http2_stream_window)
        // Room for every stream's, so that those which are not read take nothing away from the others.
        .initial_connection_window_size(connection_window(limits.http2_max_streams, limits.http2_stream_window))
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_send_buf_size(SEND_BUFFER)
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.http2_ping)
        .keep_alive_timeout(PONG)
        .auto_date_header(false);
    let service = service_fn(|request| {
        let client = Rc::new(client.of_stream(core.watches.of_stream(limits.client_read_idle)));
        let turn = streams.begin(&client.watch);
        let core = core.clone();
        // Boxed: on its way to a task of its own the engine moves it seven times, and it is large.
        Box::pin(async move {
            let answer = request::handle(&core, &client, request).await;
            turn.answered();
            Ok::<_, Infallible>(answer)
        })
    });
    streams.rest();
    let mut connection = engine.serve_connection(io, service);
    let mut told = false;
    let ended = poll_fn(|cx| {
        if !told && (core.draining.get() || client.watch.is_asleep()) {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if streams.0.too_many_left.get() {
            return Poll::Ready(None);
        }
        Pin::new(&mut connection).poll(cx).map(Some)
    });
    let peer = client.arrival.peer;
    match ended.await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection broke off"),
        None => tracing::debug!(%peer, "a connection is closed: its client takes back nearly all that it asks"),
    }
}

/// As much as all streams together may send ahead, at most what the protocol can say.
fn connection_window(streams: u32, window: u32) -> u32 {
    const LARGEST: u32 = (1 << 31) - 1;
    streams.saturating_mul(window).clamp(u32::from(u16::MAX), LARGEST)
}

/// The streams of one connection. The engine hands it each of them to be run.
#[derive(Clone)]
struct Streams(Rc<State>);

struct State {
    core: Rc<Core>,
    client: Rc<Client>,
    /// Under way.
    live: Cell<usize>,
    answered: Cell<u64>,
    /// Given up by the client before they were answered.
    left: Cell<u64>,
    too_many_left: Cell<bool>,
    /// That of the stream which the engine is about to hand over.
    beginning: Cell<Option<Rc<Watch>>>,
}

impl Streams {
    fn new(core: &Rc<Core>, client: &Rc<Client>) -> Self {
        Self(Rc::new(State {
            core: core.clone(),
            client: client.clone(),
            live: Cell::new(0),
            answered: Cell::new(0),
            left: Cell::new(0),
            too_many_left: Cell::new(false),
            beginning: Cell::new(None),
        }))
    }

    /// A request has come.
    fn begin(&self, watch: &Rc<Watch>) -> Turn {
        self.0.beginning.set(Some(watch.clone()));
        Turn { streams: self.clone(), answered: Cell::new(false) }
    }

    /// No stream is under way: the client has this long for its next request; then it is told to go, and then closed.
    fn rest(&self) {
        let limits = self.0.core.limits();
        self.0.client.watch.rest_until_told(limits.keep_alive_idle, limits.client_read_idle);
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    /// Runs a stream, until it ends or its client leaves its answer unread for too long: then it is dropped, which
    /// resets it.
    fn execute(&self, stream: F) {
        let watch = self.0.beginning.take();
        let live = Live::new(self.clone());
        tokio::task::spawn_local(async move {
            let _live = live;
            let mut stream = pin!(stream);
            poll_fn(|cx| match &watch {
                Some(watch) if watch.is_unread(cx) => Poll::Ready(()),
                _ => stream.as_mut().poll(cx),
            })
            .await;
        });
    }
}

/// A stream that is under way.
struct Live(Streams);

impl Live {
    fn new(streams: Streams) -> Self {
        let live = &streams.0.live;
        if live.replace(live.get() + 1) == 0 {
            streams.0.client.watch.read_freely();
        }
        Self(streams)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let live = &self.0.0.live;
        live.set(live.get() - 1);
        if live.get() == 0 {
            self.0.rest();
        }
    }
}

/// A request whose client waits for an answer.
struct Turn {
    streams: Streams,
    answered: Cell<bool>,
}

impl Turn {
    fn answered(&self) {
        self.answered.set(true);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let state = &self.streams.0;
        if self.answered.get() {
            return state.answered.set(state.answered.get() + 1);
        }
        state.left.set(state.left.get() + 1);
        // A browser takes back many at once, but not most of them all the time.
        let bearable = u64::from(state.core.limits().http2_max_streams).saturating_mul(4);
        if state.left.get() > state.answered.get().saturating_add(bearable) {
            state.too_many_left.set(true);
            state.client.watch.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::connection_window;

    #[test]
    fn a_connection_has_room_for_every_stream() {
        assert_eq!(connection_window(128, 65_535), 128 * 65_535);
        assert_eq!(connection_window(1, 1), 65_535);
        assert_eq!(connection_window(u32::MAX, u32::MAX), (1 << 31) - 1);
    }
}
