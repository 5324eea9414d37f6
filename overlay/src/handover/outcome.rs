//! How a handover ends at its source: done, aborted, resumed; and what people and peers are told.

use crate::cx::Cx;
use crate::handover::source::{At, Purpose, Verdict};
use crate::hosting::Hosted;
use crate::id::PeerId;
use crate::io::{Answer, Error, Event, HandoverReport, Lane, Output};
use crate::net::Net;
use crate::packages::Packages;
use crate::time::Millis;
use crate::wire::{Control, Step};

impl Hosted {
    /// A peer is gone.
    pub fn on_handover_unreachable(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &mut Packages,
        peer: PeerId,
    ) -> Verdict {
        let Some(source) = self.source.as_mut() else { return Verdict::On };
        match source.at {
            At::Offer | At::Witness | At::Image | At::Seed | At::Join | At::Warm if peer == source.target => {
                self.abort_handover(cx, net, packages, "the target is gone")
            }
            At::Witness if source.witnesses.last() == Some(&peer) => {
                source.witnesses.pop();
                self.ask_witness(cx, net);
                Verdict::On
            }
            At::Seed if source.witness.is_some_and(|(witness, _)| witness == peer) => {
                self.abort_handover(cx, net, packages, "the witness is gone")
            }
            _ => Verdict::On,
        }
    }

    /// Gives up: the target and the witness are told, the group goes back to one voter (`settle`).
    pub fn abort_handover(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &mut Packages,
        reason: &str,
    ) -> Verdict {
        let Some(source) = self.source.take() else { return Verdict::On };
        if self.group.is_transferring() {
            self.group.abort_transfer();
        }
        if let Some(image) = source.image {
            packages.remove_image(image);
        }
        self.keeper.refused(cx.now, source.target);
        let others = [Some(source.target), source.witness.map(|(peer, _)| peer)];
        let me = cx.me;
        for peer in others.into_iter().flatten().filter(|peer| *peer != me) {
            let step = Step::Refuse { reason: reason.to_owned() };
            let message = Control::Handover { service: self.service, id: source.id, step };
            net.send(cx, peer, Lane::Control, &message);
            // Who joined already is released once this node serves alone.
            self.former.insert(peer);
        }
        let (from, to) = (cx.me.to_string(), source.target.to_string());
        let (service, step, reason) = (self.name.clone(), "aborted".to_owned(), reason.to_owned());
        if source.purpose == Purpose::Handover {
            self.stays.clone_from(&reason);
            cx.event(Event::Handover { service, from, to, step, reason: reason.clone() });
        }
        if let Some(request) = source.request {
            cx.put(Output::Answer { request, result: Err(Error::Refused(reason)) });
        }
        Verdict::Aborted
    }

    pub(super) fn finish(
        &mut self,
        cx: &mut Cx,
        packages: &mut Packages,
        authority: (u64, u64),
        uncertain: bool,
    ) -> Verdict {
        self.report_handover(cx, authority, uncertain);
        let Some(source) = self.source.take() else { return Verdict::On };
        if let Some(image) = source.image {
            packages.remove_image(image);
        }
        Verdict::Out { to: source.target, authority }
    }

    /// Serves on after a sealed handover that was not confirmed, `ahead` epochs further (zero: the same epoch).
    pub(super) fn resume(&mut self, cx: &mut Cx, packages: &mut Packages, ahead: u64) -> Verdict {
        let authority = (self.group.epoch() + ahead, self.group.term());
        self.report_handover(cx, authority, true);
        if let Some(image) = self.source.take().and_then(|source| source.image) {
            packages.remove_image(image);
        }
        if ahead == 0 {
            return Verdict::Aborted;
        }
        Verdict::Resume(self.group.epoch() + ahead)
    }

    /// Answers the command, once.
    pub(super) fn report_handover(&mut self, cx: &mut Cx, authority: (u64, u64), uncertain: bool) {
        let Some(source) = self.source.as_mut() else { return };
        if source.at == At::Confirm {
            source.pause = source.paused_at.map_or(Millis(0), |at| cx.now.since(at));
        }
        let report = HandoverReport {
            service: self.name.clone(),
            from: cx.me.to_string(),
            to: source.target.to_string(),
            witness: source.witness.map(|(peer, _)| peer.to_string()),
            term: authority.1,
            pause_ms: source.pause.0,
            bytes: source.bytes,
            state_bytes: source.state_bytes,
            uncertain,
        };
        if let Some(request) = source.request.take() {
            cx.put(Output::Answer { request, result: Ok(Answer::Handover(report)) });
        }
        self.tell(cx, "done", "");
    }

    /// A replica leads instead of this node, which goes on as a replica.
    pub(super) fn pass_on(&mut self, cx: &mut Cx, packages: &mut Packages, leader: PeerId) -> Verdict {
        let Some(source) = &mut self.source else { return Verdict::On };
        source.pause = source.paused_at.map_or(Millis(0), |at| cx.now.since(at));
        let moved = source.purpose == Purpose::Handover;
        source.target = leader;
        if moved {
            let authority = (self.group.epoch(), self.group.term());
            self.report_handover(cx, authority, false);
        }
        let Some(source) = self.source.take() else { return Verdict::On };
        if let Some(image) = source.image {
            packages.remove_image(image);
        }
        Verdict::Done
    }

    pub(super) fn say(&self, cx: &mut Cx, net: &mut Net, to: PeerId, step: Step) {
        if let Some(source) = &self.source {
            net.send(
                cx,
                to,
                Lane::Control,
                &Control::Handover { service: self.service, id: source.id, step },
            );
        }
    }

    pub(super) fn tell(&self, cx: &mut Cx, step: &str, reason: &str) {
        if let Some(source) = self.source.as_ref().filter(|source| source.purpose == Purpose::Handover) {
            cx.event(Event::Handover {
                service: self.name.clone(),
                from: cx.me.to_string(),
                to: source.target.to_string(),
                step: step.to_owned(),
                reason: reason.to_owned(),
            });
        }
    }
}
