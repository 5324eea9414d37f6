//! What a person or program asks of the node.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{BlobId, PackageId, PeerId, RequestId, ServiceId};
use crate::io::{Answer, Command, Error, Output, Role, MAX_BODY, MAX_DATAGRAM};
use crate::lookup::{Purpose, FIND_HOST_WITHIN, HOST_WITHIN};
use crate::node::Node;
use crate::registry::{RatingRecord, RATING_LIFETIME};
use crate::session::client::Action;
use crate::time::{Millis, Time};

const OPEN_WITHIN: Millis = Millis::secs(10);
const CALL_WITHIN: Millis = Millis::secs(30);
/// `package` commands under way.
const MAX_PACKAGE_REQUESTS: usize = 64;

/// A `publish` command under way.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) request: RequestId,
    pub(crate) service: ServiceId,
    pub(crate) name: String,
    pub(crate) record: Vec<u8>,
    pub(crate) epoch: u64,
    /// When it was put into the log of the running service.
    pub(crate) proposed: Option<Time>,
    /// Whom it was told who serve elsewhere.
    pub(crate) asked: Option<crate::acceptance::Asked>,
}

/// A `package` command under way.
#[derive(Debug)]
pub(crate) struct PackageRequest {
    pub(crate) request: RequestId,
    pub(crate) package: PackageId,
    pub(crate) providers: Vec<PeerId>,
    /// The manifest alone.
    pub(crate) bare: bool,
    /// Who asks wants to call a service that runs elsewhere.
    pub(crate) opens: bool,
    pub(crate) since: Time,
    pub(crate) files: BTreeMap<String, Option<Vec<u8>>>,
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
                self.in_session(request, session, check, |s, now, out| {
                    s.call(now, request, deadline, method, body, out);
                });
            }
            Command::Query { session, method, body, deadline_ms, max_age_ms } => {
                let deadline = self.deadline(deadline_ms, CALL_WITHIN);
                let check = check_call(&method, &body);
                let max_age = max_age_ms.map(|ms| Millis(ms.min(3_600_000)));
                let replica = max_age.and_then(|_| self.reader_of(session));
                self.in_session(request, session, check, |s, now, out| {
                    s.query(now, request, deadline, (method, body), max_age, replica, out);
                });
            }
            Command::Message { session, body } => {
                let check = check_size(body.len(), MAX_BODY);
                self.in_session(request, session, check, |s, now, out| s.message(now, request, body, out));
            }
            Command::Datagram { session, body } => {
                let check = check_size(body.len(), MAX_DATAGRAM);
                self.in_session(request, session, check, |s, now, out| s.datagram(now, request, body, out));
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
                Err(error) => self.answer(request, Err(self.not_hosted(&service, error))),
            },
            Command::Package { service, files } => {
                self.look_up(service.clone(), Purpose::Package { request, service, files });
            }
            Command::Rate { service, stars } => {
                self.look_up(service.clone(), Purpose::Rate { request, service, stars });
            }
            Command::Drop { service } => match self.hosted_service(&service) {
                Ok(service) => {
                    self.remove_hosted(service, None);
                    self.answer(request, Ok(Answer::Done));
                }
                Err(error) => {
                    let withdrawn = self.unregister(&service);
                    let result = withdrawn.unwrap_or_else(|| Err(self.not_hosted(&service, error)));
                    self.answer(request, result);
                }
            },
            Command::Recall(stored) => self.recall(request, stored),
            Command::Recover { service } => self.recover(request, &service),
            Command::Leave => self.leave(request),
            Command::Vanish => {
                self.vanish();
                self.answer(request, Ok(Answer::Done));
            }
            Command::Announce { nick, profile } => self.announce(request, nick, profile),
            Command::Lookup { nick } => self.look_up_nick(request, &nick),
            Command::Ring { peer, conference, nick } => self.ring(request, peer, conference, nick),
            Command::PickUp { ring, accept } => self.pick_up(request, ring, accept),
        }
    }

    /// Signs a rating and gives it to the relays, who keep ratings.
    pub(crate) fn rate(&mut self, service: &str, stars: u8) -> Result<(), Error> {
        let record = self.directory.index().resolve(service, self.cx.now)?;
        let (service, name) = (record.service(), record.full_name());
        if record.publisher == self.cx.me {
            return Err(Error::NotPermitted(format!("{name} is this peer's own")));
        }
        if self.net.of_role(Role::Relay).next().is_none() {
            return Err(Error::Disconnected("no relay that keeps ratings is connected".to_owned()));
        }
        let (rater, now) = (self.cx.me, self.cx.now);
        let (sequence, created, expires) = (now.0, now, now + RATING_LIFETIME);
        let rating = RatingRecord { service, rater, stars, sequence, created, expires };
        let record = rating.encode(&self.secret).map_err(|error| Error::Refused(error.to_string()))?;
        self.directory.learn(&self.cx, &mut self.net, &record);
        self.directory.push_to_relays(&mut self.cx, &mut self.net, vec![record], None);
        Ok(())
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
            let is_external = known.package.manifest.url.is_some();
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
                let mut wanted = self.package_requests.swap_remove(at);
                match failed {
                    // Its page went with its publisher; the service did not.
                    Some(_) if is_external => {
                        wanted.files.clear();
                        self.answer_package(wanted);
                    }
                    Some(reason) => self.answer(wanted.request, Err(no_package(&reason))),
                    None => self.answer_package(wanted),
                }
            } else {
                at += 1;
            }
        }
    }

    pub(crate) fn fail_late_commands(&mut self) {
        for (_, wanted) in self.targets.late_wanted(self.cx.now) {
            let error = Error::Deadline("the service did not arrive in time".to_owned());
            self.answer_all(wanted.requests, Err(error));
        }
        let now = self.cx.now;
        self.give_up_pages();
        for _ in 0..self.retries.len() {
            match self.retries.pop_front() {
                Some((at, purpose)) if at <= now => self.look_again(purpose),
                Some(later) => self.retries.push_back(later),
                None => {}
            }
        }
        self.go_on_leaving();
    }

    pub(crate) fn fetch_package(&mut self, request: RequestId, service: &str, files: bool) {
        let record = match self.directory.index().resolve(service, self.cx.now) {
            Ok(record) => record,
            Err(error) => return self.answer(request, Err(error)),
        };
        let service = record.service();
        self.request_package(request, service, files, false);
    }

    /// Gets a package of a service whose record is known.
    pub(crate) fn request_package(&mut self, request: RequestId, id: ServiceId, files: bool, opens: bool) {
        let Some(record) = self.directory.index().service(id, self.cx.now) else {
            return self.answer(request, Err(Error::NotFound("this name".to_owned())));
        };
        let (package, publisher, is_external) = (record.package, record.publisher, record.url.is_some());
        if self.package_requests.len() >= MAX_PACKAGE_REQUESTS {
            let error = Error::Overloaded("too many packages are being fetched".to_owned(), Millis::secs(2));
            return self.answer(request, Err(error));
        }
        let mut providers = self.known_hosts(id);
        providers.push(publisher);
        providers.reverse();
        if is_external {
            providers = self.external_sources(publisher);
        }
        let wanted = PackageRequest {
            request,
            package,
            providers: providers.clone(),
            bare: !files,
            opens,
            since: self.cx.now,
            files: BTreeMap::new(),
        };
        self.package_requests.push(wanted);
        self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
    }

    pub(crate) fn fetch_files(&mut self, mut wanted: PackageRequest) {
        if wanted.opens {
            return self.answer_external(&wanted);
        }
        let Some(known) = self.packages.get(&wanted.package) else { return };
        let files = known.package.files.iter().filter(|_| !wanted.bare);
        let files: Vec<_> = files.map(|(path, file)| (path.clone(), *file)).collect();
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

    pub(crate) fn answer_package(&mut self, wanted: PackageRequest) {
        let Some(known) = self.packages.get(&wanted.package) else { return };
        let manifest = known.json.clone();
        let ui = wanted.files.into_iter().map(|(path, bytes)| (path, bytes.unwrap_or_default())).collect();
        self.answer(wanted.request, Ok(Answer::Package { manifest, ui }));
    }

    /// A hosted service by name, or `name@publisher`.
    pub(crate) fn hosted_service(&self, text: &str) -> Result<ServiceId, Error> {
        let named = |name: &str| name == text || name.split('@').next() == Some(text);
        let mut found = self.hosted.values().filter(|hosted| named(&hosted.name));
        match (found.next(), found.next()) {
            (None, _) => Err(Error::NotFound(format!("{text} here"))),
            (Some(one), None) => Ok(one.service),
            (Some(one), Some(other)) => Err(Error::Ambiguous(vec![one.name.clone(), other.name.clone()])),
        }
    }

    pub(crate) fn deadline(&self, ms: u64, default: Millis) -> Time {
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
        let recalled = self.recalled.values().map(crate::checkpoint::Recalled::package);
        hosted.chain(running).chain(coming).chain(own).chain(recalled).collect()
    }

    pub(crate) fn answer_all(&mut self, requests: Vec<RequestId>, result: Result<Answer, Error>) {
        for request in requests {
            self.answer(request, result.clone());
        }
    }

    pub(crate) fn answer(&mut self, request: RequestId, result: Result<Answer, Error>) {
        self.cx.put(Output::Answer { request, result });
    }
}

/// A package's manifest or files could not be had.
pub(crate) fn no_package(reason: &str) -> Error {
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
