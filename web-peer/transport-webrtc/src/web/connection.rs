//! A usable connection as libp2p's stream muxer.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    future::{poll_fn, select, BoxFuture},
    ready,
    stream::FuturesUnordered,
    FutureExt, StreamExt,
};
use futures_timer::Delay;
use libp2p_core::{muxing::StreamMuxerEvent, StreamMuxer};
use send_wrapper::SendWrapper;
use web_sys::RtcDataChannelState;

use super::{lossy::RtcLink, peer::Inner, Stream};
use crate::RtcError;

/// How long the `init` channel may take to close before the signalling stream is ended all the same.
const INIT_CLOSE: Duration = Duration::from_secs(5);

/// A WebRTC connection to one peer. Dropping it closes it and all of its streams.
pub struct Connection {
    inner: SendWrapper<Rc<Inner>>,
    /// What is left of the handshake: `init` closes, then the signalling stream.
    finish: Option<BoxFuture<'static, ()>>,
    lingering: FuturesUnordered<BoxFuture<'static, u64>>,
}

impl Connection {
    pub(super) fn new(inner: Rc<Inner>, goodbye: BoxFuture<'static, ()>) -> Connection {
        let init = inner.init.borrow().clone();
        let finish = match init {
            Some(init) => {
                init.close();
                // The peer may not end the signalling before it has seen `init` close.
                SendWrapper::new(async move {
                    // Polled with the connection, which its event wakes.
                    let closed = poll_fn(move |_| match init.ready_state() {
                        RtcDataChannelState::Closed => Poll::Ready(()),
                        _ => Poll::Pending,
                    });
                    select(closed, Delay::new(INIT_CLOSE)).await;
                    goodbye.await;
                })
                .boxed()
            }
            None => goodbye,
        };
        Connection {
            inner: SendWrapper::new(inner),
            finish: Some(finish),
            lingering: FuturesUnordered::new(),
        }
    }

    /// For the datagrams beside the streams.
    pub(super) fn link(&self) -> RtcLink {
        RtcLink::new(&self.inner)
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(finish) = &mut self.finish {
            if finish.poll_unpin(cx).is_ready() {
                self.finish = None;
            }
        }
        for key in self.inner.take_lingering() {
            self.lingering.push(Delay::new(self.inner.linger).map(move |()| key).boxed());
        }
        while let Poll::Ready(Some(key)) = self.lingering.poll_next_unpin(cx) {
            self.inner.abandon(key);
        }
    }
}

impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = RtcError;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, RtcError>> {
        self.inner.poll_inbound(cx)
    }

    fn poll_outbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, RtcError>> {
        match self.inner.open_stream(cx) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), RtcError>> {
        self.inner.close();
        Poll::Ready(Ok(()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, RtcError>> {
        self.drive(cx);
        let error = ready!(self.inner.poll_failed(cx));
        Poll::Ready(Err(error))
    }
}
