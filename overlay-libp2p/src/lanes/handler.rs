//! The lanes of one connection.

use std::convert::Infallible;
use std::future::{ready, Ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, ConnectionId, Stream, SubstreamProtocol};
use overlay::io::{Lane, MAX_FRAME};

use super::shared::{Admission, Inbox, Item, Pair};
use super::{index, COALESCE, READ_TURN};

/// Bytes read from a stream at a time unless a large frame is under way.
const CHUNK: usize = 8 * 1024;
/// A frame's memory grows by this much as its bytes come, whatever length it announced.
const GROW: usize = 64 * 1024;

/// Reads and writes the lanes of one connection.
pub struct Handler {
    connection: ConnectionId,
    pair: Arc<Pair>,
    inbox: Arc<Inbox>,
    outs: [Out; Lane::ALL.len()],
    ins: [Option<In>; Lane::ALL.len()],
    broken: bool,
}

/// A lane's outgoing side.
enum Out {
    Idle,
    Opening,
    Open(Writer),
}

/// A stream that this side opened.
struct Writer {
    stream: Stream,
    buffer: Vec<u8>,
    written: usize,
    flushed: bool,
    closed: bool,
}

/// A stream that the other side opened.
struct In {
    stream: Stream,
    decoder: Decoder,
    /// The other side has finished and everything is read: close our side, which tells it so.
    finished: bool,
}

/// Why a stream is of no more use.
enum Stop {
    /// It has ended as it should.
    Finished,
    /// It was cut, or the other side broke the protocol.
    Broken,
}

impl Handler {
    pub(super) fn new(connection: ConnectionId, pair: Arc<Pair>, inbox: Arc<Inbox>) -> Self {
        let (outs, ins) = (Lane::ALL.map(|_| Out::Idle), Lane::ALL.map(|_| None));
        Self { connection, pair, inbox, outs, ins, broken: false }
    }

    fn fail(&mut self) {
        if !self.broken {
            self.broken = true;
            self.inbox.push(Item::Broken { peer: self.pair.peer, connection: self.connection });
        }
    }

    /// A stream that this side opened has failed.
    fn on_out_failed(&mut self, lane: Lane) {
        self.outs[index(lane)] = Out::Idle;
        let mut state = self.pair.lock();
        let before = state.foreign;
        let foreign = state.refused(lane, self.connection);
        drop(state);
        if !foreign {
            self.fail();
        } else if !before {
            self.inbox.push(Item::Foreign { peer: self.pair.peer });
        }
    }

    /// Moves the lane's outgoing side on; true when a stream must be opened.
    fn poll_out(&mut self, lane: Lane, cx: &mut Context<'_>) -> bool {
        let out = &mut self.outs[index(lane)];
        if let Out::Open(writer) = out {
            let Poll::Ready(stop) = writer.poll(lane, self.connection, &self.pair, cx) else { return false };
            *out = Out::Idle;
            match stop {
                Stop::Finished => self.pair.lock().release(lane, self.connection),
                Stop::Broken => {
                    self.on_out_failed(lane);
                    return false;
                }
            }
        }
        if matches!(self.outs[index(lane)], Out::Idle) && self.pair.lock().claim(lane, self.connection) {
            self.outs[index(lane)] = Out::Opening;
            return true;
        }
        false
    }

    fn poll_in(&mut self, lane: Lane, cx: &mut Context<'_>) {
        let Some(stream) = &mut self.ins[index(lane)] else { return };
        let Poll::Ready(stop) = stream.poll(lane, self.connection, &self.pair, &self.inbox, cx) else {
            return;
        };
        self.ins[index(lane)] = None;
        if matches!(stop, Stop::Broken) {
            self.fail();
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = AnyLane;
    type OutboundProtocol = OneLane;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Lane;

    fn listen_protocol(&self) -> SubstreamProtocol<AnyLane, ()> {
        SubstreamProtocol::new(AnyLane, ())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<OneLane, Lane, Infallible>> {
        if self.broken {
            return Poll::Pending;
        }
        self.pair.lock().register(self.connection, cx);
        for lane in Lane::ALL {
            self.poll_in(lane, cx);
            if self.poll_out(lane, cx) {
                let protocol = SubstreamProtocol::new(OneLane(lane), lane);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, AnyLane, OneLane, (), Lane>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (lane, stream),
                ..
            }) => {
                let slot = &mut self.ins[index(lane)];
                if slot.as_ref().is_none_or(|stream| stream.finished) {
                    *slot = Some(In { stream, decoder: Decoder::default(), finished: false });
                } else {
                    self.fail();
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: lane,
            }) => {
                self.outs[index(lane)] = Out::Open(Writer::new(stream, self.pair.association));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: lane, .. }) => {
                self.on_out_failed(lane)
            }
            _ => {}
        }
    }
}

impl Writer {
    fn new(stream: Stream, association: u64) -> Self {
        Self { stream, buffer: association.to_be_bytes().to_vec(), written: 0, flushed: false, closed: false }
    }

