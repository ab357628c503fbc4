//! What carries on: the future of a response, and its body.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Guard;
use crate::answer::Answer;
use crate::error::Failure;

/// A call to the authorization server under way.
type Asking = Pin<Box<dyn Future<Output = Result<Arc<Answer>, Arc<Failure>>> + Send>>;

pin_project! {
    /// Future of [`Introspect`](super::Introspect).
    pub struct ResponseFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        state: State<S, ReqBody, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, ReqBody, F> {
        Refused { response: Option<Response<Bytes>> },
        Answering { #[pin] future: F },
        Asking { asking: Asking, held: Option<Held<S, ReqBody>> },
    }
}

/// A request whose token is being asked about, and who serves it then.
struct Held<S, ReqBody> {
    guard: Guard,
    service: S,
    request: Request<ReqBody>,
}

impl<S, ReqBody> ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(super) fn refused(response: Response<Bytes>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }

    pub(super) fn answering(future: S::Future) -> Self {
        Self { state: State::Answering { future } }
    }

    pub(super) fn asking(asking: Asking, guard: Guard, service: S, request: Request<ReqBody>) -> Self {
        Self { state: State::Asking { asking, held: Some(Held { guard, service, request }) } }
    }
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Refused { response } => {
                    #[expect(clippy::expect_used, reason = "a future is not polled after it was ready")]
                    let response = response.take().expect("polled once");
                    return Poll::Ready(Ok(response.map(ResponseBody::refusal)));
                }
                StateProjection::Answering { future } => {
                    return future.poll(cx).map_ok(|response| response.map(ResponseBody::inner));
                }
                StateProjection::Asking { asking, held } => {
                    let landed = ready!(asking.as_mut().poll(cx));
                    #[expect(clippy::expect_used, reason = "taken on leaving this state, which happens here alone")]
                    let Held { guard, mut service, mut request } = held.take().expect("held");
                    match guard.judge(landed, &mut request) {
                        None => State::Answering { future: service.call(request) },
                        response => State::Refused { response },
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<S, ReqBody> fmt::Debug for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

pin_project! {
    /// Body of a response: the service's own, or that of a refusal.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        whose: Whose<B>,
    }
}

pin_project! {
    #[project = WhoseProjection]
    #[derive(Debug)]
    enum Whose<B> {
        Service { #[pin] body: B },
        Refusal { body: Bytes },
    }
}

impl<B> ResponseBody<B> {
    fn inner(body: B) -> Self {
        Self { whose: Whose::Service { body } }
    }

    fn refusal(body: Bytes) -> Self {
        Self { whose: Whose::Refusal { body } }
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().whose.project() {
            WhoseProjection::Service { body } => body.poll_frame(cx),
            WhoseProjection::Refusal { body } if body.is_empty() => Poll::Ready(None),
            WhoseProjection::Refusal { body } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.whose {
            Whose::Service { body } => body.is_end_stream(),
            Whose::Refusal { body } => body.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.whose {
            Whose::Service { body } => body.size_hint(),
            Whose::Refusal { body } => SizeHint::with_exact(body.len() as u64),
        }
    }
}
