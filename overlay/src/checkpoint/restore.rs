//! A service that was recalled goes on here, unless somebody else serves it.

use super::recall::Recalled;
use super::state_key;
use crate::group::Group;
use crate::hosting::Hosted;
use crate::id::{PackageId, PeerId, ServiceId};
use crate::instance::{Image, Instance};
use crate::io::{Event, Query};
use crate::lookup::Purpose;
use crate::manifest::StateKind;
use crate::node::Node;
use crate::registry::{HostRecord, Succession};
use crate::wire;

impl Node {
    /// Once this node has joined: who serves the services that may come back here?
    pub(crate) fn seek_recalled(&mut self) {
        if !self.is_joined() {
            return;
        }
        let idle: Vec<(ServiceId, String, PackageId, bool)> = self
            .recalled
            .iter()
            .filter(|(_, recalled)| !recalled.searching)
            .map(|(service, recalled)| {
                (*service, recalled.name.clone(), recalled.state.package, recalled.own)
            })
            .collect();
        for (service, name, package, own) in idle {
            // A volunteer that does not volunteer yet takes nothing back yet.
            if !own && self.policy.is_none() || self.check_fit(package, own).is_err() {
                continue;
            }
            if let Some(recalled) = self.recalled.get_mut(&service) {
                recalled.searching = true;
            }
            let name = name.split('@').next().map(str::to_owned);
            let query = Query { name, ..Query::default() };
            let search = self.directory.search(&mut self.cx, &mut self.net, query, Some(service));
            self.searches.insert(search, Purpose::Recall { service });
        }
    }

    /// The search of [`Node::seek_recalled`] ended.
    pub(crate) fn on_recall_searched(&mut self, service: ServiceId) {
        let Some(recalled) = self.recalled.get_mut(&service) else { return };
        let (package, record) = (recalled.state.package, recalled.state.record.clone());
        if self.hosted.contains_key(&service) {
            // Its checkpoints are of what runs here now.
            self.recalled.remove(&service);
            return;
        }
        let stateless = StateKind::None
            == self.packages.get(&package).map_or(StateKind::Single, |known| known.package.manifest.state);
        // Records of those who served before this node live on for a while: only a later authority took over.
        let authority = (recalled.state.epoch, recalled.state.term);
        let (index, me) = (self.directory.index(), self.cx.me);
        let mut later = index.hosts(service, self.cx.now);
        if recalled.is_replicated {
            return self.on_replica_searched(service, package, &record);
        }
        later.retain(|host| !stateless && host.host != me && (host.epoch, host.term) > authority);
        if later.iter().any(|host| index.is_proven(service, &host.host)) {
            self.recalled.remove(&service);
            self.forget_stored(state_key(service));
            return;
        }
        if !later.is_empty() {
            // Anybody can sign a chain that nobody can prove: no reason to forget the state, nor to serve beside it.
            recalled.searching = false;
            return;
        }
        self.directory.learn(&self.cx, &mut self.net, &record);
        self.packages.prepare(&mut self.cx, &mut self.net, package, &[]);
    }

    /// Records outlive their hosts, and anybody can sign a chain that nobody can prove: a copy is forgotten only when a proven
    /// host who is there serves the service.
    fn on_replica_searched(&mut self, service: ServiceId, package: PackageId, record: &[u8]) {
        let Some(name) = self.recalled.get(&service).map(|recalled| recalled.name().to_owned()) else {
            return;
        };
        let serves = |hello: &wire::Hello| hello.hosting.contains(&name);
        let hosts: Vec<PeerId> = self.known_hosts(service);
        let index = self.directory.index();
        let proven = hosts.iter().filter(|host| index.is_proven(service, host));
        let there = proven.filter_map(|host| self.net.peer(host)?.hello.as_ref()).any(serves);
        if there {
            self.recalled.remove(&service);
            self.forget_stored(state_key(service));
            return;
        }
        for host in hosts {
            self.net.connect(&mut self.cx, host);
        }
        self.directory.learn(&self.cx, &mut self.net, record);
        self.packages.prepare(&mut self.cx, &mut self.net, package, &[]);
    }

    /// A package is prepared, or cannot be: a service may wait for it.
    pub(crate) fn on_recall_prepared(&mut self, package: PackageId, result: &Result<(), String>) {
        let waits = |recalled: &Recalled| recalled.searching && recalled.state.package == package;
        let services: Vec<ServiceId> =
            self.recalled.iter().filter(|(_, recalled)| waits(recalled)).map(|(id, _)| *id).collect();
        for service in services {
            let waits = |recalled: &Recalled| recalled.is_replicated && result.is_ok();
            if let Some(recalled) = self.recalled.get_mut(&service).filter(|recalled| waits(recalled)) {
                (recalled.is_prepared, recalled.searching) = (true, false);
                self.ask_members(service);
                continue;
            }
            let Some(recalled) = self.recalled.remove(&service) else { continue };
            let back = result.clone().and_then(|()| self.bring_back(service, recalled));
            if let Err(reason) = back {
                // Kept: what failed may work after the next start.
                self.refuse_stored(state_key(service), &reason, false);
            }
        }
    }

    /// A replicated service goes on with the copy that was stored here.
    pub(crate) fn revive_from_disk(&mut self, service: ServiceId) {
        let Some(recalled) = self.recalled.remove(&service) else { return };
        if let Err(reason) = self.bring_back(service, recalled) {
            self.refuse_stored(state_key(service), &reason, false);
        }
    }

