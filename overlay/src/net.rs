//! Connections to other peers: who they are, how they are reached, and sending to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use crate::cx::Cx;
use crate::id::PeerId;
use crate::io::{Event, Lane, Output, Path, PeerInfo, Role};
use crate::time::{Millis, Time};
use crate::wire::{self, Hello};

/// Connected peers that a node keeps state for; further ones are hung up.
pub const MAX_PEERS: usize = 16_384;
/// Peers that are being dialled at once.
const MAX_DIALS: usize = 64;
/// Frames that wait for one dial.
const MAX_WAITING: usize = 64;
/// A watched peer that said nothing for this long is asked.
const PING_AFTER: Millis = Millis(350);
/// One that said nothing for this long is silent (`docs/reliability.md`, F1: a killed browser is noticed within 1.5 s).
const SILENT_AFTER: Millis = Millis(1400);
/// Queries of one peer at once, in tenths.
const QUERY_BURST: u64 = 600;
/// A dial that says nothing for this long has failed.
const DIAL_TIMEOUT: Millis = Millis::secs(15);
/// After a failed dial the same peer is not dialled for this long.
const REDIAL_AFTER: Millis = Millis(1000);

/// A connected peer.
#[derive(Debug)]
pub struct Peer {
    /// How it is reached.
    pub path: Path,
    /// Microseconds.
    pub rtt: Option<u64>,
    /// What it said of itself.
    pub hello: Option<Hello>,
    /// Since when.
    pub since: Time,
    /// When something was last heard of it.
    pub heard_at: Time,
    /// Connected, and says nothing though it was asked: killed, frozen or cut off.
    pub silent: bool,
    /// When a frame of it was last called bad.
    pub complained_at: Option<Time>,
    /// What it may still ask of this node's index: tenths of a query, and since when.
    pub allowance: (u64, Time),
}

#[derive(Debug)]
struct Dial {
    since: Time,
    waiting: VecDeque<(Lane, Vec<u8>)>,
}

/// All connections of a node.
#[derive(Debug, Default)]
pub struct Net {
    peers: BTreeMap<PeerId, Peer>,
    dials: BTreeMap<PeerId, Dial>,
    failed: BTreeMap<PeerId, Time>,
    hints: BTreeMap<PeerId, Vec<String>>,
    loopback: VecDeque<(Lane, Vec<u8>)>,
    /// Whom [`Net::watch`] watched the last time.
    watched: BTreeSet<PeerId>,
}

impl Net {
    /// Sends to a connected peer, or to this node itself; false when it is not connected.
    pub fn send<T: Serialize>(&mut self, cx: &mut Cx, peer: PeerId, lane: Lane, message: &T) -> bool {
        let frame = wire::encode(message);
        self.send_frame(cx, peer, lane, frame)
    }

    /// Like [`Net::send`] for an encoded message.
    pub fn send_frame(&mut self, cx: &mut Cx, peer: PeerId, lane: Lane, frame: Vec<u8>) -> bool {
        debug_assert!(frame.len() <= crate::io::MAX_FRAME);
        if peer == cx.me {
            self.loopback.push_back((lane, frame));
            return true;
        }
        let connected = self.peers.contains_key(&peer);
        if connected {
            cx.put(Output::Send { peer, lane, frame });
        }
        connected
    }

    /// Sends now or after connecting; false when that is known to fail.
    pub fn send_or_dial<T: Serialize>(&mut self, cx: &mut Cx, peer: PeerId, lane: Lane, message: &T) -> bool {
        let frame = wire::encode(message);
        if peer == cx.me || self.peers.contains_key(&peer) {
            return self.send_frame(cx, peer, lane, frame);
        }
        if !self.connect(cx, peer) {
            return false;
        }
        if let Some(dial) = self.dials.get_mut(&peer).filter(|dial| dial.waiting.len() < MAX_WAITING) {
            dial.waiting.push_back((lane, frame));
        }
        true
    }

