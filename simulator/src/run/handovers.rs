//! Moves that somebody asks for.

use std::collections::BTreeMap;

use overlay::io::{Command, Config, HostedInfo};
use overlay::time::Time;

use super::{Run, Todo, Waiting};
use crate::link::Micros;
use crate::peer::Peer;
use crate::world::NodeIndex;

/// A handover whose answer does not come is given up after this, so that the next one is tried.
const HANDOVER_TIMEOUT: Micros = 20_000_000;

/// A handover under way.
pub(super) struct Moving {
    pub(super) number: u64,
    pub(super) source: NodeIndex,
    pub(super) target: NodeIndex,
    pub(super) witness: Option<NodeIndex>,
    pub(super) seen: BTreeMap<String, u64>,
}

impl<P: Peer, F: Fn(Config, Time) -> P> Run<'_, P, F> {
    pub(super) fn hand_over(&mut self, service: usize) {
        let limit = self.scenario.handovers.most;
        if self.is_over() || (limit > 0 && self.handovers_begun >= limit) {
            return;
        }
        let retry = self.world.now() + 1_000_000;
        let host = self.services[service].name.as_ref().and_then(|name| self.leader(name));
        let volunteers = self.scenario.relays..self.scenario.relays + self.scenario.volunteers;
        // As a person does, whom they see: a peer that the host is connected to.
        let sees = |node: &NodeIndex| host.is_some_and(|host| self.world.is_linked(host, *node));
        let targets: Vec<NodeIndex> =
            volunteers.filter(|node| self.world.is_running(*node) && sees(node)).collect();
        let (Some(source), Some(&target), Some(name)) =
            (host, self.rng.pick(&targets), self.services[service].name.clone())
        else {
            return self.later(retry, Todo::Handover(service));
        };
        let number = self.handovers_begun;
        self.handovers_begun += 1;
        let moving = Moving { number, source, target, witness: None, seen: BTreeMap::new() };
        self.services[service].moving = Some(moving);
        let command = Command::Handover { service: name, to: self.world.id(target) };
        self.command(source, command, Waiting::Handover(service, number));
        self.later(self.world.now() + HANDOVER_TIMEOUT, Todo::GiveUp(service, number));
    }

    /// Who leads the service's group in the highest authority, as living nodes say.
    pub(super) fn leader(&self, name: &str) -> Option<NodeIndex> {
        let roles = self.hosting(name);
        let leaders = roles.into_iter().filter(|(_, info)| info.role == "leader");
        leaders.max_by_key(|(_, info)| (info.epoch, info.term)).map(|(node, _)| node)
    }

    pub(super) fn hosting(&self, name: &str) -> Vec<(NodeIndex, HostedInfo)> {
        let running = (0..self.world.len()).filter(|node| self.world.is_running(*node));
        running
            .filter_map(|node| Some((node, self.world.peer(node)?.hosting())))
            .flat_map(|(node, hosted)| hosted.into_iter().map(move |info| (node, info)))
            .filter(|(_, info)| info.service == name)
            .collect()
    }
}
