//! A node that leaves: what it serves goes to whoever takes it, one candidate after the other; what nobody takes is stored
//! here. Whoever asked is told what became of each service.

use std::collections::{BTreeMap, BTreeSet};

use crate::handover::source::Purpose as Wants;
use crate::id::{PeerId, RequestId, ServiceId};
use crate::io::{Answer, Error, LeftInfo};
use crate::lookup::Purpose;
use crate::node::Node;
use crate::time::{Millis, Time};

/// How long `leave` waits for its handovers.
const HAND_OVER_WITHIN: Millis = Millis::secs(10);
/// How long it then waits for the last checkpoints of what stays.
const STORE_WITHIN: Millis = Millis::secs(2);
/// How long a withdrawn nick name has to reach somebody.
const WITHDRAW_WITHIN: Millis = Millis(500);

/// Commands that wait for it.
const MAX_REQUESTS: usize = 256;

/// A `leave` command under way.
pub(crate) struct Leaving {
    requests: Vec<RequestId>,
    services: BTreeMap<ServiceId, Served>,
    /// When what is waited for is given up: the handovers, or the checkpoints.
    until: Time,
    is_storing: bool,
    /// Not over before this.
    not_before: Option<Time>,
}

/// A service that was served here.
struct Served {
    name: String,
    /// Whom it was offered to.
    tried: BTreeSet<PeerId>,
    /// What its last checkpoint has to hold.
    executed: u64,
}

impl Leaving {
    /// When [`Node::go_on_leaving`] wants to be called.
    pub(crate) fn timeout(&self) -> Time {
        self.not_before.unwrap_or(self.until).min(self.until)
    }
}

impl Node {
    pub(crate) fn leave(&mut self, request: RequestId) {
        if let Some(leaving) = &mut self.leaving {
            if leaving.requests.len() < MAX_REQUESTS {
                leaving.requests.push(request);
            } else {
                let error = Error::Overloaded("this node is leaving".to_owned(), HAND_OVER_WITHIN);
                self.answer(request, Err(error));
            }
            return;
        }
        let not_before = self.withdraw_nick().then_some(self.cx.now + WITHDRAW_WITHIN);
        // A copy for this node's own calls is missed by nobody.
        let serving =
            self.hosted.values().filter(|each| each.is_serving() && !self.placement.is_own(&each.service));
        let served = serving.map(|hosted| {
            let served = Served { name: hosted.name.clone(), tried: BTreeSet::new(), executed: 0 };
            (hosted.service, served)
        });
        let (services, until) = (served.collect(), self.cx.now + HAND_OVER_WITHIN);
        self.leaving =
            Some(Leaving { requests: vec![request], services, until, is_storing: false, not_before });
        self.go_on_leaving();
    }

    /// Something happened that a `leave` command may wait for.
    pub(crate) fn go_on_leaving(&mut self) {
        let now = self.cx.now;
        let Some(leaving) = &mut self.leaving else { return };
        leaving.not_before = leaving.not_before.filter(|at| *at > now);
        if !leaving.is_storing {
            if leaving.until > now && self.offer_what_is_left() {
                return;
            }
            self.store_what_is_left();
        }
        let Some(leaving) = &self.leaving else { return };
        let waits = leaving.services.iter().any(|(service, served)| {
            let hosted = self.hosted.get(service).filter(|hosted| hosted.may_store());
            hosted.is_some_and(|hosted| !hosted.saved.holds(served.executed))
        });
        if leaving.not_before.is_none() && (!waits || leaving.until <= now) {
            self.finish_leaving();
        }
    }

    /// Offers what is still served here to the next who may take it. True while anything is on its way.
    fn offer_what_is_left(&mut self) -> bool {
        let mut waits = false;
        let services: Vec<ServiceId> =
            self.leaving.iter().flat_map(|leaving| leaving.services.keys().copied()).collect();
        for (turn, service) in services.into_iter().enumerate() {
            while !self.is_on_its_way(service) {
                let Some(to) = self.successor(service, turn) else { break };
                let served = self.leaving.as_mut().and_then(|leaving| leaving.services.get_mut(&service));
                served.into_iter().for_each(|served| {
                    served.tried.insert(to);
                });
                self.hand_over(service, to, None);
            }
            waits |= self.is_on_its_way(service);
        }
        waits
    }

