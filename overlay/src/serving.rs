//! What the node does for the services that it takes part in: instances, handovers, upgrades.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;

use crate::group::Group;
use crate::handover::source::{Purpose, Verdict};
use crate::handover::target::{Seed, MAX_TARGETS, MAX_WITNESSED, MAX_WITNESSED_PER_PEER};
use crate::hosting::{Happened, Hosted, Incoming};
use crate::id::{BlobId, InstanceId, PackageId, PeerId, ServiceId};
use crate::instance::machine::Entry;
use crate::instance::Instance;
use crate::io::{Answer, Error, Event, Lane, Output, VolunteerPolicy};
use crate::manifest::{self, Capabilities};
use crate::node::{Moved, Node};
use crate::registry::{Succession, Validated};
use crate::session::server::post;
use crate::session::NOT_PERMITTED;
use crate::time::Millis;
use crate::wire::{self, ClientFrame, Control, ServerBody, ServerFrame, Step};

/// Gas that one core executes in a second, roughly (guess, from the instrumenter's measurements).
const GAS_PER_CORE: u64 = 1_000_000_000;
/// How long a former host tells stragglers where the service went (replication.md, Handover 4).
const FORWARD_FOR: Millis = Millis::secs(30);
/// A member that hears of no leader for this long is not wanted any more, or alone: it gives up.
const LEADERLESS: Millis = Millis::secs(60);
/// The same for a replica that holds state.
const ORPHANED: Millis = Millis::secs(600);
/// Who asks for a service that cannot be given away at this moment is told to ask again after this time.
const WANT_AGAIN: Millis = Millis(500);

impl Node {
    pub(crate) fn on_client_frame(&mut self, from: PeerId, frame: ClientFrame) {
        let service = frame.service;
        if let Some(hosted) = self.hosted.get_mut(&service).filter(|hosted| hosted.instance.is_some()) {
            let known = hosted.package.and_then(|package| self.packages.get(&package));
            if !known.is_none_or(|known| known.package.permits_access(&from)) {
                let authority = (hosted.group.epoch(), hosted.group.term());
                let body = ServerBody::Gone { reason: NOT_PERMITTED.to_owned() };
                post(&mut self.cx, &mut self.net, service, (from, frame.session), authority, 0, body);
                return;
            }
            hosted.handle_client(&mut self.cx, &mut self.net, from, frame);
            self.dirty.insert(service);
            return;
        }
        let (to, authority) = match self.moved.get(&service) {
            Some(moved) => (Some(moved.to), moved.authority),
            None => (None, (0, 0)),
        };
        let body = ServerBody::Moved { to };
        post(&mut self.cx, &mut self.net, service, (from, frame.session), authority, 0, body);
    }

    pub(crate) fn on_server_frame(&mut self, from: PeerId, frame: ServerFrame) {
        let session =
            self.sessions.values().find(|s| s.wire_id() == frame.session && s.service == frame.service);
        let Some(session) = session.filter(|session| session.hears(from)) else { return };
        let id = session.id;
        self.with_session(id, |session, now, out| session.handle_frame(now, from, frame, out));
    }

    /// Moves a service along and does what follows from it.
    pub(crate) fn pump(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        for happened in hosted.pump(&mut self.cx, &mut self.net) {
            let Some(hosted) = self.hosted.get_mut(&service) else { return };
            match happened {
                Happened::Serving => {
                    hosted.on_handover_serving(&mut self.cx, &mut self.net, &mut self.packages);
                    self.on_serving(service);
                }
                Happened::Image(image) => {
                    let verdict =
                        hosted.on_handover_image(&mut self.cx, &mut self.net, &mut self.packages, &image);
                    self.on_verdict(service, verdict);
                }
                Happened::Configured => {
                    hosted.on_handover_configured(&mut self.cx, &mut self.packages);
                    self.on_configured(service);
                }
                Happened::Led(leader) => {
                    let verdict = hosted.on_handover_led(&mut self.cx, &mut self.packages, leader);
                    self.on_verdict(service, verdict);
                    self.on_authority_changed(service);
                }
                Happened::Needs(package) => self.get_package(service, package),
                Happened::Broken(reason) => self.on_broken(service, reason),
            }
        }
    }

