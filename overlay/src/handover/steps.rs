//! The source's side of a handover, step by step: what the target, the group and time say.

use crate::cx::Cx;
use crate::handover::source::{At, Purpose, Verdict, CONFIRM_WITHIN, SEED_WITHIN, WARM_WITHIN};
use crate::hosting::Hosted;
use crate::id::PeerId;
use crate::instance::Image;
use crate::io::Event;
use crate::net::Net;
use crate::packages::Packages;
use crate::session::server::Parts;
use crate::time::Millis;
use crate::wire::Step;

/// After the target leads, its release is a formality.
const RELEASE_WITHIN: Millis = Millis::secs(5);
/// Attempts to transfer leadership in one handover.
const MAX_ATTEMPTS: u32 = 20;

impl Hosted {
    /// A step from the target or the witness.
    pub fn on_source_step(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &mut Packages,
        from: PeerId,
        id: u64,
        step: &Step,
    ) -> Verdict {
        // Who joined under the id of a member would speak and vote in its place.
        let taken = matches!(step, Step::Ready { raft_id } if self.group.members().contains_key(raft_id));
        let Some(source) = self.source.as_mut().filter(|source| source.id == id) else { return Verdict::On };
        let is_target = from == source.target;
        let asked = source.witnesses.last() == Some(&from);
        match (source.at, step) {
            (At::Offer, Step::Ready { .. }) if is_target && taken => {
                return self.abort_handover(cx, net, packages, "the target chose the id of a member");
            }
            (At::Witness, Step::Ready { .. }) if asked && taken => {
                source.witnesses.pop();
                self.ask_witness(cx, net);
            }
            (At::Offer, Step::Ready { raft_id }) if is_target => {
                source.target_raft = *raft_id;
                if self.takes_witness(cx) {
                    self.ask_witness(cx, net);
                } else {
                    self.begin_image(cx, At::Image);
                }
            }
            (At::Witness, Step::Ready { raft_id }) if asked && *raft_id != source.target_raft => {
                source.witness = Some((from, *raft_id));
                if source.purpose == Purpose::Witness || source.is_for_standby() {
                    return self.seed_witness(cx, net, packages);
                }
                self.begin_image(cx, At::Image);
            }
            (At::Witness, Step::Refuse { .. }) if asked => {
                source.witnesses.pop();
                self.ask_witness(cx, net);
            }
            (At::Seed, Step::Seeded) if is_target || source.witness.is_some_and(|(w, _)| w == from) => {
                source.seeded.insert(from);
                let target = usize::from(source.purpose != Purpose::Witness);
                if source.seeded.len() == target + usize::from(source.witness.is_some()) {
                    self.begin_join(cx);
                }
            }
            (At::Join | At::Warm | At::TakeOver, Step::Warm { executed, configured }) if is_target => {
                source.last_warm = Some((*executed, *configured));
                self.try_transfer(cx);
            }
            (At::Release | At::TakeOver | At::Warm | At::Confirm, Step::Release { epoch, term })
                if is_target =>
            {
                let authority = (*epoch, *term);
                if authority <= (self.group.epoch(), self.group.term()) && source.at != At::Release {
                    return Verdict::On;
                }
                return self.finish(cx, packages, authority, false);
            }
            (At::Release, _) => {}
            (At::Confirm, Step::Refuse { .. }) if is_target => {
                // The target says that it did not found the next epoch: nobody else serves.
                return self.resume(cx, packages, 0);
            }
            (_, Step::Refuse { reason }) if is_target => {
                let reason = format!("the target refused: {reason}");
                return self.abort_handover(cx, net, packages, &reason);
            }
            _ => {}
        }
        Verdict::On
    }

    /// The image that [`At::Image`] or [`At::Sealing`] asked for.
    pub fn on_handover_image(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &mut Packages,
        image: &Image,
    ) -> Verdict {
        let Some(source) = self.source.as_mut() else { return Verdict::On };
        let sealed = match source.at {
            At::Image => false,
            At::Sealing if image.index < self.group.committed() => {
                // Entries were still being executed when it was taken.
                if let Some(instance) = &mut self.instance {
                    instance.take_image(cx);
                }
                return Verdict::On;
            }
            At::Sealing => true,
            _ => return Verdict::On,
        };
        let (packed, plain) = image.pack();
        let start = self.group.start_at(image.index);
        let (Some(mut start), Ok(blob)) = (start, packages.add_image(&packed, source.target)) else {
            return self.abort_handover(cx, net, packages, "the state does not fit this node's store");
        };
        source.image = Some(blob);
        source.bytes += packed.len() as u64;
        source.state_bytes = plain;
        source.at = if sealed { At::Confirm } else { At::Seed };
        source.until = cx.now + if sealed { CONFIRM_WITHIN } else { SEED_WITHIN };
        if sealed {
            start.epoch += 1;
        }
        let (target, witness, succession) = (source.target, source.witness, source.succession.clone());
        let image_bytes = packed.len() as u64;
        let replica = matches!(source.purpose, Purpose::Replica | Purpose::Standby);
        let seed = Step::Seed { image: blob, image_bytes, start: start.clone(), sealed, succession, replica };
        self.say(cx, net, target, seed);
        if let Some((witness, _)) = witness {
            self.say(cx, net, witness, Step::SeedWitness { start });
        }
        self.tell(cx, "seed", "");
        if replica {
            return Verdict::On;
        }
        // Panitzek: "all peers are first connected to both services".
        if let Some(instance) = &mut self.instance {
            let mut parts = Parts { group: &mut self.group, instance, net };
            self.server.announce_next(cx, &mut parts, target);
        }
        Verdict::On
    }

