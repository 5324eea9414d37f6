//! Checkpoints: what a host keeps on its own disk, and how a service comes back from there.
//!
//! A `single` or stateless service lives in the memory of one tab. Its host stores the state every few seconds, and the
//! package once. A tab that was reloaded, or whose browser crashed, gives the kernel what it finds ([`Node::recall`]); once
//! the node has joined and nobody else serves the service, it goes on in a new epoch (replication.md, Authority). Sessions
//! whose consumers have seen more than the checkpoint holds are ended with a reason; the others go on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::group::Group;
use crate::hosting::Hosted;
use crate::id::{PackageId, PeerId, RequestId, ServiceId};
use crate::instance::machine::{SessionKey, SessionState};
use crate::instance::{Image, Instance};
use crate::io::{Answer, Event, Output, Query};
use crate::lookup::Purpose;
use crate::manifest::StateKind;
use crate::node::Node;
use crate::registry::{self, HostRecord, Succession, Validated};
use crate::revival::Votes;
use crate::time::{Millis, Time};
use crate::wire::{self, Holding, Members};

/// After the first event that no checkpoint holds, one is taken within this time.
const STORE_WITHIN: Millis = Millis::secs(1);
/// The shortest time between two checkpoints of a service; one MiB of packed state adds as much.
const STORE_EVERY: Millis = Millis::secs(2);
/// The same for a replica, whose state others hold as well.
const STORE_REPLICA_EVERY: Millis = Millis::secs(10);
/// A state that could not be flushed is tried again after this time; its consumers wait meanwhile.
const FLUSH_AGAIN: Millis = Millis::secs(1);
/// The longest.
const STORE_EVERY_AT_MOST: Millis = Millis::secs(60);
/// Services that one recall brings back.
const MAX_RECALLED: usize = 64;

/// What a host remembers of a service's checkpoints.
#[derive(Debug, Default)]
pub struct Saved {
    /// Not before this time.
    at: Time,
    /// When the next one is taken; `None` while there is nothing new.
    due: Option<Time>,
    /// Index of the last entry that is stored.
    index: Option<u64>,
    /// The package that is stored.
    package: Option<PackageId>,
    /// The sandbox takes a snapshot for a checkpoint.
    asked: bool,
    /// The checkpoint of a durable service that is on its way to the disk.
    flushing: Option<Marks>,
    /// When the checkpoint was taken that the service came back from.
    pub back_from: Option<Time>,
}

impl Saved {
    /// Entries up to `executed` that are not stored.
    pub fn behind(&self, executed: u64) -> Option<u64> {
        self.index.map(|index| executed.saturating_sub(index))
    }
}

/// A stored state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    record: ByteBuf,
    succession: Succession,
    package: PackageId,
    epoch: u64,
    term: u64,
    index: u64,
    taken: Time,
    image: ByteBuf,
    /// The voters then.
    members: Members,
}

/// A stored package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Files {
    manifest: ByteBuf,
    signature: ByteBuf,
    files: Vec<ByteBuf>,
}

/// Of each session, the last input that a state has executed, and the last item that it has sent.
pub type Marks = BTreeMap<SessionKey, (u64, u64)>;

/// A service that may come back.
#[derive(Debug)]
pub(crate) struct Recalled {
    state: State,
    name: String,
    /// Its own publisher takes a service back, a volunteer only within its limits.
    own: bool,
    searching: bool,
    /// It goes on once enough of its members say that they are gone.
    is_replicated: bool,
    /// Nobody serves it, and its module is prepared here: it waits for other members.
    pub is_prepared: bool,
    /// What those said.
    pub votes: Votes,
}

impl Hosted {
    /// Something was executed: is there anything that no checkpoint holds?
    pub fn note_unstored(&mut self, now: Time) {
        let Some(instance) = self.instance.as_ref().filter(|_| self.group.is_voter()) else { return };
        let news = self.saved.index.is_none_or(|index| index < instance.executed());
        if news && self.saved.due.is_none() && !self.saved.asked && self.saved.flushing.is_none() {
            let at = if self.flushes() { now } else { now + STORE_WITHIN };
            self.saved.due = Some(self.saved.at.max(at));
        }
    }

    /// Serves a durable service: consumers wait for the disk.
    fn flushes(&self) -> bool {
        self.durable && self.is_serving()
    }

    /// When the next checkpoint is taken: not during a handover, not of a witness or a standby.
    pub fn checkpoint_at(&self) -> Option<Time> {
        self.saved.due.filter(|_| self.may_store() && !self.saved.asked)
    }

    fn may_store(&self) -> bool {
        let replica = || {
            let ready = self.instance.as_ref().is_some_and(|instance| instance.is_ready());
            self.wanted > 1 && ready && self.incoming.is_none() && self.group.is_voter()
        };
        self.source.is_none() && !self.record.is_empty() && (self.is_serving() || replica())
    }
}

