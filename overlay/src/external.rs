//! Services that run outside of all tabs, at a URL: registered, found and renewed like others, hosted by nobody.
//!
//! The record says where the service runs, so that it can be found without its publisher; its manifest, which says how it is
//! called, is kept by relays as well. This kernel makes no HTTP request: `open` answers with what a driver needs for
//! calling it ([`Answer::External`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::commands::PackageRequest;
use crate::id::{PackageId, PeerId, RequestId, ServiceId};
use crate::io::{Answer, DhtCommand, Error, ExternalInfo, ExternalMethod, Lane, Output, Role};
use crate::manifest;
use crate::node::Node;
use crate::registry::{self, ServiceRecord, Validated, MAX_PER_PUBLISHER, SERVICE_LIFETIME};
use crate::time::{Millis, Time};
use crate::wire::{self, Control};

/// Records of this node's own go into the DHT this often, as those of hosts do.
const PUT_EVERY: Millis = Millis::secs(30);
/// A record is signed anew when so much of its life is left.
const SIGN_AGAIN: Millis = Millis(SERVICE_LIFETIME.0 / 2);
/// How long the files of a page may take whose publisher cannot be reached.
const PAGE_WITHIN: Millis = Millis::secs(3);
/// Manifests that a relay looks for at a time, and how often it tries.
const MAX_WANTED: usize = 1024;
const TRIES: u8 = 12;
/// Where the tab keeps what it registered.
const KEY: &str = "external/";

/// What a node has to do with services that run elsewhere.
#[derive(Debug, Default)]
pub(crate) struct External {
    /// Those of this node's own.
    own: BTreeMap<ServiceId, Own>,
    /// A relay: those whose manifests it has not got yet, and how often it asked.
    wanted: BTreeMap<ServiceId, u8>,
}

#[derive(Debug)]
struct Own {
    package: PackageId,
    record: ServiceRecord,
    put_at: Time,
}

/// As the tab keeps it.
#[derive(Serialize, Deserialize)]
struct Stored {
    record: ByteBuf,
    manifest: ByteBuf,
    signature: ByteBuf,
    files: Vec<ByteBuf>,
}

impl Node {
    /// A person registers a service: its record is signed, and goes to everybody who keeps records.
    pub(crate) fn register(
        &mut self,
        service: ServiceId,
        package: PackageId,
        record: &[u8],
    ) -> Result<(), String> {
        if self.external.own.len() >= MAX_PER_PUBLISHER && !self.external.own.contains_key(&service) {
            return Err(format!("{MAX_PER_PUBLISHER} services of this tab run elsewhere already"));
        }
        let hosts = self.known_hosts(service);
        self.adopt(service, package, record)?;
        self.store_external(service);
        // Until now it ran in tabs: they learn that it does no more.
        let news = Control::Records(vec![ByteBuf::from(record.to_vec())]);
        let me = self.cx.me;
        for host in hosts.into_iter().filter(|host| *host != me) {
            self.net.send_or_dial(&mut self.cx, host, Lane::Control, &news);
        }
        self.stop_hosting(service);
        self.forget_recalled(service);
        self.on_published(service);
        Ok(())
    }

    fn adopt(&mut self, service: ServiceId, package: PackageId, record: &[u8]) -> Result<(), String> {
        let Ok(Validated::Service(known)) = Validated::decode(record) else {
            return Err("its record is not valid".to_owned());
        };
        self.directory.learn(&self.cx, &mut self.net, record);
        self.directory.push_to_relays(&mut self.cx, &mut self.net, vec![record.to_vec()], None);
        let own = Own { package, record: known, put_at: Time(0) };
        if let Some(before) = self.external.own.insert(service, own) {
            self.packages.let_go(&before.package);
        }
        self.packages.keep(package);
        self.published.insert(service);
        self.put_external(service);
        Ok(())
    }

    /// Another package of this name was published: is it one that runs in tabs?
    pub(crate) fn on_replaced(&mut self, service: ServiceId, package: PackageId) {
        if self.external.own.get(&service).is_some_and(|own| own.package != package) {
            self.forget_external(service);
        }
    }

    fn forget_external(&mut self, service: ServiceId) -> Option<ServiceRecord> {
        let own = self.external.own.remove(&service)?;
        self.packages.let_go(&own.package);
        self.cx.put(Output::Store { key: format!("{KEY}{service}"), value: None, flush: false });
        Some(own.record)
    }

