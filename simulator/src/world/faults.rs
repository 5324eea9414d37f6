//! What a scenario does to nodes and connections.

use overlay::io::Input;

use super::links::{pair, side};
use super::{Happening, NodeIndex, World};
use crate::peer::Peer;
use crate::sandbox::ToySandbox;

/// How a node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// A closed tab: its peers notice within 30 ms and a one-way delay.
    Closed,
    /// A killed browser: its peers notice after 12 to 17 s (measured: 15.7 s).
    Silent,
}

impl<P: Peer> World<P> {
    /// Kills a node.
    pub fn kill(&mut self, node: NodeIndex, death: Death) {
        if self.nodes[node].peer.take().is_none() {
            return;
        }
        self.nodes[node].incarnation += 1;
        self.nodes[node].frozen = false;
        self.nodes[node].backlog.clear();
        for (pair, other) in self.links_of(node) {
            let Some(link) = self.links.get_mut(&pair) else { continue };
            link.up[side(pair, node)] = false;
            let (generation, latency) = (link.generation, link.latency());
            let at = match death {
                Death::Closed => self.now + latency + 30_000,
                Death::Silent => self.now + self.rng.between([12_000_000, 17_000_000]),
            };
            link.broken |= death == Death::Closed;
            self.schedule(at, Happening::Down { node: other, peer: node, generation });
        }
    }

    /// Brings a dead node back as another incarnation.
    pub fn revive(&mut self, node: NodeIndex, peer: P) {
        let incarnation = self.nodes[node].incarnation;
        self.nodes[node].peer = Some(peer);
        self.nodes[node].sandbox = ToySandbox::new((incarnation << 32) + node as u64 + 1);
        self.nodes[node].alarm = None;
        self.bootstrap(node);
    }

    /// Stops a node's clock; what comes in waits.
    pub fn freeze(&mut self, node: NodeIndex) {
        self.nodes[node].frozen = self.nodes[node].peer.is_some();
    }

    /// Lets a frozen node go on, with all that waited.
    pub fn thaw(&mut self, node: NodeIndex) {
        self.nodes[node].frozen = false;
        for input in std::mem::take(&mut self.nodes[node].backlog) {
            self.tell(node, input);
        }
        self.tell(node, Input::Wake);
    }

    /// From now on nothing goes from one node to the other; a connection gives up after 8 to 16 s of that.
    pub fn block(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.insert((from, to));
        let pair = pair(from, to);
        if let Some(link) = self.links.get(&pair) {
            let generation = link.generation;
            let at = self.now + self.rng.between([8_000_000, 16_000_000]);
            self.schedule(at, Happening::GiveUp { pair, generation });
        }
    }

    /// Ends a [`World::block`]; what waited goes on its way.
    pub fn unblock(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.remove(&(from, to));
        let pair = pair(from, to);
        let Some(link) = self.links.get_mut(&pair) else { return };
        for (lane, frame) in std::mem::take(&mut link.held[side(pair, from)]) {
            self.transmit(from, to, lane, frame);
        }
    }

    /// Breaks the connection of two nodes: what is in flight is lost, both notice soon, neither at the same time.
    pub fn cut(&mut self, a: NodeIndex, b: NodeIndex) {
        let pair = pair(a, b);
        let delays = [self.rng.between([0, 400_000]), self.rng.between([0, 400_000])];
        self.break_link(pair, delays);
    }
}