impl Recalled {
    /// The package that it runs.
    pub(crate) fn package(&self) -> PackageId {
        self.state.package
    }

    /// `name@publisher`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// This node published it.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// The voters when it was stored.
    pub(crate) fn members(&self) -> &Members {
        &self.state.members
    }

    /// What is on disk here.
    pub(crate) fn holding(&self) -> Holding {
        Holding { epoch: self.state.epoch, term: self.state.term, index: self.state.index, alive: false }
    }
}

impl Node {
    /// States that changed are stored when it is time.
    pub(crate) fn keep_checkpoints(&mut self) {
        let now = self.cx.now;
        for hosted in
            self.hosted.values_mut().filter(|hosted| hosted.checkpoint_at().is_some_and(|at| at <= now))
        {
            if let Some(instance) = &mut hosted.instance {
                (hosted.saved.asked, hosted.saved.due) = (true, None);
                instance.take_image(&mut self.cx);
            }
        }
    }

    /// A service that was published just now is stored at once.
    pub(crate) fn store_soon(&mut self, service: ServiceId) {
        if let Some(hosted) = self.hosted.get_mut(&service) {
            hosted.saved.due = Some(self.cx.now);
            self.keep_checkpoints();
        }
    }

    /// A snapshot was taken; perhaps it was for a checkpoint.
    pub(crate) fn store_checkpoint(&mut self, service: ServiceId, image: &Image) {
        let Some(hosted) = self.hosted.get_mut(&service).filter(|hosted| hosted.saved.asked) else { return };
        hosted.saved.asked = false;
        if !hosted.may_store() {
            return;
        }
        // Not `hosted.package`: an upgrade may be on its way through the log.
        let package = image.machine.package;
        let (packed, _) = image.pack();
        let mib = packed.len() as u64 >> 20;
        let every = if hosted.wanted > 1 { STORE_REPLICA_EVERY } else { STORE_EVERY };
        let flush = hosted.flushes();
        let wait = if flush { 0 } else { (every.0 * (1 + mib)).min(STORE_EVERY_AT_MOST.0) };
        hosted.saved.at = self.cx.now + Millis(wait);
        let marks = |(key, session): (&SessionKey, &SessionState)| (*key, (session.executed, session.sent));
        hosted.saved.flushing = flush.then(|| image.machine.sessions().map(marks).collect());
        hosted.saved.index = Some(image.index);
        let before = hosted.saved.package.replace(package);
        let state = State {
            record: ByteBuf::from(hosted.record.clone()),
            succession: hosted.succession.clone(),
            package,
            epoch: hosted.group.epoch(),
            term: hosted.group.term(),
            index: image.index,
            taken: self.cx.now,
            image: ByteBuf::from(packed),
            members: hosted.group.voting_members(),
        };
        if before != Some(package) {
            self.store_package(package);
        }
        self.cx.put(Output::Store { key: state_key(service), value: Some(wire::encode(&state)), flush });
        before.filter(|before| *before != package).into_iter().for_each(|before| self.forget_package(before));
    }

    /// A checkpoint of a durable service is on disk, or could not be put there: what it holds may be acknowledged.
    pub(crate) fn on_stored(&mut self, key: &str, done: bool) {
        let waits =
            |id: &ServiceId, hosted: &Hosted| hosted.saved.flushing.is_some() && state_key(*id) == key;
        let Some((service, hosted)) = self.hosted.iter_mut().find(|(id, hosted)| waits(id, hosted)) else {
            return;
        };
        let Some(marks) = hosted.saved.flushing.take() else { return };
        if done {
            hosted.on_flushed(&mut self.cx, &mut self.net, marks);
        } else {
            hosted.saved.index = None;
            hosted.saved.at = self.cx.now + FLUSH_AGAIN;
        }
        self.dirty.insert(*service);
    }

    /// A package is kept with the first checkpoint that runs it.
    fn store_package(&mut self, package: PackageId) {
        let Some(known) = self.packages.get(&package) else { return };
        let blobs = std::iter::once(&known.package.module).chain(known.package.files.values());
        let files: Option<Vec<ByteBuf>> =
            blobs.map(|file| self.packages.bytes(file.hash).map(ByteBuf::from)).collect();
        let (manifest, signature) = (known.json.clone(), known.signature.to_vec());
        // UI assets that a volunteer never fetched: the service comes back without offering them.
        let module =
            || self.packages.bytes(known.package.module.hash).map(|bytes| vec![ByteBuf::from(bytes)]);
        let Some(files) = files.or_else(module) else { return };
        let (manifest, signature) = (ByteBuf::from(manifest), ByteBuf::from(signature));
        let value = Some(wire::encode(&Files { manifest, signature, files }));
        self.cx.put(Output::Store { key: package_key(package), value, flush: false });
    }

