//! Moving a service along: raft to log, log to sandbox, outcomes to consumers; who serves, and who is told.

use super::{is_sealing, pass_on, Happened, Hosted};
use crate::cx::Cx;
use crate::id::PeerId;
use crate::instance::Instance;
use crate::io::{Event, Lane};
use crate::net::Net;
use crate::revival::Votes;
use crate::session::server::Parts;
use crate::wire::{Control, GroupBody, GroupFrame, Step};

/// Peers that were members and are not released yet, at most.
const MAX_FORMER: usize = 32;

impl Hosted {
    /// Moves everything along that can move: raft to log, log to sandbox, outcomes to consumers.
    pub fn pump(&mut self, cx: &mut Cx, net: &mut Net) -> Vec<Happened> {
        let mut happened = Vec::new();
        let progress = match self.group.drain(cx) {
            Ok(progress) => progress,
            Err(poisoned) => return vec![Happened::Broken(poisoned.to_string())],
        };
        for (peer, message) in progress.messages {
            let body = GroupBody::Raft(message);
            let frame = GroupFrame { service: self.service, epoch: self.group.epoch(), body };
            net.send_or_dial(cx, peer, Lane::Group, &frame);
        }
        if progress.configured {
            // Who said that its vote is gone may have joined anew.
            self.votes = Votes::default();
            if self.former.len() > MAX_FORMER {
                self.former.clear();
            }
            self.former.extend(
                self.group.members().values().map(|member| member.peer).filter(|peer| *peer != cx.me),
            );
            happened.push(Happened::Configured);
        }
        if let Some(instance) = &mut self.instance {
            for entry in progress.committed {
                instance.enqueue(cx, entry.index, &entry.payload);
            }
            for (token, index) in progress.reads {
                let mut parts = Parts { group: &mut self.group, instance, net };
                self.server.on_read(cx, &mut parts, token, index);
            }
        }
        let term = self.group.term();
        if self.group.serves() && self.serve_from.is_none_or(|(known, _)| known != term) {
            self.serve_from = Some((term, self.group.committed()));
        }
        self.report(cx, net, &mut happened);
        while self.instance.as_mut().is_some_and(|instance| instance.go_on(cx)) {
            self.report(cx, net, &mut happened);
        }
        self.try_take_over(cx);
        self.follow_authority(cx, net, &mut happened);
        self.settle(cx);
        self.tell_warm(cx, net);
        self.trim();
        self.note_unstored(cx.now);
        self.rest(cx, net);
        happened
    }

    /// A group in which nothing happens, all of whose members are there, rests.
    pub(super) fn rest(&mut self, cx: &mut Cx, net: &mut Net) {
        let there = |net: &Net| self.group.members().values().all(|member| net.is_alive(cx, member.peer));
        if self.source.is_some() || self.incoming.is_some() || !there(net) {
            return;
        }
        let Some((term, last)) = self.group.try_rest(cx.now) else { return };
        let body = GroupBody::Rest { term, last };
        let frame = GroupFrame { service: self.service, epoch: self.group.epoch(), body };
        for member in self.group.members().values() {
            if member.peer != cx.me {
                net.send(cx, member.peer, Lane::Group, &frame);
            }
        }
    }

    pub(super) fn report(&mut self, cx: &mut Cx, net: &mut Net, happened: &mut Vec<Happened>) {
        let Some(instance) = &mut self.instance else { return };
        let report = instance.take_report();
        if let Some(reason) = report.broken {
            happened.push(Happened::Broken(reason));
        }
        happened.extend(report.needs.map(Happened::Needs));
        if let Some(image) = report.image {
            happened.push(Happened::Image(Box::new(image)));
        }
        self.events += report.notes.events;
        self.gas += report.notes.gas;
        self.traps += report.notes.traps;
        happened.extend(report.notes.upgrade.map(Happened::Upgraded));
        for (level, text) in report.notes.logs {
            cx.event(Event::Log { service: self.name.clone(), level, text });
        }
        if !self.serving || !self.group.leads() {
            for (job, result) in report.answers {
                self.answer_here(cx, net, &job, result);
            }
            return self.run_reads_here(cx, net);
        }
        let mut parts = Parts { group: &mut self.group, instance, net };
        self.server.on_executed(cx, &mut parts, report.notes.touched, report.notes.gone);
        for (job, result) in report.answers {
            self.server.on_answer(cx, &mut parts, &job, result);
        }
    }

