//! How a replicated service comes back whose replicas are all gone: its tabs were closed, and some of them return.
//!
//! A member that was reloaded is a new incarnation: its old vote is gone for good. Once so many members say so that those
//! left can never be a majority again, the old group can commit nothing any more, and whoever holds the newest state goes on
//! in the next epoch. Until then a reloaded member waits: the others may be alive and serve. The publisher may decide
//! otherwise ([`Node::recover`]).
//!
//! Assumption: stored configurations are at most some seconds old. A member whose stored configuration was left by a
//! majority since, and whose new members cannot be reached, could revive the old one beside them; the higher epoch
//! outranks the lower.

use std::collections::BTreeMap;

use crate::hosting::Hosted;
use crate::id::{PeerId, RequestId, ServiceId};
use crate::io::{Answer, Error, Event, Lane};
use crate::node::Node;
use crate::time::{Millis, Time};
use crate::wire::{Control, Holding, Members};

/// From the moment in which a revival is possible until it happens: who holds more may still say so.
const GRACE: Millis = Millis::secs(2);
/// What a member said counts this long.
const VALID_FOR: Millis = Millis::secs(20);
/// A replica without a leader for this long takes part.
const LEADERLESS: Millis = Millis::secs(2);

/// What members of a group that is gone have said.
#[derive(Debug, Default)]
pub struct Votes {
    said: BTreeMap<PeerId, (Holding, Time)>,
    possible_since: Option<Time>,
}

impl Votes {
    /// A member says what it holds. True when that is news.
    fn note(&mut self, now: Time, from: PeerId, holding: Holding) -> bool {
        self.said.retain(|_, (_, at)| now.since(*at) < VALID_FOR);
        let before = self.said.insert(from, (holding, now));
        before.is_none_or(|(before, _)| before != holding)
    }

    /// May this node, which holds `own`, go on? The old group must be unable to, and nobody known may hold more.
    fn may_revive(&mut self, now: Time, me: PeerId, own: Holding, members: &Members) -> bool {
        let said = |peer: &PeerId| match *peer == me {
            true => Some(own),
            false => self.said.get(peer).filter(|(_, at)| now.since(*at) < VALID_FOR).map(|(said, _)| *said),
        };
        let holdings = members.values().filter_map(|member| Some((member.peer, said(&member.peer)?)));
        let holdings: Vec<(PeerId, Holding)> = holdings.collect();
        let dead = holdings.iter().filter(|(_, holding)| !holding.alive).count();
        let quorum = members.len() / 2 + 1;
        if members.len() - dead >= quorum {
            self.possible_since = None;
            return false;
        }
        let since = *self.possible_since.get_or_insert(now);
        let best = holdings.iter().max_by_key(|(peer, holding)| (holding.order(), *peer));
        best.is_some_and(|(peer, _)| *peer == me) && now.since(since) >= GRACE
    }
}

impl Node {
    /// Tells the members of a group that is gone what this node found on its disk of it.
    pub(crate) fn ask_members(&mut self, service: ServiceId) {
        let Some(recalled) = self.recalled.get(&service) else { return };
        let message = Control::Recalled { service, holding: recalled.holding() };
        let members: Vec<PeerId> = recalled.members().values().map(|member| member.peer).collect();
        for member in members {
            if member != self.cx.me {
                self.net.send_or_dial(&mut self.cx, member, Lane::Control, &message);
            }
        }
        self.try_revive(service);
    }

    /// A member of a group says what it found, or what it holds without a leader.
    pub(crate) fn on_recalled(&mut self, from: PeerId, service: ServiceId, holding: Holding) {
        let now = self.cx.now;
        let own = if let Some(recalled) = self.recalled.get_mut(&service) {
            if !recalled.members().values().any(|member| member.peer == from) {
                return;
            }
            let news = recalled.votes.note(now, from, holding);
            news.then(|| recalled.holding())
        } else if let Some(hosted) = self.hosted.get_mut(&service).filter(|hosted| hosted.may_be_orphan(now))
        {
            if !hosted.group.has_state_voter(from) || holding.alive {
                return;
            }
            let news = hosted.votes.note(now, from, holding);
            news.then(|| hosted.holding())
        } else {
            return;
        };
        if let Some(holding) = own {
            self.net.send(&mut self.cx, from, Lane::Control, &Control::Recalled { service, holding });
        }
        self.try_revive(service);
    }

    /// Goes on with a service whose group can never go on, if this node holds the newest of what is left.
    pub(crate) fn try_revive(&mut self, service: ServiceId) {
        let (now, me) = (self.cx.now, self.cx.me);
        if let Some(recalled) = self.recalled.get_mut(&service) {
            let (own, members) = (recalled.holding(), recalled.members().clone());
            if recalled.is_prepared && recalled.votes.may_revive(now, me, own, &members) {
                self.revive_from_disk(service);
            }
        } else if let Some(hosted) = self.hosted.get_mut(&service).filter(|hosted| hosted.may_be_orphan(now))
        {
            let (own, members) = (hosted.holding(), hosted.group.voting_members());
            if hosted.votes.may_revive(now, me, own, &members) {
                hosted.go_on_alone(&mut self.cx);
                let service_name = hosted.name.clone();
                self.cx.event(Event::Restored { service: service_name, since: now.0 });
                self.dirty.insert(service);
            }
        }
    }

