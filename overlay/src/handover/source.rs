//! The source's side of a handover.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;

use crate::cx::Cx;
use crate::hosting::Hosted;
use crate::id::{BlobId, PeerId, RequestId};
use crate::instance::Image;
use crate::io::{Error, Event, Lane, Output, Role};
use crate::net::Net;
use crate::packages::Packages;
use crate::registry::Succession;
use crate::replicas::plan;
use crate::session::server::Parts;
use crate::time::{Millis, Time};
use crate::wire::{Control, Member, Step};

/// The target fetches and prepares the package.
const OFFER_WITHIN: Millis = Millis::secs(30);
/// A witness only has to say yes.
const WITNESS_WITHIN: Millis = Millis(1500);
/// The target fetches the image.
const SEED_WITHIN: Millis = Millis::secs(60);
/// The group reaches three voters.
const JOIN_WITHIN: Millis = Millis::secs(10);
/// The target executes what is left.
const WARM_WITHIN: Millis = Millis::secs(10);
/// How long leadership may be in transfer on top of four round trips, before the source goes on serving.
const TAKE_OVER_WITHIN: Millis = Millis(50);
/// After the target leads, its release is a formality.
const RELEASE_WITHIN: Millis = Millis::secs(5);
/// A sealed handover has no majority to fall back on (replication.md, Handover 5).
const CONFIRM_WITHIN: Millis = Millis::secs(5);
/// Attempts to transfer leadership in one handover.
const MAX_ATTEMPTS: u32 = 20;
/// How close to the end of the log the target must be: `Warm` within 8 entries.
const WARM_DISTANCE: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Offer,
    Witness,
    /// The sandbox takes the snapshot.
    Image,
    Seed,
    Join,
    Warm,
    TakeOver,
    /// The target leads; it has not released us yet.
    Release,
    /// Sealed: the log ends here.
    Sealing,
    /// Sealed: the target founds the next epoch.
    Confirm,
}

/// What a target is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It serves in this node's place.
    Handover,
    /// It joins the replicas.
    Replica,
    /// Nobody: only a witness joins.
    Witness,
    /// It is kept warm beside this node.
    Standby,
}

/// A handover from here, or a replica that joins.
#[derive(Debug)]
pub struct Source {
    pub(super) id: u64,
    pub(super) purpose: Purpose,
    pub(super) request: Option<RequestId>,
    pub(super) target: PeerId,
    pub(super) target_raft: u64,
    pub(super) witnesses: Vec<PeerId>,
    pub(super) witness: Option<(PeerId, u64)>,
    pub(super) at: At,
    pub(super) until: Time,
    pub(super) seeded: BTreeSet<PeerId>,
    pub(super) image: Option<BlobId>,
    pub(super) bytes: u64,
    pub(super) state_bytes: u64,
    pub(super) paused_at: Option<Time>,
    pub(super) pause: Millis,
    pub(super) attempts: u32,
    /// [`TAKE_OVER_WITHIN`] and four round trips to the target.
    pub(super) slack: Millis,
    pub(super) last_warm: Option<(u64, u64)>,
    /// The target's chain of hosts.
    pub(super) succession: Succession,
}

/// How a step left the handover.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It goes on.
    On,
    /// It is over and this node is out: forget the service.
    Out {
        /// Who serves.
        to: PeerId,
        /// In which epoch and term.
        authority: (u64, u64),
    },
    /// It did not happen; this node serves on.
    Aborted,
    /// A sealed handover whose target did not confirm: serve on in this epoch.
    Resume(u64),
    /// It is done; this node goes on as a member.
    Done,
}

impl Source {
    /// Where it goes.
    pub fn target(&self) -> PeerId {
        self.target
    }

    /// What the target is wanted for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Its step, for people and simulators.
    pub fn step_name(&self) -> &'static str {
        match self.at {
            At::Offer | At::Witness => "offer",
            At::Image | At::Seed => "seed",
            At::Join => "join",
            At::Warm => "warm",
            At::TakeOver => "take-over",
            At::Release => "release",
            At::Sealing => "seal",
            At::Confirm => "confirm",
        }
    }

    /// It goes to a standby, which has the state.
    fn is_for_standby(&self) -> bool {
        self.purpose != Purpose::Standby && self.seeded.contains(&self.target) && self.image.is_none()
    }

    /// Calls wait: the log is sealed.
    pub fn is_sealing(&self) -> bool {
        matches!(self.at, At::Sealing | At::Confirm)
    }

    /// When it wants to be woken.
    pub fn timeout(&self) -> Time {
        self.until
    }
}

