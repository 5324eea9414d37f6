//! What two indexes tell each other to become the same: digests of keys, and the records that one of them lacks.

use super::Index;
use crate::id::{Hash, PeerId, ServiceId};
use crate::registry::{host_key, service_key};
use crate::wire::{MAX_DIGEST, MAX_RECORDS};

/// A record of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    Service,
    Host(PeerId),
    Rating(PeerId),
}

impl Index {
    /// What this index has, as (key, sequence) in the order of keys from `from` on, at most [`MAX_DIGEST`]. To exchange
    /// a larger index, start the next digest behind the last key of this one, and after the end from zero again.
    pub fn digest(&self, from: Hash) -> Vec<(Hash, u64)> {
        let keys = self.keys.range(from..).take(MAX_DIGEST);
        keys.filter_map(|(key, slot)| Some((*key, self.slot(*slot)?.1))).collect()
    }

    /// The keys of another's digest that this index lacks or has older.
    pub fn missing(&self, digest: &[(Hash, u64)]) -> Vec<Hash> {
        let is_newer = |(key, sequence): &&(Hash, u64)| {
            let own = self.keys.get(key).and_then(|slot| self.slot(*slot));
            own.is_none_or(|(_, own)| *sequence > own)
        };
        digest.iter().take(MAX_DIGEST).filter(is_newer).map(|(key, _)| *key).collect()
    }

    /// The records with these keys of a digest, services before hosts, ratings last, at most [`MAX_RECORDS`].
    pub fn records(&self, keys: &[Hash]) -> Vec<Vec<u8>> {
        let mut slots: Vec<(ServiceId, Slot)> =
            keys.iter().take(MAX_DIGEST).filter_map(|key| self.keys.get(key).copied()).collect();
        let rank = |slot: &Slot| match slot {
            Slot::Service => 0,
            Slot::Host(_) => 1,
            Slot::Rating(_) => 2,
        };
        slots.sort_by_key(|(service, slot)| (rank(slot), *service, *slot));
        slots.into_iter().filter_map(|slot| Some(self.slot(slot)?.0.to_vec())).take(MAX_RECORDS).collect()
    }

    /// A record's bytes and its signer's sequence.
    fn slot(&self, (service, slot): (ServiceId, Slot)) -> Option<(&[u8], u64)> {
        let entry = self.services.get(&service)?;
        match slot {
            Slot::Service => Some((&entry.bytes, entry.record.sequence)),
            Slot::Host(peer) => {
                entry.hosts.get(&peer).map(|host| (host.bytes.as_slice(), host.record.sequence))
            }
            Slot::Rating(rater) => entry.ratings.slot(&rater),
        }
    }
}

pub(super) fn service_slot(service: ServiceId) -> Hash {
    service_key(service)
}

pub(super) fn host_slot(service: ServiceId, host: PeerId) -> Hash {
    Hash::of(&[&host_key(service).0, &host.0])
}
