//! Handovers as they pass, and what goes wrong: at a step of one of them, or at random.

use std::collections::BTreeSet;

use overlay::id::PeerId;
use overlay::io::{Command, Config, HostedInfo};
use overlay::time::Time;
use overlay::wire::{self, Control, Step as HandoverStep};

use super::{service_id, Moving, Run, Todo, Waiting};
use crate::link::Micros;
use crate::peer::{GroupView, Peer};
use crate::scenario::{FaultKind, PlannedFault, Role};
use crate::world::{Death, NodeIndex};

impl<P: Peer, F: Fn(Config, Time) -> P> Run<'_, P, F> {
    pub(super) fn on_control(&mut self, node: NodeIndex, to: &PeerId, frame: &[u8]) {
        if self.services.iter().all(|service| service.moving.is_none()) {
            return;
        }
        let Ok(Control::Handover { step, .. }) = wire::decode(frame) else { return };
        let to = self.world.find(to);
        if matches!(step, HandoverStep::AskWitness { .. }) {
            let moving = self.services.iter_mut().filter_map(|service| service.moving.as_mut());
            moving.filter(|moving| moving.source == node).for_each(|moving| moving.witness = to);
        }
        let stage = match step {
            HandoverStep::Offer { .. } => "sent-offer",
            HandoverStep::Ready { .. } => "sent-ready",
            HandoverStep::AskWitness { .. } => "sent-ask-witness",
            HandoverStep::Seed { .. } => "sent-seed",
            HandoverStep::SeedWitness { .. } => "sent-seed-witness",
            HandoverStep::Seeded => "sent-seeded",
            HandoverStep::Warm { .. } => "sent-warm",
            HandoverStep::Release { .. } => "sent-release",
            _ => return,
        };
        self.on_stage(node, stage);
    }

    /// A step of a handover in which `node` takes part; the seed's fault may strike here.
    pub(super) fn on_stage(&mut self, node: NodeIndex, stage: &str) {
        let parts = |moving: &Moving| [Some(moving.source), Some(moving.target), moving.witness];
        let Some(service) = self.services.iter().position(|service| {
            service.moving.as_ref().is_some_and(|moving| parts(moving).contains(&Some(node)))
        }) else {
            return;
        };
        let Some(moving) = self.services[service].moving.as_mut() else { return };
        let seen = moving.seen.entry(stage.to_owned()).or_default();
        let occurrence = *seen;
        *seen += 1;
        let Some(fault) = &self.fault else { return };
        if fault.at != stage || fault.occurrence != occurrence || fault.handover > moving.number {
            return;
        }
        let victim = match fault.who {
            Role::Source => Some(moving.source),
            Role::Target => Some(moving.target),
            Role::Witness => moving.witness,
        };
        // Without a witness yet, the next handover that has one is hit.
        let Some(victim) = victim else { return };
        let at = self.world.now() + fault.delay_us;
        if let Some(fault) = self.fault.take() {
            self.later(at, Todo::Strike(fault, victim, service));
        }
    }

    pub(super) fn strike(&mut self, fault: &PlannedFault, victim: NodeIndex, service: usize) {
        let at = self.world.now() as f64 / 1e6;
        let what = format!("{:?} of {:?} (node {victim}) at {}, {at:.4} s", fault.kind, fault.who, fault.at);
        self.report.log.push(format!("{at:>10.4} {what}"));
        self.report.fault = Some(what);
        let dies = matches!(fault.kind, FaultKind::Close | FaultKind::Kill);
        if let (true, Some(name)) = (dies, self.services[service].name.clone()) {
            self.note_doom(service, &name, victim);
        }
        self.hit(fault.kind, victim, self.world.now() + fault.seconds * 1_000_000);
        self.incarnations[victim] += u64::from(dies);
    }

    /// What a fault does to its victim. A freeze or a separation ends at `until`; the dead stay dead.
    fn hit(&mut self, kind: FaultKind, victim: NodeIndex, until: Micros) {
        let others: Vec<NodeIndex> = (0..self.world.len()).filter(|node| *node != victim).collect();
        match kind {
            FaultKind::None => {}
            FaultKind::Leave => {
                self.command(victim, Command::Vanish, Waiting::Close);
                self.later(self.world.now() + 1, Todo::LastWords(victim));
            }
            FaultKind::Close => self.world.kill(victim, Death::Closed),
            FaultKind::Kill => self.world.kill(victim, Death::Silent),
            FaultKind::Freeze => {
                self.world.freeze(victim);
                self.later(until, Todo::Thaw(victim));
            }
            FaultKind::Mute | FaultKind::Isolate => {
                let mut pairs: Vec<_> = others.iter().map(|other| (victim, *other)).collect();
                if kind == FaultKind::Isolate {
                    pairs.extend(others.iter().map(|other| (*other, victim)));
                }
                pairs.iter().for_each(|(from, to)| self.world.block(*from, *to));
                self.later(until, Todo::Unblock(pairs));
            }
            FaultKind::Split => {
                let first = self.scenario.relays + self.scenario.volunteers;
                let together: BTreeSet<NodeIndex> = others
                    .iter()
                    .copied()
                    .filter(|node| *node >= first && self.rng.chance(0.5))
                    .chain([victim])
                    .collect();
                let apart = others.iter().filter(|node| !together.contains(node));
                let pairs: Vec<_> =
                    apart.flat_map(|a| together.iter().flat_map(|b| [(*a, *b), (*b, *a)])).collect();
                pairs.iter().for_each(|(from, to)| self.world.block(*from, *to));
                self.later(until, Todo::Unblock(pairs));
            }
            FaultKind::Cut => others.into_iter().for_each(|other| self.world.cut(victim, other)),
        }
    }

    /// May the service's state be lost with `victim`? Only if some member sees a configuration without a majority then.
    pub(super) fn note_doom(&mut self, service: usize, name: &str, victim: NodeIndex) {
        let Some(id) = service_id(name) else { return };
        let peer = self.world.id(victim);
        let outvoted = |voters: &Vec<PeerId>| {
            let others = voters.iter().filter(|voter| **voter != peer).count();
            2 * others <= voters.len()
        };
        let lost_if = |group: GroupView| group.service == id && group.majorities.iter().any(outvoted);
        let nodes = (0..self.world.len()).filter_map(|node| self.world.peer(node));
        let mut own = self.world.peer(victim).map(Peer::groups).unwrap_or_default().into_iter();
        if nodes.flat_map(Peer::groups).any(lost_if) || own.any(|group| group.service == id && group.changing)
        {
            self.doomed.insert(service);
        }
    }

    pub(super) fn random_death(&mut self) {
        let churn = &self.scenario.churn;
        let (every, back) = (churn.death_every_ms * 1000, churn.revive_after_ms * 1000);
        let publishers: BTreeSet<NodeIndex> = self.services.iter().map(|service| service.publisher).collect();
        let is_idle = |node: &NodeIndex| {
            let hosts = self.world.peer(*node).is_some_and(|peer| !peer.hosting().is_empty());
            self.world.is_running(*node) && !publishers.contains(node) && !hosts
        };
        let tabs = self.scenario.relays..self.scenario.relays + self.scenario.volunteers;
        let idle: Vec<NodeIndex> = tabs.filter(is_idle).collect();
        if let Some(&victim) = self.rng.pick(&idle) {
            let death = if self.rng.chance(0.5) { Death::Silent } else { Death::Closed };
            self.world.kill(victim, death);
            self.report.deaths += 1;
            self.later(self.world.now() + back, Todo::Revive(victim));
        }
        if !self.is_over() {
            self.later(self.world.now() + every, Todo::Death);
        }
    }

    /// The leader dies, once its group is whole: it has a standby, or at least three voters, all of which run and know it
    /// as their leader.
    pub(super) fn leader_death(&mut self, service: usize) {
        let churn = &self.scenario.churn;
        let (every, back) = (churn.leader_death_every_ms * 1000, churn.revive_after_ms * 1000);
        let faults = churn.leader_faults.clone();
        let kinds = if faults.is_empty() { vec![FaultKind::Close, FaultKind::Kill] } else { faults };
        let name = self.services[service].name.clone();
        let leader = name.as_ref().and_then(|name| self.leader(name)).filter(|leader| {
            let standby = |(node, info): (NodeIndex, HostedInfo)| {
                node == *leader && info.wanted == 1 && !info.standbys.is_empty()
            };
            if name.as_ref().is_some_and(|name| self.hosting(name).into_iter().any(standby)) {
                return true;
            }
            let whole = |group: &GroupView| {
                let runs =
                    |peer: &PeerId| self.world.find(peer).is_some_and(|node| self.world.is_running(node));
                group.majorities.len() == 1
                    && group.majorities[0].len() >= 3
                    && !group.changing
                    && group.majorities[0].iter().all(runs)
            };
            let id = name.as_ref().and_then(|name| service_id(name));
            let groups = self.world.peer(*leader).map(Peer::groups).unwrap_or_default();
            groups.iter().any(|group| Some(group.service) == id && whole(group))
        });
        let next = match leader {
            None => 500_000,
            Some(victim) => {
                let kind = *self.rng.pick(&kinds).unwrap_or(&FaultKind::Close);
                let at = self.world.now();
                self.report.deaths += 1;
                self.report
                    .log
                    .push(format!("{:>10.4} the leader, node {victim}: {kind:?}", at as f64 / 1e6));
                self.hit(kind, victim, at + back);
                if matches!(kind, FaultKind::Leave | FaultKind::Close | FaultKind::Kill) {
                    self.later(at + back, Todo::Revive(victim));
                }
                every
            }
        };
        if !self.is_over() {
            self.later(self.world.now() + next, Todo::LeaderDeath(service));
        }
    }

    pub(super) fn random_block(&mut self) {
        let churn = &self.scenario.churn;
        let (every, lasts, one_way) = (churn.block_every_ms * 1000, churn.block_ms * 1000, churn.one_way);
        if let Some(&(a, b)) = self.rng.pick(&self.world.pairs()) {
            let (a, b) = if self.rng.chance(0.5) { (a, b) } else { (b, a) };
            let mut pairs = vec![(a, b)];
            if !one_way {
                pairs.push((b, a));
            }
            pairs.iter().for_each(|(from, to)| self.world.block(*from, *to));
            self.report.blocks += 1;
            self.later(self.world.now() + lasts, Todo::Unblock(pairs));
        }
        if !self.is_over() {
            self.later(self.world.now() + every, Todo::Block);
        }
    }
}
