//! Commands that need a service's record or host first: searches, what follows from them, and second looks.

use crate::handover::target::Wanted;
use crate::id::{PackageId, PeerId, RequestId, ServiceId, SessionId};
use crate::io::{Answer, Error, Lane, Query, Role};
use crate::manifest::StateKind;
use crate::node::Node;
use crate::registry::ServiceRecord;
use crate::session::client::ClientSession;
use crate::time::{Millis, Time};
use crate::wire::{Control, Step};

/// How long a service may take to arrive here.
pub(crate) const HOST_WITHIN: Millis = Millis::secs(60);
/// How long a service that nobody is known to serve is looked for.
pub(crate) const FIND_HOST_WITHIN: Millis = Millis::secs(3);
/// Commands that look again later.
pub(crate) const MAX_RETRIES: usize = 256;
/// Between two looks for a host that is not known, or cannot be reached.
const LOOK_AGAIN: Millis = Millis(500);
/// How long a handover waits for a change of its group.
const HAND_OVER_WITHIN: Millis = Millis::secs(10);
/// Sessions of one node as a consumer.
const MAX_SESSIONS: usize = 1024;

/// What a search is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    Find {
        request: RequestId,
        query: Query,
    },
    Open {
        request: RequestId,
        service: String,
        deadline: Time,
        /// Nobody that serves it is looked for after this.
        find_until: Time,
    },
    Host {
        requests: Vec<RequestId>,
        service: String,
        until: Time,
        find_until: Time,
    },
    /// Who serves a service that may come back here.
    Recall {
        service: ServiceId,
    },
    /// A package that the log of a service needs could not be had.
    Await {
        service: ServiceId,
        package: PackageId,
    },
    /// Its group is being changed.
    HandOver {
        service: ServiceId,
        to: PeerId,
        request: Option<RequestId>,
        until: Time,
    },
    /// Who serves a service of this node's own that is being published.
    Publish {
        package: PackageId,
    },
    Package {
        request: RequestId,
        service: String,
        files: bool,
    },
    Rate {
        request: RequestId,
        service: String,
        stars: u8,
    },
    /// Who else serves what is served here.
    Others,
    /// A session looks for its server.
    Hosts {
        session: SessionId,
    },
}

impl Node {
    /// A search ended; the index holds what is known.
    pub(crate) fn on_searched(&mut self, id: u64) {
        let complete = self.directory.take_ended(id);
        let now = self.cx.now;
        match self.searches.remove(&id) {
            None => {}
            Some(Purpose::Find { request, query }) => {
                let services = self.directory.index().search(&query, now);
                self.answer(request, Ok(Answer::Found { services, complete }));
            }
            Some(Purpose::Open { request, service, deadline, find_until }) => {
                self.open(request, &service, deadline, find_until);
            }
            Some(Purpose::Host { requests, service, until, find_until }) => {
                self.host(requests, service, until, find_until);
            }
            Some(Purpose::Publish { package }) => self.go_on_publishing(package),
            Some(Purpose::Recall { service }) => self.on_recall_searched(service),
            Some(Purpose::HandOver { .. } | Purpose::Await { .. } | Purpose::Others) => {}
            Some(Purpose::Package { request, service, files }) => {
                self.fetch_package(request, &service, files)
            }
            Some(Purpose::Rate { request, service, stars }) => {
                let rated = self.rate(&service, stars);
                self.answer(request, rated.map(|()| Answer::Done));
            }
            Some(Purpose::Hosts { session }) => {
                let Some(service) = self.sessions.get(&session).map(|session| session.service) else {
                    return;
                };
                let hosts = self.known_hosts(service);
                self.with_session(session, |session, _, _| session.on_hosts(&hosts));
            }
        }
    }

    /// Searches for a service unless its host is known already.
    pub(crate) fn look_up(&mut self, service: String, purpose: Purpose) {
        let (name, publisher) = match service.split_once('@') {
            Some((name, publisher)) => (name, publisher.parse::<PeerId>().ok()),
            None => (service.as_str(), None),
        };
        let id = publisher.map(|publisher| ServiceId::new(publisher, name));
        let known = id.is_some_and(|id| {
            self.directory.index().service(id, self.cx.now).is_some() && !self.known_hosts(id).is_empty()
        });
        // Without a relay nobody knows of all services: what is known here and alive is used at once.
        let alone = self.net.of_role(Role::Relay).next().is_none();
        let own = alone
            .then(|| self.directory.index().resolve(&service, self.cx.now).ok().map(ServiceRecord::service));
        let is_external =
            |id| self.directory.index().service(id, self.cx.now).is_some_and(|record| record.url.is_some());
        let known =
            known || own.flatten().is_some_and(|id| !self.known_hosts(id).is_empty() || is_external(id));
        let query = Query { name: Some(name.chars().take(64).collect()), ..Query::default() };
        if known {
            // Signalled like a search, so that there is one way on.
            let id = self.directory.no_search(&mut self.cx);
            self.searches.insert(id, purpose);
        } else {
            let id = self.directory.search(&mut self.cx, &mut self.net, query, id);
            self.searches.insert(id, purpose);
        }
    }

    /// Searches once more for a command whose time is not over.
    pub(crate) fn look_again(&mut self, purpose: Purpose) {
        let name = match &purpose {
            Purpose::Open { service, .. } | Purpose::Host { service, .. } => service.clone(),
            Purpose::HandOver { service, to, request, until } => {
                self.handovers_until = Some(*until);
                self.hand_over(*service, *to, *request);
                self.handovers_until = None;
                return;
            }
            Purpose::Await { service, package } => return self.get_package(*service, *package),
            _ => return,
        };
        self.look_up(name, purpose);
    }

