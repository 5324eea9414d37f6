//! Signs of life: libp2p's ping, and connections that go silent.
//!
//! A path can die without a word: a laptop changes its network, a relay's machine loses power. A socket notices only when
//! it writes, and then after minutes. Ping by itself forgives a first failure and pauses before it tries again. What counts
//! here is therefore the silence since the last answer: a socket is closed after [`DEAD_AFTER`] ticks of half a ping's
//! interval without one. The ticks come from the same kind of timer as the pings, so that a hidden or sleeping page,
//! whose timers a browser holds back, slows both down alike and takes nobody for dead.

use std::collections::HashMap;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::ping::{self, Failure};
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use crate::addresses::{is_circuit, is_webrtc};

/// Ticks of half an interval without an answer: an answer may take half an interval at least.
const DEAD_AFTER: u32 = 4;
/// A ping that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Pings every connection; sockets, which lead to relays, at an interval of their own.
pub struct Behaviour {
    sockets: ping::Behaviour,
    others: ping::Behaviour,
    /// Sockets, and the ticks since each was heard.
    silent: HashMap<ConnectionId, (PeerId, u32)>,
    tick: Duration,
    delay: Delay,
    dead: Vec<(PeerId, ConnectionId)>,
}

impl Behaviour {
    /// Pings sockets every `sockets` and closes those that are silent for up to twice that; pings WebRTC connections
    /// and circuits every `others`.
    pub fn new(sockets: Duration, others: Duration) -> Self {
        let ping = |interval| {
            ping::Behaviour::new(ping::Config::new().with_interval(interval).with_timeout(TIMEOUT))
        };
        let tick = sockets / 2;
        let (silent, delay) = (HashMap::new(), Delay::new(tick));
        Self { sockets: ping(sockets), others: ping(others), silent, tick, delay, dead: Vec::new() }
    }

    fn on_tick(&mut self) {
        for (id, (peer, ticks)) in &mut self.silent {
            *ticks += 1;
            if *ticks == DEAD_AFTER {
                self.dead.push((*peer, *id));
            }
        }
    }
}

/// Is it a connection of our own socket, not through a relay and not WebRTC?
fn is_socket(address: &Multiaddr) -> bool {
    !is_circuit(address) && !is_webrtc(address)
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<ping::Behaviour>;
    type ToSwarm = ping::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let pings = if is_socket(local) && is_socket(remote) { &mut self.sockets } else { &mut self.others };
        pings.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let pings = if is_socket(address) { &mut self.sockets } else { &mut self.others };
        pings.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let socket = match established.endpoint {
                    ConnectedPoint::Dialer { address, .. } => is_socket(address),
                    ConnectedPoint::Listener { local_addr, send_back_addr } => {
                        is_socket(local_addr) && is_socket(send_back_addr)
                    }
                };
                if socket {
                    self.silent.insert(established.connection_id, (established.peer_id, 0));
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.silent.remove(&connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        match &event {
            Ok(_) => {
                if let Some((_, ticks)) = self.silent.get_mut(&id) {
                    *ticks = 0;
                }
            }
            // Whoever does not answer by design is not dead for it.
            Err(Failure::Unsupported) => drop(self.silent.remove(&id)),
            Err(_) => {}
        }
        // Which of the two reports it makes no difference.
        self.others.on_connection_handler_event(peer, id, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<ping::Event, THandlerInEvent<Self>>> {
        while self.delay.poll_unpin(cx).is_ready() {
            self.delay.reset(self.tick);
            self.on_tick();
        }
        if let Some((peer_id, id)) = self.dead.pop() {
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(id) });
        }
        self.others.poll(cx)
    }
}
