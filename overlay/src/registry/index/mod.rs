//! A bounded, searchable store of validated records: what a relay knows of all services, and a tab of those it met.
//!
//! | file | holds |
//! |---|---|
//! | this one | what is kept: records in, by service; what makes room |
//! | `hosts` | who serves a service, and who may |
//! | `search` | what is found: by name, text, tag and place |
//! | `digest` | what two indexes tell each other to become the same |

mod digest;
mod hosts;
mod search;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::rating::{rating_key, Places, Rating, RatingRecord, Ratings};
use super::record::{RecordError, Validated, SKEW};
use super::service::ServiceRecord;
use crate::id::{Hash, PeerId, ServiceId};
use crate::time::Time;

use digest::{host_slot, service_slot, Slot};
use hosts::{standing, HostEntry};

pub use hosts::MAX_HOSTS_KNOWN;
pub use search::MAX_RESULTS;

/// The most services of one publisher in an index.
pub const MAX_PER_PUBLISHER: usize = 64;
/// How many of the services that were heard of longest ago are looked at for one that nobody serves.
const MAX_AGED: usize = 256;

/// What an inserted record changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A service is new here or has a newer record; it may be withdrawn.
    Service(ServiceId),
    /// A host of a service is new here or has a newer record.
    Host(ServiceId, PeerId),
    /// A peer rated a service anew.
    Rating(ServiceId),
}

/// Records by service. Every record passed validation; the newest of each owner is kept.
#[derive(Debug)]
pub struct Index {
    capacity: usize,
    services: BTreeMap<ServiceId, Entry>,
    by_name: BTreeMap<String, BTreeSet<ServiceId>>,
    per_publisher: BTreeMap<PeerId, usize>,
    by_tag: BTreeMap<String, BTreeSet<ServiceId>>,
    /// Services by when they were heard of last.
    by_age: BTreeSet<(Time, ServiceId)>,
    /// What a digest lists.
    keys: BTreeMap<Hash, (ServiceId, Slot)>,
    /// What the ratings of all services take.
    places: Places,
}

#[derive(Debug)]
struct Entry {
    record: ServiceRecord,
    /// The description as a search compares it.
    description: String,
    bytes: Vec<u8>,
    received: Time,
    hosts: BTreeMap<PeerId, HostEntry>,
    ratings: Ratings,
    /// What a relay said last of how it is rated.
    heard: Option<Rating>,
}

