//! Run it here or call it there (row 20; Amoretti et al., SP2A, section 3: a peer downloads a service and becomes a provider,
//! or calls a remote one; Panitzek et al., section III).
//!
//! A stateless service runs anywhere, so whoever calls it much is better off with a copy of its own. Every second a node that
//! volunteers compares, for each such service that it calls, what is measured: what its calls take there, how many there
//! are, and what getting the module and preparing it would take, as its downloads and compilations took before. Before it ran
//! here, a call here is taken to need as long as there, without the way. When a minute of calls would save [`WORTH`] times
//! the cost, the service is pulled, within what the person grants, and the sessions of this node go over to it with nothing
//! lost. If calls turn out to take longer here, or nobody makes any, they go back, and the copy goes. Others may use
//! the copy meanwhile: deployment grows with use.

mod measured;

use std::collections::BTreeMap;

use measured::{Measured, Place};

use crate::id::{PackageId, PeerId, ServiceId, SessionId};
use crate::io::{Event, Query};
use crate::lookup::Purpose;
use crate::node::Node;
use crate::session::client::Tally;
use crate::time::{Millis, Time};

/// How often it is decided.
const LOOK_EVERY: Millis = Millis::secs(1);
/// What is saved must be so many times what it costs.
const WORTH: f64 = 2.0;
/// A worker, an instance and its record are not free, however small the module is, in ms (guess).
const LEAST_COST: f64 = 200.0;
/// Looks in a row that must come to the same decision.
const CONFIRMED: u32 = 3;
/// A copy that nobody calls for this long goes.
const UNUSED: Millis = Millis::secs(60);
/// What was refused, dropped by its person, or slower here is not tried again for this long.
const NOT_AGAIN: Millis = Millis::secs(600);
/// Percent of what a person grants above which nothing more comes.
const BUSY: u8 = 80;
/// Services that are measured at once.
const MAX_MEASURED: usize = 256;

/// Where this node's calls of stateless services go.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    at: Option<Time>,
    measured: BTreeMap<ServiceId, Measured>,
}

impl Placement {
    /// When it is decided next.
    pub(crate) fn timeout(&self) -> Option<Time> {
        self.at.map(|at| at + LOOK_EVERY)
    }

    /// A person wants it here: it is not this module's any more.
    pub(crate) fn keep(&mut self, service: ServiceId) {
        self.measured.remove(&service);
    }

    /// It could not come here.
    pub(crate) fn not_now(&mut self, service: ServiceId, now: Time) {
        if let Some(measured) = self.measured.get_mut(&service) {
            (measured.place, measured.not_before) = (Place::There, now + NOT_AGAIN);
        }
    }

    /// Is it here for this node's own calls.
    pub(crate) fn is_own(&self, service: &ServiceId) -> bool {
        self.measured.get(service).is_some_and(|known| matches!(known.place, Place::Here | Place::Going))
    }
}

impl Node {
    /// Looks at what calls cost, and decides where they go.
    pub(crate) fn keep_placement(&mut self) {
        let now = self.cx.now;
        if self.placement.timeout().is_some_and(|at| at > now) {
            return;
        }
        let mine = self.placement.measured.values().any(|known| known.place != Place::There);
        let looks = mine || self.sessions.values().any(|session| session.is_stateless());
        let Some(at) = self.placement.at.filter(|_| looks) else {
            self.placement.at = looks.then_some(now);
            return;
        };
        self.placement.at = Some(now);
        self.measure(now.since(at).0 as f64 / 1000.0);
        for service in self.placement.measured.keys().copied().collect::<Vec<_>>() {
            self.place(service);
        }
    }

    /// What the calls since the last look took, by service.
    fn measure(&mut self, seconds: f64) {
        let (now, me) = (self.cx.now, self.cx.me);
        let mut tallies: BTreeMap<ServiceId, (Tally, Tally)> = BTreeMap::new();
        for session in self.sessions.values_mut().filter(|session| session.is_stateless()) {
            let (server, tally) = (session.authority().0, session.take_tally());
            let (here, there) = tallies.entry(session.service).or_default();
            (if server == me { here } else { there }).add(tally);
        }
        let known = &mut self.placement.measured;
        known.retain(|service, known| {
            known.place != Place::There || known.not_before > now || tallies.contains_key(service)
        });
        for service in tallies.keys() {
            if known.len() < MAX_MEASURED {
                known.entry(*service).or_insert_with(|| Measured { used_at: now, ..Measured::default() });
            }
        }
        for (service, known) in known {
            let (here, there) = tallies.get(service).copied().unwrap_or_default();
            known.note(here, there, seconds);
            if here.calls > 0 {
                known.used_at = now;
            }
        }
    }

