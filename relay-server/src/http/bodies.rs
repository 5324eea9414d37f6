//! Bodies of requests: how much of them the relay holds at a time.
//!
//! Whoever takes a request takes its whole body, and one client's are bounded there; thousands of clients may come. Beyond
//! [`MOST`] a body that is still coming makes room for others: its connection ends.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::BoxError;
use hyper::body::{Frame, SizeHint};

use super::activity::{Activity, Answering, Asking};
use super::connections::Connections;

/// Bytes of all bodies whose requests are not answered yet: 64 of the largest that a service may be given.
const MOST: usize = 16 * 1024 * 1024;

/// What is held. Clones count together.
#[derive(Clone)]
pub(super) struct Bodies {
    held: Arc<AtomicUsize>,
    connections: Connections,
}

/// What is held of one request's body, until this goes.
pub(super) struct Held {
    bodies: Bodies,
    bytes: AtomicUsize,
}

impl Bodies {
    pub fn new(connections: Connections) -> Self {
        Self { held: Arc::default(), connections }
    }

    /// A request's body, counted; what is held of it is so until the second one goes, too.
    pub fn count<B: HttpBody>(&self, body: B, activity: &Activity) -> (Counted<B>, Arc<Held>) {
        let asking = (!body.is_end_stream()).then(|| activity.ask());
        let held = Arc::new(Held { bodies: self.clone(), bytes: AtomicUsize::new(0) });
        (Counted { body, asking, held: held.clone() }, held)
    }
}

impl Held {
    /// More has come; an error if there is no room for it.
    fn add(&self, bytes: usize) -> Result<(), Error> {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let all = self.bodies.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // It may be this one's connection that goes.
        match all <= MOST || self.bodies.connections.evict_asking() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::OutOfMemory, "too many bodies of requests at a time")),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bodies.held.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// A request's body.
pub(super) struct Counted<B> {
    body: B,
    /// While there is more to come.
    asking: Option<Asking>,
    held: Arc<Held>,
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin> HttpBody for Counted<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.asking = None;
        }
        let counted = frame.map(|frame| {
            let frame = frame.map_err(Into::into)?;
            self.held.add(frame.data_ref().map_or(0, Bytes::len))?;
            Ok(frame)
        });
        Poll::Ready(counted)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer: its request is being answered, and what came with it is held, until it is sent.
pub(super) struct Answer {
    body: Body,
    _answering: Answering,
    _held: Arc<Held>,
}

impl Answer {
    pub fn new(body: Body, answering: Answering, held: Arc<Held>) -> Self {
        Self { body, _answering: answering, _held: held }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use futures::stream::{self, StreamExt};

    /// A body of this many bytes that never ends.
    fn endless(bytes: usize) -> Body {
        let frame = Ok::<_, Error>(Bytes::from(vec![0; bytes]));
        Body::from_stream(stream::iter([frame]).chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_makes_room_and_one_that_is_held_does_not() {
        let connections = Connections::new(10, 10);
        let bodies = Bodies::new(connections.clone());
        let seats = [1, 2, 3].map(|n| connections.admit([10, 0, 0, n].into()).unwrap());
        let [whole, half, newcomer] = &seats;
        let answers = seats.each_ref().map(|seat| seat.activity.answer());
        // One that has come, and is not answered yet: most of what there is.
        let (body, held) = bodies.count(Body::from(vec![0; MOST - 100]), &whole.activity);
        assert_eq!(to_bytes(Body::new(body), MOST).await.unwrap().len(), MOST - 100);
        // The rest by one that goes on coming.
        let (mut slow, _held_slow) = bodies.count(endless(100), &half.activity);
        let frame = std::future::poll_fn(|cx| Pin::new(&mut slow).poll_frame(cx)).await;
        assert!(frame.unwrap().is_ok());
        assert_eq!(connections.counts().evicted, 0);
        let (body, _) = bodies.count(Body::from("one more"), &newcomer.activity);
        assert_eq!(to_bytes(Body::new(body), 100).await.unwrap(), "one more");
        half.evicted().await;
        assert_eq!(connections.counts().evicted, 1);
        // Its connection goes, and what it held. Then nobody is left who could make room.
        drop((slow, _held_slow));
        let (body, _full) = bodies.count(Body::from(vec![0; 101]), &newcomer.activity);
        assert!(to_bytes(Body::new(body), MOST).await.is_err());
        drop((held, _full, answers));
        let (body, _) = bodies.count(Body::from(vec![0; MOST]), &newcomer.activity);
        assert!(to_bytes(Body::new(body), MOST).await.is_ok());
    }
}
