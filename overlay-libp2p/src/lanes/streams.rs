//! The two streams of a lane on one connection: the one that this side writes, the one that it reads.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use libp2p::swarm::{ConnectionId, Stream};
use overlay::io::Lane;

use super::decoder::{Decoder, Step, CHUNK};
use super::shared::{Admission, Inbox, Item, Pair};
use super::{index, COALESCE, READ_TURN};

/// A stream that this side opened.
pub(super) struct Writer {
    stream: Stream,
    buffer: Vec<u8>,
    written: usize,
    flushed: bool,
    closed: bool,
}

/// A stream that the other side opened.
pub(super) struct Reader {
    stream: Stream,
    decoder: Decoder,
    /// The other side has finished and everything is read: close our side, which tells it so.
    finished: bool,
}

/// Why a stream is of no more use.
pub(super) enum Stop {
    /// It has ended as it should.
    Finished,
    /// It was cut, or the other side broke the protocol.
    Broken,
}

impl Writer {
    pub(super) fn new(stream: Stream, association: u64) -> Self {
        Self { stream, buffer: association.to_be_bytes().to_vec(), written: 0, flushed: false, closed: false }
    }

    /// Writes what is queued; ready when the stream is finished on both sides, or of no use.
    pub(super) fn poll(
        &mut self,
        lane: Lane,
        connection: ConnectionId,
        pair: &Pair,
        cx: &mut Context<'_>,
    ) -> Poll<Stop> {
        match self.poll_write(lane, connection, pair, cx) {
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(stop)) => return Poll::Ready(stop),
        }
        // The other side sends nothing on this stream: its end is the receipt for everything.
        match Pin::new(&mut self.stream).poll_read(cx, &mut [0]) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) if self.closed => Poll::Ready(Stop::Finished),
            Poll::Ready(_) => Poll::Ready(Stop::Broken),
        }
    }

    fn poll_write(
        &mut self,
        lane: Lane,
        connection: ConnectionId,
        pair: &Pair,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stop>> {
        let broken = |_| Stop::Broken;
        while !self.closed {
            while self.written < self.buffer.len() {
                let rest = &self.buffer[self.written..];
                match futures::ready!(Pin::new(&mut self.stream).poll_write(cx, rest)).map_err(broken)? {
                    0 => return Poll::Ready(Err(Stop::Broken)),
                    n => self.written += n,
                }
                self.flushed = false;
            }
            let finish = self.refill(lane, connection, pair)?;
            if !self.buffer.is_empty() {
                continue;
            }
            if finish {
                futures::ready!(Pin::new(&mut self.stream).poll_close(cx)).map_err(broken)?;
                self.closed = true;
            } else if !self.flushed {
                futures::ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(broken)?;
                self.flushed = true;
            } else {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the next frames; true if lanes go elsewhere now and this stream is to be finished.
    fn refill(&mut self, lane: Lane, connection: ConnectionId, pair: &Pair) -> Result<bool, Stop> {
        self.buffer.clear();
        self.written = 0;
        let mut state = pair.lock();
        if !state.writes(lane, connection) {
            return Err(Stop::Broken);
        }
        if state.sending != Some(connection) {
            return Ok(true);
        }
        while self.buffer.len() < COALESCE {
            let Some(frame) = state.pop(lane) else { break };
            self.buffer.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            self.buffer.extend_from_slice(&frame);
        }
        if self.buffer.is_empty() && self.buffer.capacity() > COALESCE {
            self.buffer = Vec::new();
        }
        Ok(false)
    }
}

impl Reader {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, decoder: Decoder::default(), finished: false }
    }

    /// Everything is read.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn poll(
        &mut self,
        lane: Lane,
        connection: ConnectionId,
        pair: &Pair,
        inbox: &Inbox,
        cx: &mut Context<'_>,
    ) -> Poll<Stop> {
        let mut turn = 0;
        let mut chunk = [0; CHUNK];
        while !self.finished {
            if !inbox.has_room(cx) {
                return Poll::Pending;
            }
            if turn > READ_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let target = self.decoder.target().unwrap_or(&mut chunk);
            let direct = target.len() > CHUNK;
            let read = match futures::ready!(Pin::new(&mut self.stream).poll_read(cx, target)) {
                Ok(read) => read,
                Err(_) => return Poll::Ready(self.cut()),
            };
            turn += read;
            if read == 0 {
                if !self.decoder.at_boundary() {
                    return Poll::Ready(Stop::Broken);
                }
                let mut state = pair.lock();
                if state.reading[index(lane)] == Some(connection) {
                    state.reading[index(lane)] = None;
                }
                self.finished = true;
                break;
            }
            let mut frames = Vec::new();
            let fed = if direct {
                self.decoder.advance(read, &mut frames);
                Ok(())
            } else {
                self.decoder.feed(&chunk[..read], &mut frames)
            };
            for step in frames {
                match step {
                    Step::Association(association) => {
                        let admission = pair.lock().admit(lane, connection, association);
                        match admission {
                            Admission::Read => {}
                            Admission::Reset => inbox.push(Item::Reset { peer: pair.peer, keep: connection }),
                            Admission::Stale => return Poll::Ready(Stop::Finished),
                        }
                    }
                    Step::Frame(frame) => {
                        if pair.lock().reading[index(lane)] != Some(connection) {
                            return Poll::Ready(Stop::Finished);
                        }
                        inbox.push(Item::Frame { peer: pair.peer, lane, frame });
                    }
                }
            }
            if fed.is_err() {
                return Poll::Ready(Stop::Broken);
            }
        }
        let _ = futures::ready!(Pin::new(&mut self.stream).poll_close(cx));
        Poll::Ready(Stop::Finished)
    }

    /// What a cut means: nothing, if the stream had not said what it is.
    fn cut(&self) -> Stop {
        if self.decoder.association {
            Stop::Broken
        } else {
            Stop::Finished
        }
    }
}
