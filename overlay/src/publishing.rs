//! Publishing a service, replacing its module by a newer one, and founding again what nobody serves.

use serde_bytes::ByteBuf;

use crate::commands::{no_package, Publishing};
use crate::handover::source::Purpose as Wants;
use crate::handover::target::Wanted;
use crate::hosting::Hosted;
use crate::id::{PackageId, PeerId, RequestId, ServiceId};
use crate::instance::machine::{Entry, Upgraded, MACHINE_VERSION};
use crate::io::{Answer, Error, Event, Lane, Query};
use crate::lookup::{Purpose, HOST_WITHIN};
use crate::manifest::{self, Manifest, StateKind};
use crate::node::Node;
use crate::registry::{Genesis, ServiceRecord, SERVICE_LIFETIME};
use crate::time::Millis;
use crate::wire::{self, Control};

/// Between two attempts to get a package that the log needs.
const AWAIT_AGAIN: Millis = Millis::secs(2);
/// How long a new version may wait to be committed.
const UPGRADE_WITHIN: Millis = Millis::secs(30);
/// From this length of the chain of hosts on, the publisher's next record names the present one as genesis.
const RENEW_GENESIS: usize = 8;

/// Packages of others end, or are dropped, within seconds.
fn too_much(reason: String) -> Error {
    Error::Overloaded(reason, Millis::secs(5))
}

impl Node {
    pub(crate) fn publish(
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
        let module = Some(module).filter(|_| manifest.url.is_none());
        for bytes in module.into_iter().chain(ui.iter().map(|(_, bytes)| bytes.as_slice())) {
            self.packages.add_file(bytes).map_err(too_much)?;
        }
        let (service, id) = (package.service(), package.id);
        if self.publishing.values().any(|publishing| publishing.service == service) {
            return Err(Error::Overloaded(
                "this service is being published already".to_owned(),
                Millis::secs(1),
            ));
        }
        self.packages.learn(&mut self.cx, &json, &signature).map_err(too_much)?;
        let (name, short) = (package.full_name(), package.manifest.name.clone());
        let record = Vec::new();
        self.publishing
            .insert(id, Publishing { request, service, name, record, epoch: 1, proposed: None, asked: None });
        // It may run in others' tabs already, though this one knows nothing of it (a reloaded page): what is published
        // now is then its next version, not another service of the same name.
        let query = Query { name: Some(short), ..Query::default() };
        let search = self.directory.search(&mut self.cx, &mut self.net, query, Some(service));
        self.searches.insert(search, Purpose::Publish { package: id });
        Ok(())
    }

