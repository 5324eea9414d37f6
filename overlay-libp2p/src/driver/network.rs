//! What the swarm reports, as inputs for the kernel.

use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{identify, ping, Multiaddr};
use overlay::io::Input;

use super::{Driver, Kernel, Outgoing};
use crate::addresses::{claimed, is_circuit, is_webrtc, kernel_peer, last_peer, relay_of, MAX_ADDRESSES};
use crate::behaviour::BehaviourEvent;
use crate::dht;
use crate::dials::Step;
use crate::lanes;

impl<P: NetworkBehaviour, K: Kernel> Driver<P, K> {
    pub(super) fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent<P>>) -> Option<Outgoing<P::ToSwarm>> {
        match event {
            SwarmEvent::Behaviour(event) => return self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, .. } => self.relays.on_connected(&peer_id),
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.relays.on_down(&peer_id, self.clock.now());
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), .. } => {
                self.on_dial_failed(peer_id)
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.on_confirmed(&address),
            SwarmEvent::ExternalAddrExpired { .. } => self.report_addresses(),
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.relays.on_listener_closed(listener_id, self.clock.now());
            }
            SwarmEvent::NewListenAddr { address, .. } => return Some(Outgoing::Listening(address)),
            _ => {}
        }
        None
    }

    fn on_behaviour(&mut self, event: BehaviourEvent<P>) -> Option<Outgoing<P::ToSwarm>> {
        match event {
            BehaviourEvent::Lanes(lanes::Event::Received { peer, lane, frame }) => {
                self.feed(Input::Received { peer, lane, frame });
            }
            BehaviourEvent::Lanes(lanes::Event::Connected { peer, path }) => {
                self.dials.on_connected(peer);
                self.feed(Input::Connected { peer, path });
            }
            BehaviourEvent::Lanes(lanes::Event::Disconnected { peer }) => {
                self.feed(Input::Disconnected { peer })
            }
            BehaviourEvent::Platform(event) => return Some(Outgoing::Platform(event)),
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info)
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Kad(event) => {
                let now = self.clock.now();
                let answer = self.dht.on_event(&mut self.swarm.behaviour_mut().kad, now, event);
                if let Some(answer) = answer {
                    self.feed(Input::Dht(answer));
                }
            }
        }
        None
    }

    fn on_ping(&mut self, event: ping::Event) {
        match (kernel_peer(&event.peer), event.result) {
            // The round trip of a circuit says nothing about the direct connection beside it.
            (Some(peer), Ok(rtt)) if self.swarm.behaviour().lanes.carries(peer, event.connection) => {
                let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
                self.feed(Input::Rtt { peer, micros });
            }
            (_, Err(ping::Failure::Timeout)) => {
                self.swarm.close_connection(event.connection);
            }
            _ => {}
        }
    }

    fn on_identified(&mut self, peer: libp2p::PeerId, info: identify::Info) {
        if !info.protocols.contains(&dht::PROTOCOL) {
            return;
        }
        for address in info.listen_addrs.into_iter().take(MAX_ADDRESSES) {
            if let Some(address) = claimed(address, peer) {
                self.swarm.behaviour_mut().kad.add_address(&peer, address);
            }
        }
    }

    fn on_dial_failed(&mut self, peer_id: libp2p::PeerId) {
        if !self.swarm.is_connected(&peer_id) {
            if !self.relays.contains(&peer_id) {
                self.swarm.behaviour_mut().kad.remove_peer(&peer_id);
            }
            self.relays.on_down(&peer_id, self.clock.now());
        }
        let Some(peer) = kernel_peer(&peer_id) else { return };
        if self.dials.on_failed(&mut self.swarm, peer) == Some(Step::Failed) {
            self.feed(Input::DialFailed { peer });
        }
    }

    /// A circuit is ours: the WebRTC behaviour announces the way through it.
    fn on_confirmed(&mut self, address: &Multiaddr) {
        if let Some(relay) = relay_of(address).and_then(|relay| last_peer(&relay)) {
            self.relays.on_up(&relay);
        }
        self.report_addresses();
    }

    /// Tells the kernel, and kad, under which addresses others reach this node.
    pub fn report_addresses(&mut self) {
        let local = *self.swarm.local_peer_id();
        let addresses: Vec<Multiaddr> = self
            .swarm
            .external_addresses()
            .filter_map(|address| address.clone().with_p2p(local).ok())
            .collect();
        let mode = if addresses.is_empty() { libp2p::kad::Mode::Client } else { libp2p::kad::Mode::Server };
        self.swarm.behaviour_mut().kad.set_mode(Some(mode));
        let addresses = addresses.iter().filter(|address| !is_circuit(address) || is_webrtc(address));
        self.inputs.push_back(Input::Addresses(addresses.map(Multiaddr::to_string).collect()));
        self.wake();
    }
}
