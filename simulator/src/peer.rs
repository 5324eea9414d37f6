//! What the world needs of a node: the verbs of a sans-IO state machine.

use overlay::id::PeerId;
use overlay::io::{HostedInfo, Input, Output};
use overlay::time::Time;
use overlay::Node;

/// A node under simulation.
pub trait Peer {
    /// Its identity.
    fn id(&self) -> PeerId;
    /// Takes one input.
    fn handle(&mut self, now: Time, input: Input);
    /// Gives one output, until there is none.
    fn poll_output(&mut self) -> Option<Output>;
    /// When it wants to be woken.
    fn poll_timeout(&self) -> Option<Time>;
    /// What it hosts.
    fn hosting(&self) -> Vec<HostedInfo>;
    /// How many voters each majority is taken of: one number a group, two while its configuration is joint.
    fn majorities(&self) -> Vec<usize>;
}

impl Peer for Node {
    fn id(&self) -> PeerId {
        self.id()
    }

    fn handle(&mut self, now: Time, input: Input) {
        self.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.poll_output()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.poll_timeout()
    }

    fn hosting(&self) -> Vec<HostedInfo> {
        self.status().hosting
    }

    fn majorities(&self) -> Vec<usize> {
        self.groups().flat_map(|(_, group)| group.majorities()).collect()
    }
}