    /// Takes a service of this node's own out of the catalogue. `None`: it is none that runs elsewhere.
    pub(crate) fn unregister(&mut self, text: &str) -> Option<Result<Answer, Error>> {
        let record = self.directory.index().resolve(text, self.cx.now).ok()?;
        let service = record.service();
        let mut record = self.forget_external(service)?;
        self.published.remove(&service);
        record.sequence = (record.sequence + 1).max(self.cx.now.0);
        (record.created, record.expires) = (self.cx.now, self.cx.now + SERVICE_LIFETIME);
        record.withdrawn = true;
        Some(match record.encode(&self.secret) {
            Err(error) => Err(Error::Refused(error.to_string())),
            Ok(bytes) => {
                self.directory.learn(&self.cx, &mut self.net, &bytes);
                self.put(registry::service_key(service), &bytes);
                self.cx.put(Output::Dht(DhtCommand::Unprovide { key: registry::name_key(&record.name) }));
                self.directory.push_to_relays(&mut self.cx, &mut self.net, vec![bytes], None);
                Ok(Answer::Done)
            }
        })
    }

    /// Why a command that is about hosting does nothing for this service: it is not here, or in no tab at all.
    pub(crate) fn not_hosted(&self, text: &str, error: Error) -> Error {
        match (&error, self.directory.index().resolve(text, self.cx.now)) {
            (Error::NotFound(_), Ok(record)) => hosted_by_nobody(record).unwrap_or(error),
            _ => error,
        }
    }

    /// What is hosted here runs elsewhere from now on, as its publisher says.
    pub(crate) fn stop_hosting(&mut self, service: ServiceId) {
        let index = self.directory.index();
        let runs_elsewhere = index.service(service, self.cx.now).is_some_and(|record| record.url.is_some());
        if !runs_elsewhere || !self.hosted.contains_key(&service) {
            return;
        }
        let record = index.service_bytes(service).map(<[u8]>::to_vec).unwrap_or_default();
        let members =
            self.hosted.get(&service).into_iter().flat_map(|hosted| hosted.group.members().values());
        let members: Vec<PeerId> =
            members.map(|member| member.peer).filter(|peer| *peer != self.cx.me).collect();
        let news = Control::Records(vec![ByteBuf::from(record)]);
        for member in members {
            self.net.send_or_dial(&mut self.cx, member, Lane::Control, &news);
        }
        self.remove_hosted(service, None);
    }

    /// A session is wanted: its manifest says how the service is called.
    pub(crate) fn open_external(&mut self, request: RequestId, service: ServiceId) {
        self.request_package(request, service, false, true);
    }

    /// The manifest is here.
    pub(crate) fn answer_external(&mut self, wanted: &PackageRequest) {
        let Some(known) = self.packages.get(&wanted.package) else { return };
        let (manifest, name) = (&known.package.manifest, known.package.full_name());
        let record = self.directory.index().service(known.package.service(), self.cx.now);
        let url =
            manifest.url.clone().filter(|url| record.and_then(|record| record.url.as_ref()) == Some(url));
        let result = match url.as_deref().map(manifest::address) {
            Some(Ok(address)) => {
                let methods = manifest.interface.iter().map(|(name, method)| {
                    let method =
                        ExternalMethod { read_only: method.read_only, json_body: method.body.is_some() };
                    (name.clone(), method)
                });
                Ok(Answer::External(ExternalInfo {
                    service: name,
                    origin: address.origin.to_owned(),
                    loopback: address.is_loopback,
                    methods: methods.collect(),
                    url: url.clone().unwrap_or_default(),
                }))
            }
            _ => Err(Error::Refused(format!("{name}: its record and its manifest name different addresses"))),
        };
        self.answer(wanted.request, result);
    }

    /// The page of a service that runs elsewhere is its publisher's to give; the service does not wait for it.
    pub(crate) fn give_up_pages(&mut self) {
        let late = |wanted: &PackageRequest| {
            let known = self.packages.get(&wanted.package);
            let publisher = known
                .filter(|known| known.package.manifest.url.is_some())
                .map(|known| known.package.publisher);
            !wanted.files.is_empty()
                && self.cx.now.since(wanted.since) >= PAGE_WITHIN
                && publisher.is_some_and(|publisher| !self.net.is_connected(&self.cx, publisher))
        };
        let late: Vec<usize> =
            (0..self.package_requests.len()).rev().filter(|at| late(&self.package_requests[*at])).collect();
        for at in late {
            let mut wanted = self.package_requests.swap_remove(at);
            wanted.files.clear();
            self.answer_package(wanted);
        }
    }

    /// A relay learned a record: it keeps the manifests of services that nobody hosts.
    pub(crate) fn want_manifest(&mut self, record: &ServiceRecord) {
        let known = self.packages.get(&record.package).is_some();
        if self.role == Role::Relay && record.url.is_some() && !record.withdrawn && !known {
            if self.external.wanted.len() < MAX_WANTED {
                self.external.wanted.insert(record.service(), 0);
            }
            self.ask_manifest(record.service());
        }
    }