    /// Makes a service of a prepared package here, from nothing.
    pub(crate) fn found(
        &mut self,
        package: PackageId,
        record: Vec<u8>,
        epoch: u64,
    ) -> Result<ServiceId, String> {
        let known = self.packages.get(&package).ok_or("the package is not known")?;
        let (service, name) = (known.package.service(), known.package.full_name());
        if self.hosted.contains_key(&service) {
            return Err("this node takes part in the service already".to_owned());
        }
        let requires = known.package.manifest.requires.clone();
        let wanted = known.package.manifest.state.voters().max(1);
        let id = self.new_instance(service);
        let instance = Instance::new(&mut self.cx, id, package, 0, None);
        let group = Group::found(&mut self.cx, epoch, 0, 0);
        let mut hosted = Hosted::new(&self.cx, service, name, group, Some(instance));
        hosted.record = record;
        hosted.package = Some(package);
        hosted.memory_mib = requires.memory_mib;
        hosted.storage_mib = requires.storage_mib;
        hosted.wanted = wanted;
        self.insert_hosted(hosted);
        Ok(service)
    }

    pub(crate) fn on_verdict(&mut self, service: ServiceId, verdict: Verdict) {
        match verdict {
            Verdict::On => {}
            Verdict::Aborted => {
                self.dirty.insert(service);
                self.on_configured(service);
                self.on_authority_changed(service);
            }
            Verdict::Out { to, authority } => self.remove_hosted(service, Some((to, authority))),
            Verdict::Done => {
                self.dirty.insert(service);
                self.on_left();
            }
            Verdict::Resume(epoch) => {
                let Some(hosted) = self.hosted.get_mut(&service) else { return };
                let Some(instance) = &hosted.instance else { return };
                // The log goes on in a new epoch, from what is executed.
                let (index, term) = (instance.executed(), hosted.group.term());
                hosted.restart(Group::found(&mut self.cx, epoch, index, term));
                self.dirty.insert(service);
            }
        }
    }

    pub(crate) fn on_handover_step(&mut self, from: PeerId, service: ServiceId, id: u64, step: Step) {
        match &step {
            Step::Want => return self.on_want(from, service, id),
            Step::Offer { record, manifest, signature, succession } => {
                let signed = (manifest, signature);
                if let Err(reason) = self.on_offer(from, service, id, record, signed, succession) {
                    self.refuse(from, service, id, reason);
                }
                return;
            }
            Step::AskWitness { name } => return self.on_ask_witness(from, service, id, name.clone()),
            Step::Seed { image, image_bytes, start, sealed, succession, replica } => {
                let (cx, net, packages) = (&mut self.cx, &mut self.net, &mut self.packages);
                let image = (*image, *image_bytes);
                let seed = Seed {
                    start: start.clone(),
                    sealed: *sealed,
                    succession: succession.clone(),
                    replica: *replica,
                };
                return self.targets.on_seed(cx, net, packages, service, from, id, image, seed);
            }
            Step::AskWarm => {
                let hosted = self.hosted.get_mut(&service);
                if let Some(hosted) = hosted.filter(|hosted| hosted.is_led_by(from)) {
                    hosted.incoming = Some(Incoming { id, source: from, replica: false });
                    hosted.forget_warm();
                    self.dirty.insert(service);
                }
                return;
            }
            Step::SeedWitness { start } => {
                if self.hosted.contains_key(&service) && !self.may_be_replaced(from, service) {
                    return;
                }
                let hosted =
                    self.targets.on_seed_witness(&mut self.cx, &mut self.net, service, from, id, start);
                if let Some(hosted) = hosted {
                    self.remove_hosted(service, None);
                    self.insert_hosted(hosted);
                }
                return;
            }
            Step::Refuse { reason } => {
                self.targets.on_refuse(&service, from, id);
                self.fail_wanted(service, from, reason);
            }
            Step::Busy { retry_ms } => return self.want_later(service, from, *retry_ms),
            Step::Release { epoch, term } if self.is_released(from, service, (*epoch, *term)) => {
                return self.remove_hosted(service, Some((from, (*epoch, *term))));
            }
            _ => {}
        }
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        // A refusal alone takes no member out: the group may need its vote until it is released.
        if matches!(step, Step::Refuse { .. }) {
            hosted.forget_incoming(from, id);
        }
        let verdict = hosted.on_source_step(&mut self.cx, &mut self.net, &mut self.packages, from, id, &step);
        self.dirty.insert(service);
        self.on_verdict(service, verdict);
    }

