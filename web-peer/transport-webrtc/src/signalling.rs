//! How two peers exchange session descriptions before they can talk directly.
//!
//! The transport knows only [`SignallingPath`]: a way to get a byte stream to an authenticated peer. [`RelayedPath`] is
//! the one of the specification, a stream of `/webrtc-signaling/0.0.1` on a relayed libp2p connection. Another path
//! could run through any peer that is connected to both sides, as long as it authenticates the far end: the session
//! description carries the DTLS fingerprint, so whoever can change it can stand in the middle.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures::{
    channel::{mpsc, oneshot},
    future::BoxFuture,
    ready, AsyncRead, AsyncWrite, FutureExt, SinkExt,
};
use libp2p_identity::PeerId;
use libp2p_swarm::StreamProtocol;
use thiserror::Error;

use crate::{
    address::WebRtcAddress,
    wire::{varint, Signal, WireError},
};

/// The protocol of the specification.
pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/webrtc-signaling/0.0.1");

/// Introductions that wait for the transport. More are dropped: their dialler sees its stream end.
const MAX_WAITING: usize = 64;
/// Of these, from one peer.
const MAX_WAITING_PER_PEER: usize = 4;
/// Requests from the transport that wait for the behaviour; a dial waits when it is full.
const MAX_REQUESTS: usize = 64;

/// A byte stream to an authenticated peer.
pub trait SignallingIo: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> SignallingIo for T {}

/// A peer that wants to connect to us, and the stream on which its offer comes.
pub struct Introduction {
    /// Who is at the other end; authenticated by the path.
    pub peer: PeerId,
    /// Carries the signalling messages.
    pub io: Box<dyn SignallingIo>,
}

/// A way to introduce two peers to each other.
pub trait SignallingPath: Send + Unpin + 'static {
    /// Opens a stream to `target.peer`. The transport adds the time-out.
    fn open(
        &mut self,
        target: &WebRtcAddress,
    ) -> BoxFuture<'static, Result<Box<dyn SignallingIo>, PathError>>;

    /// The next peer that wants to be connected.
    fn poll_introduction(&mut self, cx: &mut Context<'_>) -> Poll<Introduction>;
}

/// Why no signalling stream could be had. The peer has not seen an offer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// A bare `/webrtc/p2p/<peer>` was dialled and no connection to the peer exists.
    #[error("no relay is named and no connection to the peer exists")]
    NoPath,
    /// The relayed connection could not be made.
    #[error("the peer could not be reached through the relay: {0}")]
    Relay(String),
    /// The peer does not speak the signalling protocol.
    #[error("the peer does not speak {PROTOCOL}")]
    Unsupported,
    /// The stream could not be opened on the relayed connection.
    #[error("the signalling stream could not be opened: {0}")]
    Stream(String),
    /// Too many dials are waiting for relayed connections.
    #[error("too many dials are waiting for relayed connections")]
    Busy,
    /// The behaviour is gone.
    #[error("the behaviour of this transport has been dropped")]
    Gone,
}

/// Signalling over relayed connections, with the help of [`crate::Behaviour`].
pub struct RelayedPath {
    requests: mpsc::Sender<OpenRequest>,
    inbox: Inbox,
}

/// What [`RelayedPath`] asks the behaviour for.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(crate) target: WebRtcAddress,
    pub(crate) reply: Reply,
}

pub(crate) type Reply = oneshot::Sender<Result<libp2p_swarm::Stream, PathError>>;

impl RelayedPath {
    pub(crate) fn new() -> (RelayedPath, mpsc::Receiver<OpenRequest>, Inbox) {
        let (requests, receiver) = mpsc::channel(MAX_REQUESTS);
        let inbox = Inbox::default();
        (RelayedPath { requests, inbox: inbox.clone() }, receiver, inbox)
    }
}

impl SignallingPath for RelayedPath {
    fn open(
        &mut self,
        target: &WebRtcAddress,
    ) -> BoxFuture<'static, Result<Box<dyn SignallingIo>, PathError>> {
        let mut requests = self.requests.clone();
        let target = target.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            requests.send(OpenRequest { target, reply }).await.map_err(|_| PathError::Gone)?;
            let stream = answer.await.map_err(|_| PathError::Gone)??;
            Ok(Box::new(stream) as Box<dyn SignallingIo>)
        }
        .boxed()
    }

    fn poll_introduction(&mut self, cx: &mut Context<'_>) -> Poll<Introduction> {
        self.inbox.poll_pop(cx)
    }
}

/// Inbound signalling streams on their way from connection handlers to the transport.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Mutex<InboxState>>);

