//! Who serves a service, and who may.

use std::cmp::Reverse;

use super::{host_slot, Change, Entry, Index, Slot};
use crate::id::{PeerId, ServiceId};
use crate::manifest::StateKind;
use crate::registry::{HostRecord, RecordError, ServiceRecord, HOST_LIFETIME, SKEW};
use crate::time::Time;

/// The most hosts that an index keeps of one service.
pub const MAX_HOSTS_KNOWN: usize = 8;

#[derive(Debug)]
pub(super) struct HostEntry {
    pub(super) record: HostRecord,
    /// A chain of hosts leads to it.
    pub(super) proven: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) received: Time,
}

impl HostEntry {
    /// Counted from when it came as well: with [`SKEW`] alone a dead host would be offered for minutes.
    pub(super) fn is_live(&self, now: Time) -> bool {
        self.received + HOST_LIFETIME >= now && self.record.expires + SKEW >= now
    }
}

impl Index {
    /// Who serves a service now, the highest authority first. Unproven hosts only where no proven one is alive.
    pub fn hosts(&self, service: ServiceId, now: Time) -> Vec<&HostRecord> {
        let Some(entry) = self.services.get(&service) else { return Vec::new() };
        let mut hosts: Vec<&HostRecord> = entry.live_hosts(now).map(|host| &host.record).collect();
        hosts.sort_by_key(|host| Reverse((host.epoch, host.term, host.sequence)));
        hosts
    }

    /// Does a chain of hosts lead to that host of a service?
    pub fn is_proven(&self, service: ServiceId, host: &PeerId) -> bool {
        self.services.get(&service).and_then(|entry| entry.hosts.get(host)).is_some_and(|host| host.proven)
    }

    pub(super) fn insert_host(
        &mut self,
        record: HostRecord,
        bytes: &[u8],
        now: Time,
    ) -> Result<Change, RecordError> {
        let (service, peer) = (record.service, record.host);
        let entry = self.services.get_mut(&service).ok_or(RecordError::UnknownService)?;
        if entry.record.withdrawn || !entry.record.hosts_permit(&peer) {
            return Err(RecordError::NotPermitted);
        }
        // Renewals carry the chain that was checked already.
        let known = entry.hosts.get(&peer).filter(|known| known.record.succession == record.succession);
        let proven = match known {
            Some(known) => known.proven,
            None => standing(&entry.record, &record).ok_or(RecordError::Unproven)?,
        };
        let rank = |host: &HostRecord| (host.epoch, host.term, host.sequence);
        match entry.hosts.get(&peer) {
            Some(known) if rank(&record) <= rank(&known.record) => return Err(RecordError::Stale),
            None if entry.hosts.len() >= MAX_HOSTS_KNOWN => {
                let oldest = entry.hosts.iter().min_by_key(|(_, host)| (host.proven, host.received));
                let oldest = oldest.filter(|(_, host)| proven || !host.proven).map(|(peer, _)| *peer);
                if oldest.is_none() {
                    return Err(RecordError::TooMany);
                }
                if let Some(oldest) = oldest {
                    entry.hosts.remove(&oldest);
                    self.keys.remove(&host_slot(service, oldest));
                }
            }
            _ => {}
        }
        entry.hosts.insert(peer, HostEntry { record, proven, bytes: bytes.to_vec(), received: now });
        self.keys.insert(host_slot(service, peer), (service, Slot::Host(peer)));
        self.touch(service, now);
        Ok(Change::Host(service, peer))
    }
}

impl Entry {
    pub(super) fn live_hosts(&self, now: Time) -> impl Iterator<Item = &HostEntry> {
        let proven = self.hosts.values().any(|host| host.proven && host.is_live(now));
        self.hosts.values().filter(move |host| host.is_live(now) && (host.proven || !proven))
    }
}

/// May the host serve: `Some(true)` when a chain of hosts leads to it, `Some(false)` when its chain is too long to tell,
/// `None` when it may not. Any permitted peer may serve what keeps no state.
pub(super) fn standing(service: &ServiceRecord, host: &HostRecord) -> Option<bool> {
    if !service.hosts_permit(&host.host) {
        return None;
    }
    let proven = service.state == StateKind::None
        || host.succession.proves(host.service, service.genesis.host, host.host);
    let full = || host.succession.is_full(host.service, host.host);
    (proven || full()).then_some(proven)
}