    pub(crate) fn on_blob(&mut self, blob: BlobId, result: Result<Vec<u8>, String>) {
        self.packages.on_blob(&mut self.cx, blob, &result);
        self.on_package_blob(blob, &result);
        let arrival = self.targets.on_blob(&mut self.cx, &mut self.net, &self.packages, blob, &result);
        if let Some((service, arrival)) = arrival {
            // It may have been founded here since the offer: what serves is never replaced by what a peer sent.
            let (source, id) = arrival.handover();
            if self.hosted.contains_key(&service) && !self.may_be_replaced(source, service) {
                let reason = "this node takes part in the service already".to_owned();
                return self.refuse(source, service, id, reason);
            }
            self.remove_hosted(service, None);
            let id = self.new_instance(service);
            let hosted = arrival.start(&mut self.cx, &self.packages, service, id);
            self.insert_hosted(hosted);
        }
    }

    /// A service record was learned: does this node serve an older package of it?
    pub(crate) fn on_service_record(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get(&service).filter(|hosted| hosted.is_serving()) else { return };
        let Some(record) = self.directory.index().service(service, self.cx.now) else { return };
        if hosted.package == Some(record.package) || hosted.source.is_some() {
            return;
        }
        let (package, publisher) = (record.package, record.publisher);
        self.upgrading.insert(package, service);
        let providers = vec![publisher];
        self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
    }

    /// A newer package of a service that is served here is ready: from the next log entry on it runs.
    pub(crate) fn propose_upgrade(&mut self, service: ServiceId, package: PackageId) -> Result<(), String> {
        let hosted = self.hosted.get_mut(&service).ok_or("the service is not served here")?;
        let known = self.packages.get(&package).ok_or("the package is not known")?;
        if known.package.service() != service {
            return Err("the package is that of another service".to_owned());
        }
        let handed_over = hosted.wanted == 1 && hosted.group.voters().len() > 1;
        if hosted.source.as_ref().is_some_and(|source| source.purpose() == Purpose::Handover) || handed_over {
            return Err("the service is being handed over; publish again in a moment".to_owned());
        }
        let entry = Entry::Upgrade { package, now: self.cx.now };
        hosted.group.propose(wire::encode(&entry)).map_err(|_| "the service is busy".to_owned())?;
        hosted.package = Some(package);
        hosted.memory_mib = known.package.manifest.requires.memory_mib;
        hosted.storage_mib = known.package.manifest.requires.storage_mib;
        if let Some(bytes) = self.directory.index().service_bytes(service) {
            hosted.record = bytes.to_vec();
        }
        hosted.renew_at = self.cx.now;
        self.dirty.insert(service);
        Ok(())
    }