    /// The person who published a replicated service decides that this tab's copy is the one to go on with.
    pub(crate) fn recover(&mut self, request: RequestId, service: &str) {
        let named = |name: &str| name == service || name.split('@').next() == Some(service);
        let found = self.recalled.iter().find(|(_, recalled)| named(recalled.name()));
        let answer = match found.map(|(id, recalled)| (*id, recalled.is_own(), recalled.is_prepared)) {
            None => Err(Error::NotFound(format!("a stored copy of {service} that waits here"))),
            Some((_, false, _)) => {
                Err(Error::NotPermitted("only its publisher decides to go on without the others".to_owned()))
            }
            Some((_, _, false)) => {
                Err(Error::Overloaded("its module is being prepared".to_owned(), Millis::secs(1)))
            }
            Some((id, ..)) => {
                self.revive_from_disk(id);
                Ok(Answer::Done)
            }
        };
        self.answer(request, answer);
    }

    /// Replicated services whose stored copies wait here for others.
    pub(crate) fn waiting_services(&self) -> Vec<String> {
        let waits = self.recalled.values().filter(|recalled| recalled.is_prepared);
        waits.map(|recalled| recalled.name().to_owned()).collect()
    }

    /// Looks at what may have become possible.
    pub(crate) fn revive_orphans(&mut self) {
        let now = self.cx.now;
        let orphans = self.hosted.iter().filter(|(_, hosted)| hosted.may_be_orphan(now)).map(|(id, _)| *id);
        let services: Vec<ServiceId> = orphans.chain(self.recalled.keys().copied()).collect();
        services.into_iter().for_each(|service| self.try_revive(service));
    }
}

impl Hosted {
    /// A replica that nobody leads.
    fn may_be_orphan(&self, now: Time) -> bool {
        let ready = self.instance.as_ref().is_some_and(|instance| instance.is_ready());
        self.wanted > 1 && ready && self.group.is_voter() && self.group.leaderless_for(now) >= LEADERLESS
    }

    fn holding(&self) -> Holding {
        let (epoch, term, index) = (self.group.epoch(), self.group.log_term(), self.group.last_index());
        Holding { epoch, term, index, alive: true }
    }

    /// Founds the next epoch with all that this log holds: what it lacks is lost with those who had it.
    fn go_on_alone(&mut self, cx: &mut crate::cx::Cx) {
        let (committed, last) = (self.group.committed(), self.group.last_index());
        let rest = self.group.payloads(committed, last).unwrap_or_default();
        self.found_next_epoch(cx, rest);
        self.votes = Votes::default();
        self.saved.back_from = Some(cx.now);
        self.server.on_state_lost();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Member;

    const NOW: Time = Time(100_000);

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn holding(index: u64, alive: bool) -> Holding {
        Holding { epoch: 1, term: 4, index, alive }
    }

    /// A is asked to go on with what it holds, after others have spoken and the grace is over.
    fn revives(own: Holding, others: &[(u8, Holding)]) -> bool {
        let members: Members =
            (1..=3).map(|n| (u64::from(n), Member { peer: peer(n), witness: false })).collect();
        let mut votes = Votes::default();
        others.iter().for_each(|(n, holding)| assert!(votes.note(NOW, peer(*n), *holding)));
        let early = votes.may_revive(NOW, peer(1), own, &members);
        assert!(!early, "not before the others could speak");
        votes.may_revive(NOW + GRACE, peer(1), own, &members)
    }

    #[test]
    fn one_alone_waits() {
        assert!(!revives(holding(9, false), &[]));
    }

    #[test]
    fn a_majority_of_the_dead_goes_on_with_the_newest_state() {
        assert!(revives(holding(9, false), &[(2, holding(8, false))]));
        assert!(!revives(holding(9, false), &[(2, holding(10, false))]));
    }

    #[test]
    fn who_is_alive_and_cannot_be_a_majority_goes_on_with_what_it_has() {
        assert!(!revives(holding(9, false), &[(2, holding(8, false)), (3, holding(12, true))]));
        assert!(revives(holding(12, true), &[(2, holding(8, false)), (3, holding(9, false))]));
    }

    #[test]
    fn two_of_three_that_live_can_still_elect() {
        assert!(!revives(holding(9, false), &[(2, holding(12, true)), (3, holding(12, true))]));
    }

    #[test]
    fn what_was_said_before_a_change_of_members_does_not_count() {
        use crate::handover::hostile_tests::{host, hosted_by, service, NOW};
        let mut node = host();
        let hosted = hosted_by(&mut node);
        hosted.votes.note(NOW, peer(2), holding(1, false));
        assert!(hosted.group.add_learner(11, peer(2)));
        node.dirty.insert(service());
        node.handle(NOW, crate::io::Input::Wake);
        assert!(hosted_by(&mut node).votes.said.is_empty(), "it may have joined anew");
    }

    #[test]
    fn strangers_do_not_count() {
        assert!(!revives(holding(9, false), &[(7, holding(1, false)), (8, holding(1, false))]));
    }
}