    /// It is being handed over, or will be in a moment.
    fn is_on_its_way(&self, service: ServiceId) -> bool {
        let source = self.hosted.get(&service).and_then(|hosted| hosted.source.as_ref());
        let again =
            |purpose: &Purpose| matches!(purpose, Purpose::HandOver { service: of, .. } if *of == service);
        source.is_some_and(|source| source.purpose() == Wants::Handover)
            || self.retries.iter().any(|(_, purpose)| again(purpose))
    }

    /// Who is asked next: the best of its copies, else a volunteer that did not refuse it lately; each service begins with
    /// another one.
    fn successor(&self, service: ServiceId, turn: usize) -> Option<PeerId> {
        let served = self.leaving.as_ref()?.services.get(&service)?;
        let hosted = self.hosted.get(&service).filter(|hosted| hosted.is_serving())?;
        let record = self.directory.index().service(service, self.cx.now);
        let may = |peer: &PeerId| *peer != self.cx.me && !served.tried.contains(peer);
        let copy = hosted.best_replica(&self.cx, &self.net).filter(may);
        let permitted = |peer: &PeerId| may(peer) && record.is_none_or(|record| record.hosts_permit(peer));
        let volunteers = self.net.volunteers().map(|(id, ..)| id).filter(permitted);
        let (fresh, refused): (Vec<PeerId>, Vec<PeerId>) =
            volunteers.partition(|peer| hosted.keeper.may_ask(self.cx.now, peer));
        let volunteers = if fresh.is_empty() { refused } else { fresh };
        copy.or_else(|| volunteers.get(turn % volunteers.len().max(1)).copied())
    }

    /// Nobody takes the rest: it goes on from this node's disk one day.
    fn store_what_is_left(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        (leaving.is_storing, leaving.until) = (true, self.cx.now + STORE_WITHIN);
        let mut unstored = Vec::new();
        for (service, served) in &mut leaving.services {
            let Some(hosted) = self.hosted.get(service).filter(|hosted| hosted.may_store()) else { continue };
            served.executed = hosted.instance.as_ref().map_or(0, |instance| instance.executed());
            if !hosted.saved.holds(served.executed) {
                unstored.push(*service);
            }
        }
        unstored.into_iter().for_each(|service| self.store_soon(service));
    }

    fn finish_leaving(&mut self) {
        let Some(leaving) = self.leaving.take() else { return };
        let left = leaving.services.iter().map(|(service, served)| self.what_became_of(*service, served));
        let left: Vec<LeftInfo> = left.collect();
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.with_session(id, |session, _, out| session.close(out));
        }
        self.answer_all(leaving.requests, Ok(Answer::Left(left)));
    }

    fn what_became_of(&self, service: ServiceId, served: &Served) -> LeftInfo {
        let hosted = self.hosted.get(&service);
        let to = match hosted {
            None => self.moved.get(&service).map(|moved| moved.to),
            Some(hosted) if hosted.group.leads() => None,
            Some(hosted) => hosted.group.leader().filter(|leader| !leader.witness).map(|leader| leader.peer),
        };
        let source = hosted.and_then(|hosted| hosted.source.as_ref());
        let reason = match (hosted, source) {
            (None, _) => "it stopped here".to_owned(),
            (_, Some(source)) if source.is_sealing() => {
                format!("it is not known whether {} took it over", source.target())
            }
            (_, Some(_)) => "it could not be handed over in time".to_owned(),
            (Some(hosted), None) if served.tried.is_empty() || hosted.stays.is_empty() => {
                "no tab that may take it is connected".to_owned()
            }
            (Some(hosted), None) => hosted.stays.clone(),
        };
        let stored = hosted.is_some_and(|each| each.may_store() && each.saved.holds(served.executed));
        LeftInfo {
            service: served.name.clone(),
            to: to.map(|peer| peer.to_string()),
            reason: to.is_none().then_some(reason),
            stored: to.is_none() && stored,
        }
    }
}