    /// The log of a seed that is on its way is kept.
    pub(super) fn trim(&mut self) {
        if self.source.is_none() {
            let executed = self.instance.as_ref().map_or(u64::MAX, Instance::executed);
            self.group.trim(executed.min(self.group.committed()));
        }
    }

    /// Notices that this node began or ceased to serve, and tells the consumers.
    pub(super) fn follow_authority(&mut self, cx: &mut Cx, net: &mut Net, happened: &mut Vec<Happened>) {
        let serves = self.is_serving();
        if serves && !self.serving {
            self.serving = true;
            self.serving_since = Some(cx.now);
            self.server.on_serving(self.durable);
            self.told = Some((self.group.term(), cx.me));
            self.renew_at = cx.now;
            happened.push(Happened::Serving);
            self.announce(cx, net, cx.me);
            self.announce_replicas(cx, net);
            self.keeper.at = self.stateful.then_some(cx.now);
        }
        if !self.group.leads() && self.instance.is_some() {
            self.serving = false;
            let leader = self.group.leader().filter(|member| !member.witness && member.peer != cx.me);
            let term = self.group.term();
            if let Some(leader) = leader.filter(|leader| self.told != Some((term, leader.peer))) {
                let led_before = self.told.is_some();
                self.told = Some((term, leader.peer));
                if led_before {
                    // Inputs are sent again by their consumers; datagrams are not.
                    for (consumer, frame) in self.server.take_held() {
                        pass_on(cx, net, leader.peer, consumer, &frame);
                    }
                    self.announce(cx, net, leader.peer);
                    happened.push(Happened::Led(leader.peer));
                }
            }
        }
        if serves && !self.group.is_transferring() && !is_sealing(&self.source) {
            for (from, frame) in self.server.take_held() {
                self.handle_client(cx, net, from, frame);
            }
        }
    }

    pub(super) fn announce(&mut self, cx: &mut Cx, net: &mut Net, to: PeerId) {
        if let Some(instance) = &self.instance {
            let (epoch, term) = (self.group.epoch(), self.group.term());
            self.server.announce_moved(cx, instance.machine(), net, epoch, term, to);
        }
    }

    /// H6 and H7: what a leader without a handover does with a group of several.
    pub(super) fn settle(&mut self, cx: &mut Cx) {
        if !self.group.leads() {
            return;
        }
        if self.group.is_witness() {
            // It serves nothing: the best state holder is brought up to date and takes over.
            let due = self.retry_transfer.is_none_or(|at| at <= cx.now);
            if let (true, Some(id)) = (due, self.group.best_state_holder()) {
                self.retry_transfer = Some(cx.now + crate::time::Millis(200));
                self.group.transfer_to(id);
            }
        } else if self.group.is_joint() {
            self.group.leave_joint();
        } else if self.source.is_none() && self.group.serves() {
            self.settle_voters(cx);
        }
    }

    /// Consumers connect to whoever may serve next before they need it.
    pub fn announce_replicas(&mut self, cx: &mut Cx, net: &mut Net) {
        let Some(instance) = self.instance.as_mut().filter(|_| self.serving) else { return };
        let holders = self.group.members().values().filter(|member| !member.witness);
        let next: Vec<PeerId> = holders.map(|member| member.peer).filter(|peer| *peer != cx.me).collect();
        let mut parts = Parts { group: &mut self.group, instance, net };
        self.server.set_next(cx, &mut parts, next);
    }

    /// A target tells its source how far it is.
    pub(super) fn tell_warm(&mut self, cx: &mut Cx, net: &mut Net) {
        let (Some(incoming), Some(instance)) = (self.incoming, &self.instance) else { return };
        if incoming.replica && self.is_standby() {
            self.incoming = None;
            return;
        }
        let named = self.group.is_voter() && !self.group.is_joint();
        if self.group.leads() || !named || !instance.is_ready() {
            return;
        }
        if incoming.replica {
            self.incoming = None;
            return;
        }
        let warm = (instance.executed(), self.group.configured());
        if warm != self.warm_sent {
            self.warm_sent = warm;
            let step = Step::Warm { executed: warm.0, configured: warm.1 };
            let message = Control::Handover { service: self.service, id: incoming.id, step };
            net.send(cx, incoming.source, Lane::Control, &message);
        }
    }
}
