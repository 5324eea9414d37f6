//! A libp2p stream on a data channel.

mod core;
mod receive;

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use send_wrapper::SendWrapper;

pub(crate) use self::core::{Core, Limits, Shared};

/// What a stream needs of a data channel.
pub trait Channel: 'static {
    /// Queues one message; `false` if the channel does not take any.
    fn send(&self, message: &[u8]) -> bool;
    /// Bytes that are queued and not sent yet.
    fn buffered(&self) -> usize;
    /// Begins to close the channel, after what is queued.
    fn close(&self);
    /// The stream was dropped before the channel is closed: [`Core::abandon`] it after a while.
    fn linger(&self);
}

/// A bidirectional stream. Closing it ends our direction and leaves the peer's open; dropping it without closing resets
/// it, and a dropped stream that was closed goes on in the background until the peer has acknowledged.
pub struct DataStream<C: Channel>(SendWrapper<Rc<RefCell<Core<C>>>>);

impl<C: Channel> DataStream<C> {
    pub(crate) fn new(core: Rc<RefCell<Core<C>>>) -> DataStream<C> {
        DataStream(SendWrapper::new(core))
    }
}

impl<C: Channel> AsyncRead for DataStream<C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_read(cx, buf)
    }
}

impl<C: Channel> AsyncWrite for DataStream<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, bufs)
    }

    /// Ready at once: every write has already been handed to the channel.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ready when our FIN has been handed to the channel; it does not wait for the peer.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_close(cx)
    }
}

impl<C: Channel> Drop for DataStream<C> {
    fn drop(&mut self) {
        self.0.borrow_mut().on_dropped();
    }
}