#[derive(Default)]
struct InboxState {
    waiting: VecDeque<Introduction>,
    waker: Option<Waker>,
}

impl Inbox {
    /// Hands an introduction over, or drops it if too many are waiting.
    pub(crate) fn push(&self, introduction: Introduction) {
        let mut state = self.lock();
        let same = state.waiting.iter().filter(|waiting| waiting.peer == introduction.peer).count();
        if state.waiting.len() >= MAX_WAITING || same >= MAX_WAITING_PER_PEER {
            tracing::debug!(peer = %introduction.peer, "too many introductions are waiting: dropped");
            return;
        }
        state.waiting.push_back(introduction);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Introduction> {
        let mut state = self.lock();
        match state.waiting.pop_front() {
            Some(introduction) => Poll::Ready(introduction),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a signalling stream failed.
#[derive(Debug, Error)]
pub enum SignalError {
    /// The stream broke.
    #[error("the signalling stream broke: {0}")]
    Io(#[from] io::Error),
    /// The peer sent something that is not a signalling message.
    #[error("the peer sent {0}")]
    Wire(#[from] WireError),
}

/// Signalling messages over a byte stream.
pub(crate) struct Signaller {
    io: Box<dyn SignallingIo>,
    max_len: usize,
    input: Vec<u8>,
    ended: bool,
    output: Vec<u8>,
    written: usize,
}

impl Signaller {
    /// Messages longer than `max_len` bytes are refused before they are read.
    pub(crate) fn new(io: Box<dyn SignallingIo>, max_len: usize) -> Signaller {
        Signaller { io, max_len, input: Vec::new(), ended: false, output: Vec::new(), written: 0 }
    }

    /// Queues a message; [`Signaller::poll_flush`] sends it. The caller bounds how many there are.
    pub(crate) fn queue(&mut self, signal: &Signal) {
        signal.encode(&mut self.output);
    }

    /// Sends what is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, &self.output[self.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
        }
        self.output.clear();
        self.written = 0;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// The next message, or `None` at the end of the stream.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Signal>, SignalError>> {
        let mut chunk = [0; 2048];
        loop {
            if let Some((len, at)) = varint(&self.input)? {
                if len > self.max_len as u64 {
                    return Poll::Ready(Err(WireError::TooLong { len, max: self.max_len }.into()));
                }
                let end = at + len as usize;
                if self.input.len() >= end {
                    let signal = Signal::decode(&self.input[at..end]);
                    self.input.drain(..end);
                    return Poll::Ready(Ok(Some(signal?)));
                }
            }
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut chunk))? {
                0 => self.ended = true,
                n => self.input.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// Ends our direction of the stream after what is queued.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::{executor::block_on, future::poll_fn, io::Cursor};

    fn read(bytes: Vec<u8>) -> Vec<Result<Option<Signal>, String>> {
        let mut signaller = Signaller::new(Box::new(Cursor::new(bytes)), 100);
        let mut out = Vec::new();
        loop {
            let next = block_on(poll_fn(|cx| signaller.poll_next(cx))).map_err(|e| e.to_string());
            let more = matches!(next, Ok(Some(_)));
            out.push(next);
            if !more {
                return out;
            }
        }
    }

    #[test]
    fn messages_one_after_another_until_the_end() {
        let mut bytes = Vec::new();
        Signal::Answer("a".into()).encode(&mut bytes);
        Signal::Candidate("c".into()).encode(&mut bytes);
        bytes.push(5);
        assert_eq!(
            read(bytes),
            [Ok(Some(Signal::Answer("a".into()))), Ok(Some(Signal::Candidate("c".into()))), Ok(None)]
        );
    }

    #[test]
    fn a_giant_is_refused_by_its_length_alone() {
        let mut bytes = Vec::new();
        crate::wire::put_varint(&mut bytes, 1 << 40);
        assert_eq!(
            read(bytes),
            [Err("the peer sent a message of 1099511627776 bytes where 100 are allowed".to_owned())]
        );
        assert_eq!(
            read(vec![0xff; 12]),
            [Err("the peer sent a number that does not fit 64 bits".to_owned())]
        );
    }

    #[test]
    fn one_peer_cannot_fill_the_inbox() {
        let (inbox, greedy) = (Inbox::default(), PeerId::random());
        let push = |peer| inbox.push(Introduction { peer, io: Box::new(Cursor::new(Vec::new())) });
        for _ in 0..100 {
            push(greedy);
        }
        assert_eq!(inbox.lock().waiting.len(), MAX_WAITING_PER_PEER);
        for _ in 0..100 {
            push(PeerId::random());
        }
        assert_eq!(inbox.lock().waiting.len(), MAX_WAITING);
    }
}
