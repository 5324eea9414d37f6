//! The connections of each peer, and where its upgrade stands.

use std::collections::BTreeMap;

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use crate::address::Path;

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) path: Path,
    /// Where to dial WebRTC, if this is a circuit.
    pub(super) upgrade_addr: Option<Multiaddr>,
}

/// All connected peers. Invariant: a peer that is listed has at least one link.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<PeerId, Peer>);

#[derive(Default)]
struct Peer {
    links: Vec<Link>,
    reported: Option<Path>,
    upgrade: Option<Upgrade>,
}

#[derive(Default)]
struct Upgrade {
    attempts: u32,
    dial: Option<ConnectionId>,
}

impl Peers {
    pub(super) fn add(&mut self, peer: PeerId, link: Link) {
        self.0.entry(peer).or_default().links.push(link);
    }

    pub(super) fn remove(&mut self, peer: &PeerId, id: ConnectionId) {
        if let Some(state) = self.0.get_mut(peer) {
            state.links.retain(|link| link.id != id);
            if state.links.is_empty() {
                self.0.remove(peer);
            }
        }
    }

    /// The best path.
    pub(super) fn path(&self, peer: &PeerId) -> Option<Path> {
        self.0.get(peer)?.path()
    }

    /// The best path if it is not the one that was returned last.
    pub(super) fn changed_path(&mut self, peer: &PeerId) -> Option<Path> {
        let state = self.0.get_mut(peer)?;
        let path = state.path();
        if state.reported == path {
            return None;
        }
        state.reported = path;
        path
    }

    /// A connection on which to signal: a circuit rather than anything else, and never WebRTC itself.
    pub(super) fn signalling_link(&self, peer: &PeerId) -> Option<ConnectionId> {
        let links = &self.0.get(peer)?.links;
        let by = |path| links.iter().find(|link| link.path == path).map(|link| link.id);
        by(Path::Relayed).or_else(|| by(Path::Direct))
    }

    /// Circuits of a peer that is also connected directly.
    pub(super) fn circuits_beside_direct(&self, peer: &PeerId) -> Vec<ConnectionId> {
        match self.0.get(peer) {
            Some(state) if state.path().is_some_and(Path::is_direct) => {
                state.links.iter().filter(|link| link.path == Path::Relayed).map(|link| link.id).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether an upgrade of this peer begins now: it is relayed, and none is under way.
    pub(super) fn begin_upgrade(&mut self, peer: &PeerId) -> bool {
        match self.0.get_mut(peer) {
            Some(state) if state.upgrade.is_none() && state.path() == Some(Path::Relayed) => {
                state.upgrade = Some(Upgrade::default());
                true
            }
            _ => false,
        }
    }

    /// The address to dial for an upgrade that is still wanted; otherwise the upgrade ends.
    pub(super) fn upgrade_addr(&mut self, peer: &PeerId) -> Option<Multiaddr> {
        let state = self.0.get_mut(peer)?;
        let addr = match state.path() {
            Some(Path::Relayed) => state.links.iter().find_map(|link| link.upgrade_addr.clone()),
            _ => None,
        };
        if addr.is_none() {
            state.upgrade = None;
        }
        addr
    }

    pub(super) fn upgrade_dialled(&mut self, peer: &PeerId, id: ConnectionId) {
        if let Some(upgrade) = self.0.get_mut(peer).and_then(|state| state.upgrade.as_mut()) {
            upgrade.dial = Some(id);
        }
    }

    /// Counts a failed upgrade: the attempts so far, or `None` if the dial was not an upgrade.
    pub(super) fn upgrade_failed(&mut self, peer: &PeerId, id: ConnectionId) -> Option<u32> {
        let upgrade = self.0.get_mut(peer)?.upgrade.as_mut()?;
        if upgrade.dial != Some(id) {
            return None;
        }
        upgrade.dial = None;
        upgrade.attempts += 1;
        Some(upgrade.attempts)
    }

    pub(super) fn end_upgrade(&mut self, peer: &PeerId) {
        if let Some(state) = self.0.get_mut(peer) {
            state.upgrade = None;
        }
    }
}

impl Peer {
    fn path(&self) -> Option<Path> {
        [Path::WebRtc, Path::Direct, Path::Relayed]
            .into_iter()
            .find(|path| self.links.iter().any(|link| link.path == *path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(id: usize, path: Path) -> Link {
        let upgrade_addr = (path == Path::Relayed).then(Multiaddr::empty);
        Link { id: ConnectionId::new_unchecked(id), path, upgrade_addr }
    }

    #[test]
    fn the_best_path_is_reported_once() {
        let (mut peers, peer) = (Peers::default(), PeerId::random());
        peers.add(peer, link(1, Path::Relayed));
        assert_eq!(peers.changed_path(&peer), Some(Path::Relayed));
        assert_eq!(peers.changed_path(&peer), None);
        peers.add(peer, link(2, Path::WebRtc));
        assert_eq!(peers.changed_path(&peer), Some(Path::WebRtc));
        assert_eq!(peers.circuits_beside_direct(&peer), [ConnectionId::new_unchecked(1)]);
        peers.remove(&peer, ConnectionId::new_unchecked(2));
        assert_eq!(peers.changed_path(&peer), Some(Path::Relayed));
        assert!(peers.circuits_beside_direct(&peer).is_empty());
        peers.remove(&peer, ConnectionId::new_unchecked(1));
        assert_eq!(peers.path(&peer), None);
    }

    #[test]
    fn one_upgrade_at_a_time_and_none_of_a_direct_peer() {
        let (mut peers, peer) = (Peers::default(), PeerId::random());
        assert!(!peers.begin_upgrade(&peer));
        peers.add(peer, link(1, Path::Relayed));
        assert!(peers.begin_upgrade(&peer));
        assert!(!peers.begin_upgrade(&peer));
        assert!(peers.upgrade_addr(&peer).is_some());
        peers.upgrade_dialled(&peer, ConnectionId::new_unchecked(9));
        assert_eq!(peers.upgrade_failed(&peer, ConnectionId::new_unchecked(8)), None);
        assert_eq!(peers.upgrade_failed(&peer, ConnectionId::new_unchecked(9)), Some(1));
        peers.add(peer, link(2, Path::WebRtc));
        assert_eq!(peers.upgrade_addr(&peer), None);
        assert!(!peers.begin_upgrade(&peer));
    }

    #[test]
    fn circuits_are_preferred_for_signalling_and_webrtc_is_never_used() {
        let (mut peers, peer) = (Peers::default(), PeerId::random());
        peers.add(peer, link(1, Path::WebRtc));
        assert_eq!(peers.signalling_link(&peer), None);
        peers.add(peer, link(2, Path::Direct));
        assert_eq!(peers.signalling_link(&peer), Some(ConnectionId::new_unchecked(2)));
        peers.add(peer, link(3, Path::Relayed));
        assert_eq!(peers.signalling_link(&peer), Some(ConnectionId::new_unchecked(3)));
    }
}
