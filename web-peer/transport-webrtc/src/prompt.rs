//! A socket whose flush does not wait.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

/// A browser's websocket for the way through a relay. What was written is with the browser, which sends it without being
/// asked, so a flush has nothing left to do. `libp2p-websocket-websys` looks every 100 ms whether the browser's buffer is
/// empty and lets a flush wait for that: a handshake of four messages takes half a second then. Writes still wait while
/// the buffer is full.
#[derive(Debug)]
pub struct Prompt<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker;

    /// As the library's: its flush waits, writes and closing do not.
    #[derive(Default)]
    struct Slow(Vec<u8>);

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.0.extend_from_slice(buf);
            Poll::Ready(Ok(buf.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }
    }

    #[test]
    fn a_flush_does_not_wait_and_the_rest_is_the_sockets() {
        let (mut socket, waker) = (Prompt(Slow::default()), noop_waker());
        let (mut socket, mut cx) = (Pin::new(&mut socket), Context::from_waker(&waker));
        assert!(matches!(socket.as_mut().poll_write(&mut cx, b"hello"), Poll::Ready(Ok(5))));
        assert!(matches!(socket.as_mut().poll_flush(&mut cx), Poll::Ready(Ok(()))));
        assert!(matches!(socket.as_mut().poll_close(&mut cx), Poll::Ready(Err(_))));
        assert_eq!(socket.0 .0, b"hello");
    }
}
