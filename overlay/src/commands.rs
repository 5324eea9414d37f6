//! What a person or program asks of the node.

use std::collections::{BTreeMap, BTreeSet};

use crate::handover::target::Wanted;
use crate::id::{BlobId, PackageId, PeerId, RequestId, ServiceId, SessionId};
use crate::instance::machine::MACHINE_VERSION;
use crate::io::{Answer, Command, Error, Event, Lane, Output, Path, Query, Role, SessionInfo, MAX_BODY};
use crate::manifest::{self, Manifest, StateKind};
use crate::node::{Leaving, Node};
use crate::registry::{Genesis, ServiceRecord, SERVICE_LIFETIME};
use crate::session::client::{Action, ClientSession};
use crate::time::{Millis, Time};
use crate::wire::{ClientFrame, Control, SessionFrame, Step};

const OPEN_WITHIN: Millis = Millis::secs(10);
const CALL_WITHIN: Millis = Millis::secs(30);
const HOST_WITHIN: Millis = Millis::secs(60);
const LEAVE_WITHIN: Millis = Millis::secs(10);
/// Sessions of one node as a consumer.
const MAX_SESSIONS: usize = 1024;
/// Commands that look again later.
const MAX_RETRIES: usize = 256;
/// How long a handover waits for a change of its group.
const HAND_OVER_WITHIN: Millis = Millis::secs(10);
/// Between two looks for a host that is not known, or cannot be reached.
const LOOK_AGAIN: Millis = Millis(500);
/// How long a service that nobody is known to serve is looked for.
const FIND_HOST_WITHIN: Millis = Millis::secs(3);
/// From this length of the chain of hosts on, the publisher's next record names the present one as genesis.
const RENEW_GENESIS: usize = 8;
/// `package` commands under way.
const MAX_PACKAGE_REQUESTS: usize = 64;

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
    },
    /// A session looks for its server.
    Hosts {
        session: SessionId,
    },
}

/// A `publish` command under way.
#[derive(Debug)]
pub(crate) struct Publishing {
    request: RequestId,
    service: ServiceId,
    name: String,
    record: Vec<u8>,
    epoch: u64,
}

/// A `package` command under way.
#[derive(Debug)]
pub(crate) struct PackageRequest {
    request: RequestId,
    package: PackageId,
    providers: Vec<PeerId>,
    files: BTreeMap<String, Option<Vec<u8>>>,
}

