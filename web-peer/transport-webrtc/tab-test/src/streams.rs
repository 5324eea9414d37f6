//! Streams of the test protocols, opened on a peer's WebRTC connection if there is one.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::{ready, Ready},
    task::{Context, Poll},
};

use futures::channel::{mpsc, oneshot};
use libp2p::{
    core::{transport::PortUse, ConnectedPoint, Endpoint, UpgradeInfo},
    swarm::{
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm,
    },
    InboundUpgrade, Multiaddr, OutboundUpgrade, PeerId, Stream, StreamProtocol,
};
use transport_webrtc::Path;

pub(crate) type Reply = oneshot::Sender<Result<Stream, String>>;
pub(crate) type Incoming = mpsc::UnboundedSender<(StreamProtocol, Stream)>;

pub(crate) struct Behaviour {
    protocols: Vec<StreamProtocol>,
    incoming: Incoming,
    connections: HashMap<PeerId, Vec<(ConnectionId, Path)>>,
    actions: VecDeque<ToSwarm<Infallible, Open>>,
}

impl Behaviour {
    pub(crate) fn new(protocols: Vec<StreamProtocol>, incoming: Incoming) -> Behaviour {
        Behaviour { protocols, incoming, connections: HashMap::new(), actions: VecDeque::new() }
    }

    pub(crate) fn open(&mut self, peer_id: PeerId, protocol: StreamProtocol, reply: Reply) {
        let links = self.connections.get(&peer_id).map_or(&[][..], Vec::as_slice);
        match links.iter().find(|(_, path)| *path == Path::WebRtc).or(links.first()) {
            Some((id, _)) => self.actions.push_back(ToSwarm::NotifyHandler {
                peer_id,
                handler: NotifyHandler::One(*id),
                event: Open { protocol, reply },
            }),
            None => drop(reply.send(Err("not connected".to_owned()))),
        }
    }

    fn handler(&self) -> Handler {
        Handler {
            protocols: self.protocols.clone(),
            incoming: self.incoming.clone(),
            requests: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let path = |endpoint: &ConnectedPoint| Path::of(endpoint);
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                let link = (event.connection_id, path(event.endpoint));
                self.connections.entry(event.peer_id).or_default().push(link);
            }
            FromSwarm::ConnectionClosed(event) => {
                if let Some(links) = self.connections.get_mut(&event.peer_id) {
                    links.retain(|(id, _)| *id != event.connection_id);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

#[derive(Debug)]
pub(crate) struct Open {
    protocol: StreamProtocol,
    reply: Reply,
}

pub(crate) struct Handler {
    protocols: Vec<StreamProtocol>,
    incoming: Incoming,
    requests: VecDeque<Open>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Infallible;
    type InboundProtocol = Any;
    type OutboundProtocol = Any;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Any> {
        SubstreamProtocol::new(Any(self.protocols.clone()), ())
    }

    fn on_behaviour_event(&mut self, open: Open) {
        self.requests.push_back(open);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Any, Reply, Infallible>> {
        match self.requests.pop_front() {
            Some(Open { protocol, reply }) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Any(vec![protocol]), reply),
            }),
            None => Poll::Pending,
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Any, Any, (), Reply>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                let _ = self.incoming.unbounded_send(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let _ = info.send(Ok(protocol.1));
            }
            ConnectionEvent::DialUpgradeError(error) => {
                let _ = error.info.send(Err(error.error.to_string()));
            }
            _ => {}
        }
    }
}

/// Negotiates one of a list of protocols and says which.
pub(crate) struct Any(Vec<StreamProtocol>);

impl UpgradeInfo for Any {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Any {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}

impl OutboundUpgrade<Stream> for Any {
    type Output = (StreamProtocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((protocol, stream)))
    }
}