    fn place(&mut self, service: ServiceId) {
        let now = self.cx.now;
        let Some(mut known) = self.placement.measured.get(&service).copied() else { return };
        let hosted = self.hosted.get(&service);
        let (serves, sessions) = hosted.map_or((false, 0), |hosted| (hosted.is_serving(), hosted.sessions()));
        let own = self.sessions_of(service, true).len();
        if sessions > own {
            known.used_at = now;
        }
        match known.place {
            Place::There if serves && known.not_before <= now => self.move_sessions(service, self.cx.me),
            Place::There if hosted.is_none() => self.consider(service, &mut known),
            Place::There => {}
            Place::Coming if serves => {
                known.place = Place::Here;
                known.used_at = now;
                self.tell_placed(service, &known, true);
                self.move_sessions(service, self.cx.me);
            }
            Place::Coming
                if hosted.is_none() && !self.pulls.values().any(|(_, coming)| *coming == service) =>
            {
                (known.place, known.not_before) = (Place::There, now + NOT_AGAIN);
            }
            Place::Coming => {}
            Place::Here | Place::Going if hosted.is_none() => {
                (known.place, known.not_before) = (Place::There, now + NOT_AGAIN);
            }
            Place::Here => {
                let slower = known.is_slower_here();
                let unused = now.since(known.used_at) >= UNUSED;
                let other = self.other_host(service);
                let goes = slower || unused || self.policy.is_none();
                if !goes || other.is_none() {
                    if goes {
                        self.look_for_others(service, &mut known);
                    }
                    self.move_sessions(service, self.cx.me);
                } else {
                    known.place = Place::Going;
                    known.not_before = if slower { now + NOT_AGAIN } else { now };
                    self.tell_placed(service, &known, false);
                }
            }
            Place::Going => match self.other_host(service) {
                // Nobody else has it any more.
                None => known.place = Place::Here,
                Some(_) if sessions == 0 && own == 0 => {
                    known.place = Place::There;
                    (known.here_calls, known.confirmed, known.rate) = (0, 0, 0.0);
                    self.remove_hosted(service, None);
                }
                Some(other) => self.move_sessions(service, other),
            },
        }
        if let Some(place) = self.placement.measured.get_mut(&service) {
            *place = known;
        }
    }

    /// Is it worth to have a service here that is called there?
    fn consider(&mut self, service: ServiceId, known: &mut Measured) {
        let now = self.cx.now;
        let free = self.policy.is_some() && self.leaving.is_none() && self.balance.busy < BUSY;
        let worth = if free && known.not_before <= now { self.worth(service, known) } else { None };
        let Some((package, name)) = worth else {
            known.confirmed = 0;
            return;
        };
        known.confirmed += 1;
        if known.confirmed < CONFIRMED {
            return;
        }
        known.confirmed = 0;
        let takes = self.policy.as_ref().zip(self.packages.get(&package));
        let takes = takes.is_some_and(|(policy, known)| policy.takes(&known.package));
        if !takes || self.check_fit(package, false).is_err() || self.pulls.contains_key(&package) {
            known.not_before = now + NOT_AGAIN;
            return;
        }
        known.place = Place::Coming;
        self.pulls.insert(package, (None, service));
        let providers = self.known_hosts(service);
        self.cx.event(Event::Hosting { service: name });
        self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
    }

    /// The package and name of a service whose calls would save more here than it costs.
    fn worth(&mut self, service: ServiceId, known: &mut Measured) -> Option<(PackageId, String)> {
        let record = self.directory.index().service(service, self.cx.now)?;
        let (package, name, permits) = (record.package, record.full_name(), record.hosts_permit(&self.cx.me));
        let server = self.sessions_of(service, false).first().map(|(_, server)| *server)?;
        let way = self.net.peer(&server)?.rtt? as f64 / 1000.0;
        let saves = known.saves(way).filter(|_| permits)?;
        if saves <= WORTH * LEAST_COST {
            return None;
        }
        match self.packages.cost_ms(&package) {
            Some(cost) => (saves > WORTH * cost.max(LEAST_COST)).then_some((package, name)),
            None => {
                // Its manifest says how large the module is.
                if known.may_ask(self.cx.now) {
                    let providers = self.known_hosts(service);
                    self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
                }
                None
            }
        }
    }

