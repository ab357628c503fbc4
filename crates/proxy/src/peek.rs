//! A look at a request's body before it goes anywhere.
//!
//! A door hands its body to [`decide`](crate::decide::decide) as something that can be looked at and keeps what was
//! read. Only requests whose route has a step that reads bodies, and whose head announces a body of a kind that is
//! read, wait for it; nobody else does.

use crate::head::Head;
use crate::render::Failure;
use crate::upstream::Upload;
use bytes::Bytes;
use portcullis_plugins::body;

/// A body that can be looked at, and is whole afterwards.
///
/// The future is not asked to be `Send`, since the bodies of the reverse proxy never leave their core; a decision can
/// move between threads wherever its door's own future can.
pub trait Peek {
    /// Reads the body to its end and keeps it for whoever sends it on. `None`: there is none, or it is longer than
    /// `limit`, which may show only after a part of it was read (and kept).
    fn read(&mut self, limit: usize) -> impl Future<Output = Result<Option<Bytes>, Failure>>;
}

/// No body, or one that nobody may look at.
#[derive(Debug)]
pub struct Unread;

impl Peek for Unread {
    async fn read(&mut self, _limit: usize) -> Result<Option<Bytes>, Failure> {
        Ok(None)
    }
}

/// A client's body. Owns nothing, so that the body can move on once the decision is made.
pub(crate) struct Uploading<'a>(pub(crate) Option<&'a mut Upload>);

impl Peek for Uploading<'_> {
    async fn read(&mut self, limit: usize) -> Result<Option<Bytes>, Failure> {
        match &mut self.0 {
            Some(upload) => upload.peek(limit).await,
            None => Ok(None),
        }
    }
}

/// What the steps of a route see of a request's body.
pub(crate) async fn peek(head: &Head, limit: usize, body: &mut impl Peek) -> Result<Option<Bytes>, Failure> {
    match body::kind(&head.method, &head.headers) {
        Some(_) => body.read(limit).await,
        None => Ok(None),
    }
}
