//! Connections: dialled, used, broken.

use std::collections::VecDeque;

use overlay::io::{Input, Lane, Path};

use super::{Happening, NodeIndex, Step, World};
use crate::link::{Link, Micros};
use crate::peer::Peer;
use crate::rng::Rng;

impl<P: Peer> World<P> {
    /// All connected pairs.
    pub fn pairs(&self) -> Vec<(NodeIndex, NodeIndex)> {
        self.links.iter().filter(|(_, link)| !link.broken).map(|(pair, _)| *pair).collect()
    }

    /// Are the two connected, and know it both?
    pub fn is_linked(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.links.get(&pair(a, b)).is_some_and(|link| link.up == [true; 2])
    }

    pub(super) fn bootstrap(&mut self, node: NodeIndex) {
        if self.nodes[node].relay {
            for other in (0..node).filter(|other| self.nodes[*other].relay).collect::<Vec<_>>() {
                self.dial(node, other);
            }
            return;
        }
        let relays: Vec<NodeIndex> = (0..self.nodes.len()).filter(|other| self.nodes[*other].relay).collect();
        relays.into_iter().for_each(|relay| self.dial(node, relay));
    }

    pub(super) fn dial(&mut self, from: NodeIndex, to: NodeIndex) {
        let round_trip = 2 * self.latency(from, to);
        // Signalling, ICE, DTLS and the protocols' negotiation.
        let at = self.now + 4 * round_trip + self.rng.between([20_000, 150_000]);
        let incarnation = self.nodes[from].incarnation;
        self.schedule(at, Happening::Dialled { from, incarnation, to });
    }

    pub(super) fn dialled(&mut self, from: NodeIndex, to: NodeIndex) {
        let pair = pair(from, to);
        if let Some(link) = self.links.get(&pair) {
            if link.up == [true; 2] && !link.broken {
                let peer = self.nodes[to].id;
                self.tell(from, Input::Connected { peer, path: Path::Direct });
                return;
            }
        }
        if !self.is_reachable(from, to) {
            let wait =
                if self.nodes[to].peer.is_some() { [200_000, 2_000_000] } else { [3_000_000, 10_000_000] };
            let at = self.now + self.rng.between(wait);
            let (incarnation, peer) = (self.nodes[from].incarnation, self.nodes[to].id);
            self.schedule(
                at,
                Happening::Input { node: from, incarnation, input: Input::DialFailed { peer } },
            );
            if self.nodes[to].relay && !self.nodes[from].relay {
                self.schedule(at + 3_000_000, Happening::Dialled { from, incarnation, to });
            }
            return;
        }
        // Who still believes in an older connection learns first that it is gone.
        if let Some(old) = self.links.remove(&pair) {
            for (node, peer) in [(pair.0, pair.1), (pair.1, pair.0)] {
                if old.up[side(pair, node)] {
                    let peer = self.nodes[peer].id;
                    self.tell(node, Input::Disconnected { peer });
                }
            }
        }
        self.generations += 1;
        let generation = self.generations;
        let latency = self.latency(from, to);
        self.links.insert(pair, Link::new(generation, latency));
        self.schedule(self.now, Happening::Up { node: from, peer: to, generation });
        self.schedule(self.now + latency, Happening::Up { node: to, peer: from, generation });
    }

    fn is_reachable(&self, from: NodeIndex, to: NodeIndex) -> bool {
        let cut = |a, b| self.blocked.contains(&(a, b)) || self.blocked.contains(&(b, a));
        if !self.is_running(to) || cut(from, to) {
            return false;
        }
        // A tab is met through somebody whom it is connected to and whom the dialler reaches.
        self.nodes[to].relay
            || self.links_of(to).into_iter().any(|(pair, middle)| {
                let up = self.links[&pair].up == [true; 2] && self.is_running(middle) && !cut(to, middle);
                up && !cut(from, middle) && (self.nodes[middle].relay || self.is_linked(from, middle))
            })
    }