impl Node {
    pub(crate) fn on_command(&mut self, request: RequestId, command: Command) {
        match command {
            Command::Publish { manifest, module, ui } => {
                if let Err(error) = self.publish(request, &manifest, &module, ui) {
                    self.answer(request, Err(error));
                }
            }
            Command::Find(query) => {
                // A relay's own index is what others ask.
                let id = match self.role {
                    Role::Relay => self.directory.no_search(&mut self.cx),
                    Role::Tab => self.directory.search(&mut self.cx, &mut self.net, query.clone(), None),
                };
                self.searches.insert(id, Purpose::Find { request, query });
            }
            Command::Open { service, deadline_ms } => {
                let deadline = self.deadline(deadline_ms, OPEN_WITHIN);
                let find_until = deadline.min(self.cx.now + FIND_HOST_WITHIN);
                let open = Purpose::Open { request, service: service.clone(), deadline, find_until };
                self.look_up(service, open);
            }
            Command::Call { session, method, body, deadline_ms } => {
                let deadline = self.deadline(deadline_ms, CALL_WITHIN);
                let check = check_call(&method, &body);
                self.in_session(request, session, check, |s, _, out| {
                    s.call(request, deadline, method, body, out);
                });
            }
            Command::Query { session, method, body, deadline_ms } => {
                let deadline = self.deadline(deadline_ms, CALL_WITHIN);
                let check = check_call(&method, &body);
                self.in_session(request, session, check, |s, _, out| {
                    s.query(request, deadline, method, body, out);
                });
            }
            Command::Message { session, body } => {
                let check = check_size(body.len(), MAX_BODY);
                self.in_session(request, session, check, |s, _, out| s.message(request, body, out));
            }
            Command::Datagram { session, body } => {
                let check = check_size(body.len(), 1200);
                self.in_session(request, session, check, |s, _, out| {
                    s.datagram(body, out);
                    out.push(Action::Answer(request, Ok(Answer::Done)));
                });
            }
            Command::Close { session } => {
                self.in_session(request, session, Ok(()), |s, _, out| {
                    s.close(out);
                    out.push(Action::Answer(request, Ok(Answer::Done)));
                });
            }
            Command::Volunteer(policy) => {
                self.set_policy(policy);
                self.answer(request, Ok(Answer::Done));
            }
            Command::Host { service } => {
                let until = self.cx.now + HOST_WITHIN;
                let (requests, find_until) = (vec![request], self.cx.now + FIND_HOST_WITHIN);
                let host = Purpose::Host { requests, service: service.clone(), until, find_until };
                self.look_up(service, host);
            }
            Command::Handover { service, to } => match self.hosted_service(&service) {
                Ok(service) => self.hand_over(service, to, Some(request)),
                Err(error) => self.answer(request, Err(error)),
            },
            Command::Package { service } => {
                self.look_up(service.clone(), Purpose::Package { request, service });
            }
            Command::Drop { service } => match self.hosted_service(&service) {
                Ok(service) => {
                    self.remove_hosted(service, None);
                    self.answer(request, Ok(Answer::Done));
                }
                Err(error) => self.answer(request, Err(error)),
            },
            Command::Leave => self.leave(request),
        }
    }

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
            Some(Purpose::HandOver { .. }) => {}
            Some(Purpose::Package { request, service }) => self.fetch_package(request, &service),
            Some(Purpose::Hosts { session }) => {
                let Some(service) = self.sessions.get(&session).map(|session| session.service) else {
                    return;
                };
                let hosts = self.known_hosts(service);
                self.with_session(session, |session, _, _| session.on_hosts(&hosts));
            }
        }
    }

    pub(crate) fn on_manifest(&mut self, package: PackageId, result: Result<(), String>) {
        self.on_awaited(package, &result, false);
        if let Some(service) = self.upgrading.get(&package).copied() {
            let fits = result.clone().and_then(|()| self.check_fit(package, true));
            match fits {
                Ok(()) => {
                    let hosts = self.known_hosts(service);
                    self.packages.prepare(&mut self.cx, &mut self.net, package, &hosts);
                }
                Err(reason) => self.on_upgrade_failed(package, &reason),
            }
        }
        if let Some((request, service)) = self.pulls.get(&package).copied() {
            match result.clone().and_then(|()| self.check_fit(package, true)) {
                Ok(()) => {
                    let hosts = self.known_hosts(service);
                    self.packages.prepare(&mut self.cx, &mut self.net, package, &hosts);
                }
                Err(reason) => {
                    self.pulls.remove(&package);
                    self.answer(request, Err(Error::Refused(reason)));
                }
            }
        }
        let waiting: Vec<usize> = (0..self.package_requests.len())
            .rev()
            .filter(|at| self.package_requests[*at].package == package)
            .collect();
        for at in waiting {
            let wanted = self.package_requests.swap_remove(at);
            match &result {
                Ok(()) => self.fetch_files(wanted),
                Err(reason) => self.answer(wanted.request, Err(no_package(reason))),
            }
        }
    }

    pub(crate) fn on_prepared(&mut self, package: PackageId, result: Result<(), String>) {
        self.targets.on_prepared(&mut self.cx, &mut self.net, package, &result);
        self.on_awaited(package, &result, true);
        if let Some(service) = self.upgrading.get(&package).copied() {
            let done = result.clone().and_then(|()| self.propose_upgrade(service, package));
            match done {
                Ok(()) => {
                    self.upgrading.remove(&package);
                }
                Err(reason) => self.on_upgrade_failed(package, &reason),
            }
        }
        if let Some((request, service)) = self.pulls.remove(&package) {
            let record =
                self.directory.index().service_bytes(service).map(<[u8]>::to_vec).unwrap_or_default();
            let founded = result.clone().and_then(|()| self.found_again(package, record));
            match founded {
                Ok(service) => {
                    let (until, name) = (self.cx.now + HOST_WITHIN, String::new());
                    let wanted = Wanted { requests: vec![request], name, from: self.cx.me, until };
                    self.targets.want(service, wanted);
                }
                Err(reason) => self.answer(request, Err(Error::Refused(reason))),
            }
        }
        let Some(publishing) = self.publishing.get(&package) else { return };
        let (service, record, epoch) = (publishing.service, publishing.record.clone(), publishing.epoch);
        let founded = match result {
            Err(reason) => Err(reason),
            Ok(()) if self.hosted.contains_key(&service) => {
                self.directory.learn(&self.cx, &mut self.net, &record);
                let upgraded = self.propose_upgrade(service, package);
                if upgraded.is_ok() {
                    self.on_published(service);
                }
                upgraded
            }
            // Somebody else serves it: the new record reaches them through the relays.
            Ok(()) if !self.known_hosts(service).is_empty() => {
                self.directory.learn(&self.cx, &mut self.net, &record);
                self.directory.push_to_relays(&mut self.cx, &mut self.net, vec![record], None);
                self.on_published(service);
                Ok(())
            }
            Ok(()) => self.found(package, record, epoch).map(|_| ()),
        };
        if let Err(reason) = founded {
            self.fail_publish(service, &reason);
        }
    }

    /// A blob that a `package` command may wait for.
    pub(crate) fn on_package_blob(&mut self, blob: BlobId, result: &Result<Vec<u8>, String>) {
        let mut at = 0;
        while at < self.package_requests.len() {
            let wanted = &mut self.package_requests[at];
            let Some(known) = self.packages.get(&wanted.package) else {
                at += 1;
                continue;
            };
            let paths = known.package.files.iter().filter(|(_, file)| file.hash == blob);
            let mut failed = None;
            for (path, _) in paths {
                match result {
                    Ok(bytes) => {
                        if let Some(slot) = wanted.files.get_mut(path) {
                            *slot = Some(bytes.clone());
                        }
                    }
                    Err(reason) => failed = Some(reason.clone()),
                }
            }
            let complete = !wanted.files.is_empty() && wanted.files.values().all(Option::is_some);
            if complete || failed.is_some() {
                let wanted = self.package_requests.swap_remove(at);
                match failed {
                    Some(reason) => self.answer(wanted.request, Err(no_package(&reason))),
                    None => self.answer_package(wanted),
                }
            } else {
                at += 1;
            }
        }
    }

    /// A service that was being published serves: say so, and tell the world.
    pub(crate) fn on_published(&mut self, service: ServiceId) {
        let package = self.publishing.iter().find(|(_, p)| p.service == service).map(|(id, _)| *id);
        let Some(publishing) = package.and_then(|package| self.publishing.remove(&package)) else { return };
        self.published.insert(service);
        self.renew_records();
        self.answer(publishing.request, Ok(Answer::Service(publishing.name)));
    }

    /// A service stopped; true when it was being published, whose command is answered.
    pub(crate) fn fail_publish(&mut self, service: ServiceId, reason: &str) -> bool {
        let package = self.publishing.iter().find(|(_, p)| p.service == service).map(|(id, _)| *id);
        let Some(publishing) = package.and_then(|package| self.publishing.remove(&package)) else {
            return false;
        };
        self.answer(publishing.request, Err(Error::InvalidPackage(reason.to_owned())));
        true
    }

    /// A service left this node: `leave` may be done.
    pub(crate) fn on_left(&mut self) {
        let serving = self.hosted.values().any(|hosted| hosted.source.is_some());
        if self.leaving.is_some() && !serving {
            self.finish_leaving();
        }
    }

    pub(crate) fn fail_late_commands(&mut self) {
        for (_, wanted) in self.targets.late_wanted(self.cx.now) {
            let error = Error::Deadline("the service did not arrive in time".to_owned());
            self.answer_all(wanted.requests, Err(error));
        }
        let now = self.cx.now;
        for _ in 0..self.retries.len() {
            match self.retries.pop_front() {
                Some((at, purpose)) if at <= now => self.look_again(purpose),
                Some(later) => self.retries.push_back(later),
                None => {}
            }
        }
        if self.leaving.as_ref().is_some_and(|leaving| leaving.until <= self.cx.now) {
            self.finish_leaving();
        }
    }

    /// Runs `step` on a session and does what it wants done.
    pub(crate) fn with_session(
        &mut self,
        id: SessionId,
        step: impl FnOnce(&mut ClientSession, Time, &mut Vec<Action>),
    ) {
        let mut actions = Vec::new();
        let now = self.cx.now;
        if let Some(session) = self.sessions.get_mut(&id) {
            step(session, now, &mut actions);
        }
        self.act(id, actions);
    }

    pub(crate) fn session_info(&self, session: &ClientSession) -> SessionInfo {
        let (server, epoch, term) = session.authority();
        SessionInfo {
            id: session.id.to_string(),
            service: session.name.clone(),
            server: server.to_string(),
            epoch,
            term,
            path: self.net.peer(&server).map_or(Path::Direct, |peer| peer.path),
        }
    }

    fn act(&mut self, id: SessionId, actions: Vec<Action>) {
        let mut unreachable = None;
        for action in actions {
            match action {
                Action::Send(peer, body) => {
                    let Some(session) = self.sessions.get_mut(&id) else { continue };
                    let frame = ClientFrame {
                        service: session.service,
                        session: session.wire_id(),
                        ack: session.ack(),
                        body,
                    };
                    let frame = SessionFrame::Client(frame);
                    if !self.net.send_or_dial(&mut self.cx, peer, Lane::Session, &frame) {
                        unreachable = Some(peer);
                    }
                }
                Action::Connect(peer) => {
                    self.net.connect(&mut self.cx, peer);
                }
                Action::Answer(request, result) => self.answer(request, result),
                Action::Event(event) => self.cx.event(event),
                Action::Opened(request) => {
                    if let Some(session) = self.sessions.get(&id) {
                        let info = self.session_info(session);
                        self.answer(request, Ok(Answer::Opened(info)));
                    }
                }
                Action::Moved => {
                    if let Some(session) = self.sessions.get(&id) {
                        let info = self.session_info(session);
                        self.cx.event(Event::Moved(info));
                    }
                }
                Action::Lookup => {
                    let Some(session) = self.sessions.get(&id) else { continue };
                    let (name, service) =
                        (session.name.split('@').next().map(str::to_owned), session.service);
                    let query = Query { name, ..Query::default() };
                    let search = self.directory.search(&mut self.cx, &mut self.net, query, Some(service));
                    self.searches.insert(search, Purpose::Hosts { session: id });
                }
                Action::Ended => {
                    self.sessions.remove(&id);
                }
            }
        }
        if let Some(peer) = unreachable {
            // At most one level: seeking sends only to others, and at most four times a second.
            let mut actions = Vec::new();
            if let Some(session) = self.sessions.get_mut(&id) {
                session.on_unreachable(self.cx.now, peer, &mut actions);
            }
            if !actions.is_empty() {
                self.act(id, actions);
            }
        }
    }

    fn in_session(
        &mut self,
        request: RequestId,
        id: SessionId,
        check: Result<(), Error>,
        step: impl FnOnce(&mut ClientSession, Time, &mut Vec<Action>),
    ) {
        match (check, self.sessions.contains_key(&id)) {
            (Err(error), _) => self.answer(request, Err(error)),
            (_, false) => {
                let error = Error::Disconnected("the session is closed".to_owned());
                self.answer(request, Err(error));
            }
            _ => self.with_session(id, step),
        }
    }

    fn publish(
        &mut self,
        request: RequestId,
        json: &[u8],
        module: &[u8],
        ui: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Error> {
        let invalid = |reason: String| Error::InvalidPackage(reason);
        let manifest = Manifest::parse_author(json).map_err(|error| invalid(error.to_string()))?;
        if module.len() as u64 > manifest::MAX_MODULE {
            return Err(invalid(format!(
                "the module has {} bytes, more than {}",
                module.len(),
                manifest::MAX_MODULE
            )));
        }
        let files = ui.iter().map(|(path, bytes)| (path.clone(), manifest::file_ref(bytes))).collect();
        let signed = manifest::sign(&manifest, manifest::file_ref(module), files, &self.secret);
        let (json, signature, package) = signed.map_err(|error| invalid(error.to_string()))?;
        for bytes in std::iter::once(module).chain(ui.iter().map(|(_, bytes)| bytes.as_slice())) {
            self.packages.add_file(bytes).map_err(Error::Overloaded)?;
        }
        let (service, id) = (package.service(), package.id);
        if self.publishing.values().any(|publishing| publishing.service == service) {
            return Err(Error::Overloaded("this service is being published already".to_owned()));
        }
        self.packages.learn(&mut self.cx, &json, &signature).map_err(Error::Overloaded)?;
        let (name, short) = (package.full_name(), package.manifest.name.clone());
        let record = Vec::new();
        self.publishing.insert(id, Publishing { request, service, name, record, epoch: 1 });
        // It may run in others' tabs already, though this one knows nothing of it (a reloaded page): what is published
        // now is then its next version, not another service of the same name.
        let query = Query { name: Some(short), ..Query::default() };
        let search = self.directory.search(&mut self.cx, &mut self.net, query, Some(service));
        self.searches.insert(search, Purpose::Publish { package: id });
        Ok(())
    }

    /// Who serves the service is known as well as it can be: signs its record and prepares its module.
    fn go_on_publishing(&mut self, id: PackageId) {
        let Some(service) = self.publishing.get(&id).map(|publishing| publishing.service) else { return };
        let known = self.directory.index().service(service, self.cx.now).is_some();
        match self.sign_record(id) {
            Err(reason) => {
                self.fail_publish(service, &reason);
            }
            Ok(record) => {
                if let Some(publishing) = self.publishing.get_mut(&id) {
                    publishing.record = record;
                    // Epochs rise: what is founded again after its hosts were lost must outrank what consumers remember.
                    publishing.epoch = if known { self.cx.now.0 / 1000 } else { 1 };
                }
                self.packages.prepare(&mut self.cx, &mut self.net, id, &[]);
            }
        }
    }

    /// The record of a service of this node's own, for a package that is known here.
    fn sign_record(&self, id: PackageId) -> Result<Vec<u8>, String> {
        let package = &self.packages.get(&id).ok_or("the package is not known")?.package;
        let (service, now) = (package.service(), self.cx.now);
        let known = self.directory.index().service(service, now);
        // Served elsewhere it stays whose it is: the chain of its hosts begins where it began, or, grown long, now.
        let hosts = self.directory.index().hosts(service, now);
        let long = hosts.first().filter(|host| host.succession.links.len() >= RENEW_GENESIS);
        let genesis = match known.filter(|_| self.hosted.contains_key(&service) || !hosts.is_empty()) {
            Some(known) => long.map_or(known.genesis.host, |host| host.host),
            None => self.cx.me,
        };
        let record = ServiceRecord {
            name: package.manifest.name.clone(),
            publisher: self.cx.me,
            sequence: known.map_or(0, |record| record.sequence + 1).max(now.0),
            package: id,
            version: package.manifest.version.clone(),
            description: package.manifest.description.clone(),
            tags: package.manifest.tags.clone(),
            state: package.manifest.state,
            location: package.manifest.location,
            has_ui: package.manifest.ui.is_some(),
            hosts: package.manifest.hosts.clone(),
            genesis: Genesis { host: genesis, machine_version: MACHINE_VERSION },
            created: now,
            expires: now + SERVICE_LIFETIME,
            withdrawn: false,
        };
        record.encode(&self.secret).map_err(|error| error.to_string())
    }

    /// Serves here what nobody serves: a stateless service of anybody, or one of this node's own, whose state is lost.
    fn found_again(&mut self, package: PackageId, record: Vec<u8>) -> Result<ServiceId, String> {
        let known = self.packages.get(&package).ok_or("the package is not known")?;
        if known.package.manifest.state == StateKind::None {
            return self.found(package, record, 1);
        }
        let record = self.sign_record(package)?;
        self.directory.learn(&self.cx, &mut self.net, &record);
        self.found(package, record, self.cx.now.0 / 1000)
    }

    /// Searches for a service unless its host is known already.
    fn look_up(&mut self, service: String, purpose: Purpose) {
        let (name, publisher) = match service.split_once('@') {
            Some((name, publisher)) => (name, publisher.parse::<PeerId>().ok()),
            None => (service.as_str(), None),
        };
        let id = publisher.map(|publisher| ServiceId::new(publisher, name));
        let known = id.is_some_and(|id| {
            self.directory.index().service(id, self.cx.now).is_some() && !self.known_hosts(id).is_empty()
        });
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
    fn look_again(&mut self, purpose: Purpose) {
        let name = match &purpose {
            Purpose::Open { service, .. } | Purpose::Host { service, .. } => service.clone(),
            Purpose::HandOver { service, to, request, until } => {
                self.handovers_until = Some(*until);
                self.hand_over(*service, *to, *request);
                self.handovers_until = None;
                return;
            }
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
    fn later(&mut self, wait: Millis, until: Time, purpose: Purpose) -> Result<(), Purpose> {
        let at = self.cx.now + wait;
        if at >= until || self.retries.len() >= MAX_RETRIES {
            return Err(purpose);
        }
        self.retries.push_back((at, purpose));
        Ok(())
    }

    fn open(&mut self, request: RequestId, service: &str, deadline: Time, find_until: Time) {
        let record = match self.directory.index().resolve(service, self.cx.now) {
            Ok(record) => record,
            Err(error) => return self.answer(request, Err(error)),
        };
        let (id, name, stateless) = (record.service(), record.full_name(), record.state == StateKind::None);
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
            let error = Error::Overloaded("this node has too many sessions".to_owned());
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

    fn host(&mut self, requests: Vec<RequestId>, service: String, until: Time, find_until: Time) {
        let record = match self.directory.index().resolve(&service, self.cx.now) {
            Ok(record) => record,
            Err(error) => return self.answer_all(requests, Err(error)),
        };
        let (id, name, package) = (record.service(), record.full_name(), record.package);
        let (stateless, own) = (record.state == StateKind::None, record.publisher == self.cx.me);
        if !record.hosts_permit(&self.cx.me) {
            let error = Error::NotPermitted(format!("{name} does not permit this host"));
            return self.answer_all(requests, Err(error));
        }
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
                let error = Error::Overloaded("the service is on its way already".to_owned());
                return self.answer(request, Err(error));
            }
            self.pulls.insert(package, (request, id));
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

    fn fetch_package(&mut self, request: RequestId, service: &str) {
        let record = match self.directory.index().resolve(service, self.cx.now) {
            Ok(record) => record,
            Err(error) => return self.answer(request, Err(error)),
        };
        let (package, publisher, id) = (record.package, record.publisher, record.service());
        if self.package_requests.len() >= MAX_PACKAGE_REQUESTS {
            let error = Error::Overloaded("too many packages are being fetched".to_owned());
            return self.answer(request, Err(error));
        }
        let mut providers = self.known_hosts(id);
        providers.push(publisher);
        providers.reverse();
        let wanted =
            PackageRequest { request, package, providers: providers.clone(), files: BTreeMap::new() };
        self.package_requests.push(wanted);
        self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
    }

    fn fetch_files(&mut self, mut wanted: PackageRequest) {
        let Some(known) = self.packages.get(&wanted.package) else { return };
        let files: Vec<_> = known.package.files.iter().map(|(path, file)| (path.clone(), *file)).collect();
        wanted.files = files.iter().map(|(path, _)| (path.clone(), None)).collect();
        if files.is_empty() {
            return self.answer_package(wanted);
        }
        let providers = wanted.providers.clone();
        self.package_requests.push(wanted);
        for (_, file) in files {
            self.packages.fetch(&mut self.cx, &mut self.net, file.hash, file.size, &providers);
        }
    }

    fn answer_package(&mut self, wanted: PackageRequest) {
        let Some(known) = self.packages.get(&wanted.package) else { return };
        let manifest = known.json.clone();
        let ui = wanted.files.into_iter().map(|(path, bytes)| (path, bytes.unwrap_or_default())).collect();
        self.answer(wanted.request, Ok(Answer::Package { manifest, ui }));
    }

    fn leave(&mut self, request: RequestId) {
        if let Some(leaving) = &mut self.leaving {
            if leaving.requests.len() < MAX_RETRIES {
                leaving.requests.push(request);
            } else {
                self.answer(request, Err(Error::Overloaded("this node is leaving".to_owned())));
            }
            return;
        }
        self.leaving = Some(Leaving { requests: vec![request], until: self.cx.now + LEAVE_WITHIN });
        let volunteers: Vec<PeerId> = self
            .net
            .peers()
            .filter(|(_, peer)| peer.hello.as_ref().is_some_and(|hello| hello.volunteer))
            .map(|(id, _)| id)
            .collect();
        let serving = self.hosted.iter().filter(|(_, hosted)| hosted.is_serving());
        let serving: Vec<(ServiceId, Option<PeerId>)> =
            serving.map(|(id, hosted)| (*id, hosted.best_replica(&self.cx, &self.net))).collect();
        for (n, (service, replica)) in serving.into_iter().enumerate() {
            let volunteer = volunteers.get(n.checked_rem(volunteers.len()).unwrap_or(0)).copied();
            if let Some(to) = replica.or(volunteer) {
                self.hand_over(service, to, None);
            }
        }
        if !self.hosted.values().any(|hosted| hosted.source.is_some()) {
            self.finish_leaving();
        }
    }

    fn finish_leaving(&mut self) {
        let Some(leaving) = self.leaving.take() else { return };
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.with_session(id, |session, _, out| session.close(out));
        }
        self.answer_all(leaving.requests, Ok(Answer::Done));
    }

    fn on_upgrade_failed(&mut self, package: PackageId, reason: &str) {
        self.upgrading.remove(&package);
        let message = format!("a newer version of a service cannot run here: {reason}");
        self.cx.event(Event::Error { code: "refused".to_owned(), message });
    }

    /// A hosted service by name, or `name@publisher`.
    fn hosted_service(&self, text: &str) -> Result<ServiceId, Error> {
        let named = |name: &str| name == text || name.split('@').next() == Some(text);
        let mut found = self.hosted.values().filter(|hosted| named(&hosted.name));
        match (found.next(), found.next()) {
            (None, _) => Err(Error::NotFound(format!("{text} here"))),
            (Some(one), None) => Ok(one.service),
            (Some(one), Some(other)) => Err(Error::Ambiguous(vec![one.name.clone(), other.name.clone()])),
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

    fn deadline(&self, ms: u64, default: Millis) -> Time {
        self.cx.now + if ms == 0 { default } else { Millis(ms.min(3_600_000)) }
    }

    /// The packages that something here runs, founds, takes over or replaces.
    pub(crate) fn used_packages(&self) -> BTreeSet<PackageId> {
        let hosted = self.hosted.values().filter_map(|hosted| hosted.package);
        let running = self.hosted.values().filter_map(|hosted| hosted.instance.as_ref());
        let running = running.flat_map(|instance| instance.packages());
        let coming = self.targets.coming().map(|(_, package)| package);
        let own = self.publishing.keys().chain(self.pulls.keys()).chain(self.upgrading.keys());
        let own = own.chain(self.awaited.keys()).copied();
        hosted.chain(running).chain(coming).chain(own).collect()
    }

    fn answer_all(&mut self, requests: Vec<RequestId>, result: Result<Answer, Error>) {
        for request in requests {
            self.answer(request, result.clone());
        }
    }

    fn answer(&mut self, request: RequestId, result: Result<Answer, Error>) {
        self.cx.put(Output::Answer { request, result });
    }
}

/// A package's manifest or files could not be had.
fn no_package(reason: &str) -> Error {
    Error::NoServer(format!("its package ({reason})"))
}

fn check_call(method: &str, body: &[u8]) -> Result<(), Error> {
    check_size(method.len(), 256)?;
    check_size(body.len(), MAX_BODY)
}

fn check_size(size: usize, most: usize) -> Result<(), Error> {
    if size > most {
        return Err(Error::Refused(format!("{size} bytes are too many; at most {most} are allowed")));
    }
    Ok(())
}
