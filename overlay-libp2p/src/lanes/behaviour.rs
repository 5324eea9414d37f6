//! The pairs of this node and what happens to them.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, ListenFailure,
    NetworkBehaviour, ToSwarm,
};
use libp2p::Multiaddr;
use overlay::id::PeerId;
use overlay::io::{Lane, Path, MAX_DATAGRAM_FRAME, MAX_FRAME};
use web_time::Instant;

use super::datagrams::Datagrams;
use super::handler::Handler;
use super::shared::{Inbox, Item, Pair};
use crate::addresses::{is_relayed, kernel_peer, libp2p_peer};

/// What happens between this node and a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer is connected, or its path changed.
    Connected {
        /// The peer.
        peer: PeerId,
        /// The best path to it.
        path: Path,
    },
    /// The last connection closed, or frames may have been lost; in the second case `Connected` follows at once.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// A frame came.
    Received {
        /// From whom.
        peer: PeerId,
        /// On which lane.
        lane: Lane,
        /// The frame.
        frame: Vec<u8>,
    },
}

/// Lanes to every connected peer.
pub struct Behaviour {
    peers: HashMap<PeerId, Peer>,
    inbox: Arc<Inbox>,
    associations: u64,
    limit: Option<Limit>,
    datagrams: Option<Box<dyn Datagrams>>,
    actions: VecDeque<ToSwarm<Event, Infallible>>,
}

/// How many costly connections to keep: a browser bounds them, and each takes memory on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// When there are more, the least recently used are closed.
    pub keep: usize,
    /// One that was used within this time is never closed for others.
    pub idle: Duration,
    /// Which connections count.
    pub counts: fn(&ConnectedPoint) -> bool,
}

struct Peer {
    pair: Arc<Pair>,
    connections: Vec<(ConnectionId, Path)>,
    /// Of these, the one that counts for the [`Limit`]; the last, if there are several.
    counted: Option<ConnectionId>,
    /// When a frame was last sent or received, or a connection made.
    used: Instant,
    /// The path that was reported last; none for a peer that is not of the overlay.
    announced: Option<Path>,
}

/// The peer's key is not ed25519, so that it cannot be a peer of the overlay.
#[derive(Debug, thiserror::Error)]
#[error("the peer's key is not ed25519")]
struct ForeignKey;

impl Behaviour {
    /// Lanes whose associations start from `seed`, which must differ from run to run.
    pub fn new(seed: u64) -> Self {
        let (peers, inbox) = (HashMap::new(), Arc::default());
        Self { peers, inbox, associations: seed, limit: None, datagrams: None, actions: VecDeque::new() }
    }

    /// With a bound on costly connections.
    pub fn with_limit(mut self, limit: Option<Limit>) -> Self {
        self.limit = limit;
        self
    }

    /// With a way for datagrams beside the streams.
    pub fn with_datagrams(mut self, datagrams: Box<dyn Datagrams>) -> Self {
        self.datagrams = Some(datagrams);
        self
    }

    /// Sends a frame of at most [`MAX_FRAME`] bytes to a connected peer; to others it is dropped. When the lane's queue
    /// is full, the connections to the peer are closed; on the datagram lane, whose frames have at most
    /// [`MAX_DATAGRAM_FRAME`] bytes, frames are dropped.
    pub fn send(&mut self, peer: PeerId, lane: Lane, frame: Vec<u8>) {
        debug_assert!(frame.len() <= if lane == Lane::Datagram { MAX_DATAGRAM_FRAME } else { MAX_FRAME });
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.used = Instant::now();
        if let (Lane::Datagram, Some(datagrams)) = (lane, &mut self.datagrams) {
            if libp2p_peer(peer).is_some_and(|peer| datagrams.send(&peer, &frame)) {
                return;
            }
        }
        if frame.len() > MAX_FRAME || entry.pair.lock().push(lane, frame).is_err() {
            self.hangup(peer);
        }
    }