    /// Writes what is queued; ready when the stream is finished on both sides, or of no use.
    fn poll(
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

impl In {
    fn poll(
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
                self.decoder.advance(read, &mut frames)
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

/// What a decoder finds.
#[derive(Debug, PartialEq)]
enum Step {
    Association(u64),
    Frame(Vec<u8>),
}

/// A frame is longer than allowed.
#[derive(Debug, PartialEq)]
struct TooLong;

/// Cuts a stream of bytes into frames.
#[derive(Default)]
struct Decoder {
    /// The association has been read.
    association: bool,
    head: [u8; 8],
    have: usize,
    body: Vec<u8>,
    filled: usize,
    /// Length of the frame under way, once it is known.
    length: Option<usize>,
}

impl Decoder {
    fn at_boundary(&self) -> bool {
        self.have == 0 && self.length.is_none()
    }

    /// Where the next bytes may go directly, while much of a large frame is missing.
    fn target(&mut self) -> Option<&mut [u8]> {
        let missing = self.length? - self.filled;
        if missing <= CHUNK {
            return None;
        }
        let end = self.filled + missing.min(GROW);
        self.body.resize(end, 0);
        Some(&mut self.body[self.filled..])
    }

    /// `read` bytes were put into the target.
    fn advance(&mut self, read: usize, out: &mut Vec<Step>) -> Result<(), TooLong> {
        self.filled += read;
        self.body.truncate(self.filled);
        self.finish(out);
        Ok(())
    }

    fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Step>) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if let Some(length) = self.length {
                let take = bytes.len().min(length - self.filled);
                self.body.truncate(self.filled);
                self.body.extend_from_slice(&bytes[..take]);
                self.filled += take;
                bytes = &bytes[take..];
                self.finish(out);
                continue;
            }
            let wanted = if self.association { 4 } else { 8 };
            let take = bytes.len().min(wanted - self.have);
            self.head[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            bytes = &bytes[take..];
            if self.have < wanted {
                break;
            }
            self.have = 0;
            if !self.association {
                self.association = true;
                out.push(Step::Association(u64::from_be_bytes(self.head)));
                continue;
            }
            let [a, b, c, d, ..] = self.head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > MAX_FRAME {
                return Err(TooLong);
            }
            self.length = Some(length);
            self.body = Vec::with_capacity(length.min(GROW));
            self.finish(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Step>) {
        if self.length == Some(self.filled) {
            out.push(Step::Frame(std::mem::take(&mut self.body)));
            self.length = None;
            self.filled = 0;
        }
    }
}

/// A lane's protocol name.
#[derive(Clone)]
pub struct LaneName(Lane);

impl AsRef<str> for LaneName {
    fn as_ref(&self) -> &str {
        self.0.protocol()
    }
}

/// Accepts a stream of any lane.
pub struct AnyLane;

impl UpgradeInfo for AnyLane {
    type Info = LaneName;
    type InfoIter = [LaneName; Lane::ALL.len()];
    fn protocol_info(&self) -> Self::InfoIter {
        Lane::ALL.map(LaneName)
    }
}

impl InboundUpgrade<Stream> for AnyLane {
    type Output = (Lane, Stream);
    type Error = Infallible;
    type Future = Ready<Result<(Lane, Stream), Infallible>>;
    fn upgrade_inbound(self, stream: Stream, name: LaneName) -> Self::Future {
        ready(Ok((name.0, stream)))
    }
}

/// Opens a stream of one lane.
pub struct OneLane(Lane);

impl UpgradeInfo for OneLane {
    type Info = LaneName;
    type InfoIter = [LaneName; 1];
    fn protocol_info(&self) -> Self::InfoIter {
        [LaneName(self.0)]
    }
}

impl OutboundUpgrade<Stream> for OneLane {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;
    fn upgrade_outbound(self, stream: Stream, _: LaneName) -> Self::Future {
        ready(Ok(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = 9u64.to_be_bytes().to_vec();
        for frame in frames {
            bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            bytes.extend_from_slice(frame);
        }
        bytes
    }

    #[test]
    fn frames_are_cut_wherever_the_bytes_are_split() {
        let frames = vec![vec![1; 3], vec![], vec![2; 40_000], vec![3; MAX_FRAME], vec![4]];
        let bytes = encoded(&frames);
        let mut expected = vec![Step::Association(9)];
        expected.extend(frames.into_iter().map(Step::Frame));
        for split in [1, 7, 8, 4096, bytes.len()] {
            let (mut decoder, mut steps, mut at) = (Decoder::default(), Vec::new(), 0);
            while at < bytes.len() {
                let direct = match decoder.target() {
                    Some(target) => {
                        let take = target.len().min(split).min(bytes.len() - at);
                        target[..take].copy_from_slice(&bytes[at..at + take]);
                        Some(take)
                    }
                    None => None,
                };
                let take = direct.unwrap_or(split.min(CHUNK).min(bytes.len() - at));
                let fed = match direct {
                    Some(take) => decoder.advance(take, &mut steps),
                    None => decoder.feed(&bytes[at..at + take], &mut steps),
                };
                assert_eq!(fed, Ok(()));
                at += take;
            }
            assert_eq!(steps, expected, "split at {split}");
            assert!(decoder.at_boundary());
        }
    }

    #[test]
    fn a_giant_length_is_refused_before_memory_is_taken() {
        let mut bytes = encoded(&[]);
        bytes.extend_from_slice(&(MAX_FRAME as u32 + 1).to_be_bytes());
        let mut decoder = Decoder::default();
        assert_eq!(decoder.feed(&bytes, &mut Vec::new()), Err(TooLong));
        assert_eq!(decoder.body.capacity(), 0);
    }
}
