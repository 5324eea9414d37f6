//! Standbys: warm copies of a `single` service, and what a tab does with them when it is about to go.
//!
//! A standby is a learner of the group: it holds the state and executes the log, and no majority counts it. A handover to it
//! needs no copy of the state. A tab that is closed or frozen has time for one message a service (`docs/protocols/standby.md`):
//! its log ends here, and the standby goes on in the next epoch once it has executed all of it.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;

use crate::cx::Cx;
use crate::group::Group;
use crate::handover::source::Purpose;
use crate::hosting::{is_sealing, Hosted, Incoming};
use crate::id::{PeerId, ServiceId};
use crate::io::Lane;
use crate::net::Net;
use crate::node::Node;
use crate::time::Time;
use crate::wire::{Control, Step, MAX_LEARNERS, MAX_TAIL};

/// Bytes of the entries that go with the end of a log.
const MAX_TAIL_BYTES: usize = 200 * 1024;

/// How a host's log ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The last index.
    pub index: u64,
    /// Entries up to there.
    pub tail: Vec<(u64, ByteBuf)>,
}

/// What it cost to seed standbys, by raft id: bytes sent, and bytes of the uncompressed state.
pub type Seeded = BTreeMap<u64, (u64, u64)>;

impl Hosted {
    /// A learner that is fed and there.
    pub fn standby(&self, cx: &Cx, net: &Net) -> Option<(u64, PeerId)> {
        self.standbys(cx, net).into_iter().min_by_key(|(id, _)| (self.group.lag(*id), *id))
    }

    /// All of them.
    pub fn standbys(&self, cx: &Cx, net: &Net) -> Vec<(u64, PeerId)> {
        let behind = self.group.left_behind();
        let there = |id: &u64, peer: PeerId| {
            self.group.is_learner(*id)
                && !behind.contains(id)
                && net.is_alive(cx, peer)
                && !self.keeper.is_missing(id)
        };
        let members = self.group.members().iter();
        members.filter(|(id, member)| there(id, member.peer)).map(|(id, member)| (*id, member.peer)).collect()
    }

    /// Holds the state without a vote, and may be the next to serve.
    pub fn is_standby(&self) -> bool {
        self.instance.is_some() && self.group.is_learner(self.group.id())
    }

    /// A copy without a vote that takes nothing over.
    pub fn is_spare(&self) -> bool {
        let hands_over = self.incoming.is_some_and(|incoming| !incoming.replica);
        self.instance.is_some() && !self.group.is_voter() && !hands_over
    }

    /// A standby that takes nothing over gives its place to what somebody needs.
    pub fn gives_way(&self) -> bool {
        self.is_standby() && self.incoming.is_none()
    }

    /// Ends this host's log: what a standby needs to go on after it, in one message.
    pub(crate) fn take_over_step(&self, standby: u64) -> Step {
        let index = self.group.committed();
        let tail = self.group.payloads(self.group.matched(standby), index).unwrap_or_default();
        let bytes: usize = tail.iter().map(|(_, payload)| payload.len() + 16).sum();
        let fits = tail.len() <= MAX_TAIL && bytes <= MAX_TAIL_BYTES;
        Step::TakeOver { index, tail: if fits { tail } else { Vec::new() } }
    }

    /// The host ended its log.
    pub(crate) fn on_take_over(&mut self, from: PeerId, id: u64, ended: Ended) {
        if self.is_standby() && self.is_led_by(from) {
            self.take_over = Some(ended);
            self.incoming = Some(Incoming { id, source: from, replica: false });
        }
    }

    /// Everything that the host acknowledged is here: goes on in the next epoch. What is not known to be committed here is
    /// proposed again; the host has committed it.
    pub(crate) fn try_take_over(&mut self, cx: &mut Cx) {
        let Some(ended) = self.take_over.as_ref().filter(|_| self.is_standby()) else { return };
        let (committed, last) = (self.group.committed(), self.group.last_index().min(ended.index));
        let own = self.group.payloads(committed, last).unwrap_or_default();
        let told = ended.tail.iter().filter(|(index, _)| *index > last && *index <= ended.index);
        let rest: Vec<(u64, ByteBuf)> = own.into_iter().chain(told.cloned()).collect();
        let complete = rest.iter().map(|(index, _)| *index).eq(committed + 1..=ended.index);
        if committed > ended.index || !complete {
            return;
        }
        self.take_over = None;
        self.found_next_epoch(cx, rest);
    }