impl Index {
    /// An index of at most `capacity` services.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            services: BTreeMap::new(),
            by_name: BTreeMap::new(),
            per_publisher: BTreeMap::new(),
            by_tag: BTreeMap::new(),
            by_age: BTreeSet::new(),
            keys: BTreeMap::new(),
            places: Places::default(),
        }
    }

    /// How many services are known, withdrawn ones included.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Is no service known?
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Validates a record and takes it if it is news. A full index drops what has expired, then what nobody serves, then
    /// what was heard of longest ago.
    pub fn insert(&mut self, bytes: &[u8], now: Time) -> Result<Change, RecordError> {
        self.insert_from(bytes, None, now)
    }

    /// The same; ratings of a peer that brings too many displace each other.
    pub fn insert_from(
        &mut self,
        bytes: &[u8],
        bringer: Option<PeerId>,
        now: Time,
    ) -> Result<Change, RecordError> {
        let record = Validated::decode(bytes)?;
        record.check_times(now)?;
        match record {
            Validated::Service(record) => self.insert_service(record, bytes, now),
            Validated::Host(record) => self.insert_host(record, bytes, now),
            Validated::Rating(record) => self.insert_rating(&record, bytes, bringer, now),
            // Nick names are looked up in the DHT; no index keeps them.
            Validated::Nick(_) => Err(RecordError::Malformed),
        }
    }

    /// A service's newest record, unless it is withdrawn or over.
    pub fn service(&self, service: ServiceId, now: Time) -> Option<&ServiceRecord> {
        self.services.get(&service).filter(|entry| entry.is_live(now)).map(|entry| &entry.record)
    }

    /// A service's newest record as it was signed, even if it is withdrawn.
    pub fn service_bytes(&self, service: ServiceId) -> Option<&[u8]> {
        self.services.get(&service).map(|entry| entry.bytes.as_slice())
    }

    /// How a service is rated: as the most ratings say, those that are here or those of a relay.
    pub fn rating(&self, service: ServiceId, now: Time) -> Option<Rating> {
        let entry = self.services.get(&service)?;
        let rating =
            [entry.ratings.sum(now)].into_iter().chain(entry.heard).max_by_key(|rating| rating.count);
        rating.filter(|rating| rating.count > 0)
    }

    /// Forgets what has expired. Call it now and then; nothing expired is returned in between either.
    pub fn expire(&mut self, now: Time) {
        let over: Vec<ServiceId> = self
            .services
            .iter()
            .filter(|(_, entry)| entry.record.expires + SKEW < now)
            .map(|(service, _)| *service)
            .collect();
        over.into_iter().for_each(|service| self.remove(service));
        let mut forgotten = Vec::new();
        for (service, entry) in &mut self.services {
            let keys = &mut self.keys;
            entry.hosts.retain(|peer, host| {
                let live = host.is_live(now);
                if !live {
                    keys.remove(&host_slot(*service, *peer));
                }
                live
            });
            forgotten.extend(entry.ratings.over(now).map(|rater| (*service, rater)));
        }
        forgotten.into_iter().for_each(|(service, rater)| self.forget_rating(service, rater));
    }

    fn insert_service(
        &mut self,
        record: ServiceRecord,
        bytes: &[u8],
        now: Time,
    ) -> Result<Change, RecordError> {
        let service = record.service();
        if let Some(entry) = self.services.get_mut(&service) {
            if record.sequence <= entry.record.sequence {
                return Err(RecordError::Stale);
            }
            let keys = &mut self.keys;
            entry.hosts.retain(|peer, host| {
                let standing = if record.withdrawn { None } else { standing(&record, &host.record) };
                if standing.is_none() {
                    keys.remove(&host_slot(service, *peer));
                }
                host.proven = standing == Some(true);
                standing.is_some()
            });
            let known = std::mem::replace(&mut entry.record, record);
            entry.description = entry.record.description.to_lowercase();
            entry.bytes = bytes.to_vec();
            let tags = entry.record.tags.clone();
            self.untag(&known.tags, service);
            self.tag(tags, service);
            self.touch(service, now);
            return Ok(Change::Service(service));
        }
        if self.per_publisher.get(&record.publisher).is_some_and(|count| *count >= MAX_PER_PUBLISHER) {
            return Err(RecordError::TooMany);
        }
        if self.services.len() >= self.capacity {
            self.expire(now);
        }
        if self.services.len() >= self.capacity {
            let unserved = |(_, service): &&(Time, ServiceId)| {
                self.services.get(service).is_none_or(|entry| entry.hosts.is_empty())
            };
            let oldest = self.by_age.iter().take(MAX_AGED).find(unserved).or(self.by_age.first());
            oldest.copied().into_iter().for_each(|(_, oldest)| self.remove(oldest));
        }
        *self.per_publisher.entry(record.publisher).or_default() += 1;
        self.by_name.entry(record.name.clone()).or_default().insert(service);
        self.keys.insert(service_slot(service), (service, Slot::Service));
        self.tag(record.tags.clone(), service);
        self.by_age.insert((now, service));
        let description = record.description.to_lowercase();
        let entry = Entry {
            record,
            description,
            bytes: bytes.to_vec(),
            received: now,
            hosts: BTreeMap::new(),
            ratings: Ratings::default(),
            heard: None,
        };
        self.services.insert(service, entry);
        Ok(Change::Service(service))
    }

    fn insert_rating(
        &mut self,
        record: &RatingRecord,
        bytes: &[u8],
        bringer: Option<PeerId>,
        now: Time,
    ) -> Result<Change, RecordError> {
        let service = record.service;
        let entry = self.services.get(&service).ok_or(RecordError::UnknownService)?;
        if entry.record.withdrawn || record.rater == entry.record.publisher {
            return Err(RecordError::NotPermitted);
        }
        let displaced = entry.ratings.admit(record)?;
        for rater in displaced.into_iter().chain([record.rater]) {
            self.forget_rating(service, rater);
        }
        if let Some((of, rater)) = self.places.gives_way(bringer) {
            let oldest = || self.services.get(&of).and_then(|entry| entry.ratings.oldest());
            rater.or_else(oldest).into_iter().for_each(|rater| self.forget_rating(of, rater));
        }
        if let Some(entry) = self.services.get_mut(&service) {
            entry.ratings.insert(record, bytes, bringer, now);
        }
        self.places.take(service, record.rater, now, bringer);
        self.keys.insert(record.key(), (service, Slot::Rating(record.rater)));
        Ok(Change::Rating(service))
    }

    fn forget_rating(&mut self, service: ServiceId, rater: PeerId) {
        let entry = self.services.get_mut(&service);
        if let Some((at, bringer)) = entry.and_then(|entry| entry.ratings.remove(&rater)) {
            self.places.free(service, rater, at, bringer);
            self.keys.remove(&rating_key(service, rater));
        }
    }

    fn remove(&mut self, service: ServiceId) {
        let raters = self.services.get(&service).map(|entry| entry.ratings.raters().collect::<Vec<_>>());
        raters.into_iter().flatten().for_each(|rater| self.forget_rating(service, rater));
        let Some(entry) = self.services.remove(&service) else { return };
        self.by_age.remove(&(entry.received, service));
        self.untag(&entry.record.tags, service);
        self.keys.remove(&service_slot(service));
        for peer in entry.hosts.keys() {
            self.keys.remove(&host_slot(service, *peer));
        }
        if let Some(count) = self.per_publisher.get_mut(&entry.record.publisher) {
            *count -= 1;
            if *count == 0 {
                self.per_publisher.remove(&entry.record.publisher);
            }
        }
        if let Some(owners) = self.by_name.get_mut(&entry.record.name) {
            owners.remove(&service);
            if owners.is_empty() {
                self.by_name.remove(&entry.record.name);
            }
        }
    }

    fn touch(&mut self, service: ServiceId, now: Time) {
        let Some(entry) = self.services.get_mut(&service) else { return };
        self.by_age.remove(&(entry.received, service));
        entry.received = now;
        self.by_age.insert((now, service));
    }

    fn tag(&mut self, tags: Vec<String>, service: ServiceId) {
        for tag in tags {
            self.by_tag.entry(tag).or_default().insert(service);
        }
    }

    fn untag(&mut self, tags: &[String], service: ServiceId) {
        for tag in tags {
            if let Some(services) = self.by_tag.get_mut(tag) {
                services.remove(&service);
                if services.is_empty() {
                    self.by_tag.remove(tag);
                }
            }
        }
    }
}

impl Entry {
    fn is_live(&self, now: Time) -> bool {
        !self.record.withdrawn && self.record.expires + SKEW >= now
    }
}
