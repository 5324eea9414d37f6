//! Keeping a replicated service at its number of replicas: who votes, who is missing, who is asked to join.
//!
//! The leader alone decides. Every configuration has an odd number of voters: state holders, and where their number is
//! even a witness (`docs/protocols/replicas.md`). A member counts as lost when it is not connected, silent, or says that
//! it has no such group. Repair is one joint change at a time: seed first, join second.

use std::collections::{BTreeMap, BTreeSet};

use crate::cx::Cx;
use crate::handover::source::Purpose;
use crate::hosting::Hosted;
use crate::id::{PeerId, ServiceId};
use crate::net::Net;
use crate::node::Node;
use crate::time::{Millis, Time};
use crate::wire::{Member, Members};

/// How often a leader looks after its replicas.
pub const KEEP_EVERY: Millis = Millis(500);
/// The same while the group rests; whatever happens to a member wakes it.
const KEEP_RESTING: Millis = Millis::secs(5);
/// A member that is silent for this long is replaced.
const LOST_AFTER: Millis = Millis(3000);
/// A member whose connection closed is replaced after this: a tab that was closed does not come back, a connection
/// that broke may.
const CLOSED_AFTER: Millis = Millis(1000);
/// A volunteer that refused, or whose seeding failed, is not asked again for this long.
const ASK_AGAIN: Millis = Millis::secs(20);

/// A voter as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its raft id.
    pub id: u64,
    /// Holds no state.
    pub witness: bool,
    /// Can be counted on.
    pub live: bool,
    /// Entries that it lacks.
    pub lag: u64,
}

/// The voters that a group led by `leader` should have to reach `wanted` state holders: what is live of `voters`, with
/// `newcomer`, a state holder, and `witness`, both seeded. `None` when that is no better, or cannot be an odd number of at
/// least three.
pub fn plan(
    leader: u64,
    voters: &[Voter],
    wanted: usize,
    newcomer: Option<u64>,
    witness: Option<u64>,
) -> Option<BTreeSet<u64>> {
    let mut others: Vec<Voter> =
        voters.iter().filter(|voter| voter.live && !voter.witness && voter.id != leader).copied().collect();
    others.sort_by_key(|voter| (voter.lag, voter.id));
    let mut holders = vec![leader];
    holders.extend(newcomer);
    let room = wanted.saturating_sub(holders.len());
    holders.extend(others.iter().take(room).map(|voter| voter.id));
    if holders.len().is_multiple_of(2) {
        let known = voters.iter().find(|voter| voter.live && voter.witness).map(|voter| voter.id);
        match known.or(witness) {
            Some(witness) => holders.push(witness),
            None => {
                holders.pop();
            }
        }
    }
    let planned: BTreeSet<u64> = holders.iter().copied().collect();
    let present: BTreeSet<u64> = voters.iter().map(|voter| voter.id).collect();
    let joins = newcomer.is_none_or(|newcomer| planned.contains(&newcomer));
    (planned.len() >= 3 && planned != present && joins).then_some(planned)
}

/// What a leader remembers of its members and of volunteers.
#[derive(Debug, Default)]
pub struct Keeper {
    /// When it looks again.
    pub at: Option<Time>,
    /// Members that are gone: since when, and whether they said so themselves.
    lost: BTreeMap<u64, (Time, bool)>,
    /// Volunteers that did not become replicas, standbys or hosts, and when.
    refused: BTreeMap<PeerId, Time>,
}

impl Keeper {
    /// A volunteer did not become a replica.
    pub fn refused(&mut self, now: Time, peer: PeerId) {
        if self.refused.len() >= 64 {
            let oldest = self.refused.iter().min_by_key(|(_, at)| **at).map(|(peer, _)| *peer);
            oldest.map(|peer| self.refused.remove(&peer));
        }
        self.refused.insert(peer, now);
    }

    /// A member is gone at this moment.
    pub fn is_missing(&self, id: &u64) -> bool {
        self.lost.contains_key(id)
    }

    /// It is gone for longer than a connection takes to come back.
    pub fn is_lost(&self, now: Time, id: &u64) -> bool {
        self.lost.get(id).is_some_and(|(since, _)| now.since(*since) >= LOST_AFTER)
    }