    /// The group's configuration changed.
    pub fn on_handover_configured(&mut self, cx: &mut Cx, packages: &mut Packages) {
        let Some(source) = self.source.as_mut().filter(|source| source.at == At::Join) else { return };
        let newcomer = match (source.purpose, source.witness) {
            (Purpose::Witness, Some((_, raft_id))) => raft_id,
            _ => source.target_raft,
        };
        let joined = match source.purpose {
            Purpose::Standby => self.group.members().contains_key(&newcomer),
            _ => self.group.voters().contains(&newcomer),
        };
        if self.group.is_joint() || !joined {
            return;
        }
        if source.purpose != Purpose::Handover {
            let image = self.source.take().and_then(|source| source.image);
            image.into_iter().for_each(|image| packages.remove_image(image));
            cx.event(Event::Hosting { service: self.name.clone() });
        } else {
            source.at = At::Warm;
            source.until = cx.now + WARM_WITHIN;
            self.tell(cx, "warm", "");
            self.try_transfer(cx);
        }
    }

    /// This node leads again after the target had taken over: the target is lost.
    pub fn on_handover_serving(&mut self, cx: &mut Cx, net: &mut Net, packages: &mut Packages) {
        if self.source.as_ref().is_some_and(|source| source.at == At::Release) {
            self.abort_handover(cx, net, packages, "the target took over and was lost");
        }
    }

    /// Somebody else leads now.
    pub fn on_handover_led(&mut self, cx: &mut Cx, packages: &mut Packages, leader: PeerId) -> Verdict {
        let Some(source) = &mut self.source else { return Verdict::On };
        if self.wanted > 1 {
            return self.pass_on(cx, packages, leader);
        }
        source.pause = source.paused_at.map_or(Millis(0), |at| cx.now.since(at));
        source.at = At::Release;
        source.until = cx.now + RELEASE_WITHIN;
        source.target = leader;
        self.tell(cx, "release", "");
        Verdict::On
    }

    /// Time passes.
    pub fn handle_handover_timeout(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &mut Packages,
    ) -> Verdict {
        let Some(source) = self.source.as_mut() else { return Verdict::On };
        if source.at == At::Join {
            self.join(cx);
        }
        let Some(source) = self.source.as_mut().filter(|source| source.until <= cx.now) else {
            return Verdict::On;
        };
        match source.at {
            At::Offer => {
                self.abort_handover(cx, net, packages, "the target did not prepare the service in time")
            }
            At::Witness => {
                if source.witnesses.pop().is_none() {
                    return self.abort_handover(cx, net, packages, "no third peer can be reached");
                }
                self.ask_witness(cx, net);
                Verdict::On
            }
            At::Image | At::Seed => {
                self.abort_handover(cx, net, packages, "the target did not take the state in time")
            }
            At::Join => self.abort_handover(cx, net, packages, "the group could not be widened in time"),
            At::Warm => self.abort_handover(cx, net, packages, "the target did not catch up in time"),
            At::TakeOver => {
                // docs/protocols/handover.md: no leader in time, S serves on; then it is tried again.
                self.group.abort_transfer();
                source.paused_at = None;
                source.attempts += 1;
                if source.attempts >= MAX_ATTEMPTS {
                    return self.abort_handover(cx, net, packages, "the target did not take over in time");
                }
                source.at = At::Warm;
                source.until = cx.now + WARM_WITHIN;
                source.last_warm = None;
                Verdict::On
            }
            At::Release => {
                let authority = (self.group.epoch(), self.group.term());
                match self.group.leader().map(|member| member.peer) {
                    // It leads and serves. That it has not narrowed the group yet is its to do; we stay a voter.
                    Some(leader) if leader == source.target => self.report_handover(cx, authority, false),
                    _ => {}
                }
                if let Some(source) = &mut self.source {
                    source.until = cx.now + RELEASE_WITHIN;
                }
                Verdict::On
            }
            At::Sealing => self.abort_handover(cx, net, packages, "the log could not be sealed in time"),
            At::Confirm => self.resume(cx, packages, 2),
        }
    }
}