    fn tell_placed(&mut self, service: ServiceId, known: &Measured, here: bool) {
        let Some(hosted) = self.hosted.get(&service) else { return };
        let cost_ms =
            hosted.package.and_then(|package| self.packages.module_cost_ms(&package)).unwrap_or_default();
        let round = |ms: f64| (ms * 100.0).round() / 100.0;
        self.cx.event(Event::Placed {
            service: hosted.name.clone(),
            here,
            here_ms: known.here.map(round),
            there_ms: known.there.map(round),
            rate: round(known.rate),
            cost_ms: round(cost_ms),
        });
    }

    /// A stateless service is not here any more: this node's own sessions look for another server before they call again.
    pub(crate) fn sessions_leave_here(&mut self, service: ServiceId) {
        let me = self.cx.me;
        for (session, _) in self.sessions_of(service, true) {
            self.with_session(session, |session, now, out| {
                if session.is_stateless() {
                    session.on_unreachable(now, me, out);
                }
            });
        }
    }

    /// This node's sessions of a stateless service that may move, at this node or elsewhere.
    fn sessions_of(&self, service: ServiceId, here: bool) -> Vec<(SessionId, PeerId)> {
        let sessions = self.sessions.values().filter(|session| session.service == service);
        let placed = sessions.map(|session| (session.id, session.authority().0));
        placed.filter(|(_, server)| (*server == self.cx.me) == here).collect()
    }

    /// Those elsewhere come here, or those here go to another peer.
    fn move_sessions(&mut self, service: ServiceId, to: PeerId) {
        for (session, _) in self.sessions_of(service, to != self.cx.me) {
            self.with_session(session, |session, now, out| session.move_to(now, to, out));
        }
    }

    /// What it knew of other hosts is too old: while it serves itself nothing makes it look.
    fn look_for_others(&mut self, service: ServiceId, known: &mut Measured) {
        let name = self.directory.index().service(service, self.cx.now).map(|record| record.name.clone());
        if let Some(name) = name.filter(|_| known.may_ask(self.cx.now)) {
            let query = Query { name: Some(name), ..Query::default() };
            let search = self.directory.search(&mut self.cx, &mut self.net, query, Some(service));
            self.searches.insert(search, Purpose::Others);
        }
    }

    /// Who else serves it.
    fn other_host(&self, service: ServiceId) -> Option<PeerId> {
        let hosts = self.directory.index().hosts(service, self.cx.now);
        hosts.iter().map(|record| record.host).find(|host| *host != self.cx.me)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::client::ClientSession;

    #[test]
    fn a_manifest_that_nobody_has_is_asked_for_now_and_then() {
        use crate::cx::Signal;
        use crate::handover::hostile_tests::{host, other, record, service};
        use crate::io::Input;
        let (mut node, id, mut actions) = (host(), SessionId(1), Vec::new());
        let (now, record) = (node.cx.now, record());
        node.remove_hosted(service(), None);
        assert!(node.directory.learn(&node.cx, &mut node.net, &record));
        node.handle(now, Input::Rtt { peer: other(), micros: 40_000 });
        let (hosts, request, deadline) = (vec![other()], crate::id::RequestId(1), now + Millis::secs(60));
        let name = "counter@x".to_owned();
        let session =
            ClientSession::open(now, id, service(), name, true, hosts, request, deadline, &mut actions);
        node.sessions.insert(id, session);
        let mut known = Measured { there: Some(50.0), rate: 20.0, ..Measured::default() };
        let mut asked = |after: Millis| {
            node.cx.now = node.cx.now + after;
            assert_eq!(node.worth(service(), &mut known), None);
            let signals = std::iter::from_fn(|| node.cx.poll_signal());
            signals.filter(|signal| matches!(signal, Signal::Manifest(..))).count()
        };
        let counts: Vec<usize> = [0, 1_000, 8_999, 1, 1_000].map(|ms| asked(Millis(ms))).to_vec();
        assert_eq!(counts, [1, 0, 0, 1, 0], "every ten seconds");
    }
}