    fn bring_back(&mut self, service: ServiceId, recalled: Recalled) -> Result<(), String> {
        let Recalled { state, own, .. } = recalled;
        if self.hosted.contains_key(&service) {
            return Ok(());
        }
        let known = self.packages.get(&state.package).ok_or("its package is not known")?;
        let (name, manifest) = (known.package.full_name(), known.package.manifest.clone());
        let mib = |mib: u32| u64::from(mib) << 20;
        let (memory, storage) = (mib(manifest.requires.memory_mib), mib(manifest.requires.storage_mib));
        let image =
            Image::unpack(&state.image, state.index, memory, storage).map_err(|error| error.to_string())?;
        if image.machine.package != state.package {
            return Err("its state is that of another package".to_owned());
        }
        let highest = self.directory.index().hosts(service, self.cx.now).first().map_or(0, |host| host.epoch);
        let epoch = state.epoch.max(highest) + 1;
        // Its own publisher begins a new chain of hosts; others prove themselves by the chain that they have.
        let (record, succession) = match own {
            true => (self.sign_record(state.package)?, Succession::of(self.cx.me)),
            false => (state.record.into_vec(), state.succession),
        };
        self.directory.learn(&self.cx, &mut self.net, &record);
        let id = self.new_instance(service);
        let instance = Instance::new(&mut self.cx, id, state.package, state.index, Some(image));
        let group = Group::found(&mut self.cx, epoch, state.index, state.term);
        let mut hosted = Hosted::new(&self.cx, service, name, group, Some(instance));
        hosted.record = record;
        hosted.succession = succession;
        hosted.runs(state.package, &manifest);
        hosted.wanted = manifest.state.voters().max(1);
        (hosted.saved.index, hosted.saved.package) = (Some(state.index), Some(state.package));
        hosted.saved.back_from = Some(state.taken);
        hosted.server.on_state_lost();
        if own {
            self.published.insert(service);
        }
        let service_name = hosted.name.clone();
        self.insert_hosted(hosted);
        self.cx.event(Event::Restored { service: service_name, since: state.taken.0 });
        Ok(())
    }

    /// Of two hosts of a `single` service that went on without each other, the one with the lower authority gives way.
    pub(crate) fn give_way(&mut self) {
        let (index, me, now) = (self.directory.index(), self.cx.me, self.cx.now);
        let outranked = |(service, hosted): (&ServiceId, &Hosted)| {
            let rests = hosted.wanted == 1 && hosted.is_serving() && hosted.source.is_none();
            let stateful = index.service(*service, now).is_some_and(|record| record.state != StateKind::None);
            let hosts = if rests && stateful { index.hosts(*service, now) } else { Vec::new() };
            let own = (hosted.group.epoch(), hosted.group.term(), me);
            let later = |host: &&&HostRecord| {
                let outranks = (host.epoch, host.term, host.host) > own;
                host.host != me && outranks && index.is_proven(*service, &host.host)
            };
            let later = hosts.iter().find(later).map(|host| (host.host, (host.epoch, host.term)));
            later.map(|later| (*service, later))
        };
        let outranked: Vec<_> = self.hosted.iter().filter_map(outranked).collect();
        for (service, to) in outranked {
            self.remove_hosted(service, Some(to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::State;
    use crate::handover::hostile_tests::{host, meets, record, service, NOW};
    use crate::registry::HOST_LIFETIME;
    use crate::revival::Votes;
    use crate::wire::Members;
    use ed25519_dalek::SigningKey;
    use serde_bytes::ByteBuf;

    /// Anybody can sign a full chain with keys of its own, and say that it serves.
    #[test]
    fn a_copy_is_not_forgotten_for_a_host_that_nobody_can_prove() {
        let mut node = host();
        node.remove_hosted(service(), None);
        let record = record();
        assert!(node.directory.learn(&node.cx, &mut node.net, &record));
        let peer = |key: u8| PeerId(SigningKey::from_bytes(&[key; 32]).verifying_key().to_bytes());
        let liar = peer(132);
        let succession = (101..=132u8).fold(Succession::of(peer(100)), |chain, key| {
            chain.extended(service(), peer(key), &[key - 1; 32])
        });
        let claim = HostRecord {
            service: service(),
            epoch: 9,
            term: 9,
            host: liar,
            succession,
            members: Vec::new(),
            addresses: Vec::new(),
            sequence: NOW.0,
            created: NOW,
            expires: NOW + HOST_LIFETIME,
        };
        let claim = claim.encode(&[132; 32]).unwrap();
        assert!(node.directory.learn(&node.cx, &mut node.net, &claim));
        meets(&mut node, liar, 1, &["counter@x"]);
        let package = PackageId(crate::id::Hash([4; 32]));
        let state = State {
            record: ByteBuf::from(record.clone()),
            succession: Succession::of(node.cx.me),
            package,
            epoch: 1,
            term: 1,
            index: 1,
            taken: NOW,
            image: ByteBuf::new(),
            members: Members::new(),
        };
        let recalled = Recalled {
            state,
            name: "counter@x".to_owned(),
            own: true,
            searching: true,
            is_replicated: true,
            is_prepared: false,
            votes: Votes::default(),
        };
        node.recalled.insert(service(), recalled);
        node.on_replica_searched(service(), package, &record);
        assert!(node.recalled.contains_key(&service()));
    }
}
