//! The authorization server as a script, and a chronicle of what comes of it.

use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Failure, FailureKind};
use crate::introspector::{Introspector, Shared};
use crate::profile::Lease;
use crate::request::Attempt;
use crate::transport::{Sent, Transport, Unsent};
use crate::{CacheConfig, ClientAuth};

/// What becomes of an attempt, so many milliseconds after it was made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Says(u64, u16, &'static str),
    /// As above, with this `Retry-After`.
    Throttles(u64, &'static str),
    /// A head at once and a part of a body; so long after that the connection breaks.
    Breaks(u64),
    Refuses(u64),
    /// The connection was kept, and turns out to be closed.
    IsStale(u64),
    Silent,
}

pub(super) const ACTIVE: &str = r#"{"active":true}"#;
pub(super) const INACTIVE: &str = r#"{"active":false}"#;

/// Asks about tokens at these moments, in milliseconds; the server's acts follow one another, the last one stays.
/// Compares what happened; the last line has the calls by outcome and what the cache holds. Limits: 2 s for a call,
/// ttl of 60 s, two calls at once and one that waits.
#[track_caller]
pub(super) fn check(acts: &'static [Act], asks: &[(u64, &'static str)], expected: &str) {
    let happened = run(acts, asks);
    assert_eq!(happened, run(acts, asks), "another run, another story");
    let lines = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let (happened, expected) = (lines(&happened), lines(expected));
    assert!(happened == expected, "what happened:\n{happened}\n\nwhat was expected:\n{expected}\n");
}

fn run(acts: &'static [Act], asks: &[(u64, &'static str)]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let chronicle = Arc::new(Chronicle { began: Instant::now(), told: Mutex::default() });
        let introspector = introspector(acts, &chronicle);
        let asking: Vec<_> = asks
            .iter()
            .map(|(moment, token)| tokio::spawn(ask(introspector.clone(), chronicle.clone(), *moment, token)))
            .collect();
        for one in asking {
            one.await.unwrap();
        }
        let mut left: String = introspector
            .calls()
            .filter(|(_, count)| *count > 0)
            .map(|(outcome, count)| format!("{}: {count}; ", outcome.code()))
            .collect();
        let stats = introspector.cache().stats();
        write!(left, "cached: {} + {}", stats.positive_entries, stats.negative_entries).unwrap();
        assert_eq!(stats.flights, 0, "flights are left");
        drop(introspector);
        tokio::task::yield_now().await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks are left");
        format!("{}{left}", chronicle.told.lock().unwrap())
    })
}

async fn ask(introspector: Introspector, chronicle: Arc<Chronicle>, moment: u64, token: &'static str) {
    sleep_until(chronicle.began + Duration::from_millis(moment)).await;
    chronicle.note(format_args!("{token}?"));
    let landed = match introspector.introspect(token).await {
        Ok(answer) if answer.active() => "active".to_owned(),
        Ok(_) => "inactive".to_owned(),
        Err(failure) => {
            let again = failure.retry_after().map(|seconds| format!(", again in {seconds} s")).unwrap_or_default();
            format!("{}{again}", failure.code())
        }
    };
    chronicle.note(format_args!("{token}: {landed}"));
}

fn introspector(acts: &'static [Act], chronicle: &Arc<Chronicle>) -> Introspector {
    let config = Config::new("https://as.example/introspect").unwrap().client_auth(ClientAuth::none("client"));
    let config = config.ttl(Duration::from_secs(60)).timeout(Duration::from_secs(2));
    let (inputs, limits) = config.concurrent_calls(2).queued_calls(1).into_inputs().unwrap();
    let cache = Cache::new(CacheConfig { clock: chronicle.clone(), ..CacheConfig::default() });
    let lease = Lease::take(cache.profile(inputs), limits);
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let attempts = AtomicUsize::new(0);
    let chronicle = chronicle.clone();
    let script = move |attempt: Attempt| -> Pin<Box<dyn Future<Output = Sent> + Send>> {
        let number = attempts.fetch_add(1, Ordering::Relaxed);
        let token = attempt.body.split('&').find_map(|field| field.strip_prefix("token=")).unwrap();
        chronicle.note(format_args!("server is asked about {token}"));
        Box::pin(act(acts[number.min(acts.len() - 1)]))
    };
    let transport = Transport::scripted(client, Box::new(script));
    Introspector { shared: Arc::new(Shared { lease, limits, transport, runtime: Handle::current() }) }
}

async fn act(act: Act) -> Sent {
    let after = |millis| sleep(Duration::from_millis(millis));
    let json = |status| http::Response::builder().status(status).header("content-type", "application/json");
    let unreachable = |stale| Unsent { failure: Failure::new(FailureKind::Unreachable, None), stale };
    match act {
        Act::Says(millis, status, body) => {
            after(millis).await;
            Ok(json(status).body(body).unwrap().into())
        }
        Act::Throttles(millis, seconds) => {
            after(millis).await;
            Ok(json(429).header("retry-after", seconds).body("").unwrap().into())
        }
        Act::Breaks(millis) => {
            let body = Broken { part: Some(Bytes::from_static(b"{\"act")), breaks: Box::pin(after(millis)) };
            Ok(json(200).body(reqwest::Body::wrap(body)).unwrap().into())
        }
        Act::Refuses(millis) => {
            after(millis).await;
            Err(unreachable(false))
        }
        Act::IsStale(millis) => {
            after(millis).await;
            Err(unreachable(true))
        }
        Act::Silent => std::future::pending().await,
    }
}

/// A body that breaks off.
struct Broken {
    part: Option<Bytes>,
    breaks: Pin<Box<Sleep>>,
}

impl Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(part) = self.part.take() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        ready!(self.breaks.as_mut().poll(cx));
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}

/// What happened, and the clock that says when.
#[derive(Debug)]
struct Chronicle {
    began: Instant,
    told: Mutex<String>,
}

impl Chronicle {
    fn note(&self, what: fmt::Arguments<'_>) {
        writeln!(self.told.lock().unwrap(), "{} {what}", self.monotonic()).unwrap();
    }
}

impl Clock for Chronicle {
    fn monotonic(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    fn wall(&self) -> u64 {
        1_700_000_000_000 + self.monotonic()
    }
}
