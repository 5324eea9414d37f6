//! The connection handler of the signalling protocol: opens streams for the behaviour, hands inbound ones to the
//! transport. One per connection, so that a signalling stream runs on exactly the connection that was asked for.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use libp2p_core::upgrade::ReadyUpgrade;
use libp2p_identity::PeerId;
use libp2p_swarm::{
    handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    ConnectionHandler, ConnectionHandlerEvent, StreamProtocol, StreamUpgradeError, SubstreamProtocol,
};

use crate::signalling::{Inbox, Introduction, PathError, Reply, PROTOCOL};

/// Signalling streams that one connection opens at once; further requests are refused.
const MAX_OPENING: usize = 8;

/// The handler of one connection.
pub struct Handler {
    peer: PeerId,
    inbox: Inbox,
    requests: VecDeque<Reply>,
    opening: usize,
}

/// Asks a handler for a signalling stream.
#[derive(Debug)]
pub struct Open(pub(crate) Reply);

impl Handler {
    pub(crate) fn new(peer: PeerId, inbox: Inbox) -> Handler {
        Handler { peer, inbox, requests: VecDeque::new(), opening: 0 }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = std::convert::Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn on_behaviour_event(&mut self, Open(reply): Open) {
        if self.opening + self.requests.len() >= MAX_OPENING {
            let _ = reply.send(Err(PathError::Busy));
        } else {
            self.requests.push_back(reply);
        }
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        while let Some(reply) = self.requests.pop_front() {
            if reply.is_canceled() {
                continue;
            }
            self.opening += 1;
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), reply);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: io, .. }) => {
                self.inbox.push(Introduction { peer: self.peer, io: Box::new(io) });
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opening -= 1;
                let _ = info.send(Ok(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.opening -= 1;
                let _ = info.send(Err(match error {
                    StreamUpgradeError::NegotiationFailed => PathError::Unsupported,
                    other => PathError::Stream(other.to_string()),
                }));
            }
            _ => {}
        }
    }
}