    /// Tries a handover again in a moment. False when its time is over.
    pub(crate) fn hand_over_later(
        &mut self,
        service: ServiceId,
        to: PeerId,
        request: Option<RequestId>,
    ) -> bool {
        let until = self.handovers_until.unwrap_or(self.cx.now + HAND_OVER_WITHIN);
        self.later(Millis(100), until, Purpose::HandOver { service, to, request, until }).is_ok()
    }

    /// Lets a command look again after `wait`; `Err` gives it back when its time is over by then.
    pub(crate) fn later(&mut self, wait: Millis, until: Time, purpose: Purpose) -> Result<(), Purpose> {
        let at = self.cx.now + wait;
        if at >= until || self.retries.len() >= MAX_RETRIES {
            return Err(purpose);
        }
        self.retries.push_back((at, purpose));
        Ok(())
    }

    pub(crate) fn open(&mut self, request: RequestId, service: &str, deadline: Time, find_until: Time) {
        let record = match self.directory.index().resolve(service, self.cx.now) {
            Ok(record) => record,
            Err(error) => return self.answer(request, Err(error)),
        };
        let (id, name, stateless) = (record.service(), record.full_name(), record.state == StateKind::None);
        if record.url.is_some() {
            return self.open_external(request, id);
        }
        let hosts = self.known_hosts(id);
        if hosts.is_empty() {
            // It may be on its way from one host to the next, or its host's record on its way here.
            let again = Purpose::Open { request, service: service.to_owned(), deadline, find_until };
            if self.later(LOOK_AGAIN, find_until, again).is_err() {
                self.answer(request, Err(Error::NoServer(name)));
            }
            return;
        }
        if self.sessions.len() >= MAX_SESSIONS {
            let error = Error::Overloaded("this node has too many sessions".to_owned(), Millis::secs(5));
            return self.answer(request, Err(error));
        }
        let session = SessionId(u128::from(self.cx.random()) << 64 | u128::from(self.cx.random()));
        let mut actions = Vec::new();
        let opened = ClientSession::open(
            self.cx.now,
            session,
            id,
            name,
            stateless,
            hosts,
            request,
            deadline,
            &mut actions,
        );
        self.sessions.insert(session, opened);
        self.act(session, actions);
    }

    pub(crate) fn host(&mut self, requests: Vec<RequestId>, service: String, until: Time, find_until: Time) {
        let record = match self.directory.index().resolve(&service, self.cx.now) {
            Ok(record) => record,
            Err(error) => return self.answer_all(requests, Err(error)),
        };
        let (id, name, package) = (record.service(), record.full_name(), record.package);
        let (stateless, own) = (record.state == StateKind::None, record.publisher == self.cx.me);
        if let Some(error) = crate::external::hosted_by_nobody(record) {
            return self.answer_all(requests, Err(error));
        }
        if !record.hosts_permit(&self.cx.me) {
            let error = Error::NotPermitted(format!("{name} does not permit this host"));
            return self.answer_all(requests, Err(error));
        }
        self.placement.keep(id);
        if self.hosted.get(&id).is_some_and(|hosted| hosted.is_serving()) {
            return self.answer_all(requests, Ok(Answer::Done));
        }
        let (on_its_way, mut others) =
            requests.into_iter().partition::<Vec<_>, _>(|request| self.targets.want_too(&id, *request));
        if !on_its_way.is_empty() && others.is_empty() {
            return;
        }
        let publisher = record.publisher;
        let hosts = self.known_hosts(id);
        if stateless || (own && hosts.is_empty()) {
            let providers = if hosts.is_empty() { vec![publisher] } else { hosts };
            let request = others.swap_remove(0);
            if self.pulls.contains_key(&package) {
                let error =
                    Error::Overloaded("the service is on its way already".to_owned(), Millis::secs(1));
                return self.answer(request, Err(error));
            }
            self.pulls.insert(package, (Some(request), id));
            return self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
        }
        let Some(from) = hosts.first().copied() else {
            let again = Purpose::Host { requests: others, service, until, find_until };
            if let Err(Purpose::Host { requests, .. }) = self.later(LOOK_AGAIN, find_until, again) {
                self.answer_all(requests, Err(Error::NoServer(name)));
            }
            return;
        };
        let wanted = Wanted { requests: others, name: service, from, until };
        let want = Control::Handover { service: id, id: self.cx.random_id(), step: Step::Want };
        if self.net.send_or_dial(&mut self.cx, from, Lane::Control, &want) {
            self.targets.want(id, wanted);
        } else {
            self.host_later(LOOK_AGAIN, wanted);
        }
    }

    /// Asks for a service again after `wait`.
    pub(crate) fn host_later(&mut self, wait: Millis, wanted: Wanted) {
        let Wanted { requests, name, until, .. } = wanted;
        let find_until = until.min(self.cx.now + wait + FIND_HOST_WITHIN);
        let again = Purpose::Host { requests, service: name, until, find_until };
        if let Err(Purpose::Host { requests, service, .. }) = self.later(wait, until, again) {
            self.answer_all(requests, Err(Error::NoServer(service)));
        }
    }

    /// Who serves, the highest authority first; this node itself where it does.
    pub(crate) fn known_hosts(&self, service: ServiceId) -> Vec<PeerId> {
        if self.hosted.get(&service).is_some_and(|hosted| hosted.is_serving()) {
            return vec![self.cx.me];
        }
        let moved = self.moved.get(&service).map(|moved| moved.to);
        let hosts = self.directory.index().hosts(service, self.cx.now);
        let hosts = hosts.iter().map(|record| record.host).filter(|host| *host != self.cx.me);
        let mut found: Vec<PeerId> = moved.into_iter().collect();
        found.extend(hosts.filter(|host| Some(*host) != moved));
        found
    }
}
