//! The run's own events: what happens when.

use overlay::io::{Command, Config};
use overlay::time::Time;

use super::{Run, Waiting, JOURNAL_BEFORE};
use crate::link::Micros;
use crate::peer::Peer;
use crate::scenario::PlannedFault;
use crate::world::{Death, NodeIndex};

/// From a page's last words until its connections close.
const PAGE_GONE: Micros = 150_000;

/// The scenario's own events.
pub(super) enum Todo {
    Publish(usize),
    Open(usize),
    Call(usize),
    Read(usize),
    Journal(usize),
    Handover(usize),
    GiveUp(usize, u64),
    Strike(PlannedFault, NodeIndex, usize),
    Thaw(NodeIndex),
    LastWords(NodeIndex),
    Close(NodeIndex),
    Unblock(Vec<(NodeIndex, NodeIndex)>),
    Revive(NodeIndex),
    Death,
    LeaderDeath(usize),
    Block,
    Breaks,
    RelayDies,
}

impl<P: Peer, F: Fn(Config, Time) -> P> Run<'_, P, F> {
    pub(super) fn start(&mut self) {
        for node in 0..self.incarnations.len() {
            let peer = self.node(node);
            self.world.add(peer, node < self.scenario.relays);
            self.volunteer(node);
        }
        for service in 0..self.services.len() {
            self.later(1_500_000 + 100_000 * service as Micros, Todo::Publish(service));
            if self.scenario.handovers.every_ms > 0 {
                let at = 5_000_000 + self.rng.below(1_000_000);
                self.later(at, Todo::Handover(service));
            }
        }
        for consumer in 0..self.consumers.len() {
            let at = 2_500_000 + self.rng.below(1_000_000);
            self.later(at, Todo::Open(consumer));
            self.later(at, Todo::Read(consumer));
        }
        let churn = &self.scenario.churn;
        let every = [(churn.death_every_ms, Todo::Death), (churn.block_every_ms, Todo::Block)];
        for (ms, todo) in every.into_iter().filter(|(ms, _)| *ms > 0) {
            self.later(4_000_000 + ms * 1000, todo);
        }
        for service in (0..self.services.len()).filter(|_| churn.leader_death_every_ms > 0) {
            self.later(8_000_000 + churn.leader_death_every_ms * 1000, Todo::LeaderDeath(service));
        }
        if self.scenario.calls.ledger {
            let at = (self.scenario.seconds + self.scenario.quiet_seconds) * 1_000_000 - JOURNAL_BEFORE;
            (0..self.consumers.len()).for_each(|consumer| self.later(at, Todo::Journal(consumer)));
        }
        if churn.relay_dies_at > 0 {
            self.later(churn.relay_dies_at * 1_000_000, Todo::RelayDies);
        }
        if self.scenario.link.breaks_per_second > 0.0 {
            self.later(4_000_000, Todo::Breaks);
        }
    }

    pub(super) fn on_todo(&mut self, todo: Todo) {
        let now = self.world.now();
        match todo {
            Todo::Publish(service) => {
                let model = &self.scenario.service;
                let manifest = format!(
                    r#"{{"name":"toy-{service}","version":"1.0.0","engine":"wasm","state":"{}",
                    "interface":{{"add":{{}},"say":{{}},"later":{{}}}},"qos":{{"standby":{}}}}}"#,
                    model.state, model.standby
                );
                let (manifest, module) = (manifest.into_bytes(), model.module.clone().into_bytes());
                let publish = Command::Publish { manifest, module, ui: Vec::new() };
                self.command(self.services[service].publisher, publish, Waiting::Publish(service));
            }
            Todo::Open(consumer) => self.open(consumer),
            Todo::Call(consumer) => self.call(consumer),
            Todo::Read(consumer) => self.read(consumer),
            Todo::Journal(consumer) => self.ask_journal(consumer),
            Todo::Handover(service) => self.hand_over(service),
            Todo::GiveUp(service, number) => {
                if self.services[service].moving.as_ref().is_some_and(|moving| moving.number == number) {
                    self.services[service].moving = None;
                    self.report.handovers.unanswered += 1;
                    self.later(now, Todo::Handover(service));
                }
            }
            Todo::Strike(fault, victim, service) => self.strike(&fault, victim, service),
            Todo::Thaw(node) => self.world.thaw(node),
            Todo::LastWords(node) => {
                // Its page runs no more; what it has sent still arrives.
                self.world.freeze(node);
                self.later(now + PAGE_GONE, Todo::Close(node));
            }
            Todo::Close(node) => self.world.kill(node, Death::Closed),
            Todo::Unblock(pairs) => pairs.into_iter().for_each(|(from, to)| self.world.unblock(from, to)),
            Todo::Revive(node) => {
                if self.world.peer(node).is_none() {
                    self.incarnations[node] += 1;
                    let peer = self.node(node);
                    self.world.revive(node, peer);
                    self.volunteer(node);
                }
            }
            Todo::Death => self.random_death(),
            Todo::LeaderDeath(service) => self.leader_death(service),
            Todo::Block => self.random_block(),
            Todo::Breaks => {
                for (a, b) in self.world.pairs() {
                    if self.rng.chance(self.scenario.link.breaks_per_second) {
                        self.world.cut(a, b);
                    }
                }
                if !self.is_over() {
                    self.later(now + 1_000_000, Todo::Breaks);
                }
            }
            Todo::RelayDies => {
                self.world.kill(0, Death::Closed);
                self.later(now + 10_000_000, Todo::Revive(0));
            }
        }
    }
}
