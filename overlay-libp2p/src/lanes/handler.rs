//! The lanes of one connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, ConnectionId, SubstreamProtocol};
use overlay::io::Lane;

use super::index;
use super::shared::{Inbox, Item, Pair};
use super::streams::{Reader, Stop, Writer};
use super::upgrade::{AnyLane, OneLane};

/// Reads and writes the lanes of one connection.
pub struct Handler {
    connection: ConnectionId,
    pair: Arc<Pair>,
    inbox: Arc<Inbox>,
    outs: [Out; Lane::ALL.len()],
    ins: [Option<Reader>; Lane::ALL.len()],
    broken: bool,
}

/// A lane's outgoing side.
enum Out {
    Idle,
    Opening,
    Open(Writer),
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
                if slot.as_ref().is_none_or(|stream| stream.is_finished()) {
                    *slot = Some(Reader::new(stream));
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