    /// Who serves the service is known as well as it can be: signs its record and prepares its module.
    pub(crate) fn go_on_publishing(&mut self, id: PackageId) {
        let Some(service) = self.publishing.get(&id).map(|publishing| publishing.service) else { return };
        let known = self.directory.index().service(service, self.cx.now).is_some();
        match self.sign_record(id) {
            Err(reason) => {
                self.fail_publish(service, &reason);
            }
            Ok(record)
                if self.packages.get(&id).is_some_and(|known| known.package.manifest.url.is_some()) =>
            {
                if let Err(reason) = self.register(service, id, &record) {
                    self.fail_publish(service, &reason);
                }
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
    pub(crate) fn sign_record(&self, id: PackageId) -> Result<Vec<u8>, String> {
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
            url: package.manifest.url.clone(),
            hosts: package.manifest.hosts.clone(),
            genesis: Genesis { host: genesis, machine_version: MACHINE_VERSION },
            created: now,
            expires: now + SERVICE_LIFETIME,
            withdrawn: false,
        };
        record.encode(&self.secret).map_err(|error| error.to_string())
    }

    /// Serves here what nobody serves: a stateless service of anybody, or one of this node's own, whose state is lost.
    pub(crate) fn found_again(&mut self, package: PackageId, record: Vec<u8>) -> Result<ServiceId, String> {
        let known = self.packages.get(&package).ok_or("the package is not known")?;
        if known.package.manifest.state == StateKind::None {
            return self.found(package, record, 1);
        }
        let record = self.sign_record(package)?;
        self.directory.learn(&self.cx, &mut self.net, &record);
        self.found(package, record, self.cx.now.0 / 1000)
    }

    pub(crate) fn on_manifest(&mut self, package: PackageId, result: Result<(), String>) {
        self.on_awaited(package, &result, false);
        if let Some(service) = self.upgrading.get(&package).copied() {
            let fits = result.clone().and_then(|()| self.check_fit(package, true));
            match fits {
                Ok(()) => {
                    let providers = self.package_providers(service);
                    self.packages.prepare(&mut self.cx, &mut self.net, package, &providers);
                }
                Err(reason) => self.on_upgrade_failed(package, &reason),
            }
        }
        if let Some((request, service)) = self.pulls.get(&package).copied() {
            match result.clone().and_then(|()| self.check_fit(package, request.is_some())) {
                Ok(()) => {
                    let providers = self.package_providers(service);
                    self.packages.prepare(&mut self.cx, &mut self.net, package, &providers);
                }
                Err(reason) => {
                    self.pulls.remove(&package);
                    self.fail_pull(request, service, reason);
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

    /// A service does not come here: whoever asked for it is told, and it is not tried again at once.
    fn fail_pull(&mut self, request: Option<RequestId>, service: ServiceId, reason: String) {
        match request {
            Some(request) => self.answer(request, Err(Error::Refused(reason))),
            None => self.placement.not_now(service, self.cx.now),
        }
    }

    pub(crate) fn on_prepared(&mut self, package: PackageId, result: Result<(), String>) {
        self.targets.on_prepared(&mut self.cx, &mut self.net, package, &result);
        self.on_awaited(package, &result, true);
        self.on_recall_prepared(package, &result);
        if let Some(service) = self.upgrading.get(&package).copied() {
            let waits = |hosted: &&mut Hosted| !hosted.takes_version();
            match (&result, self.hosted.get_mut(&service).filter(waits)) {
                // It began to move meanwhile: whoever serves then is the one to take it.
                (Ok(()), Some(hosted)) => {
                    hosted.newer = true;
                    self.upgrading.remove(&package);
                }
                _ => match result.clone().and_then(|()| self.propose_upgrade(service, package)) {
                    Ok(()) => {
                        self.upgrading.remove(&package);
                    }
                    Err(reason) => self.on_upgrade_failed(package, &reason),
                },
            }
        }
        if let Some((request, service)) = self.pulls.remove(&package) {
            let record =
                self.directory.index().service_bytes(service).map(<[u8]>::to_vec).unwrap_or_default();
            let founded = result.clone().and_then(|()| self.found_again(package, record));
            match founded {
                Ok(service) => {
                    let (until, name) = (self.cx.now + HOST_WITHIN, String::new());
                    let requests = Vec::from_iter(request);
                    self.targets.want(service, Wanted { requests, name, from: self.cx.me, until });
                }
                Err(reason) => self.fail_pull(request, service, reason),
            }
        }
        // The log asks for the package too: its end is not that of a preparation.
        let waits = |publishing: &&Publishing| publishing.proposed.is_none() && publishing.asked.is_none();
        let Some(publishing) = self.publishing.get(&package).filter(waits) else { return };
        let (service, record, epoch) = (publishing.service, publishing.record.clone(), publishing.epoch);
        let founded = match result {
            Err(reason) => Err(reason),
            Ok(()) if self.hosted.get(&service).is_some_and(|hosted| hosted.package == Some(package)) => {
                self.on_published(service);
                Ok(())
            }
            // Published once the new module has taken the state over.
            Ok(()) if self.hosted.get(&service).is_some_and(|hosted| hosted.group.leads()) => {
                let proposed = self.propose_upgrade(service, package);
                if let Some(publishing) = self.publishing.get_mut(&package) {
                    publishing.proposed = Some(self.cx.now);
                }
                proposed
            }
            // Published once somebody who serves runs it.
            Ok(()) if !self.servers_elsewhere(service).is_empty() => {
                self.ask_servers(service, package, record);
                Ok(())
            }
            Ok(()) => self.found(package, record, epoch).map(|_| ()),
        };
        if let Err(reason) = founded {
            self.fail_publish(service, &reason);
        }
    }

    /// A new version whose log entry nobody committed in time: it may run yet.
    pub(crate) fn give_up_publishing(&mut self) {
        let now = self.cx.now;
        let late = |p: &Publishing| p.proposed.is_some_and(|at| now.since(at) >= UPGRADE_WITHIN);
        let late: Vec<PackageId> =
            self.publishing.iter().filter(|(_, p)| late(p)).map(|(id, _)| *id).collect();
        for package in late {
            if let Some(publishing) = self.publishing.remove(&package) {
                let unknown =
                    "no majority of its copies took the new version in time; it may run yet".to_owned();
                self.answer(publishing.request, Err(Error::UnknownOutcome(unknown)));
            }
        }
    }

    /// A service that was being published serves: say so, and tell the world.
    pub(crate) fn on_published(&mut self, service: ServiceId) {
        let package = self.publishing.iter().find(|(_, p)| p.service == service).map(|(id, _)| *id);
        let Some(publishing) = package.and_then(|package| self.publishing.remove(&package)) else { return };
        self.published.insert(service);
        package.into_iter().for_each(|package| self.on_replaced(service, package));
        self.renew_records();
        self.store_soon(service);
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

    pub(crate) fn on_upgrade_failed(&mut self, package: PackageId, reason: &str) {
        if let Some(service) = self.upgrading.remove(&package) {
            self.tell_publisher(service, package, Some(reason));
        }
        let message = format!("a newer version of a service cannot run here: {reason}");
        self.cx.event(Event::Error { code: "refused".to_owned(), message });
    }

    /// The log of a service that is served here replaced its module, or went back to the one before.
    pub(crate) fn on_upgraded(&mut self, service: ServiceId, upgraded: &Upgraded) {
        let Upgraded { from, to, refused } = upgraded;
        let record = self.publishing.get(to).map(|publishing| publishing.record.clone());
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let leads = hosted.group.leads();
        match refused {
            None => {
                if let Some(record) = record {
                    self.directory.learn(&self.cx, &mut self.net, &record);
                    hosted.record = record;
                    self.on_published(service);
                }
                self.keep_record(service);
                self.tell_members(service);
                if leads {
                    self.tell_publisher(service, *to, None);
                }
            }
            Some(reason) => {
                hosted.unwanted = Some(*to);
                if let Some(known) = self.packages.get(from) {
                    hosted.runs(*from, &known.package.manifest);
                }
                let name = hosted.name.clone();
                let words =
                    format!("the new version did not take the state over ({reason}); the one before goes on");
                let told = self.take_version_back(*to, reason) || self.fail_publish(service, &words);
                if !told && leads {
                    let message = format!("{name}: {words}");
                    self.cx.event(Event::Error { code: "refused".to_owned(), message });
                    self.tell_publisher(service, *to, Some(reason));
                }
            }
        }
        self.dirty.insert(service);
    }

    /// The record that goes with the package which runs here, once both are known: without it nobody takes the service over.
    fn keep_record(&mut self, service: ServiceId) {
        let index = self.directory.index();
        let (Some(hosted), Some(record)) =
            (self.hosted.get_mut(&service), index.service(service, self.cx.now))
        else {
            return;
        };
        let runs = hosted.instance.as_ref().map(|instance| instance.machine().package);
        if hosted.package == Some(record.package) && runs == hosted.package {
            hosted.record = index.service_bytes(service).map(<[u8]>::to_vec).unwrap_or_default();
        }
    }

    /// Those that run the new version along with this leader need its record: one of them may lead next.
    fn tell_members(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get(&service).filter(|hosted| hosted.group.leads()) else { return };
        let members = hosted.group.members().values().filter(|member| !member.witness);
        let members: Vec<PeerId> =
            members.map(|member| member.peer).filter(|peer| *peer != self.cx.me).collect();
        let news = Control::Records(vec![ByteBuf::from(hosted.record.clone())]);
        for member in members {
            self.net.send_or_dial(&mut self.cx, member, Lane::Control, &news);
        }
    }

    /// A service record was learned: does this node run an older package of it?
    pub(crate) fn on_service_record(&mut self, service: ServiceId) {
        self.stop_hosting(service);
        self.keep_record(service);
        let Some(package) = self.directory.index().service(service, self.cx.now).map(|record| record.package)
        else {
            return;
        };
        let Some(hosted) = self.hosted.get_mut(&service).filter(|hosted| hosted.instance.is_some()) else {
            return;
        };
        hosted.newer = ![hosted.package, hosted.unwanted].contains(&Some(package));
        self.heed_newer(service);
    }

    /// Fetches the newer package that a service's record names, once this node serves and nothing of the service moves.
    pub(crate) fn heed_newer(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        if !hosted.newer || !hosted.takes_version() {
            return;
        }
        hosted.newer = false;
        let Some(record) = self.directory.index().service(service, self.cx.now) else { return };
        if [hosted.package, hosted.unwanted].contains(&Some(record.package)) {
            return;
        }
        let (package, publisher) = (record.package, record.publisher);
        self.upgrading.insert(package, service);
        self.packages.find_manifest(&mut self.cx, &mut self.net, package, vec![publisher]);
    }

    /// Somebody else serves now: a newer record that was not heeded here is theirs to heed.
    pub(crate) fn pass_newer_on(&mut self, service: ServiceId, waits: bool, to: PeerId) {
        let waits = waits || self.upgrading.values().any(|of| *of == service);
        let Some(record) = self.directory.index().service_bytes(service).filter(|_| waits) else { return };
        let news = Control::Records(vec![ByteBuf::from(record.to_vec())]);
        self.net.send_or_dial(&mut self.cx, to, Lane::Control, &news);
    }

    /// A newer package of a service that is served here is ready: from the next log entry on it runs.
    pub(crate) fn propose_upgrade(&mut self, service: ServiceId, package: PackageId) -> Result<(), String> {
        let hosted = self.hosted.get_mut(&service).ok_or("the service is not served here")?;
        let known = self.packages.get(&package).ok_or("the package is not known")?;
        if known.package.service() != service {
            return Err("the package is that of another service".to_owned());
        }
        let handed_over = hosted.wanted == 1 && hosted.group.voters().len() > 1;
        if hosted.source.as_ref().is_some_and(|source| source.purpose() == Wants::Handover) || handed_over {
            return Err("the service is being handed over; publish again in a moment".to_owned());
        }
        let entry = Entry::Upgrade { package, now: self.cx.now };
        hosted.group.propose(wire::encode(&entry)).map_err(|_| "the service is busy".to_owned())?;
        // Its record is taken over once it runs: it may be taken back.
        hosted.runs(package, &known.package.manifest);
        hosted.renew_at = self.cx.now;
        self.dirty.insert(service);
        Ok(())
    }

    /// The log of a service replaces its module: gets the package, from other members or its publisher.
    pub(crate) fn get_package(&mut self, service: ServiceId, package: PackageId) {
        self.awaited.insert(package, service);
        let providers = self.package_providers(service);
        self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
    }

    /// Who has the packages of a service that this node is a member of.
    fn package_providers(&self, service: ServiceId) -> Vec<PeerId> {
        let mut providers: Vec<PeerId> = self.known_hosts(service);
        if let Some(hosted) = self.hosted.get(&service) {
            let members = hosted.group.members().values().filter(|member| !member.witness);
            providers.extend(members.map(|member| member.peer).filter(|peer| *peer != self.cx.me));
        }
        if let Some(record) = self.directory.index().service(service, self.cx.now) {
            providers.push(record.publisher);
        }
        providers
    }

    /// A package for [`Node::get_package`] is known, or prepared, or cannot be had.
    pub(crate) fn on_awaited(&mut self, package: PackageId, result: &Result<(), String>, is_prepared: bool) {
        let Some(service) = self.awaited.get(&package).copied() else { return };
        let known = self.packages.get(&package).map(|known| known.package.clone());
        let same = known.as_ref().is_some_and(|known| known.service() == service);
        let result = match result {
            Ok(()) if !same => Err("it is the package of another service".to_owned()),
            other => other.clone(),
        };
        if result.is_ok() && !is_prepared {
            let providers = self.package_providers(service);
            return self.packages.prepare(&mut self.cx, &mut self.net, package, &providers);
        }
        self.awaited.remove(&package);
        // What cannot be fetched now may be had later: a member that gave up would give up its state.
        let hopeless = self.packages.is_refused(&package) || known.is_some() && !same;
        if result.is_err() && !hopeless && self.hosted.contains_key(&service) {
            let again = Purpose::Await { service, package };
            if self.later(AWAIT_AGAIN, self.cx.now + HOST_WITHIN, again).is_ok() {
                return;
            }
        }
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        if let (Ok(()), Some(known)) = (&result, known) {
            hosted.runs(package, &known.manifest);
        }
        if let Some(instance) = &mut hosted.instance {
            instance.on_package(&mut self.cx, package, &result);
        }
        self.dirty.insert(service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::hostile_tests::{host, service};
    use crate::id::Hash;
    use crate::io::Output;

    #[test]
    fn a_new_version_that_nobody_commits_in_time_is_not_waited_for() {
        let mut node = host();
        let package = PackageId(Hash([5; 32]));
        let proposed = Some(node.cx.now);
        let (request, name) = (RequestId(1), "counter@x".to_owned());
        let publishing = Publishing {
            request,
            service: service(),
            name,
            record: Vec::new(),
            epoch: 1,
            proposed,
            asked: None,
        };
        node.publishing.insert(package, publishing);
        let mut answered = |after: Millis| {
            node.cx.now = node.cx.now + after;
            node.give_up_publishing();
            std::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
                Output::Answer { request: RequestId(1), result } => Some(result),
                _ => None,
            })
        };
        assert_eq!(answered(Millis(29_999)), None);
        assert!(matches!(answered(Millis(1)), Some(Err(Error::UnknownOutcome(_)))));
        assert_eq!(answered(UPGRADE_WITHIN), None, "once");
    }
}
