//! Greeting peers, meeting more of them, and keeping records alive.

use std::collections::BTreeSet;

use serde_bytes::ByteBuf;

use crate::cx::Signal;
use crate::id::{PeerId, ServiceId};
use crate::io::{DhtCommand, Event, Lane, Output, Path, Role};
use crate::node::Node;
use crate::registry::{self, HostRecord, Validated, HOST_LIFETIME};
use crate::time::{Millis, Time};
use crate::wire::{Control, Hello, MAX_PEERS};

/// Tabs that a tab wants to be connected to; sessions and handovers add to them.
const WANTED_TABS: usize = 12;
/// A host signs its record anew this often: thrice in a lifetime.
const RENEW_EVERY: Millis = Millis(HOST_LIFETIME.0 / 3);
/// Services whose records go into the DHT in that time.
const MAX_PUT: usize = 32;
/// A tab with fewer tabs asks a relay for more this often.
const LONELY: usize = 4;

impl Node {
    pub(crate) fn on_connected(&mut self, peer: PeerId, path: Path) {
        if self.net.on_connected(&mut self.cx, peer, path) {
            let hello = self.hello();
            self.net.send(&mut self.cx, peer, Lane::Control, &Control::Hello(hello));
        }
    }

    pub(crate) fn on_addresses(&mut self, addresses: Vec<String>) {
        if self.addresses != addresses {
            self.addresses = addresses;
            self.cx.event(Event::Status);
            self.cx.signal(Signal::HelloChanged);
            self.hosted.values_mut().for_each(|hosted| hosted.renew_at = self.cx.now);
            self.nicknames.renew(self.cx.now);
            self.renew_records();
            self.seek_recalled();
        }
    }

