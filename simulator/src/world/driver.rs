//! What a node asks of its driver: frames, dials, the DHT, the sandbox.

use overlay::io::{DhtCommand, DhtEvent, Input, Output, MAX_FRAME};
use overlay::sandbox::SandboxCommand;

use super::links::{pair, side};
use super::{Happening, NodeIndex, World};
use crate::link::Link;
use crate::peer::Peer;
use crate::sandbox::Point;

impl<P: Peer> World<P> {
    pub(super) fn apply(&mut self, node: NodeIndex, output: &Output, points: &mut Vec<Point>) {
        let incarnation = self.nodes[node].incarnation;
        match output {
            Output::Send { peer, lane, frame } => {
                if frame.len() > MAX_FRAME {
                    self.faults.push(format!("node {node} sent a frame of {} bytes", frame.len()));
                }
                if let Some(to) = self.find(peer) {
                    self.transmit(node, to, *lane, frame.clone());
                }
            }
            Output::Dial { peer, .. } => match self.find(peer).filter(|to| *to != node) {
                Some(to) => self.dial(node, to),
                None => self.tell(node, Input::DialFailed { peer: *peer }),
            },
            Output::Hangup { peer } => {
                if let Some(to) = self.find(peer) {
                    let pair = pair(node, to);
                    let latency = self.links.get(&pair).map_or(0, Link::latency);
                    let mut delays = [latency; 2];
                    delays[side(pair, node)] = 0;
                    self.break_link(pair, delays);
                }
            }
            Output::Dht(command) => self.dht(node, incarnation, command),
            Output::Sandbox(command) => self.sandbox(node, incarnation, command, points),
            Output::Store { key, flush: true, .. } => {
                self.tell(node, Input::Stored { key: key.clone(), done: true });
            }
            Output::Answer { .. } | Output::Event(_) | Output::Store { .. } => {}
        }
    }

    fn dht(&mut self, node: NodeIndex, incarnation: u64, command: &DhtCommand) {
        let from = self.nodes[node].id;
        let connected = self.links_of(node).iter().any(|(pair, _)| self.links[pair].up[side(*pair, node)]);
        let (answer, delay) = match (connected, command) {
            (true, _) => (self.dht.handle(self.time(), from, command), [60_000, 500_000]),
            (false, DhtCommand::Get { key }) => {
                (Some(DhtEvent::Got { key: *key, values: Vec::new() }), [10_000_000; 2])
            }
            (false, DhtCommand::FindProviders { key }) => {
                (Some(DhtEvent::Providers { key: *key, peers: Vec::new() }), [10_000_000; 2])
            }
            (false, _) => (None, [0; 2]),
        };
        if let Some(event) = answer {
            let at = self.now + self.rng.between(delay);
            self.schedule(at, Happening::Input { node, incarnation, input: Input::Dht(event) });
        }
    }

    fn sandbox(
        &mut self,
        node: NodeIndex,
        incarnation: u64,
        command: &SandboxCommand,
        points: &mut Vec<Point>,
    ) {
        let (answer, point) = self.nodes[node].sandbox.handle(self.now, &mut self.rng, command);
        points.extend(point);
        if let Some((at, event)) = answer {
            self.schedule(at, Happening::Input { node, incarnation, input: Input::Sandbox(event) });
        }
    }
}