impl Hosted {
    /// Begins to hand over to the holder of `succession`, or to make it a replica. The offer goes out at once.
    #[allow(clippy::too_many_arguments)]
    pub fn start_source(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        packages: &Packages,
        id: u64,
        succession: Succession,
        request: Option<RequestId>,
        purpose: Purpose,
    ) {
        let target = succession.holder();
        let resting = !self.group.is_joint() && !self.group.is_changing();
        let refusal = if self.source.is_some() {
            Some("a handover of this service is under way")
        } else if !self.is_serving() || !resting || self.wanted == 1 && self.group.voters().len() != 1 {
            Some("this node does not serve the service alone at the moment")
        } else if self.instance.as_ref().map(|instance| instance.machine().package) != self.package {
            Some("a newer version of the service is being put in place")
        } else if target == cx.me && purpose != Purpose::Witness {
            Some("the target is this node itself")
        } else if !net.is_connected(cx, target) {
            Some("the target is not connected")
        } else {
            None
        };
        let known = self.package.and_then(|package| packages.get(&package));
        let (Some(known), None) = (known, refusal) else {
            let reason = refusal.unwrap_or("the package is not here").to_owned();
            if purpose == Purpose::Handover {
                self.stays.clone_from(&reason);
            }
            if let Some(request) = request {
                cx.put(Output::Answer { request, result: Err(Error::Refused(reason)) });
            }
            return;
        };
        let round_trip =
            Millis(net.peer(&target).and_then(|peer| peer.rtt).unwrap_or(0).div_ceil(1000).min(1000));
        let standby = self.standbys(cx, net).into_iter().find(|(_, peer)| *peer == target).map(|(id, _)| id);
        let member = |(id, member): &(&u64, &Member)| {
            member.peer == target && !member.witness && !self.group.is_learner(**id)
        };
        let member = self.group.members().iter().find(member).map(|(id, _)| *id);
        let (member, standby) = match purpose {
            Purpose::Handover => (member, standby),
            Purpose::Replica => (None, standby),
            _ => (None, None),
        };
        let live = self.voters_seen(cx.now).into_iter().filter(|voter| voter.live && !voter.witness);
        let holders: BTreeSet<PeerId> =
            live.filter_map(|voter| self.group.members().get(&voter.id)).map(|member| member.peer).collect();
        self.source = Some(Source {
            id,
            purpose,
            request,
            target,
            target_raft: 0,
            witnesses: witnesses(net, &holders, target),
            witness: None,
            at: At::Offer,
            until: cx.now + OFFER_WITHIN,
            seeded: BTreeSet::new(),
            image: None,
            bytes: known.package.module.size,
            state_bytes: 0,
            paused_at: None,
            pause: Millis(0),
            attempts: 0,
            slack: Millis(TAKE_OVER_WITHIN.0 + 4 * round_trip.0),
            last_warm: None,
            succession,
        });
        if let Some(raft_id) = member {
            // A replica has the state already: it only has to be warm.
            if let Some(source) = &mut self.source {
                (source.target_raft, source.at, source.until) = (raft_id, At::Warm, cx.now + WARM_WITHIN);
                source.bytes = 0;
            }
            self.say(cx, net, target, Step::AskWarm);
            return self.tell(cx, "warm", "");
        }
        if let (Some(raft_id), Some(source)) = (standby, &mut self.source) {
            // It has the state already, and no vote yet.
            source.target_raft = raft_id;
            // One that an earlier host made cost it about as much as this host.
            let size = self.instance.as_ref().map_or(0, |instance| instance.image_bytes());
            (source.bytes, source.state_bytes) =
                self.seeded.get(&raft_id).copied().unwrap_or((source.bytes, size));
            source.seeded.insert(target);
            if purpose == Purpose::Handover {
                self.say(cx, net, target, Step::AskWarm);
            }
            self.tell(cx, "offer", "");
            return match self.takes_witness(cx) {
                true => self.ask_witness(cx, net),
                false => self.begin_join(cx),
            };
        }
        if purpose == Purpose::Witness {
            return self.ask_witness(cx, net);
        }
        let offer = Step::Offer {
            record: ByteBuf::from(self.record.clone()),
            manifest: ByteBuf::from(known.json.clone()),
            signature: ByteBuf::from(known.signature.to_vec()),
            succession: self.succession.clone(),
            standby: purpose == Purpose::Standby,
        };
        self.say(cx, net, target, offer);
        self.tell(cx, "offer", "");
    }

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
                // replication.md, Handover 3: no leader in time, S serves on; then it is tried again.
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

    pub(super) fn ask_witness(&mut self, cx: &mut Cx, net: &mut Net) {
        let name = self.name.chars().take(128).collect::<String>();
        while let Some(source) = &mut self.source {
            let Some(peer) = source.witnesses.last().copied() else {
                let (warm, moves) = (source.is_for_standby(), source.purpose == Purpose::Handover);
                let (alone, fits) = (self.group.voters().len() == 1, self.planned(cx, None).is_some());
                match (moves && alone, moves && fits) {
                    // replication.md, Handover 5: no third peer can be reached.
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

    /// No third peer can be reached: the log ends here, and the standby goes on in the next epoch (replication.md, Handover 5).
    fn end_for_standby(&mut self, cx: &mut Cx, net: &mut Net) {
        let Some(raft_id) = self.source.as_ref().map(|source| source.target_raft) else { return };
        let take_over = self.take_over_step(raft_id);
        let Some(source) = &mut self.source else { return };
        (source.at, source.until, source.paused_at) = (At::Confirm, cx.now + CONFIRM_WITHIN, Some(cx.now));
        let target = source.target;
        self.say(cx, net, target, take_over);
        self.tell(cx, "take-over", "");
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

    fn begin_join(&mut self, cx: &mut Cx) {
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
    fn takes_witness(&self, cx: &Cx) -> bool {
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

/// Who may be the third voter, best last: tabs, then relays; the nearest of each. Never one of the state's `holders`.
fn witnesses(net: &Net, holders: &BTreeSet<PeerId>, target: PeerId) -> Vec<PeerId> {
    let mut found: Vec<(bool, std::cmp::Reverse<u64>, PeerId)> = net
        .peers()
        .filter(|(id, _)| *id != target && !holders.contains(id))
        .filter_map(|(id, peer)| {
            let hello = peer.hello.as_ref().filter(|hello| hello.witness)?;
            Some((hello.role == Role::Relay, std::cmp::Reverse(peer.rtt.unwrap_or(u64::MAX)), id))
        })
        .collect();
    found.sort();
    let keep = found.len().saturating_sub(6);
    found.split_off(keep).into_iter().map(|(_, _, id)| id).collect()
}
