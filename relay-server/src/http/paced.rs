//! A socket whose other end must read.

use std::future::Future;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;

/// How long answers may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Without one byte taken.
    pub stall: Duration,
    /// From the first byte that had to wait until all are taken.
    pub answer: Duration,
}

/// Fails writes with [`ErrorKind::TimedOut`] when the other end does not keep pace, and reports whether it does.
pub(super) struct Paced<S> {
    socket: S,
    pace: Pace,
    activity: Activity,
    timer: Pin<Box<Sleep>>,
    /// The last write had to wait: the timer runs.
    waiting: bool,
    /// When what is being written must have been taken.
    until: Option<Instant>,
}

impl<S> Paced<S> {
    pub fn new(socket: S, pace: Pace, activity: Activity) -> Self {
        let timer = Box::pin(tokio::time::sleep(pace.stall));
        Self { socket, pace, activity, timer, waiting: false, until: None }
    }

    /// Judges a write; one that waits fails when its time is over.
    fn judge(&mut self, cx: &mut Context<'_>, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if written.is_ready() {
            self.waiting = false;
            self.activity.on_taken();
            return written;
        }
        self.activity.on_blocked();
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + self.pace.answer);
        if !std::mem::replace(&mut self.waiting, true) {
            self.timer.as_mut().reset(until.min(now + self.pace.stall));
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bytes);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// The server flushes when the socket has taken all that it had to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Error>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if flushed.is_ready() {
            self.until = None;
            self.activity.on_flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const PACE: Pace = Pace { stall: Duration::from_secs(10), answer: Duration::from_secs(60) };

    /// Writes a kilobyte through a pipe of 16 bytes while its reader takes 16 bytes each `pause`.
    async fn write(pause: Duration) -> (Result<()>, Duration) {
        let (near, mut far) = tokio::io::duplex(16);
        let start = Instant::now();
        let reader = tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                if far.read_exact(&mut [0; 16]).await.is_err() {
                    return;
                }
            }
        });
        let mut paced = Paced::new(near, PACE, Activity::default());
        let mut result = paced.write_all(&[0; 1024]).await;
        if result.is_ok() {
            result = paced.flush().await;
        }
        let took = start.elapsed();
        reader.abort();
        (result, took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_and_one_that_dawdles_are_cut_off_and_one_that_reads_is_served() {
        assert!(write(Duration::from_millis(500)).await.0.is_ok());
        for (pause, limit) in
            [(Duration::from_secs(3_600), PACE.stall), (Duration::from_secs(5), PACE.answer)]
        {
            let (result, took) = write(pause).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?} of {limit:?}");
        }
    }
}