    /// Is connected, or will be; false when that is known to fail.
    pub fn connect(&mut self, cx: &mut Cx, peer: PeerId) -> bool {
        if peer == cx.me || self.peers.contains_key(&peer) || self.dials.contains_key(&peer) {
            return true;
        }
        let tired = self.failed.get(&peer).is_some_and(|at| cx.now.since(*at) < REDIAL_AFTER);
        if tired || self.dials.len() >= MAX_DIALS {
            return false;
        }
        self.dials.insert(peer, Dial { since: cx.now, waiting: VecDeque::new() });
        let hints = self.hints.get(&peer).cloned().unwrap_or_default();
        cx.put(Output::Dial { peer, hints });
        true
    }

    /// Somebody claims that a peer can be reached there.
    pub fn hint(&mut self, peer: PeerId, addresses: Vec<String>) {
        if self.hints.len() >= 1024 {
            self.hints.pop_first();
        }
        self.hints.insert(peer, addresses);
    }

    /// The driver is connected to a peer. True when it is new.
    pub fn on_connected(&mut self, cx: &mut Cx, peer: PeerId, path: Path) -> bool {
        self.failed.remove(&peer);
        let waiting = self.dials.remove(&peer).map(|dial| dial.waiting).unwrap_or_default();
        let new = !self.peers.contains_key(&peer);
        if new && self.peers.len() >= MAX_PEERS {
            cx.put(Output::Hangup { peer });
            return false;
        }
        let fresh = || Peer {
            path,
            rtt: None,
            hello: None,
            since: cx.now,
            heard_at: cx.now,
            silent: false,
            complained_at: None,
            allowance: (QUERY_BURST, cx.now),
        };
        self.peers.entry(peer).or_insert_with(fresh).path = path;
        for (lane, frame) in waiting {
            cx.put(Output::Send { peer, lane, frame });
        }
        cx.event(Event::Peer { id: peer.to_string(), connected: true });
        new
    }

    /// A peer is gone.
    pub fn on_disconnected(&mut self, cx: &mut Cx, peer: PeerId) -> bool {
        let known = self.peers.remove(&peer).is_some();
        if known {
            cx.event(Event::Peer { id: peer.to_string(), connected: false });
        }
        known
    }

    /// A dial failed. True when one was under way.
    pub fn on_dial_failed(&mut self, now: Time, peer: PeerId) -> bool {
        if self.failed.len() >= 1024 {
            self.failed.pop_first();
        }
        self.failed.insert(peer, now);
        self.dials.remove(&peer).is_some()
    }

    /// Dials that have taken too long; they count as failed.
    pub fn late_dials(&mut self, now: Time) -> Vec<PeerId> {
        let late = self.dials.iter().filter(|(_, dial)| now.since(dial.since) >= DIAL_TIMEOUT);
        late.map(|(peer, _)| *peer).collect()
    }

    /// Frames that this node sent to itself.
    pub fn poll_loopback(&mut self) -> Option<(Lane, Vec<u8>)> {
        self.loopback.pop_front()
    }

    /// A connected peer.
    pub fn peer(&self, peer: &PeerId) -> Option<&Peer> {
        self.peers.get(peer)
    }

    /// A connected peer, to be changed.
    pub fn peer_mut(&mut self, peer: &PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(peer)
    }

    /// Is connected (a node is connected to itself).
    pub fn is_connected(&self, cx: &Cx, peer: PeerId) -> bool {
        peer == cx.me || self.peers.contains_key(&peer)
    }

    /// Takes a query of a peer, unless it asks too often: 10 a second, 60 at once.
    pub fn admit_query(&mut self, now: Time, peer: PeerId) -> bool {
        let Some(peer) = self.peers.get_mut(&peer) else { return true };
        let (left, at) = peer.allowance;
        let left = (left + now.since(at).0 / 10).min(QUERY_BURST);
        // What is not a whole tenth yet is not lost.
        let at = if left == QUERY_BURST { now } else { Time(now.0 - now.since(at).0 % 10) };
        let admitted = left >= 10;
        peer.allowance = (if admitted { left - 10 } else { left }, at);
        admitted
    }

    /// Is connected and not silent.
    pub fn is_alive(&self, cx: &Cx, peer: PeerId) -> bool {
        peer == cx.me || self.peers.get(&peer).is_some_and(|peer| !peer.silent)
    }

