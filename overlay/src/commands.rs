//! What a person or program asks of the node.

use std::collections::BTreeMap;

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
    },
    Host {
        request: RequestId,
        service: String,
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
                self.look_up(service.clone(), Purpose::Open { request, service, deadline });
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
            Command::Host { service } => self.look_up(service.clone(), Purpose::Host { request, service }),
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
            Some(Purpose::Open { request, service, deadline }) => self.open(request, &service, deadline),
            Some(Purpose::Host { request, service }) => self.host(request, &service),
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
            let founded = result.clone().and_then(|()| self.found(package, record, 1));
            match founded {
                Ok(service) => {
                    let until = self.cx.now + HOST_WITHIN;
                    self.targets.want(service, Wanted { request, from: self.cx.me, until });
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
            let text = "the service did not arrive in time".to_owned();
            self.answer(wanted.request, Err(Error::Deadline(text)));
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
        Self::check_state_kind(manifest.state)?;
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
        let (service, name, id) = (package.service(), package.full_name(), package.id);
        if self.publishing.values().any(|publishing| publishing.service == service) {
            return Err(Error::Overloaded("this service is being published already".to_owned()));
        }
        self.packages.learn(&mut self.cx, &json, &signature).map_err(Error::Overloaded)?;
        let known = self.directory.index().service(service, self.cx.now);
        // Epochs rise: what is founded again after its hosts were lost must outrank what consumers remember.
        let epoch = if known.is_some() { self.cx.now.0 / 1000 } else { 1 };
        let sequence = known.map_or(0, |record| record.sequence + 1).max(self.cx.now.0);
        let record = ServiceRecord {
            name: package.manifest.name.clone(),
            publisher: self.cx.me,
            sequence,
            package: id,
            version: package.manifest.version.clone(),
            description: package.manifest.description.clone(),
            tags: package.manifest.tags.clone(),
            state: package.manifest.state,
            location: package.manifest.location,
            has_ui: package.manifest.ui.is_some(),
            hosts: package.manifest.hosts.clone(),
            genesis: Genesis { host: self.cx.me, machine_version: MACHINE_VERSION },
            created: self.cx.now,
            expires: self.cx.now + SERVICE_LIFETIME,
            withdrawn: false,
        };
        let record = record.encode(&self.secret).map_err(|error| invalid(error.to_string()))?;
        self.publishing.insert(id, Publishing { request, service, name, record, epoch });
        self.packages.prepare(&mut self.cx, &mut self.net, id, &[]);
        Ok(())
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

    fn open(&mut self, request: RequestId, service: &str, deadline: Time) {
        let record = match self.directory.index().resolve(service, self.cx.now) {
            Ok(record) => record,
            Err(error) => return self.answer(request, Err(error)),
        };
        let (id, name, stateless) = (record.service(), record.full_name(), record.state == StateKind::None);
        let hosts = self.known_hosts(id);
        if hosts.is_empty() {
            return self.answer(request, Err(Error::NoServer(name)));
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

    fn host(&mut self, request: RequestId, service: &str) {
        let record = match self.directory.index().resolve(service, self.cx.now) {
            Ok(record) => record,
            Err(error) => return self.answer(request, Err(error)),
        };
        let (id, name, package) = (record.service(), record.full_name(), record.package);
        let (stateless, own) = (record.state == StateKind::None, record.publisher == self.cx.me);
        if !record.hosts_permit(&self.cx.me) {
            let error = Error::NotPermitted(format!("{name} does not permit this host"));
            return self.answer(request, Err(error));
        }
        if self.hosted.get(&id).is_some_and(|hosted| hosted.is_serving()) {
            return self.answer(request, Ok(Answer::Done));
        }
        let hosts = self.known_hosts(id);
        if stateless || (own && hosts.is_empty()) {
            let providers = if hosts.is_empty() { vec![record.publisher] } else { hosts };
            self.pulls.insert(package, (request, id));
            return self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
        }
        let Some(from) = hosts.first().copied() else {
            return self.answer(request, Err(Error::NoServer(name)));
        };
        self.targets.want(id, Wanted { request, from, until: self.cx.now + HOST_WITHIN });
        let want = Control::Handover { service: id, id: self.cx.random_id(), step: Step::Want };
        if !self.net.send_or_dial(&mut self.cx, from, Lane::Control, &want) {
            self.targets.take_wanted(&id);
            self.answer(request, Err(Error::NoServer(name)));
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
        self.leaving = Some(Leaving { request, until: self.cx.now + LEAVE_WITHIN });
        let volunteers: Vec<PeerId> = self
            .net
            .peers()
            .filter(|(_, peer)| peer.hello.as_ref().is_some_and(|hello| hello.volunteer))
            .map(|(id, _)| id)
            .collect();
        let serving: Vec<ServiceId> =
            self.hosted.iter().filter(|(_, hosted)| hosted.is_serving()).map(|(id, _)| *id).collect();
        for (service, to) in serving.into_iter().zip(volunteers.iter().cycle()) {
            self.hand_over(service, *to, None);
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
        self.answer(leaving.request, Ok(Answer::Done));
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
    fn known_hosts(&self, service: ServiceId) -> Vec<PeerId> {
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