    fn ask_manifest(&mut self, service: ServiceId) {
        let index = self.directory.index();
        let Some(record) = index.service(service, self.cx.now).filter(|record| record.url.is_some()) else {
            self.external.wanted.remove(&service);
            return;
        };
        let (package, publisher) = (record.package, record.publisher);
        if self.packages.get(&package).is_some() {
            self.external.wanted.remove(&service);
            return;
        }
        let Some(tries) = self.external.wanted.get_mut(&service) else { return };
        *tries += 1;
        if *tries > TRIES {
            self.external.wanted.remove(&service);
        } else if !self.packages.is_asked(&package) {
            // A record makes no relay dial anybody.
            let mut providers = self.external_sources(publisher);
            providers.retain(|peer| self.net.is_connected(&self.cx, *peer));
            self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
        }
    }

    /// Who has the manifest of a service that runs elsewhere; the last is asked first.
    pub(crate) fn external_sources(&self, publisher: PeerId) -> Vec<PeerId> {
        let mut sources = vec![publisher];
        sources.extend(self.net.of_role(Role::Relay).take(4));
        sources
    }

    /// Every few seconds.
    pub(crate) fn keep_external(&mut self) {
        let now = self.cx.now;
        for service in self.external.wanted.keys().copied().collect::<Vec<_>>() {
            self.ask_manifest(service);
        }
        let due = |own: &Own| now.since(own.put_at) >= PUT_EVERY;
        let due: Vec<ServiceId> =
            self.external.own.iter().filter(|(_, own)| due(own)).map(|(service, _)| *service).collect();
        for service in due {
            self.put_external(service);
        }
        for service in self.hosted.keys().copied().collect::<Vec<_>>() {
            self.stop_hosting(service);
        }
    }

    /// Into the DHT, signed anew in time.
    fn put_external(&mut self, service: ServiceId) {
        let now = self.cx.now;
        let Some(own) = self.external.own.get_mut(&service) else { return };
        own.put_at = now;
        let aged = own.record.expires.since(now) < SIGN_AGAIN;
        if aged {
            own.record.sequence = (own.record.sequence + 1).max(now.0);
            (own.record.created, own.record.expires) = (now, now + SERVICE_LIFETIME);
        }
        let Ok(record) = own.record.encode(&self.secret) else { return };
        let name = own.record.name.clone();
        self.directory.learn(&self.cx, &mut self.net, &record);
        self.put(registry::service_key(service), &record);
        self.cx.put(Output::Dht(DhtCommand::Provide { key: registry::name_key(&name) }));
        if aged {
            self.directory.push_to_relays(&mut self.cx, &mut self.net, vec![record], None);
            self.store_external(service);
        }
    }

    fn store_external(&mut self, service: ServiceId) {
        let Some(own) = self.external.own.get(&service) else { return };
        let (Some(known), Ok(record)) = (self.packages.get(&own.package), own.record.encode(&self.secret))
        else {
            return;
        };
        let files = known.package.files.values();
        let stored = Stored {
            record: ByteBuf::from(record),
            manifest: ByteBuf::from(known.json.clone()),
            signature: ByteBuf::from(known.signature.to_vec()),
            files: files.filter_map(|file| self.packages.bytes(file.hash)).map(ByteBuf::from).collect(),
        };
        let value = Some(wire::encode(&stored));
        self.cx.put(Output::Store { key: format!("{KEY}{service}"), value, flush: false });
    }

    /// Is this what [`Node::recall_external`] reads?
    pub(crate) fn is_external_key(key: &str) -> bool {
        key.starts_with(KEY)
    }

    /// What this tab registered in an earlier run is announced again.
    pub(crate) fn recall_external(&mut self, value: &[u8]) -> Result<(), String> {
        let stored: Stored = wire::decode_unbounded(value).map_err(|error| error.to_string())?;
        let Ok(Validated::Service(record)) = Validated::decode(&stored.record) else {
            return Err("its record is not valid".to_owned());
        };
        if record.publisher != self.cx.me || record.url.is_none() {
            return Err("it is none of this tab's own".to_owned());
        }
        if self.external.own.len() >= MAX_PER_PUBLISHER {
            return Err("too many services are stored".to_owned());
        }
        let package = self.packages.learn(&mut self.cx, &stored.manifest, &stored.signature)?;
        if package != record.package {
            return Err("its package is that of another record".to_owned());
        }
        for file in stored.files {
            self.packages.add_file(&file)?;
        }
        self.adopt(record.service(), package, &stored.record)
    }
}

/// Who runs it, in the words of an error; `None` for what runs in tabs.
pub(crate) fn hosted_by_nobody(record: &ServiceRecord) -> Option<Error> {
    let origin = record.origin()?;
    let name = &record.name;
    Some(Error::NotPermitted(format!("{name} runs at {origin}, outside of all tabs: no tab can host it")))
}

#[cfg(test)]
#[path = "external_tests.rs"]
mod tests;