    pub(super) fn up(&mut self, node: NodeIndex, peer: NodeIndex, generation: u64, step: &mut Step) {
        let pair = pair(node, peer);
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.generation == generation) else {
            return;
        };
        if link.broken || self.nodes[node].peer.is_none() {
            return;
        }
        link.up[side(pair, node)] = true;
        let latency = link.latency();
        let (id, incarnation) = (self.nodes[peer].id, self.nodes[node].incarnation);
        self.feed(node, Input::Connected { peer: id, path: Path::Direct }, step);
        let rtt = Input::Rtt { peer: id, micros: 2 * latency };
        self.schedule(self.now + 2 * latency, Happening::Input { node, incarnation, input: rtt });
        if self.nodes[peer].relay && !self.nodes[node].relay {
            let address = format!("/sim/{id}/p2p-circuit");
            self.schedule(
                self.now + 2 * latency,
                Happening::Input { node, incarnation, input: Input::Addresses(vec![address]) },
            );
        }
    }

    pub(super) fn down(&mut self, node: NodeIndex, peer: NodeIndex, generation: u64, step: &mut Step) {
        let pair = pair(node, peer);
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.generation == generation) else {
            return;
        };
        link.broken = true;
        let was_up = std::mem::take(&mut link.up[side(pair, node)]);
        if link.up == [false; 2] {
            self.links.remove(&pair);
        }
        if was_up {
            let id = self.nodes[peer].id;
            self.feed(node, Input::Disconnected { peer: id }, step);
            if self.nodes[peer].relay && !self.nodes[node].relay && self.nodes[node].peer.is_some() {
                let at = self.now + self.rng.between([1_000_000, 3_000_000]);
                let incarnation = self.nodes[node].incarnation;
                self.schedule(at, Happening::Dialled { from: node, incarnation, to: peer });
            }
        }
    }

    pub(super) fn transmit(&mut self, from: NodeIndex, to: NodeIndex, lane: Lane, frame: Vec<u8>) {
        let pair = pair(from, to);
        let direction = side(pair, from);
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.up[direction] && !link.broken) else {
            return;
        };
        self.sent.0 += 1;
        self.sent.1 += frame.len() as u64;
        if self.blocked.contains(&(from, to)) {
            link.held[direction].push_back((lane, frame));
            return;
        }
        let took = (frame.len() as u64 + 60) * 8 / self.model.up_mbps.max(1);
        let place = &mut self.nodes[from];
        place.up_free = place.up_free.max(self.now) + took;
        let at = link.arrival(&self.model, &mut self.rng, place.up_free, direction, lane);
        let generation = link.generation;
        self.schedule(at, Happening::Arrive { from, to, generation, lane, frame });
    }

    /// `delays` are those of the lower and of the higher node.
    pub(super) fn break_link(&mut self, pair: (NodeIndex, NodeIndex), delays: [Micros; 2]) {
        let Some(link) = self.links.get_mut(&pair).filter(|link| !link.broken) else { return };
        link.broken = true;
        link.held = [VecDeque::new(), VecDeque::new()];
        // What is in flight belongs to the old generation and is lost.
        self.generations += 1;
        link.generation = self.generations;
        let generation = link.generation;
        self.schedule(self.now + delays[0], Happening::Down { node: pair.0, peer: pair.1, generation });
        self.schedule(self.now + delays[1], Happening::Down { node: pair.1, peer: pair.0, generation });
    }

    pub(super) fn links_of(&self, node: NodeIndex) -> Vec<((NodeIndex, NodeIndex), NodeIndex)> {
        let other = |pair: &(NodeIndex, NodeIndex)| match *pair {
            (a, b) if a == node => Some(b),
            (a, b) if b == node => Some(a),
            _ => None,
        };
        self.links.keys().filter_map(|pair| Some((*pair, other(pair)?))).collect()
    }

    /// The one-way delay of a pair: the same each time they connect.
    fn latency(&self, a: NodeIndex, b: NodeIndex) -> Micros {
        let [low, high] = self.model.latency_ms;
        let (a, b) = pair(a, b);
        let draw = Rng::new((a as u64) << 32 | b as u64, 2).between([low * 1000, high * 1000]);
        draw.max(100)
    }
}

/// Two nodes as links know them: the lower one first.
pub(super) fn pair(a: NodeIndex, b: NodeIndex) -> (NodeIndex, NodeIndex) {
    (a.min(b), a.max(b))
}

/// Which of the pair the node is: 0 the lower, 1 the higher.
pub(super) fn side(pair: (NodeIndex, NodeIndex), node: NodeIndex) -> usize {
    usize::from(pair.1 == node)
}
