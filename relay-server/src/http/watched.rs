//! A stream whose requests are followed, and whose first head is there before anything else is made for it.
//!
//! hyper takes 16 KiB of buffers for a connection as soon as it reads. A client that never gets to the end of its first head
//! costs no more than what it has sent.

use std::io::{Error, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::heads::{Ambiguous, Heads};

/// Bytes that a browser's head has, about.
const USUAL: usize = 1_024;

/// A stream, and what was read of it too early.
pub(super) struct Watched<S> {
    stream: S,
    heads: Heads,
    early: Bytes,
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Waits until the first head has come, or so many bytes of it.
    pub async fn begin(mut stream: S, most: usize) -> Result<Self> {
        let (mut heads, mut early) = (Heads::default(), Vec::with_capacity(USUAL));
        while !heads.has_first() && early.len() < most {
            let known = early.len();
            if stream.read_buf(&mut early).await? == 0 {
                break;
            }
            heads.on_bytes(&early[known..]);
        }
        Ok(Self { stream, heads, early: early.into() })
    }

    /// The request that says two lengths.
    pub fn ambiguous(&self) -> Ambiguous {
        self.heads.ambiguous.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if self.early.has_remaining() {
            let length = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(length));
            if self.early.is_empty() {
                // What is taken out holds on to all of it.
                self.early = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.heads.on_bytes(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Error>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn what_came_too_early_comes_in_its_order_and_is_followed() {
        let (near, mut far) = tokio::io::duplex(64);
        let head = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n";
        let both = "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sent = format!("{head}body{both}");
        let text = sent.clone();
        tokio::spawn(async move {
            for piece in text.as_bytes().chunks(5) {
                far.write_all(piece).await.unwrap();
            }
        });
        let mut stream = Watched::begin(near, 1_000).await.unwrap();
        let ambiguous = stream.ambiguous();
        assert!(!ambiguous.is(1));
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, sent);
        assert!(ambiguous.is(1));
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_handed_on_for_its_refusal() {
        let (near, mut far) = tokio::io::duplex(64);
        tokio::spawn(async move { while far.write_all(&[b'a'; 50]).await.is_ok() {} });
        let stream = Watched::begin(near, 1_000).await.unwrap();
        assert!((1_000..2_500).contains(&stream.early.len()));
    }
}
