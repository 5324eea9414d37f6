//! Connections that close in bounded time.
//!
//! Closing a connection says goodbye and waits until it is heard. On a path that has died it is not: a browser waits for a
//! websocket's closing handshake for up to a minute, and until then the swarm counts the connection as open, keeps the
//! reservation's address and dials nobody anew.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

/// A goodbye that takes longer is not waited for.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// A multiplexed connection whose `poll_close` ends within a second.
pub struct Brisk<M> {
    muxer: M,
    closing: Option<Delay>,
}

impl<M> Brisk<M> {
    /// Wraps a connection.
    pub fn new(muxer: M) -> Self {
        Self { muxer, closing: None }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Brisk<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Substream, M::Error>> {
        Pin::new(&mut self.muxer).poll_inbound(cx)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Substream, M::Error>> {
        Pin::new(&mut self.muxer).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.muxer).poll_close(cx) {
            return Poll::Ready(closed);
        }
        let delay = self.closing.get_or_insert_with(|| Delay::new(CLOSE_TIME));
        delay.poll_unpin(cx).map(|()| Ok(()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        Pin::new(&mut self.muxer).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::poll_fn;

    /// A connection whose other end has gone without a word.
    struct Dead;

    impl StreamMuxer for Dead {
        type Substream = futures::io::Cursor<Vec<u8>>;
        type Error = std::io::Error;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Self::Error>> {
            Poll::Pending
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Self::Error>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Pending
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_goodbye_that_nobody_hears_ends_all_the_same() {
        let mut dead = Brisk::new(Dead);
        assert!(poll_fn(|cx| Pin::new(&mut dead).poll_close(cx)).await.is_ok());
    }
}