    /// Closes every connection to a peer.
    pub fn hangup(&mut self, peer: PeerId) {
        if let (Some(entry), Some(peer_id)) = (self.peers.get(&peer), libp2p_peer(peer)) {
            entry.pair.lock().clear();
            self.actions.push_back(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All });
        }
    }

    /// The best path to a peer, if it is connected.
    pub fn path(&self, peer: PeerId) -> Option<Path> {
        self.peers.get(&peer)?.announced
    }

    /// Is this peer connected, but not one of the overlay's?
    pub fn is_foreign(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|entry| entry.pair.lock().foreign)
    }

    /// Is `connection` the one that frames for the peer are written to?
    pub fn carries(&self, peer: PeerId, connection: ConnectionId) -> bool {
        self.peers.get(&peer).is_some_and(|entry| entry.pair.lock().sending == Some(connection))
    }

    /// Connected peers and the path to each.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, Path)> + '_ {
        self.peers.iter().filter_map(|(peer, entry)| Some((*peer, entry.announced?)))
    }

    fn handler(&mut self, id: ConnectionId, peer: libp2p::PeerId) -> Result<Handler, ConnectionDenied> {
        let peer = kernel_peer(&peer).ok_or_else(|| ConnectionDenied::new(ForeignKey))?;
        let associations = &mut self.associations;
        let entry = self.peers.entry(peer).or_insert_with(|| {
            *associations = associations.wrapping_add(1);
            let pair = Pair::new(peer, *associations);
            Peer { pair, connections: Vec::new(), counted: None, used: Instant::now(), announced: None }
        });
        Ok(Handler::new(id, entry.pair.clone(), self.inbox.clone()))
    }

    fn report(&mut self, event: Event) {
        self.actions.push_back(ToSwarm::GenerateEvent(event));
    }

    /// Closes the least recently used of the connections that count, until there are no more than the limit says or
    /// all are in use. Called when one is made; call it now and then, because those in use fall idle.
    pub fn close_idle(&mut self) {
        let Some(limit) = self.limit else { return };
        let counted = self.peers.iter().filter_map(|(peer, entry)| Some((entry.used, *peer, entry.counted?)));
        let mut counted: Vec<_> = counted.collect();
        let Some(excess) = counted.len().checked_sub(limit.keep) else { return };
        counted.sort_unstable_by_key(|(used, peer, _)| (*used, *peer));
        let now = Instant::now();
        for (used, peer, id) in counted.into_iter().take(excess) {
            if now.saturating_duration_since(used) < limit.idle {
                break;
            }
            // It closes soon; it counts no more.
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.counted = None;
            }
            self.close(peer, id);
        }
    }

    fn on_established(&mut self, peer: PeerId, id: ConnectionId, path: Path, counts: bool) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.connections.push((id, path));
        entry.used = Instant::now();
        if counts {
            entry.counted = Some(id);
            self.close_idle();
        }
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if entry.pair.lock().foreign {
            return;
        }
        let better = entry.announced.is_none_or(|before| before == Path::Relayed && path == Path::Direct);
        if better {
            entry.announced = Some(path);
            entry.pair.lock().send_on(id);
            self.report(Event::Connected { peer, path });
        }
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        while let Some(item) = self.inbox.pop(None) {
            self.on_item(item);
        }
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.connections.retain(|(other, _)| *other != id);
        entry.counted = entry.counted.filter(|counted| *counted != id);
        let lost = entry.pair.lock().drop_connection(id);
        self.settle(peer, lost);
    }

    /// Reports what a lost connection changes, and sends on the best that is left.
    fn settle(&mut self, peer: PeerId, lost: bool) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let Some((best, path)) = entry.best() else {
            let known = entry.announced.is_some();
            self.peers.remove(&peer);
            if known {
                self.report(Event::Disconnected { peer });
            }
            return;
        };
        let mut state = entry.pair.lock();
        let gone = state.sending.is_none_or(|id| !entry.connections.iter().any(|(other, _)| *other == id));
        if gone {
            state.send_on(best);
        }
        if lost {
            state.clear();
        }
        if state.foreign {
            return;
        }
        drop(state);
        let changed = entry.announced.replace(path) != Some(path);
        if lost {
            self.report(Event::Disconnected { peer });
        }
        if lost || changed {
            self.report(Event::Connected { peer, path });
        }
    }

    fn on_item(&mut self, item: Item) {
        match item {
            Item::Frame { peer, lane, frame } => {
                self.on_spoken(peer);
                self.report(Event::Received { peer, lane, frame });
            }
            Item::Foreign { peer } => self.on_foreign(peer),
            Item::Broken { peer, connection } => self.close(peer, connection),
            Item::Reset { peer, keep } => self.on_reset(peer, keep),
        }
    }

    /// A peer that speaks no lanes: for the overlay it is not there, whatever else it came for.
    fn on_foreign(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if entry.announced.take().is_some() {
            self.report(Event::Disconnected { peer });
        }
    }

    /// A peer speaks: if it was taken for a foreign one, it is one of ours all the same.
    fn on_spoken(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        entry.used = Instant::now();
        if entry.announced.is_some() {
            return;
        }
        let Some((best, path)) = entry.best() else { return };
        let mut state = entry.pair.lock();
        state.foreign = false;
        state.send_on(best);
        drop(state);
        entry.announced = Some(path);
        self.report(Event::Connected { peer, path });
    }

    /// A datagram came beside the streams. It opens nothing: who has no lanes open here is not heard.
    fn on_datagram(&mut self, peer: &libp2p::PeerId, frame: Vec<u8>) {
        let Some(peer) = kernel_peer(peer) else { return };
        let Some(entry) = self.peers.get_mut(&peer).filter(|entry| entry.announced.is_some()) else { return };
        entry.used = Instant::now();
        self.report(Event::Received { peer, lane: Lane::Datagram, frame });
    }

    fn on_reset(&mut self, peer: PeerId, keep: ConnectionId) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let older: Vec<_> = entry.connections.iter().map(|(id, _)| *id).filter(|id| *id != keep).collect();
        entry.connections.retain(|(id, _)| *id == keep);
        entry.counted = entry.counted.filter(|counted| *counted == keep);
        let mut state = entry.pair.lock();
        for id in &older {
            state.drop_connection(*id);
        }
        drop(state);
        older.into_iter().for_each(|id| self.close(peer, id));
        self.settle(peer, true);
    }

    fn close(&mut self, peer: PeerId, connection: ConnectionId) {
        if let Some(peer_id) = libp2p_peer(peer) {
            let connection = CloseConnection::One(connection);
            self.actions.push_back(ToSwarm::CloseConnection { peer_id, connection });
        }
    }
}