    /// A member says that it has no such group.
    pub fn has_no_group(&mut self, now: Time, id: u64) {
        self.lost.insert(id, (now - LOST_AFTER, true));
    }

    /// It did not refuse or fail a short time ago.
    pub fn may_ask(&self, now: Time, peer: &PeerId) -> bool {
        self.refused.get(peer).is_none_or(|at| now.since(*at) >= ASK_AGAIN)
    }
}

impl Hosted {
    /// The members as this leader sees them. A member that is gone for a short time still counts.
    pub fn voters_seen(&self, now: Time) -> Vec<Voter> {
        let view = |(id, member): (&u64, &Member)| Voter {
            id: *id,
            witness: member.witness,
            live: *id == self.group.id() || !self.keeper.is_lost(now, id),
            lag: self.group.lag(*id),
        };
        self.group.members().iter().filter(|(id, _)| !self.group.is_learner(**id)).map(view).collect()
    }

    /// A member's connection closed, or it fell silent: what follows from it is looked at soon.
    pub fn on_member_lost(&mut self, now: Time, peer: PeerId) {
        self.group.on_disconnected(now, peer);
        if self.group.members().values().any(|member| member.peer == peer) {
            self.keeper.at = self.keeper.at.map(|_| now);
        }
    }

    /// Notes who is gone and who came back.
    fn note_lost(&mut self, cx: &Cx, net: &Net) {
        let behind = self.group.left_behind();
        let members = self.group.members();
        self.keeper.lost.retain(|id, _| members.contains_key(id));
        for (id, member) in members {
            let gone = behind.contains(id) || !net.is_alive(cx, member.peer);
            match self.keeper.lost.get(id) {
                None if gone => {
                    // Who leads since a moment ago has listened to it for longer.
                    let heard = net.peer(&member.peer).map(|peer| peer.heard_at);
                    let since = match heard.filter(|_| !behind.contains(id)) {
                        Some(heard) => heard,
                        None if net.is_connected(cx, member.peer) => cx.now,
                        None => cx.now - Millis(LOST_AFTER.0 - CLOSED_AFTER.0),
                    };
                    self.keeper.lost.insert(*id, (since, false));
                }
                // One that said itself that it has no such group is not brought back by being connected.
                Some((_, false)) if !gone => {
                    self.keeper.lost.remove(id);
                }
                _ => {}
            }
        }
    }

    /// State holders that are there at this moment, this node among them. One that has not answered a new leader may have
    /// gone with the one before, and nobody has noticed yet.
    pub fn live_holders(&self, cx: &Cx, net: &Net) -> usize {
        let answered = |id: u64| !self.group.leads() || id == self.group.id() || self.group.matched(id) > 0;
        let there = |(id, member): &(&u64, &Member)| {
            !member.witness
                && !self.group.is_learner(**id)
                && answered(**id)
                && net.is_alive(cx, member.peer)
                && !self.keeper.is_missing(id)
        };
        self.group.members().iter().filter(there).count()
    }

    /// As many state holders vote as the manifest wants.
    fn is_whole(&self, now: Time) -> bool {
        let voters = self.voters_seen(now);
        voters.len() == self.wanted && voters.iter().all(|voter| voter.live && !voter.witness)
    }

    /// The live replica that lags least, besides this node.
    pub fn best_replica(&self, cx: &Cx, net: &Net) -> Option<PeerId> {
        let members = self.group.members().iter().filter(|(id, member)| {
            **id != self.group.id() && !member.witness && net.is_alive(cx, member.peer)
        });
        members.min_by_key(|(id, _)| (self.group.lag(**id), **id)).map(|(_, member)| member.peer)
    }

    /// The members of a change to `ids`; newcomers are in `known`.
    pub fn members_of(&self, ids: &BTreeSet<u64>, known: &[(u64, Member)]) -> Members {
        let present = self.group.members().iter().map(|(id, member)| (*id, *member));
        present.chain(known.iter().copied()).filter(|(id, _)| ids.contains(id)).collect()
    }