    /// A peer is gone (`lost`), or could not be reached.
    pub(crate) fn on_unreachable(&mut self, peer: PeerId, lost: bool) {
        let (cx, net) = (&mut self.cx, &mut self.net);
        self.packages.on_unreachable(cx, net, peer);
        self.directory.on_unreachable(cx, net, peer);
        self.on_unreachable_ring(peer);
        self.on_unreachable_server(peer);
        if lost {
            self.targets.on_unreachable(peer);
        }
        for service in self.hosted.keys().copied().collect::<Vec<_>>() {
            let Some(hosted) = self.hosted.get_mut(&service) else { continue };
            if lost {
                hosted.on_member_lost(self.cx.now, peer);
            }
            let verdict =
                hosted.on_handover_unreachable(&mut self.cx, &mut self.net, &mut self.packages, peer);
            self.dirty.insert(service);
            self.on_verdict(service, verdict);
        }
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.with_session(id, |session, now, out| session.on_unreachable(now, peer, out));
        }
    }

    /// A peer that counts is connected and says nothing: its groups elect, its sessions look elsewhere.
    pub(crate) fn on_silent(&mut self, peer: PeerId) {
        for (service, hosted) in &mut self.hosted {
            hosted.on_member_lost(self.cx.now, peer);
            self.dirty.insert(*service);
        }
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.with_session(id, |session, now, out| session.on_unreachable(now, peer, out));
        }
    }

    pub(crate) fn on_control(&mut self, from: PeerId, control: Control) {
        match control {
            Control::Hello(hello) => self.on_hello(from, hello),
            Control::GetPeers => {
                if self.role == Role::Relay {
                    self.introduce(from);
                }
            }
            Control::Peers(peers) => self.on_peers(&peers),
            Control::Records(records) => self.on_records(from, &records),
            Control::Query { id, query } if self.net.admit_query(self.cx.now, from) => {
                let records = self.directory.index().search_records(&query, self.cx.now);
                let records = records.into_iter().map(ByteBuf::from).collect();
                let ratings = match self.role {
                    Role::Relay => self.directory.index().search_ratings(&query, self.cx.now),
                    Role::Tab => Vec::new(),
                };
                let found = Control::Found { id, records, ratings };
                self.net.send(&mut self.cx, from, Lane::Control, &found);
            }
            // It asks too often: its search goes on without this node.
            Control::Query { .. } => {}
            Control::Found { id, records, ratings } => {
                self.directory.on_found(&mut self.cx, &mut self.net, from, id, (&records, &ratings));
            }
            Control::Digest(digest) => {
                let missing = self.directory.index().missing(&digest);
                if self.role == Role::Relay && !missing.is_empty() {
                    self.net.send(&mut self.cx, from, Lane::Control, &Control::Missing(missing));
                }
            }
            Control::Missing(keys) => {
                let records = self.directory.index().records(&keys).into_iter().map(ByteBuf::from).collect();
                self.net.send(&mut self.cx, from, Lane::Control, &Control::Records(records));
            }
            Control::GetPackage(package) => {
                let answer = match self.packages.get(&package) {
                    Some(known) => Control::PackageIs {
                        manifest: ByteBuf::from(known.json.clone()),
                        signature: ByteBuf::from(known.signature.to_vec()),
                    },
                    None => Control::NoPackage(package),
                };
                self.net.send(&mut self.cx, from, Lane::Control, &answer);
            }
            Control::PackageIs { manifest, signature } => {
                // Only what was asked for is kept: `learn` signals it to whoever waits.
                let id = crate::manifest::package_id(&manifest);
                if self.packages.is_asked(&id) {
                    let _ = self.packages.learn(&mut self.cx, &manifest, &signature);
                }
            }
            Control::NoPackage(package) => {
                self.packages.on_no_package(&mut self.cx, &mut self.net, package);
            }
            Control::Ping => {
                self.net.send(&mut self.cx, from, Lane::Control, &Control::Pong);
            }
            Control::Pong => {}
            Control::Bye => {
                if self.net.on_bye(&mut self.cx, from) {
                    self.on_silent(from);
                }
            }
            Control::NoGroup(service) => {
                if let Some(hosted) = self.hosted.get_mut(&service) {
                    let members = hosted.group.members().iter();
                    let of_peer: Vec<u64> =
                        members.filter(|(_, member)| member.peer == from).map(|(id, _)| *id).collect();
                    of_peer.into_iter().for_each(|id| hosted.keeper.has_no_group(self.cx.now, id));
                }
            }
            Control::AskIndex { service, token } => self.on_ask_index(from, service, token),
            Control::IndexIs { service, token, index } => self.on_index_is(from, service, token, index),
            Control::Recalled { service, holding } => self.on_recalled(from, service, holding),
            Control::Handover { service, id, step } => self.on_handover_step(from, service, id, step),
            Control::Ring { id, nick, conference } => self.on_ring(from, id, nick, conference),
            Control::PickUp { id, answer } => self.on_pick_up(from, id, answer),
            Control::RingOver { id } => self.on_ring_over(from, id),
            Control::Version { package, refused, .. } => self.on_version(from, package, refused),
        }
    }

    /// Tells every connected peer what changed about this node, if something did: a relay has thousands of peers.
    pub(crate) fn greet_all(&mut self) {
        let hello = self.hello();
        if self.greeted.as_ref() == Some(&hello) {
            return;
        }
        self.greeted = Some(hello.clone());
        let hello = Control::Hello(hello);
        for peer in self.net.peers().map(|(id, _)| id).collect::<Vec<_>>() {
            self.net.send(&mut self.cx, peer, Lane::Control, &hello);
        }
    }

    /// Every few seconds.
    pub(crate) fn keep_house(&mut self) {
        let now = self.cx.now;
        self.directory.expire(now);
        self.moved.retain(|_, moved| moved.until > now);
        for peer in self.net.late_dials(now) {
            self.net.on_dial_failed(now, peer);
            self.on_unreachable(peer, false);
        }
        for hosted in self.hosted.values_mut() {
            hosted.sweep(&mut self.cx, &mut self.net);
        }
        self.seek_recalled();
        self.keep_external();
        self.revive_orphans();
        self.give_way();
        if self.packages.has_surplus() {
            let used = self.used_packages();
            self.packages.release_unused(&mut self.cx, &used);
        }
        self.dirty.extend(self.hosted.keys().copied());
        self.drop_leaderless();
        self.give_up_publishing();
        self.keep_asking();
        self.renew_records();
        let tabs = self.net.of_role(Role::Tab).count() + self.net.dialling();
        let relay = self.net.of_role(Role::Relay).next();
        if let (Role::Tab, true, Some(relay)) = (self.role, tabs < LONELY, relay) {
            self.net.send(&mut self.cx, relay, Lane::Control, &Control::GetPeers);
        }
    }

    /// Signs the host records that are due and spreads them. Those that will be due soon go along, so that a thousand of
    /// them need few messages.
    pub(crate) fn renew_records(&mut self) {
        let now = self.cx.now;
        let serving =
            || self.hosted.iter().filter(|(_, hosted)| hosted.is_serving() && !hosted.record.is_empty());
        if !serving().any(|(_, hosted)| hosted.renew_at <= now) {
            return;
        }
        let soon = now + Millis(RENEW_EVERY.0 / 4);
        let due = serving().filter(|(_, hosted)| hosted.renew_at <= soon);
        let due: Vec<(Time, ServiceId)> = due.map(|(service, hosted)| (hosted.put_at, *service)).collect();
        let mut records: Vec<Vec<u8>> =
            due.iter().filter_map(|(_, service)| self.renew_record(*service)).flatten().collect();
        self.put_records(due);
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(crate::wire::MAX_RECORDS));
            self.directory.push_to_relays(&mut self.cx, &mut self.net, records, None);
            records = rest;
        }
    }

    /// Into the DHT go the records of so many services, those first that waited longest. Whoever serves more is found by
    /// indexes, and by turns in the DHT.
    fn put_records(&mut self, mut due: Vec<(Time, ServiceId)>) {
        let now = self.cx.now;
        due.sort_unstable();
        let fresh =
            |hosted: &&crate::hosting::Hosted| now.since(hosted.put_at) < RENEW_EVERY && hosted.put_at.0 > 0;
        let spent = self.hosted.values().filter(fresh).count();
        for (_, service) in due.into_iter().take(MAX_PUT.saturating_sub(spent)) {
            let Some(hosted) = self.hosted.get_mut(&service) else { continue };
            hosted.put_at = now;
            let name = hosted.name.split('@').next().unwrap_or_default().to_owned();
            let (service_record, record) = (hosted.record.clone(), std::mem::take(&mut hosted.signed));
            self.put(registry::host_key(service), &record);
            self.put(registry::service_key(service), &service_record);
            self.cx.put(Output::Dht(DhtCommand::Provide { key: registry::name_key(&name) }));
        }
    }

    /// Signs a host record: the service's record and it.
    pub(crate) fn renew_record(&mut self, service: ServiceId) -> Option<[Vec<u8>; 2]> {
        let now = self.cx.now;
        let hosted = self.hosted.get_mut(&service)?;
        hosted.renew_at = now + RENEW_EVERY;
        let record = HostRecord {
            service,
            epoch: hosted.group.epoch(),
            term: hosted.group.term(),
            host: self.cx.me,
            succession: hosted.succession.clone(),
            members: hosted.group.members().values().map(|member| member.peer).take(8).collect(),
            addresses: self
                .addresses
                .iter()
                .filter(|address| address.len() <= 256)
                .take(4)
                .cloned()
                .collect(),
            sequence: now.0,
            created: now,
            expires: now + HOST_LIFETIME,
        };
        let record = record.encode(&self.secret).ok()?;
        let service_record = hosted.record.clone();
        hosted.signed.clone_from(&record);
        self.directory.learn(&self.cx, &mut self.net, &service_record);
        self.directory.learn(&self.cx, &mut self.net, &record);
        Some([service_record, record])
    }

    pub(crate) fn put(&mut self, key: crate::id::Hash, value: &[u8]) {
        if let Ok(record) = Validated::decode(value) {
            let (value, expires) = (value.to_vec(), record.expires());
            self.cx.put(Output::Dht(DhtCommand::Put { key, value, expires }));
        }
    }

    fn hello(&self) -> Hello {
        let serving = self.hosted.values().filter(|hosted| hosted.is_serving());
        Hello {
            role: self.role,
            name: self.name.clone(),
            volunteer: self.policy.is_some(),
            witness: true,
            capacity: u32::try_from(self.capacity() / 1_000_000).unwrap_or(u32::MAX),
            busy: self.balance.busy,
            hosting: serving
                .map(|hosted| hosted.name.clone())
                .filter(|name| name.len() <= 128)
                .take(16)
                .collect(),
            addresses: self
                .addresses
                .iter()
                .filter(|address| address.len() <= 512)
                .take(4)
                .cloned()
                .collect(),
        }
    }

    fn on_hello(&mut self, from: PeerId, hello: Hello) {
        let Some(peer) = self.net.peer_mut(&from) else { return };
        let first = peer.hello.is_none();
        let changed = peer.hello.as_ref() != Some(&hello);
        let (role, addresses) = (hello.role, hello.addresses.clone());
        peer.hello = Some(hello);
        if !addresses.is_empty() {
            self.net.hint(from, addresses);
        }
        if changed {
            self.cx.event(Event::Peer { id: from.to_string(), connected: true });
        }
        match (first, self.role, role) {
            (true, Role::Relay, Role::Tab) => self.introduce(from),
            (true, Role::Relay, Role::Relay) => {
                let digest = self.directory.index().digest(crate::id::Hash([0; 32]));
                self.net.send(&mut self.cx, from, Lane::Control, &Control::Digest(digest));
            }
            (true, Role::Tab, Role::Relay) => {
                self.cx.event(Event::Status);
                self.push_own(from);
            }
            _ => {}
        }
        if first {
            self.seek_recalled();
        }
    }

    /// A relay names some of its tabs to a newcomer.
    fn introduce(&mut self, to: PeerId) {
        let mut tabs: Vec<PeerId> = self.net.of_role(Role::Tab).filter(|peer| *peer != to).collect();
        while tabs.len() > MAX_PEERS.min(16) {
            let at = self.cx.below(tabs.len() as u64) as usize;
            tabs.swap_remove(at);
        }
        if !tabs.is_empty() {
            self.net.send(&mut self.cx, to, Lane::Control, &Control::Peers(tabs));
        }
    }

    fn on_peers(&mut self, peers: &[PeerId]) {
        if self.role != Role::Tab {
            return;
        }
        for peer in peers {
            let tabs = self.net.of_role(Role::Tab).count() + self.net.dialling();
            if tabs < WANTED_TABS {
                self.net.connect(&mut self.cx, *peer);
            }
        }
    }

    /// A relay that was just met gets what this node publishes and hosts.
    fn push_own(&mut self, relay: PeerId) {
        let now = self.cx.now;
        let mut records: Vec<ByteBuf> = Vec::new();
        let own: BTreeSet<ServiceId> = self.published.iter().chain(self.hosted.keys()).copied().collect();
        for service in own {
            let index = self.directory.index();
            records.extend(index.service_bytes(service).map(|bytes| ByteBuf::from(bytes.to_vec())));
        }
        for hosted in self.hosted.values_mut() {
            hosted.renew_at = now;
        }
        self.nicknames.renew(now);
        for part in records.chunks(crate::wire::MAX_RECORDS) {
            self.net.send(&mut self.cx, relay, Lane::Control, &Control::Records(part.to_vec()));
        }
        self.renew_records();
    }

    fn on_records(&mut self, from: PeerId, records: &[ByteBuf]) {
        let (mut news, mut published) = (Vec::new(), BTreeSet::new());
        for record in records {
            if self.directory.learn_from(&self.cx, &mut self.net, record, Some(from)) {
                news.push(record.to_vec());
            }
            // It may be known by another way already, and not heeded yet.
            if let Ok(Validated::Service(record)) = Validated::decode(record) {
                self.on_service_record(record.service());
                if record.publisher == from {
                    published.insert((record.service(), record.package));
                }
            }
        }
        // Once each, however often it is named: an answer is signed.
        published.into_iter().for_each(|(service, package)| self.answer_publisher(service, package));
        // Whoever answered before it was known to serve counts now.
        self.keep_asking();
        if self.role != Role::Relay || news.is_empty() {
            return;
        }
        // Other relays, and hosts whose service has a newer record.
        self.directory.push_to_relays(&mut self.cx, &mut self.net, news.clone(), Some(from));
        for record in news {
            let Ok(Validated::Service(service)) = Validated::decode(&record) else { continue };
            self.want_manifest(&service);
            let hosts: Vec<PeerId> = {
                let hosts = self.directory.index().hosts(service.service(), self.cx.now);
                hosts.iter().map(|host| host.host).filter(|host| *host != from).collect()
            };
            let message = Control::Records(vec![ByteBuf::from(record)]);
            for host in hosts {
                self.net.send(&mut self.cx, host, Lane::Control, &message);
            }
        }
    }
}
