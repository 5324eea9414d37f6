//! Dials that the kernel asked for: first everything that leads to a direct connection, then plain circuits.

use std::collections::BTreeMap;

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, NetworkBehaviour, Swarm};
use libp2p::Multiaddr;
use overlay::id::PeerId;
use overlay::time::{Millis, Time};

use crate::addresses::{
    circuit_through, claimed_text, last_peer, libp2p_peer, relay_of, webrtc_through, MAX_ADDRESSES,
};
use crate::relays::Relays;

/// Dials under way; more fail at once.
const MAX_DIALS: usize = 128;
/// Addresses of one peer that lead to hosts which this node was not given itself.
const MAX_STRANGERS: usize = 2;
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
    /// Starts a dial of a peer that is not connected.
    pub fn start<B: NetworkBehaviour>(
        &mut self,
        swarm: &mut Swarm<B>,
        now: Time,
        peer: PeerId,
        hints: &[String],
        relays: &Relays,
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
        let ways: Vec<&Multiaddr> = relays.ways(|relay| swarm.is_connected(relay)).collect();
        let (direct, fallback) = plan(id, hints, relays, &ways);
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

/// The addresses to try first, and those to fall back to. Strangers may have claimed the hints: of those that do not lead
/// through this node's own relays only a few are tried, and only where [`Doors`](crate::doors::Doors) let through. A way
/// through a relay of ours goes by the address that we have of it, whatever the hint says.
fn plan(
    peer: libp2p::PeerId,
    hints: &[String],
    relays: &Relays,
    ways: &[&Multiaddr],
) -> (Vec<Multiaddr>, Vec<Multiaddr>) {
    let mut direct: Vec<Multiaddr> = Vec::new();
    let mut fallback: Vec<Multiaddr> = Vec::new();
    let mut strangers = 0;
    let mut add = |address: Multiaddr| {
        let circuit = relay_of(&address).map(|relay| circuit_through(&relay, peer));
        fallback.extend(circuit.filter(|circuit| !fallback.contains(circuit)));
        if !direct.contains(&address) {
            direct.push(address);
        }
    };
    for hint in hints.iter().take(MAX_ADDRESSES).filter_map(|hint| claimed_text(hint, peer)) {
        let relay = relay_of(&hint).and_then(|relay| relays.address(&last_peer(&relay)?));
        if let Some(relay) = relay {
            add(webrtc_through(relay, peer));
        } else if relays.doors().is_known(&hint) {
            add(hint);
        } else if relays.doors().may_open(&hint) && strangers < MAX_STRANGERS {
            strangers += 1;
            add(hint);
        }
    }
    ways.iter().map(|relay| webrtc_through(relay, peer)).for_each(&mut add);
    (direct, fallback)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::doors::Doors;
    use crate::relays::Use;

    #[test]
    fn direct_ways_come_first_and_claims_lead_where_doors_let_through() {
        let (peer, relay_id) = (libp2p_peer(PeerId([3; 32])).unwrap(), libp2p_peer(PeerId([4; 32])).unwrap());
        let relay: Multiaddr = format!("/ip4/127.0.0.1/tcp/9/ws/p2p/{relay_id}").parse().unwrap();
        let mut relays = Relays::new(Use::Connect, Doors::default());
        assert!(relays.add(relay.clone(), Time(0)));
        relays.on_up(&relay_id);
        let known = webrtc_through(&relay, peer);
        let named = |n| format!("/dns/host{n}.tabfarm.org/tcp/443/tls/ws/p2p/{peer}");
        let elsewhere = format!("/ip4/10.0.0.1/tcp/22/ws/p2p/{relay_id}/p2p-circuit/webrtc/p2p/{peer}");
        let hints = [
            "nonsense".into(),
            "/ip4/127.0.0.1/tcp/7/ws".into(),
            "/ip4/127.0.0.1/tcp/9/ws".into(),
            elsewhere,
            named(1),
            named(2),
            named(3),
        ];
        let ways: Vec<&Multiaddr> = relays.ways(|_| false).collect();
        let (direct, fallback) = plan(peer, &hints, &relays, &ways);
        let socket: Multiaddr = format!("/ip4/127.0.0.1/tcp/9/ws/p2p/{peer}").parse().unwrap();
        assert_eq!(direct, [socket, known, named(1).parse().unwrap(), named(2).parse().unwrap()]);
        assert_eq!(fallback, [circuit_through(&relay, peer)]);
    }
}