    /// What a leader without a handover does with a group of several voters (H6, H7). True when it proposed a change.
    pub fn settle_voters(&mut self, cx: &Cx) -> bool {
        if self.wanted == 1 {
            let alone = Members::from([(self.group.id(), Member { peer: cx.me, witness: false })]);
            return self.group.voters().len() > 1 && self.group.change(&alone);
        }
        let voters = self.voters_seen(cx.now);
        let planned = plan(self.group.id(), &voters, self.wanted, None, None);
        planned.is_some_and(|ids| {
            let wanted = self.members_of(&ids, &[]);
            self.group.change(&wanted)
        })
    }
}

impl Node {
    /// Now and then: replicas that are missing are asked for.
    pub(crate) fn keep_replicas(&mut self) {
        let now = self.cx.now;
        let due = |hosted: &Hosted| hosted.keeper.at.is_some_and(|at| at <= now);
        let services: Vec<ServiceId> =
            self.hosted.iter().filter(|(_, hosted)| due(hosted)).map(|(service, _)| *service).collect();
        for service in services {
            self.keep_replicas_of(service);
        }
    }

    fn keep_replicas_of(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let serves = hosted.is_stateful() && hosted.is_serving();
        let every = if hosted.group.is_resting() { KEEP_RESTING } else { KEEP_EVERY };
        hosted.keeper.at = serves.then_some(self.cx.now + every);
        if !serves {
            return;
        }
        hosted.note_lost(&self.cx, &self.net);
        self.dirty.insert(service);
        if hosted.wanted == 1 || hosted.is_whole(self.cx.now) {
            return self.keep_standbys_of(service);
        }
        let busy = hosted.source.is_some() || hosted.group.is_joint() || hosted.group.is_changing();
        if busy || self.leaving.is_some() {
            return;
        }
        let voters = hosted.voters_seen(self.cx.now);
        let holders = voters.iter().filter(|voter| voter.live && !voter.witness).count();
        let shaky = voters.len() > 1 && voters.iter().any(|voter| !voter.live);
        let ask_witness =
            shaky && holders.is_multiple_of(2) && hosted.keeper.may_ask(self.cx.now, &self.cx.me);
        // Who holds the state already needs only a vote.
        let standby = hosted.standby(&self.cx, &self.net).map(|(_, peer)| peer);
        let standby = standby.filter(|peer| hosted.keeper.may_ask(self.cx.now, peer));
        let candidate = match holders < hosted.wanted {
            true => standby.or_else(|| self.candidate(service)),
            false => None,
        };
        match candidate {
            Some(peer) => self.recruit(service, peer, Purpose::Replica),
            // Nobody fits: at least a vote in the place of the lost one.
            None if ask_witness => self.recruit(service, self.cx.me, Purpose::Witness),
            None => {}
        }
    }

    /// The volunteer that is asked next: who never refused or failed before those that did, the latest last (else two
    /// that stall would keep all others from being asked); direct before relayed, near before far.
    pub(crate) fn candidate(&self, service: ServiceId) -> Option<PeerId> {
        let hosted = self.hosted.get(&service)?;
        let record = self.directory.index().service(service, self.cx.now)?;
        let voters = hosted.voters_seen(self.cx.now);
        let holds = |peer: &PeerId| {
            let members = hosted.group.members().iter();
            let of_peer = members.filter(|(_, member)| member.peer == *peer && !member.witness);
            let counts = |id: &u64| voters.iter().any(|voter| voter.id == *id && voter.live);
            of_peer.into_iter().any(|(id, _)| counts(id) || hosted.group.is_learner(*id))
        };
        let volunteers = self.net.volunteers().filter(|(id, ..)| {
            !holds(id) && record.hosts_permit(id) && hosted.keeper.may_ask(self.cx.now, id)
        });
        volunteers
            .min_by_key(|(id, peer, _)| {
                let refused = hosted.keeper.refused.get(id);
                (refused, peer.path == crate::io::Path::Relayed, peer.rtt.unwrap_or(u64::MAX), *id)
            })
            .map(|(id, ..)| id)
    }