    /// The service is served elsewhere, or dropped: what is stored of it is forgotten.
    pub(crate) fn forget_checkpoint(&mut self, hosted: &Hosted) {
        if hosted.saved.index.is_none() {
            return;
        }
        self.forget_stored(state_key(hosted.service));
        hosted.saved.package.into_iter().for_each(|package| self.forget_package(package));
    }

    /// What may come back of the service does not: its publisher has made something else of it.
    pub(crate) fn forget_recalled(&mut self, service: ServiceId) {
        if let Some(recalled) = self.recalled.remove(&service) {
            self.forget_stored(state_key(service));
            self.forget_package(recalled.state.package);
        }
    }

    fn forget_stored(&mut self, key: String) {
        self.cx.put(Output::Store { key, value: None, flush: false });
    }

    fn forget_package(&mut self, package: PackageId) {
        if !self.hosted.values().any(|other| other.saved.package == Some(package)) {
            self.forget_stored(package_key(package));
        }
    }

    /// What the driver found of an earlier run of this node: keys and values of [`Output::Store`].
    pub(crate) fn recall(&mut self, request: RequestId, stored: Vec<(String, Vec<u8>)>) {
        let (elsewhere, stored): (Vec<_>, Vec<_>) =
            stored.into_iter().partition(|(key, _)| Self::is_external_key(key));
        for (key, value) in elsewhere {
            if let Err(reason) = self.recall_external(&value) {
                self.refuse_stored(key, &reason, false);
            }
        }
        let (packages, states): (Vec<_>, Vec<_>) =
            stored.into_iter().partition(|(key, _)| key.starts_with("package/"));
        for (key, value) in packages {
            if let Err(reason) = self.recall_package(&value) {
                self.refuse_stored(key, &reason, false);
            }
        }
        for (key, value) in states {
            if let Err((reason, for_good)) = self.recall_state(&value) {
                self.refuse_stored(key, &reason, for_good);
            }
        }
        self.cx.put(Output::Answer { request, result: Ok(Answer::Done) });
        self.seek_recalled();
    }

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

    fn recall_package(&mut self, value: &[u8]) -> Result<(), String> {
        let files: Files = wire::decode_unbounded(value).map_err(|error| error.to_string())?;
        self.packages.learn(&mut self.cx, &files.manifest, &files.signature)?;
        for file in files.files {
            self.packages.add_file(&file)?;
        }
        Ok(())
    }

    /// An error says whether the state will never be of use.
    fn recall_state(&mut self, value: &[u8]) -> Result<(), (String, bool)> {
        let for_good = |reason: String| (reason, true);
        let for_now = |reason: &str| (reason.to_owned(), false);
        let state: State = wire::decode_unbounded(value).map_err(|error| for_good(error.to_string()))?;
        let record = Validated::decode(&state.record).map_err(|error| for_good(error.to_string()))?;
        let Validated::Service(record) = record else {
            return Err(for_good("it has no service record".to_owned()));
        };
        let service = record.service();
        let valid = registry::validate(registry::service_key(service), &state.record, self.cx.now).is_ok();
        // Its own publisher signs a new record when it comes back.
        if !valid && record.publisher != self.cx.me {
            return Err(for_good("the service's record has expired".to_owned()));
        }
        if !record.hosts_permit(&self.cx.me) || state.succession.holder() != self.cx.me {
            return Err(for_good("this node may not host the service".to_owned()));
        }
        let known = self.packages.get(&state.package).ok_or(for_now("its package is not at hand"))?;
        if known.package.service() != service {
            return Err(for_good("its package is that of another service".to_owned()));
        }
        if self.recalled.len() >= MAX_RECALLED {
            return Err(for_now("too many services are stored"));
        }
        let (name, own) = (record.full_name(), record.publisher == self.cx.me);
        let is_replicated = known.package.manifest.state.voters() > 1;
        let (searching, is_prepared, votes) = (false, false, Votes::default());
        let recalled = Recalled { state, name, own, searching, is_replicated, is_prepared, votes };
        self.recalled.insert(service, recalled);
        Ok(())
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

    fn refuse_stored(&mut self, key: String, reason: &str, for_good: bool) {
        let message = format!("what was stored of a service cannot be used: {reason}");
        self.cx.event(Event::Error { code: "refused".to_owned(), message });
        if for_good {
            self.forget_stored(key);
        }
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

/// Services that may come back.
pub(crate) type RecalledServices = BTreeMap<ServiceId, Recalled>;

fn state_key(service: ServiceId) -> String {
    format!("state/{service}")
}

fn package_key(package: PackageId) -> String {
    format!("package/{package}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::hostile_tests::{host, meets, record, service, NOW};
    use crate::registry::HOST_LIFETIME;
    use ed25519_dalek::SigningKey;

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