    /// Goes on alone in the next epoch; `rest`, which is not known to be committed here, is proposed again. A term ahead: the
    /// host before may come back from its disk in the same epoch, and has less.
    pub(crate) fn found_next_epoch(&mut self, cx: &mut Cx, rest: Vec<(u64, ByteBuf)>) {
        let (epoch, term) = (self.group.epoch() + 1, self.group.term() + 1);
        self.restart(Group::found(cx, epoch, self.group.committed(), term));
        for (_, payload) in rest.into_iter().filter(|(_, payload)| !payload.is_empty()) {
            // A group of one that has nothing uncommitted takes what the old group took.
            let _ = self.group.propose(payload.into_vec());
        }
    }

    /// Brings the number of standbys towards what the manifest wants. True when a further one is wanted.
    pub(crate) fn settle_standbys(&mut self, cx: &Cx, net: &Net) -> bool {
        let learners = self.group.learners();
        self.seeded.retain(|id, _| learners.contains(id));
        let there: Vec<u64> = self.standbys(cx, net).into_iter().map(|(id, _)| id).collect();
        let gone = learners
            .iter()
            .find(|id| self.keeper.is_lost(cx.now, id) || self.group.left_behind().contains(id));
        let wanted = self.copies_wanted(cx.now);
        let surplus = there.get(wanted..).and_then(|surplus| surplus.first());
        if let Some(id) = gone.or(surplus) {
            self.group.remove_learner(*id);
            return false;
        }
        learners.len() < wanted
    }

    /// Warm copies besides the voters: those that the manifest wants, and more while many read it (row 39).
    fn copies_wanted(&self, now: Time) -> usize {
        if self.reads.is_popular(now) && self.is_stateful() {
            return MAX_LEARNERS;
        }
        self.standby_wanted()
    }
}

impl Node {
    /// A `single` service is kept warm elsewhere.
    pub(crate) fn keep_standbys_of(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let changing = hosted.group.is_changing() || hosted.group.is_joint();
        let moving = hosted.wanted == 1 && hosted.group.voters().len() > 1;
        if hosted.source.is_some() || changing || moving || self.leaving.is_some() {
            return;
        }
        if !hosted.settle_standbys(&self.cx, &self.net) {
            return;
        }
        if let Some(peer) = self.candidate(service) {
            self.recruit(service, peer, Purpose::Standby);
        }
    }

    /// The page is about to end or to be frozen, and there is no time for answers: whoever can take over at once is told
    /// to, and everybody that this node is as good as gone.
    pub(crate) fn vanish(&mut self) {
        for service in self.hosted.keys().copied().collect::<Vec<_>>() {
            let Some(hosted) = self.hosted.get_mut(&service).filter(|hosted| hosted.is_serving()) else {
                continue;
            };
            if hosted.wanted > 1 {
                let best = hosted.group.best_state_holder();
                best.into_iter().for_each(|id| hosted.group.transfer_to(id));
            } else if let Some(standby) = hosted.standby(&self.cx, &self.net) {
                self.pump(service);
                self.end_log(service, standby);
                continue;
            }
            self.pump(service);
        }
        for peer in self.net.peers().map(|(id, _)| id).collect::<Vec<_>>() {
            self.net.send(&mut self.cx, peer, Lane::Control, &Control::Bye);
        }
    }

    /// Ends the log of a service here; the standby goes on. What is on disk stays, in case that it does not. Whatever was on
    /// its way from here is given up, unless somebody else may serve or vote already.
    fn end_log(&mut self, service: ServiceId, (standby, to): (u64, PeerId)) {
        let id = self.cx.random_id();
        let alone = |hosted: &&mut Hosted| {
            let changes = hosted.group.is_changing() || hosted.group.voters().len() > 1;
            !changes && !is_sealing(&hosted.source)
        };
        let Some(hosted) = self.hosted.get_mut(&service).filter(alone) else { return };
        let authority = (hosted.group.epoch() + 1, hosted.group.term());
        let step = hosted.take_over_step(standby);
        hosted.saved = Default::default();
        self.net.send(&mut self.cx, to, Lane::Control, &Control::Handover { service, id, step });
        self.remove_hosted(service, Some((to, authority)));
    }
}