    pub(crate) fn recruit(&mut self, service: ServiceId, peer: PeerId, purpose: Purpose) {
        let id = self.cx.random_id();
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let chain = hosted.succession.extended(service, peer, &self.secret);
        hosted.start_source(&mut self.cx, &mut self.net, &self.packages, id, chain, None, purpose);
        self.dirty.insert(service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_when_a_member_was_last_heard() {
        use crate::handover::hostile_tests::{host, other, service};
        let mut node = host();
        node.net.on_bye(&mut node.cx, other());
        node.cx.now = node.cx.now + LOST_AFTER;
        let hosted = node.hosted.get_mut(&service()).unwrap();
        hosted.note_lost(&node.cx, &node.net);
        assert!(hosted.keeper.is_lost(node.cx.now, &9));
    }

    #[test]
    fn who_has_not_answered_its_leader_is_no_live_holder() {
        use crate::handover::hostile_tests::{host, other, service};
        let mut node = host();
        let hosted = node.hosted.get_mut(&service()).unwrap();
        let own = (hosted.group.id(), Member { peer: node.cx.me, witness: false });
        let holder = Member { peer: other(), witness: false };
        assert!(hosted.group.change(&Members::from([own, (20, holder), (21, holder)])));
        node.dirty.insert(service());
        node.handle(node.cx.now, crate::io::Input::Wake);
        let hosted = &node.hosted[&service()];
        assert!(hosted.group.has_state_voter(other()), "they vote, and their tab is connected");
        assert_eq!(hosted.live_holders(&node.cx, &node.net), 1);
    }

    /// `h` a state holder, `w` a witness; capitals are live. The first is the leader.
    fn voters(text: &str) -> Vec<Voter> {
        let voter = |(n, c): (usize, char)| Voter {
            id: n as u64 + 1,
            witness: c.eq_ignore_ascii_case(&'w'),
            live: c.is_ascii_uppercase(),
            lag: n as u64,
        };
        text.chars().enumerate().map(voter).collect()
    }

    fn planned(text: &str, wanted: usize, newcomer: Option<u64>, witness: Option<u64>) -> Vec<u64> {
        plan(1, &voters(text), wanted, newcomer, witness).into_iter().flatten().collect()
    }

    const AS_IT_IS: [u64; 0] = [];

    #[test]
    fn a_group_grows_in_odd_steps() {
        assert_eq!(planned("H", 3, None, None), AS_IT_IS);
        assert_eq!(planned("H", 3, Some(8), None), AS_IT_IS, "never two voters");
        assert_eq!(planned("H", 3, Some(8), Some(9)), [1, 8, 9]);
        assert_eq!(planned("HHW", 3, Some(8), None), [1, 2, 8], "the witness leaves");
        assert_eq!(planned("HHH", 5, Some(8), Some(9)), [1, 2, 3, 8, 9]);
        assert_eq!(planned("HHHHW", 5, Some(8), None), [1, 2, 3, 4, 8]);
    }

    #[test]
    fn who_is_lost_is_replaced() {
        assert_eq!(planned("HHh", 3, None, None), AS_IT_IS, "two voters are no group");
        assert_eq!(planned("HHh", 3, None, Some(9)), [1, 2, 9]);
        assert_eq!(planned("HHh", 3, Some(8), None), [1, 2, 8]);
        assert_eq!(planned("HhW", 3, Some(8), None), [1, 3, 8]);
        assert_eq!(planned("HHw", 3, None, Some(9)), [1, 2, 9]);
        assert_eq!(planned("HHHhh", 5, None, None), [1, 2, 3]);
        assert_eq!(planned("HHHHh", 5, None, None), [1, 2, 3]);
        assert_eq!(planned("Hhh", 3, Some(8), Some(9)), [1, 8, 9]);
    }

    #[test]
    fn a_full_group_takes_a_newcomer_for_the_slowest() {
        assert_eq!(planned("HHH", 3, None, None), AS_IT_IS);
        assert_eq!(planned("HHH", 3, Some(8), None), [1, 2, 8]);
        assert_eq!(planned("HHHHH", 5, Some(8), None), [1, 2, 3, 4, 8]);
    }
}
