//! The connection handler of a WebRTC connection: says that datagrams are spoken here, and hears that the peer does too.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use either::Either;
use libp2p_core::upgrade::{DeniedUpgrade, ReadyUpgrade};
use libp2p_swarm::{
    handler::{ConnectionEvent, ProtocolsChange},
    ConnectionHandler, ConnectionHandlerEvent, StreamProtocol, SubstreamProtocol,
};

use super::PROTOCOL;

/// The handler of one WebRTC connection.
pub struct Announcer {
    /// Whether datagrams are wanted here.
    speaks: bool,
    news: Option<Identified>,
}

/// The peer has said what it speaks.
#[derive(Debug)]
pub struct Identified {
    /// Both speak datagrams.
    pub(crate) datagrams: bool,
}

impl Announcer {
    pub(crate) fn new(speaks: bool) -> Announcer {
        Announcer { speaks, news: None }
    }
}

impl ConnectionHandler for Announcer {
    type FromBehaviour = Infallible;
    type ToBehaviour = Identified;
    type InboundProtocol = Either<ReadyUpgrade<StreamProtocol>, DeniedUpgrade>;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    /// What is listed here, identify tells the peer. A stream of it, which nobody opens, is dropped.
    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        let protocol = if self.speaks {
            Either::Left(ReadyUpgrade::new(PROTOCOL))
        } else {
            Either::Right(DeniedUpgrade)
        };
        SubstreamProtocol::new(protocol, ())
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Identified>> {
        match self.news.take() {
            Some(news) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(news)),
            None => Poll::Pending,
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        if let ConnectionEvent::RemoteProtocolsChange(ProtocolsChange::Added(mut added)) = event {
            let announced = self.speaks && added.any(|protocol| *protocol == PROTOCOL);
            let before = self.news.take().is_some_and(|news| news.datagrams);
            self.news = Some(Identified { datagrams: announced || before });
        }
    }
}
