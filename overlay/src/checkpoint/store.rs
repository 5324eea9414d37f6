//! When a host stores a checkpoint, and what it forgets of those before.

use serde_bytes::ByteBuf;

use super::{package_key, state_key, Files, Marks, State};
use crate::hosting::Hosted;
use crate::id::{PackageId, ServiceId};
use crate::instance::machine::{SessionKey, SessionState};
use crate::instance::Image;
use crate::io::Output;
use crate::node::Node;
use crate::time::{Millis, Time};
use crate::wire;

/// After the first event that no checkpoint holds, one is taken within this time.
const STORE_WITHIN: Millis = Millis::secs(1);
/// The shortest time between two checkpoints of a service; one MiB of packed state adds as much.
const STORE_EVERY: Millis = Millis::secs(2);
/// The same for a replica, whose state others hold as well.
const STORE_REPLICA_EVERY: Millis = Millis::secs(10);
/// The longest time between two checkpoints.
const STORE_EVERY_AT_MOST: Millis = Millis::secs(60);
/// A state that could not be flushed is tried again after this time; its consumers wait meanwhile.
const FLUSH_AGAIN: Millis = Millis::secs(1);

/// What a host remembers of a service's checkpoints.
#[derive(Debug, Default)]
pub struct Saved {
    /// Not before this time.
    at: Time,
    /// When the next one is taken; `None` while there is nothing new.
    due: Option<Time>,
    /// Index of the last entry that is stored.
    pub(super) index: Option<u64>,
    /// The package that is stored.
    pub(super) package: Option<PackageId>,
    /// The sandbox takes a snapshot for a checkpoint.
    asked: bool,
    /// The checkpoint of a durable service that is on its way to the disk.
    flushing: Option<Marks>,
    /// When the checkpoint was taken that the service came back from.
    pub back_from: Option<Time>,
}

impl Saved {
    /// Everything up to this entry is stored.
    pub fn holds(&self, executed: u64) -> bool {
        self.index.is_some_and(|index| index >= executed) && self.flushing.is_none()
    }

    /// Entries up to `executed` that are not stored.
    pub fn behind(&self, executed: u64) -> Option<u64> {
        self.index.map(|index| executed.saturating_sub(index))
    }
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

    /// Is a checkpoint of it wanted: not during a handover, not of a witness or a standby.
    pub fn may_store(&self) -> bool {
        let replica = || {
            let ready = self.instance.as_ref().is_some_and(|instance| instance.is_ready());
            self.wanted > 1 && ready && self.incoming.is_none() && self.group.is_voter()
        };
        self.source.is_none() && !self.record.is_empty() && (self.is_serving() || replica())
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

    pub(super) fn forget_stored(&mut self, key: String) {
        self.cx.put(Output::Store { key, value: None, flush: false });
    }

    pub(super) fn forget_package(&mut self, package: PackageId) {
        if !self.hosted.values().any(|other| other.saved.package == Some(package)) {
            self.forget_stored(package_key(package));
        }
    }
}
