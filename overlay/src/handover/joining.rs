//! How the target and a witness join the group of a source, until leadership can go to the target.

use std::collections::BTreeSet;

use crate::cx::Cx;
use crate::handover::source::{At, Purpose, Verdict, CONFIRM_WITHIN, SEED_WITHIN, WARM_WITHIN};
use crate::hosting::Hosted;
use crate::io::Lane;
use crate::net::Net;
use crate::packages::Packages;
use crate::replicas::plan;
use crate::time::Millis;
use crate::wire::{Control, Member, Step};

/// A witness only has to say yes.
const WITNESS_WITHIN: Millis = Millis(1500);
/// The group reaches three voters.
const JOIN_WITHIN: Millis = Millis::secs(10);
/// How close to the end of the log the target must be: `Warm` within 8 entries.
const WARM_DISTANCE: u64 = 8;

impl Hosted {
    pub(super) fn ask_witness(&mut self, cx: &mut Cx, net: &mut Net) {
        let name = self.name.chars().take(128).collect::<String>();
        while let Some(source) = &mut self.source {
            let Some(peer) = source.witnesses.last().copied() else {
                let (warm, moves) = (source.is_for_standby(), source.purpose == Purpose::Handover);
                let (alone, fits) = (self.group.voters().len() == 1, self.planned(cx, None).is_some());
                match (moves && alone, moves && fits) {
                    // docs/protocols/handover.md: no third peer can be reached.
                    (true, _) if warm => self.end_for_standby(cx, net),
                    (true, _) => self.begin_image(cx, At::Sealing),
                    // Without a third peer the target takes the place of a replica.
                    (_, true) if warm => self.begin_join(cx),
                    (_, true) => self.begin_image(cx, At::Image),
                    _ => {
                        if let Some(source) = &mut self.source {
                            (source.at, source.until) = (At::Witness, cx.now);
                        }
                    }
                }
                return;
            };
            source.at = At::Witness;
            source.until = cx.now + WITNESS_WITHIN;
            let id = source.id;
            let ask = Control::Handover {
                service: self.service,
                id,
                step: Step::AskWitness { name: name.clone() },
            };
            if net.send(cx, peer, Lane::Control, &ask) {
                return;
            }
            source.witnesses.pop();
        }
    }

    /// Only a witness joins: it needs no state.
    pub(super) fn seed_witness(&mut self, cx: &mut Cx, net: &mut Net, packages: &mut Packages) -> Verdict {
        let start = self.group.start_at(self.group.committed());
        let Some(source) = &mut self.source else { return Verdict::On };
        let (Some(start), Some((witness, _))) = (start, source.witness) else {
            return self.abort_handover(cx, net, packages, "the group changes");
        };
        source.at = At::Seed;
        source.until = cx.now + SEED_WITHIN;
        self.say(cx, net, witness, Step::SeedWitness { start });
        Verdict::On
    }

    pub(super) fn begin_image(&mut self, cx: &mut Cx, at: At) {
        let (Some(source), Some(instance)) = (&mut self.source, &mut self.instance) else { return };
        source.at = at;
        source.until = cx.now + SEED_WITHIN;
        if at == At::Sealing {
            source.paused_at = Some(cx.now);
        }
        instance.take_image(cx);
    }

    /// No third peer can be reached: the log ends here, and the standby goes on in the next epoch (docs/protocols/handover.md).
    pub(super) fn end_for_standby(&mut self, cx: &mut Cx, net: &mut Net) {
        let Some(raft_id) = self.source.as_ref().map(|source| source.target_raft) else { return };
        let take_over = self.take_over_step(raft_id);
        let Some(source) = &mut self.source else { return };
        (source.at, source.until, source.paused_at) = (At::Confirm, cx.now + CONFIRM_WITHIN, Some(cx.now));
        let target = source.target;
        self.say(cx, net, target, take_over);
        self.tell(cx, "take-over", "");
    }

    pub(super) fn begin_join(&mut self, cx: &mut Cx) {
        if let Some(source) = &mut self.source {
            (source.at, source.until) = (At::Join, cx.now + JOIN_WITHIN);
        }
        self.tell(cx, "join", "");
        self.join(cx);
    }

    pub(super) fn join(&mut self, cx: &mut Cx) {
        let Some(source) = &self.source else { return };
        if source.purpose == Purpose::Standby {
            self.seeded.insert(source.target_raft, (source.bytes, source.state_bytes));
            self.group.add_learner(source.target_raft, source.target);
            return;
        }
        let target = (source.target_raft, Member { peer: source.target, witness: false });
        let witness = source.witness.map(|(peer, id)| (id, Member { peer, witness: true }));
        let known: Vec<(u64, Member)> = witness.into_iter().chain([target]).collect();
        if let Some(ids) = self.planned(cx, witness.map(|(id, _)| id)) {
            let wanted = self.members_of(&ids, &known);
            self.group.change(&wanted);
        }
    }

    /// Would the voters with the target be an even number?
    pub(super) fn takes_witness(&self, cx: &Cx) -> bool {
        const ANY: u64 = 0;
        if self.source.as_ref().is_some_and(|source| source.purpose == Purpose::Standby) {
            return false;
        }
        self.planned(cx, Some(ANY)).is_none_or(|ids| ids.contains(&ANY))
    }

    /// The voters with the target, and with a witness where it takes one.
    pub(super) fn planned(&self, cx: &Cx, witness: Option<u64>) -> Option<BTreeSet<u64>> {
        let source = self.source.as_ref()?;
        let newcomer = (source.purpose != Purpose::Witness).then_some(source.target_raft);
        // A handover of what rests on one voter has two state holders for its time.
        plan(self.group.id(), &self.voters_seen(cx.now), self.wanted.max(2), newcomer, witness)
    }

    /// Transfers leadership once the target has applied the configuration and is close to the end of the log.
    pub(super) fn try_transfer(&mut self, cx: &mut Cx) {
        let Some(source) = self.source.as_mut().filter(|source| source.at == At::Warm) else { return };
        let Some((executed, configured)) = source.last_warm else { return };
        // Under a load that the target can only just follow the distance never gets small: wider with time.
        let waited = (cx.now + WARM_WITHIN).since(source.until).0 / 500;
        let close = self.group.committed().saturating_sub(executed) <= WARM_DISTANCE << waited.min(8);
        if configured >= self.group.configured() && close {
            source.at = At::TakeOver;
            source.paused_at = Some(cx.now);
            // Each failed attempt may take longer: the machine or the path is slow.
            source.until = cx.now + Millis(source.slack.0 << source.attempts.min(4));
            self.group.transfer_to(source.target_raft);
            self.tell(cx, "take-over", "");
        }
    }
}