impl Peer {
    fn best(&self) -> Option<(ConnectionId, Path)> {
        let direct = self.connections.iter().find(|(_, path)| *path == Path::Direct);
        direct.or(self.connections.first()).copied()
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.handler(id, peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.handler(id, peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let Some(peer) = kernel_peer(&established.peer_id) else { return };
                let path = if is_relayed(established.endpoint) { Path::Relayed } else { Path::Direct };
                let counts = self.limit.is_some_and(|limit| (limit.counts)(established.endpoint));
                self.on_established(peer, established.connection_id, path, counts);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                let Some(peer) = kernel_peer(&peer_id) else { return };
                self.on_closed(peer, connection_id);
            }
            // A connection that another behaviour denied after it got a handler here.
            FromSwarm::DialFailure(DialFailure { peer_id: Some(peer_id), .. })
            | FromSwarm::ListenFailure(ListenFailure { peer_id: Some(peer_id), .. }) => {
                let Some(peer) = kernel_peer(&peer_id) else { return };
                if self.peers.get(&peer).is_some_and(|entry| entry.connections.is_empty()) {
                    self.peers.remove(&peer);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: libp2p::PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, Infallible>> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Poll::Ready(action);
            }
            if let Some(item) = self.inbox.pop(Some(cx)) {
                self.on_item(item);
                continue;
            }
            match self.datagrams.as_mut().map(|datagrams| datagrams.poll(cx)) {
                Some(Poll::Ready((peer, frame))) => self.on_datagram(&peer, frame),
                Some(Poll::Pending) | None => return Poll::Pending,
            }
        }
    }
}
