//! What comes to a service that is served here: messages of its group, frames of its consumers, time.

use super::{is_sealing, pass_on, Hosted};
use crate::cx::Cx;
use crate::group::GuardError;
use crate::id::PeerId;
use crate::instance::Instance;
use crate::net::Net;
use crate::session::server::{post, Parts};
use crate::time::Time;
use crate::wire::{ClientBody, ClientFrame, GroupBody, GroupFrame, ServerBody};

impl Hosted {
    /// A raft message.
    pub fn handle_group(&mut self, from: PeerId, frame: &GroupFrame) -> Result<(), GuardError> {
        if frame.epoch != self.group.epoch() {
            return Err(GuardError::Stale);
        }
        let result = match &frame.body {
            GroupBody::Raft(message) => self.group.handle_message(from, message),
            GroupBody::Rest { term, last } => {
                self.group.on_rest(from, *term, *last);
                Ok(())
            }
        };
        self.refused += u64::from(result.is_err());
        result
    }

    /// A consumer's frame.
    pub fn handle_client(&mut self, cx: &mut Cx, net: &mut Net, from: PeerId, frame: ClientFrame) {
        let leads = self.group.leads() && self.instance.is_some();
        let waits = self.group.is_transferring() || is_sealing(&self.source);
        if leads && (!self.serving || !self.is_serving() || waits) {
            return self.server.hold(from, frame);
        }
        if !leads && self.read_here(cx, net, from, &frame) {
            return;
        }
        let Some(instance) = self.instance.as_mut().filter(|_| leads) else {
            let leader = self.group.leader().filter(|member| !member.witness && member.peer != cx.me);
            match leader {
                Some(leader) if pass_on(cx, net, leader.peer, from, &frame) => {}
                Some(leader) => {
                    let authority = (self.group.epoch(), self.group.term());
                    let body = ServerBody::Moved { to: Some(leader.peer) };
                    post(cx, net, self.service, (from, frame.session), authority, 0, body);
                }
                // Between this node's leadership and the next, known in a moment: what waits is passed on then.
                None if self.told.is_some() && frame.is_datagram() => self.server.hold(from, frame),
                None => {}
            }
            return;
        };
        if matches!(frame.body, ClientBody::Query { .. }) {
            self.reads.note(cx.now);
        }
        let mut parts = Parts { group: &mut self.group, instance, net };
        self.server.handle_frame(cx, &mut parts, from, frame);
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, cx: &mut Cx, net: &mut Net) {
        if self.group.timeout().is_some_and(|at| at <= cx.now) {
            self.group.handle_timeout(cx);
        }
        if let Some(instance) = &mut self.instance {
            if instance.timeout().is_some_and(|at| at <= cx.now) {
                instance.handle_timeout(cx);
            }
        }
        if self.reads_timeout().is_some_and(|at| at <= cx.now) {
            self.run_reads_here(cx, net);
        }
        if let Some(instance) = &mut self.instance {
            if self.serving && !self.group.is_transferring() && !is_sealing(&self.source) {
                let mut parts = Parts { group: &mut self.group, instance, net };
                self.server.handle_timeout(cx, &mut parts);
            }
        }
    }

    /// When [`Hosted::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let instance = self.instance.as_ref();
        let serves = self.serving && !self.group.is_transferring() && !is_sealing(&self.source);
        let timer = instance.filter(|_| serves).and_then(|instance| self.server.timeout(instance));
        let gas = instance.and_then(Instance::timeout);
        self.group.timeout().into_iter().chain(timer).chain(gas).chain(self.reads_timeout()).min()
    }

    /// Now and then: sessions whose consumers are gone.
    pub fn sweep(&mut self, cx: &mut Cx, net: &mut Net) {
        if let (true, Some(instance)) = (self.serving && !is_sealing(&self.source), &mut self.instance) {
            let mut parts = Parts { group: &mut self.group, instance, net };
            self.server.sweep(cx, &mut parts);
        }
    }
}