    /// A frame of a peer came.
    pub fn on_heard(&mut self, now: Time, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            (peer.heard_at, peer.silent) = (now, false);
        }
    }

    /// A peer says that it is as good as gone. True when that is news.
    pub fn on_bye(&mut self, cx: &mut Cx, peer: PeerId) -> bool {
        let Some(gone) = self.peers.get_mut(&peer) else { return false };
        cx.event(Event::Peer { id: peer.to_string(), connected: true });
        !std::mem::replace(&mut gone.silent, true)
    }

    /// This node itself was asleep: what it did not hear meanwhile says nothing about others.
    pub fn on_slept(&mut self, now: Time) {
        self.peers.values_mut().for_each(|peer| peer.heard_at = now);
    }

    /// Asks those of `watched` that said nothing for a while. Gives those that have become silent. Who was not watched
    /// before was not asked before: its silence begins now.
    pub fn watch(&mut self, cx: &mut Cx, watched: BTreeSet<PeerId>) -> Vec<PeerId> {
        let mut silent = Vec::new();
        let before = std::mem::replace(&mut self.watched, watched);
        for id in &self.watched {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            if !before.contains(id) {
                peer.heard_at = cx.now;
            }
            let quiet = cx.now.since(peer.heard_at);
            if quiet >= SILENT_AFTER && !peer.silent {
                peer.silent = true;
                silent.push(*id);
            }
            if quiet >= PING_AFTER {
                let frame = wire::encode(&wire::Control::Ping);
                cx.put(Output::Send { peer: *id, lane: Lane::Control, frame });
            }
        }
        silent
    }

    /// All connected peers.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    /// Connected peers of a role that have greeted.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = PeerId> + '_ {
        let has = move |peer: &Peer| peer.hello.as_ref().is_some_and(|hello| hello.role == role);
        self.peers.iter().filter(move |(_, peer)| has(peer)).map(|(id, _)| *id)
    }

    /// Connected tabs that volunteer and are not silent.
    pub fn volunteers(&self) -> impl Iterator<Item = (PeerId, &Peer, &Hello)> {
        self.peers().filter(|(_, peer)| !peer.silent).filter_map(|(id, peer)| {
            let hello = peer.hello.as_ref().filter(|hello| hello.role == Role::Tab && hello.volunteer)?;
            Some((id, peer, hello))
        })
    }

    /// Dials under way.
    pub fn dialling(&self) -> usize {
        self.dials.len()
    }

    /// Peers for people.
    pub fn infos(&self) -> Vec<PeerInfo> {
        let info = |(id, peer): (&PeerId, &Peer)| {
            let hello = peer.hello.as_ref();
            let role = hello.map_or("unknown", |hello| match hello.role {
                Role::Tab => "tab",
                Role::Relay => "relay",
            });
            PeerInfo {
                id: id.to_string(),
                name: hello.map(|hello| hello.name.clone()).unwrap_or_default(),
                role: role.to_owned(),
                path: peer.path,
                rtt_ms: peer.rtt.map(|micros| micros as f64 / 1000.0),
                volunteer: hello.is_some_and(|hello| hello.volunteer),
                busy: hello.map_or(0, |hello| hello.busy),
                hosting: hello.map(|hello| hello.hosting.clone()).unwrap_or_default(),
            }
        };
        self.peers.iter().map(info).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: PeerId = PeerId([1; 32]);
    const OTHER: PeerId = PeerId([2; 32]);

    #[test]
    fn who_was_not_asked_is_not_silent() {
        let mut cx = Cx::new(ME, [0; 32], Time(1_000));
        let mut net = Net::default();
        net.on_connected(&mut cx, OTHER, Path::Direct);
        cx.now = Time(60_000);
        let watched = || BTreeSet::from([OTHER]);
        assert!(net.watch(&mut cx, watched()).is_empty(), "nobody wanted to hear it until now");
        cx.now = cx.now + SILENT_AFTER;
        assert_eq!(net.watch(&mut cx, watched()), [OTHER], "it was asked meanwhile");
        assert!(net.watch(&mut cx, watched()).is_empty(), "it is said once");
    }
}
