//! Dials that the kernel asked for: first everything that leads to a direct connection, then plain circuits.

use std::collections::BTreeMap;

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, NetworkBehaviour, Swarm};
use libp2p::Multiaddr;
use overlay::id::PeerId;
use overlay::time::{Millis, Time};

use crate::addresses::{circuit_through, claimed_text, libp2p_peer, relay_of, webrtc_through, MAX_ADDRESSES};

/// Dials under way; more fail at once.
const MAX_DIALS: usize = 128;
/// A dial that has no result after this time has failed; WebRTC's own limits add up to less in all but odd cases.
const PATIENCE: Millis = Millis(25_000);

#[derive(Default)]
pub(crate) struct Dials(BTreeMap<PeerId, Dial>);

struct Dial {
    /// Circuits for when nothing direct works; empty once they are tried.
    fallback: Vec<Multiaddr>,
    until: Time,
}

/// What came of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It goes on.
    Pending,
    /// There is no way to the peer.
    Failed,
}

impl Dials {
    /// Starts a dial of a peer that is not connected. `relays` are those that this node is connected to.
    pub fn start<'a, B: NetworkBehaviour>(
        &mut self,
        swarm: &mut Swarm<B>,
        now: Time,
        peer: PeerId,
        hints: &[String],
        relays: impl Iterator<Item = &'a Multiaddr>,
    ) -> Step {
        if self.0.contains_key(&peer) {
            return Step::Pending;
        }
        let Some(id) = libp2p_peer(peer).filter(|id| id != swarm.local_peer_id()) else {
            return Step::Failed;
        };
        if self.0.len() >= MAX_DIALS {
            return Step::Failed;
        }
        let (direct, fallback) = plan(id, hints, relays);
        self.0.insert(peer, Dial { fallback, until: now + PATIENCE });
        self.dial(swarm, peer, id, direct)
    }

    /// A dial of `peer` failed, whoever asked for it. `None` if the kernel did not.
    pub fn on_failed<B: NetworkBehaviour>(&mut self, swarm: &mut Swarm<B>, peer: PeerId) -> Option<Step> {
        let dial = self.0.get_mut(&peer)?;
        let fallback = std::mem::take(&mut dial.fallback);
        let Some(id) = libp2p_peer(peer).filter(|_| !fallback.is_empty()) else {
            self.0.remove(&peer);
            return Some(Step::Failed);
        };
        Some(self.dial(swarm, peer, id, fallback))
    }

    /// `peer` is connected.
    pub fn on_connected(&mut self, peer: PeerId) {
        self.0.remove(&peer);
    }

    /// When to call [`Dials::expired`] next.
    pub fn timeout(&self) -> Option<Time> {
        self.0.values().map(|dial| dial.until).min()
    }

    /// A dial whose time is over.
    pub fn expired(&mut self, now: Time) -> Option<PeerId> {
        let peer = self.0.iter().find(|(_, dial)| dial.until <= now).map(|(peer, _)| *peer)?;
        self.0.remove(&peer);
        Some(peer)
    }

    fn dial<B: NetworkBehaviour>(
        &mut self,
        swarm: &mut Swarm<B>,
        peer: PeerId,
        id: libp2p::PeerId,
        addresses: Vec<Multiaddr>,
    ) -> Step {
        let opts = DialOpts::peer_id(id)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .extend_addresses_through_behaviour()
            .build();
        match swarm.dial(opts) {
            // Somebody else, kad for example, is dialling: its end is reported like ours.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => Step::Pending,
            Err(_) => self.on_failed(swarm, peer).unwrap_or(Step::Failed),
        }
    }
}

/// The addresses to try first, and those to fall back to.
fn plan<'a>(
    peer: libp2p::PeerId,
    hints: &[String],
    relays: impl Iterator<Item = &'a Multiaddr>,
) -> (Vec<Multiaddr>, Vec<Multiaddr>) {
    let mut direct: Vec<Multiaddr> = Vec::new();
    let mut fallback: Vec<Multiaddr> = Vec::new();
    let mut add = |address: Multiaddr| {
        let circuit = relay_of(&address).map(|relay| circuit_through(&relay, peer));
        fallback.extend(circuit.filter(|circuit| !fallback.contains(circuit)));
        if !direct.contains(&address) {
            direct.push(address);
        }
    };
    hints.iter().take(MAX_ADDRESSES).filter_map(|hint| claimed_text(hint, peer)).for_each(&mut add);
    relays.map(|relay| webrtc_through(relay, peer)).for_each(&mut add);
    (direct, fallback)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn direct_ways_come_first_and_bad_hints_are_dropped() {
        let (peer, relay_id) = (libp2p_peer(PeerId([3; 32])).unwrap(), libp2p_peer(PeerId([4; 32])).unwrap());
        let relay: Multiaddr = format!("/ip4/127.0.0.1/tcp/9/ws/p2p/{relay_id}").parse().unwrap();
        let known = webrtc_through(&relay, peer);
        let hints = [known.to_string(), "nonsense".into(), "/ip4/127.0.0.1/tcp/7/ws".into()];
        let (direct, fallback) = plan(peer, &hints, [&relay].into_iter());
        let socket: Multiaddr = format!("/ip4/127.0.0.1/tcp/7/ws/p2p/{peer}").parse().unwrap();
        assert_eq!(direct, [known, socket]);
        assert_eq!(fallback, [circuit_through(&relay, peer)]);
    }
}