    /// The log of a service replaces its module: gets the package, from other members or its publisher.
    fn get_package(&mut self, service: ServiceId, package: PackageId) {
        self.awaited.insert(package, service);
        let mut providers: Vec<PeerId> = self.known_hosts(service);
        if let Some(hosted) = self.hosted.get(&service) {
            let members = hosted.group.members().values().filter(|member| !member.witness);
            providers.extend(members.map(|member| member.peer));
        }
        if let Some(record) = self.directory.index().service(service, self.cx.now) {
            providers.push(record.publisher);
        }
        self.packages.find_manifest(&mut self.cx, &mut self.net, package, providers);
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
            let hosts = self.known_hosts(service);
            return self.packages.prepare(&mut self.cx, &mut self.net, package, &hosts);
        }
        self.awaited.remove(&package);
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        if let (Ok(()), Some(known)) = (&result, known) {
            hosted.package = Some(package);
            hosted.memory_mib = known.manifest.requires.memory_mib;
            hosted.storage_mib = known.manifest.requires.storage_mib;
        }
        if let Some(instance) = &mut hosted.instance {
            instance.on_package(&mut self.cx, package, &result);
        }
        self.dirty.insert(service);
    }

    /// Sets the volunteer policy; gas limits hold at once, the others for what comes.
    pub(crate) fn set_policy(&mut self, policy: Option<VolunteerPolicy>) {
        self.policy = policy;
        self.apply_gas_limits();
        self.cx.signal(crate::cx::Signal::HelloChanged);
        self.cx.event(Event::Status);
    }

    /// Members that nobody leads any more. A replica with state waits longer: the others may come back.
    pub(crate) fn drop_leaderless(&mut self) {
        let now = self.cx.now;
        let lost = |hosted: &Hosted| {
            let patience = if hosted.wanted > 1 && hosted.instance.is_some() { ORPHANED } else { LEADERLESS };
            !hosted.group.leads() && now.since(hosted.group.led_at()) >= patience
        };
        let lost: Vec<ServiceId> =
            self.hosted.iter().filter(|(_, hosted)| lost(hosted)).map(|(service, _)| *service).collect();
        for service in lost {
            self.on_broken(service, "no majority of its group could be reached in time".to_owned());
        }
    }

    /// Forgets a service; `to` is told to whoever still asks here.
    pub(crate) fn remove_hosted(&mut self, service: ServiceId, to: Option<(PeerId, (u64, u64))>) {
        let Some(mut hosted) = self.hosted.remove(&service) else { return };
        if hosted.source.is_some() {
            hosted.abort_handover(
                &mut self.cx,
                &mut self.net,
                &mut self.packages,
                "the service stopped here",
            );
        }
        if let Some(instance) = &hosted.instance {
            instance.stop(&mut self.cx);
            self.instances.remove(&instance.id());
        }
        if let Some((to, authority)) = to {
            self.moved.insert(service, Moved { to, authority, until: self.cx.now + FORWARD_FOR });
        }
        self.cx.event(Event::Hosting { service: hosted.name });
        self.cx.signal(crate::cx::Signal::HelloChanged);
        self.apply_gas_limits();
        self.on_left();
    }

    fn insert_hosted(&mut self, hosted: Hosted) {
        let (service, name) = (hosted.service, hosted.name.clone());
        self.moved.remove(&service);
        self.hosted.insert(service, hosted);
        self.dirty.insert(service);
        self.apply_gas_limits();
        self.cx.event(Event::Hosting { service: name });
    }

    fn new_instance(&mut self, service: ServiceId) -> InstanceId {
        self.next_instance += 1;
        let id = InstanceId(self.next_instance);
        self.instances.insert(id, service);
        id
    }

    fn on_serving(&mut self, service: ServiceId) {
        self.on_configured(service);
        self.on_authority_changed(service);
        self.on_published(service);
        self.finish_wanted(service);
    }

    /// This node serves a group at rest: whoever else was a member is released.
    fn on_configured(&mut self, service: ServiceId) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let rests = !hosted.group.is_joint() && !hosted.group.is_changing();
        if !hosted.is_serving() || !rests || hosted.wanted == 1 && hosted.group.voters().len() > 1 {
            return;
        }
        hosted.former.extend(hosted.incoming.map(|incoming| incoming.source));
        let members: BTreeSet<PeerId> = hosted.group.members().values().map(|member| member.peer).collect();
        let gone = hosted.former.difference(&members).copied().collect::<Vec<_>>();
        hosted.former = members;
        hosted.former.remove(&self.cx.me);
        hosted.release_others(&mut self.cx, &mut self.net, gone);
        hosted.announce_replicas(&mut self.cx, &mut self.net);
        if let Some(incoming) = hosted.incoming.take() {
            self.cx.event(Event::Handover {
                service: hosted.name.clone(),
                from: incoming.source.to_string(),
                to: self.cx.me.to_string(),
                step: "done".to_owned(),
                reason: String::new(),
            });
        }
    }

    fn on_authority_changed(&mut self, service: ServiceId) {
        if let Some(hosted) = self.hosted.get(&service) {
            self.cx.event(Event::Hosting { service: hosted.name.clone() });
        }
        self.cx.signal(crate::cx::Signal::HelloChanged);
        self.renew_records();
    }

    fn on_broken(&mut self, service: ServiceId, reason: String) {
        let Some(hosted) = self.hosted.get_mut(&service) else { return };
        let name = hosted.name.clone();
        if let Some(incoming) = hosted.incoming {
            let step = Step::Refuse { reason: reason.chars().take(400).collect() };
            let message = Control::Handover { service, id: incoming.id, step };
            self.net.send(&mut self.cx, incoming.source, Lane::Control, &message);
        }
        self.remove_hosted(service, None);
        if !self.fail_publish(service, &reason) {
            let message = format!("{name} stopped here: {reason}");
            self.cx.event(Event::Error { code: "trapped".to_owned(), message });
        }
    }

    fn on_want(&mut self, from: PeerId, service: ServiceId, id: u64) {
        let permitted = self
            .directory
            .index()
            .service(service, self.cx.now)
            .is_some_and(|record| record.hosts_permit(&from));
        if !permitted && self.hosted.contains_key(&service) {
            let reason = "the service does not permit this host".to_owned();
            return self.refuse(from, service, id, reason);
        }
        let now = self.cx.now;
        let wait = match self.hosted.get_mut(&service) {
            // It may have moved a moment ago: the record of its new host is on the way.
            None => Some(WANT_AGAIN),
            Some(hosted) if hosted.source.is_some() || !hosted.is_serving() => Some(WANT_AGAIN),
            Some(hosted) => hosted.pulled.admit(now),
        };
        if let Some(wait) = wait {
            let step = Step::Busy { retry_ms: u32::try_from(wait.0).unwrap_or(u32::MAX) };
            let message = Control::Handover { service, id, step };
            self.net.send(&mut self.cx, from, Lane::Control, &message);
            return;
        }
        self.hand_over(service, from, None);
    }

    /// Begins a handover; its refusal is the command's answer.
    pub(crate) fn hand_over(
        &mut self,
        service: ServiceId,
        to: PeerId,
        request: Option<crate::id::RequestId>,
    ) {
        let id = self.cx.random_id();
        if self.hands_over_later(service, to, request) {
            return;
        }
        if let Some(hosted) = self.hosted.get_mut(&service) {
            let chain = hosted.succession.extended(service, to, &self.secret);
            let (cx, net, packages) = (&mut self.cx, &mut self.net, &self.packages);
            hosted.start_source(cx, net, packages, id, chain, request, Purpose::Handover);
            self.dirty.insert(service);
        } else if let Some(request) = request {
            let result = Err(Error::Refused("the service is not served here".to_owned()));
            self.cx.put(Output::Answer { request, result });
        }
    }

    fn on_offer(
        &mut self,
        from: PeerId,
        service: ServiceId,
        id: u64,
        record: &ByteBuf,
        (manifest, signature): (&ByteBuf, &ByteBuf),
        succession: &Succession,
    ) -> Result<(), String> {
        let wanted = self.targets.wants(&service, from);
        if self.policy.is_none() && !wanted {
            return Err("this node does not volunteer".to_owned());
        }
        if self.hosted.contains_key(&service) && !self.may_be_replaced(from, service) {
            return Err("this node takes part in the service already".to_owned());
        }
        if self.targets.comes_from_other(&service, from) {
            return Err("another peer hands the service over to this node".to_owned());
        }
        if self.targets.len() >= MAX_TARGETS {
            return Err("this node takes too many services at once".to_owned());
        }
        let validated = crate::registry::validate(crate::registry::service_key(service), record, self.cx.now);
        let Ok(Validated::Service(known)) = validated else {
            return Err("the service's record is not valid".to_owned());
        };
        if !known.hosts_permit(&self.cx.me) {
            return Err("the service does not permit this host".to_owned());
        }
        let serves = succession.proves(service, known.genesis.host, from);
        if !serves && !succession.is_full(service, from) {
            return Err("the offering peer was never made a host of the service".to_owned());
        }
        let package = self.packages.learn(&mut self.cx, manifest, signature)?;
        if package != known.package {
            return Err("the package is not that of the service's record".to_owned());
        }
        self.check_fit(package, wanted)?;
        self.directory.learn(&self.cx, &mut self.net, record);
        let (cx, net, packages) = (&mut self.cx, &mut self.net, &mut self.packages);
        self.targets.accept(cx, net, packages, service, id, from, (&known, record.to_vec()));
        Ok(())
    }

    /// Row 19: requirements against what this node has, before a byte of code is fetched. Row 18: the person's limits.
    pub(crate) fn check_fit(&self, package: PackageId, wanted: bool) -> Result<(), String> {
        let known = self.packages.get(&package).ok_or("the package is not known")?;
        let manifest = &known.package.manifest;
        let default = VolunteerPolicy { cpu: 50, memory_mib: 512, storage_mib: 256, services: Vec::new() };
        let policy = self.policy.as_ref().unwrap_or(&default);
        let named = |allowed: &String| *allowed == manifest.name || *allowed == known.package.full_name();
        if !wanted && !policy.services.is_empty() && !policy.services.iter().any(named) {
            return Err("this volunteer takes other services only".to_owned());
        }
        let coming = self.targets.coming().filter_map(|(_, id)| self.packages.get(&id));
        let coming = coming.map(|known| &known.package.manifest.requires);
        let (memory, storage) = coming.fold((0, 0), |(memory, storage), requires| {
            (memory + requires.memory_mib, storage + requires.storage_mib)
        });
        let memory: u32 = memory + self.hosted.values().map(|hosted| hosted.memory_mib).sum::<u32>();
        let storage: u32 = storage + self.hosted.values().map(|hosted| hosted.storage_mib).sum::<u32>();
        let has = Capabilities {
            memory_mib: policy.memory_mib.saturating_sub(memory),
            gas_per_second: GAS_PER_CORE / 100 * u64::from(policy.cpu.min(100)),
            storage_mib: policy.storage_mib.saturating_sub(storage),
            up_kbps: None,
            latency_ms: None,
            features: Default::default(),
            mains: true,
        };
        manifest::fits(manifest, &has).map_err(|unfit| unfit.to_string())
    }

    /// A person's share of the processor is divided among what runs here.
    fn apply_gas_limits(&mut self) {
        let running = self.hosted.values().filter(|hosted| hosted.instance.is_some()).count().max(1) as u64;
        let share =
            self.policy.as_ref().map(|p| GAS_PER_CORE / 100 * u64::from(p.cpu.clamp(1, 100)) / running);
        for instance in self.hosted.values_mut().filter_map(|hosted| hosted.instance.as_mut()) {
            instance.limit_gas(self.cx.now, share);
        }
    }

    fn on_ask_witness(&mut self, from: PeerId, service: ServiceId, id: u64, name: String) {
        let witnessed = || self.hosted.values().filter(|hosted| hosted.group.is_witness());
        let of_peer = witnessed().filter(|hosted| hosted.succession.holder() == from).count();
        let promised = self.targets.is_promised_to_other(&service, from);
        if promised
            || self.hosted.contains_key(&service) && !self.may_be_replaced(from, service)
            || witnessed().count() + self.targets.promised() >= MAX_WITNESSED
            || of_peer + self.targets.promised_to(from) >= MAX_WITNESSED_PER_PEER
        {
            return self.refuse(from, service, id, "this node cannot be a witness now".to_owned());
        }
        self.targets.promise(&mut self.cx, &mut self.net, service, id, from, name);
    }

    /// Only a member that holds state, in this authority or a later one, releases others.
    fn is_released(&self, from: PeerId, service: ServiceId, authority: (u64, u64)) -> bool {
        self.hosted.get(&service).is_some_and(|hosted| {
            let group = &hosted.group;
            let member = group.members().values().any(|member| member.peer == from && !member.witness);
            member
                && from != self.cx.me
                && authority >= (group.epoch(), group.term())
                && hosted.source.is_none()
        })
    }

    /// May what this node has of a service give way to what `from`, its leader as far as known, seeds anew?
    fn may_be_replaced(&self, from: PeerId, service: ServiceId) -> bool {
        self.hosted.get(&service).is_some_and(|hosted| {
            let leader = hosted.group.leader();
            !hosted.group.leads()
                && hosted.wanted_or_witness()
                && leader.is_none_or(|leader| leader.peer == from)
        })
    }

    /// A replica that joins gives way to a handover that a person wants; a group that is being changed comes first.
    fn hands_over_later(
        &mut self,
        service: ServiceId,
        to: PeerId,
        request: Option<crate::id::RequestId>,
    ) -> bool {
        let Some(hosted) = self.hosted.get_mut(&service).filter(|hosted| hosted.wanted > 1) else {
            return false;
        };
        if hosted.source.as_ref().is_some_and(|source| source.purpose() != Purpose::Handover) {
            let (cx, net, packages) = (&mut self.cx, &mut self.net, &mut self.packages);
            hosted.abort_handover(cx, net, packages, "a handover comes first");
        }
        let changing = hosted.group.is_joint() || hosted.group.is_changing();
        changing && hosted.source.is_none() && self.hand_over_later(service, to, request)
    }

    fn refuse(&mut self, to: PeerId, service: ServiceId, id: u64, reason: String) {
        let reason = reason.chars().take(400).collect();
        let message = Control::Handover { service, id, step: Step::Refuse { reason } };
        self.net.send(&mut self.cx, to, Lane::Control, &message);
    }

    fn finish_wanted(&mut self, service: ServiceId) {
        for request in self.targets.take_wanted(&service).into_iter().flat_map(|wanted| wanted.requests) {
            self.cx.put(Output::Answer { request, result: Ok(Answer::Done) });
        }
    }

    fn fail_wanted(&mut self, service: ServiceId, from: PeerId, reason: &str) {
        if self.targets.wants(&service, from) {
            for request in self.targets.take_wanted(&service).into_iter().flat_map(|w| w.requests) {
                let result = Err(Error::Refused(reason.to_owned()));
                self.cx.put(Output::Answer { request, result });
            }
        }
    }

    /// The host cannot give the service away at this moment: ask again, whoever serves then.
    fn want_later(&mut self, service: ServiceId, from: PeerId, retry_ms: u32) {
        if self.targets.wants(&service, from) {
            if let Some(wanted) = self.targets.take_wanted(&service) {
                let wait = Millis(u64::from(retry_ms).clamp(100, 60_000));
                self.host_later(wait, wanted);
            }
        }
    }
}
