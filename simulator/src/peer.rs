//! What the world needs of a node: the verbs of a sans-IO state machine.

use overlay::group::Group;
use overlay::id::{PeerId, ServiceId};
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
    /// The groups in which it takes part.
    fn groups(&self) -> Vec<GroupView>;
}

/// A group as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The service.
    pub service: ServiceId,
    /// The voters that each majority is taken of; two sets while the configuration is joint.
    pub majorities: Vec<Vec<PeerId>>,
    /// Another configuration is proposed: what it needs may already be in others' logs.
    pub changing: bool,
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

    fn groups(&self) -> Vec<GroupView> {
        let view = |(service, group): (&ServiceId, &Group)| {
            let peer = |id: &u64| group.members().get(id).map_or(PeerId([0; 32]), |member| member.peer);
            let majorities =
                group.majorities().iter().map(|voters| voters.iter().map(peer).collect()).collect();
            GroupView { service: *service, majorities, changing: group.leads() && group.is_changing() }
        };
        self.groups().map(view).collect()
    }
}
