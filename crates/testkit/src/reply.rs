//! What a scripted server answers, faults included.

use std::convert::Infallible;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::channel::{Channel, Sender};
use serde_json::{Value, json};

/// Body type of every scripted answer: written by a task of its own, so that it can be late, cut or endless.
pub(crate) type ReplyBody = Channel<Bytes, io::Error>;

/// One scripted answer: status, headers, body, and what goes wrong on the way.
///
/// ```
/// use portcullis_testkit::Reply;
/// use std::time::Duration;
///
/// let throttled = Reply::status(429).header("retry-after", "7");
/// let slow = Reply::inactive().delay(Duration::from_millis(200));
/// let broken = Reply::bytes("application/json", r#"{"active":true}"#).cut_after(5);
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    payload: Payload,
    trailers: Vec<(HeaderName, HeaderValue)>,
    delay: Duration,
    early: bool,
}

#[derive(Clone, Debug)]
enum Payload {
    Whole(Bytes),
    Cut { bytes: Bytes, sent: usize },
    Drip { bytes: Bytes, piece: usize, every: Duration },
    Zeros(u64),
    Endless,
    Silence,
    Reset,
}

impl Reply {
    /// An answer with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload: Payload::Whole(Bytes::new()),
            trailers: Vec::new(),
            delay: Duration::ZERO,
            early: false,
        }
    }

    /// 200 with these bytes and this media type.
    pub fn bytes(media_type: &str, body: impl Into<Bytes>) -> Self {
        Self { payload: Payload::Whole(body.into()), ..Self::status(200) }.header("content-type", media_type)
    }

    /// 200 with a JSON body.
    pub fn json(value: &Value) -> Self {
        Self::bytes("application/json", value.to_string())
    }

    /// An active answer of RFC 7662 with these members besides `active`.
    pub fn active(members: Value) -> Self {
        let mut answer = json!({"active": true});
        let Value::Object(members) = members else { panic!("members of an answer are an object") };
        answer.as_object_mut().unwrap().extend(members);
        Self::json(&answer)
    }

    /// `{"active": false}`.
    pub fn inactive() -> Self {
        Self::json(&json!({"active": false}))
    }

    /// Takes the request and never answers.
    pub fn hang() -> Self {
        Self { payload: Payload::Silence, ..Self::status(200) }
    }

    /// Takes the request and closes the connection without an answer.
    pub fn reset() -> Self {
        Self { payload: Payload::Reset, ..Self::status(200) }
    }

    /// 200 with a JSON body that never ends: an object that goes on with spaces.
    pub fn endless() -> Self {
        Self { payload: Payload::Endless, ..Self::status(200) }.header("content-type", "application/json")
    }

    /// 200 with `length` zero bytes.
    pub fn zeros(length: u64) -> Self {
        Self { payload: Payload::Zeros(length), ..Self::status(200) }.header("content-type", "application/octet-stream")
    }

    /// Another status for the same answer.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// One more header line; the same name twice gives two lines.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.parse().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        self
    }

    /// One more trailer; the answer is then chunked and announces it. It is left out for a client that did not say
    /// `TE: trailers`.
    pub fn trailer(self, name: &str, value: &str) -> Self {
        let mut this = self.header("trailer", name);
        this.trailers.push((name.parse().unwrap(), value.parse().unwrap()));
        this
    }

    /// Waits this long before the first byte.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Answers before the request's body has been read.
    pub fn early(self) -> Self {
        Self { early: true, ..self }
    }

    /// Announces the whole length, sends `sent` bytes of it and closes.
    pub fn cut_after(self, sent: usize) -> Self {
        let bytes = self.whole();
        Self { payload: Payload::Cut { bytes, sent }, ..self }
    }

    /// Sends the body in pieces of `piece` bytes, one `every` so often.
    pub fn drip(self, piece: usize, every: Duration) -> Self {
        let bytes = self.whole();
        Self { payload: Payload::Drip { bytes, piece, every }, ..self }
    }

    /// The body compressed with gzip, and said to be.
    pub fn gzip(self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.whole()).expect("writing to memory");
        let bytes = encoder.finish().expect("writing to memory").into();
        Self { payload: Payload::Whole(bytes), ..self }.header("content-encoding", "gzip")
    }

    pub(crate) fn is_early(&self) -> bool {
        self.early
    }

    /// The answer as hyper sends it, after its delay; `Err` closes the connection without one.
    pub(crate) async fn answer(self) -> Result<Response<ReplyBody>, io::Error> {
        tokio::time::sleep(self.delay).await;
        match self.payload {
            Payload::Reset => return Err(io::Error::other("scripted: no answer")),
            Payload::Silence => match std::future::pending::<Infallible>().await {},
            _ => {}
        }
        let (sender, body) = Channel::new(16);
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        if let (Some(length), true) = (self.payload.length(), self.trailers.is_empty()) {
            response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
        tokio::spawn(write(sender, self.payload, self.trailers.into_iter().collect()));
        Ok(response)
    }

    fn whole(&self) -> Bytes {
        match &self.payload {
            Payload::Whole(bytes) => bytes.clone(),
            other => panic!("{other:?} is scripted already"),
        }
    }
}

impl Payload {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(bytes) | Self::Cut { bytes, .. } | Self::Drip { bytes, .. } => Some(bytes.len() as u64),
            Self::Zeros(length) => Some(*length),
            Self::Endless | Self::Silence | Self::Reset => None,
        }
    }
}

/// Writes the body. A send that fails means that the peer has gone, which scripts allow.
async fn write(mut to: Sender<Bytes, io::Error>, payload: Payload, trailers: HeaderMap) {
    let sent = match payload {
        Payload::Whole(bytes) => to.send_data(bytes).await,
        Payload::Drip { bytes, piece, every } => {
            for part in bytes.chunks(piece) {
                if to.send_data(Bytes::copy_from_slice(part)).await.is_err() {
                    return;
                }
                tokio::time::sleep(every).await;
            }
            Ok(())
        }
        Payload::Zeros(length) => {
            let block = Bytes::from(vec![0; 64 * 1024]);
            let mut left = length;
            while left > 0 {
                let part = block.slice(..block.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
                left -= part.len() as u64;
                if to.send_data(part).await.is_err() {
                    return;
                }
            }
            Ok(())
        }
        Payload::Endless => {
            let mut part = Bytes::from_static(b"{\"active\":true");
            while to.send_data(part).await.is_ok() {
                part = Bytes::from(vec![b' '; 16 * 1024]);
            }
            return;
        }
        Payload::Cut { bytes, sent } => {
            let sent = to.send_data(bytes.slice(..sent)).await;
            // What was written must leave before the connection breaks.
            tokio::time::sleep(Duration::from_millis(20)).await;
            to.abort(io::Error::other("scripted: cut"));
            return drop(sent);
        }
        Payload::Silence | Payload::Reset => return,
    };
    if sent.is_ok() && !trailers.is_empty() {
        drop(to.send_trailers(trailers).await);
    }
}
