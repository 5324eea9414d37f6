//! A bounded, searchable store of validated records: what a relay knows of all services, and a tab of those it met.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::rating::{rating_key, Rating, RatingRecord, Ratings};
use super::record::{HostRecord, RecordError, ServiceRecord, Validated, HOST_LIFETIME, SKEW};
use crate::id::{Hash, PeerId, ServiceId};
use crate::io::{Error, Query, RatingInfo, ServiceInfo};
use crate::manifest::StateKind;
use crate::time::Time;
use crate::wire::{MAX_DIGEST, MAX_RECORDS};

/// The most services of one publisher in an index.
pub const MAX_PER_PUBLISHER: usize = 64;
/// The most hosts that an index keeps of one service.
pub const MAX_HOSTS_KNOWN: usize = 8;
/// The most services that a search returns.
pub const MAX_RESULTS: usize = 200;
/// How many of the services that were heard of longest ago are looked at for one that nobody serves.
const MAX_AGED: usize = 256;
/// The most ratings in an index, of all services together.
const MAX_ALL_RATINGS: usize = 65_536;
/// The most candidates that an ambiguous name lists.
const MAX_CANDIDATES: usize = 20;

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

/// A record of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Service,
    Host(PeerId),
    Rating(PeerId),
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
    /// Ratings of all services.
    ratings: usize,
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

#[derive(Debug)]
struct HostEntry {
    record: HostRecord,
    /// A chain of hosts leads to it.
    proven: bool,
    bytes: Vec<u8>,
    received: Time,
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
            ratings: 0,
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
        let record = Validated::decode(bytes)?;
        record.check_times(now)?;
        match record {
            Validated::Service(record) => self.insert_service(record, bytes, now),
            Validated::Host(record) => self.insert_host(record, bytes, now),
            Validated::Rating(record) => self.insert_rating(&record, bytes, now),
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

    /// Who serves a service now, the highest authority first. Unproven hosts only where no proven one is alive.
    pub fn hosts(&self, service: ServiceId, now: Time) -> Vec<&HostRecord> {
        let Some(entry) = self.services.get(&service) else { return Vec::new() };
        let mut hosts: Vec<&HostRecord> = entry.live_hosts(now).map(|host| &host.record).collect();
        hosts.sort_by_key(|host| Reverse((host.epoch, host.term, host.sequence)));
        hosts
    }

    /// How a service is rated: as the most ratings say, those that are here or those of a relay.
    pub fn rating(&self, service: ServiceId, now: Time) -> Option<Rating> {
        let entry = self.services.get(&service)?;
        let rating =
            [entry.ratings.sum(now)].into_iter().chain(entry.heard).max_by_key(|rating| rating.count);
        rating.filter(|rating| rating.count > 0)
    }

    /// How the services that match are rated, at most [`MAX_RECORDS`].
    pub fn search_ratings(&self, query: &Query, now: Time) -> Vec<(ServiceId, Rating)> {
        // Where all raters took theirs back, too: who heard of them is to forget them.
        let rated = self.matching(query, now).filter(|(_, entry)| entry.ratings.len() > 0);
        rated.map(|(id, entry)| (*id, entry.ratings.sum(now))).take(MAX_RECORDS).collect()
    }

    /// A relay says how a service is rated.
    pub fn hear_rating(&mut self, service: ServiceId, rating: Rating) {
        if let Some(entry) = self.services.get_mut(&service).filter(|_| rating.is_possible()) {
            entry.heard = Some(rating);
        }
    }

    /// Does a chain of hosts lead to that host of a service?
    pub fn is_proven(&self, service: ServiceId, host: &PeerId) -> bool {
        self.services.get(&service).and_then(|entry| entry.hosts.get(host)).is_some_and(|host| host.proven)
    }

    /// The services that match, by name and publisher, at most [`MAX_RESULTS`].
    pub fn search(&self, query: &Query, now: Time) -> Vec<ServiceInfo> {
        self.matching(query, now).take(MAX_RESULTS).map(|(id, entry)| self.info(*id, entry, now)).collect()
    }

    /// The records that match, each service's before its hosts', at most [`MAX_RECORDS`]; last of all those of services that
    /// were withdrawn: who asks may know them from before.
    pub fn search_records(&self, query: &Query, now: Time) -> Vec<Vec<u8>> {
        let records = self.matching(query, now).flat_map(|(_, entry)| {
            let hosts = entry.live_hosts(now).map(|host| host.bytes.clone());
            std::iter::once(entry.bytes.clone()).chain(hosts)
        });
        let withdrawn = self.candidates(query).filter(|(_, entry)| entry.record.withdrawn);
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        let withdrawn = withdrawn.filter(move |(_, entry)| entry.matches(query, text.as_deref()));
        records.chain(withdrawn.map(|(_, entry)| entry.bytes.clone())).take(MAX_RECORDS).collect()
    }

    /// The service that `NAME` or `NAME@PUBLISHER` means.
    pub fn resolve(&self, text: &str, now: Time) -> Result<&ServiceRecord, Error> {
        let not_found = || Error::NotFound(text.chars().take(128).collect());
        if let Some((name, publisher)) = text.split_once('@') {
            let publisher = publisher.parse().map_err(|_| not_found())?;
            return self.service(ServiceId::new(publisher, name), now).ok_or_else(not_found);
        }
        let owners = self.by_name.get(text).into_iter().flatten();
        let found: Vec<&ServiceRecord> = owners.filter_map(|id| self.service(*id, now)).collect();
        match found[..] {
            [] => Err(not_found()),
            [one] => Ok(one),
            _ => Err(Error::Ambiguous(
                found.iter().take(MAX_CANDIDATES).map(|record| record.full_name()).collect(),
            )),
        }
    }

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

    /// Forgets what has expired. Call it now and then; nothing expired is returned in between either.
    pub fn expire(&mut self, now: Time) {
        let over: Vec<ServiceId> = self
            .services
            .iter()
            .filter(|(_, entry)| entry.record.expires + SKEW < now)
            .map(|(service, _)| *service)
            .collect();
        over.into_iter().for_each(|service| self.remove(service));
        for (service, entry) in &mut self.services {
            let keys = &mut self.keys;
            entry.hosts.retain(|peer, host| {
                let live = host.is_live(now);
                if !live {
                    keys.remove(&host_slot(*service, *peer));
                }
                live
            });
            for rater in entry.ratings.expire(now) {
                self.ratings -= 1;
                keys.remove(&rating_key(*service, rater));
            }
        }
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

    fn insert_host(&mut self, record: HostRecord, bytes: &[u8], now: Time) -> Result<Change, RecordError> {
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

    fn insert_rating(
        &mut self,
        record: &RatingRecord,
        bytes: &[u8],
        now: Time,
    ) -> Result<Change, RecordError> {
        let service = record.service;
        let entry = self.services.get_mut(&service).ok_or(RecordError::UnknownService)?;
        if entry.record.withdrawn || record.rater == entry.record.publisher {
            return Err(RecordError::NotPermitted);
        }
        let before = entry.ratings.len();
        if self.ratings >= MAX_ALL_RATINGS && entry.ratings.slot(&record.rater).is_none() {
            return Err(RecordError::TooMany);
        }
        let gone = entry.ratings.insert(record, bytes, now)?;
        self.ratings += entry.ratings.len() - before;
        gone.map(|rater| self.keys.remove(&rating_key(service, rater)));
        self.keys.insert(record.key(), (service, Slot::Rating(record.rater)));
        Ok(Change::Rating(service))
    }

    fn remove(&mut self, service: ServiceId) {
        let Some(entry) = self.services.remove(&service) else { return };
        self.by_age.remove(&(entry.received, service));
        self.untag(&entry.record.tags, service);
        self.keys.remove(&service_slot(service));
        for peer in entry.hosts.keys() {
            self.keys.remove(&host_slot(service, *peer));
        }
        self.ratings -= entry.ratings.len();
        for rater in entry.ratings.raters() {
            self.keys.remove(&rating_key(service, rater));
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

    fn matching<'a>(
        &'a self,
        query: &'a Query,
        now: Time,
    ) -> impl Iterator<Item = (&'a ServiceId, &'a Entry)> + 'a {
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        self.candidates(query)
            .filter(move |(_, entry)| entry.is_live(now) && entry.matches(query, text.as_deref()))
    }

    fn candidates<'a>(&'a self, query: &'a Query) -> impl Iterator<Item = (&'a ServiceId, &'a Entry)> + 'a {
        // By name or tag where one is asked for, else through all: by_name's order is the answer's order.
        let names: Box<dyn Iterator<Item = &BTreeSet<ServiceId>>> = match (&query.name, &query.tag) {
            (Some(name), _) => Box::new(self.by_name.get(name).into_iter()),
            (None, Some(tag)) => Box::new(self.by_tag.get(tag).into_iter()),
            (None, None) => Box::new(self.by_name.values()),
        };
        names.flatten().filter_map(|id| self.services.get_key_value(id))
    }

    fn info(&self, service: ServiceId, entry: &Entry, now: Time) -> ServiceInfo {
        let record = &entry.record;
        ServiceInfo {
            id: record.full_name(),
            name: record.name.clone(),
            publisher: record.publisher.to_string(),
            version: record.version.clone(),
            description: record.description.clone(),
            tags: record.tags.clone(),
            state: record.state.as_str().to_owned(),
            package: record.package.to_string(),
            location: record.location,
            has_ui: record.has_ui,
            url: record.url.clone(),
            hosts: self.serving(service, entry, now),
            sequence: record.sequence,
            rating: self.rating(service, now).map(|rating| RatingInfo {
                mean: (f64::from(rating.stars) / f64::from(rating.count) * 100.0).round() / 100.0,
                count: rating.count,
            }),
        }
    }
}

impl Index {
    /// Who serves, for people. The record of a former host lives on for a while after a move: of a service with state
    /// only the highest authority counts.
    fn serving(&self, service: ServiceId, entry: &Entry, now: Time) -> Vec<String> {
        let hosts = self.hosts(service, now);
        let highest = hosts.first().map(|host| (host.epoch, host.term));
        let many = entry.record.state == StateKind::None;
        let serving = hosts.into_iter().filter(|host| many || Some((host.epoch, host.term)) == highest);
        serving.map(|host| host.host.to_string()).collect()
    }
}

impl Entry {
    fn live_hosts(&self, now: Time) -> impl Iterator<Item = &HostEntry> {
        let proven = self.hosts.values().any(|host| host.proven && host.is_live(now));
        self.hosts.values().filter(move |host| host.is_live(now) && (host.proven || !proven))
    }

    fn is_live(&self, now: Time) -> bool {
        !self.record.withdrawn && self.record.expires + SKEW >= now
    }

    fn matches(&self, query: &Query, text: Option<&str>) -> bool {
        let record = &self.record;
        let has_text = |text: &str| {
            record.name.contains(text)
                || record.tags.iter().any(|tag| tag.contains(text))
                || self.description.contains(text)
        };
        query.tag.as_ref().is_none_or(|tag| record.tags.contains(tag))
            && text.is_none_or(has_text)
            && query.near.is_none_or(|(lat, lon, km)| {
                record.location.is_some_and(|location| distance_km(location, (lat, lon)) <= km)
            })
    }
}

impl HostEntry {
    /// Counted from when it came as well: with [`SKEW`] alone a dead host would be offered for minutes.
    fn is_live(&self, now: Time) -> bool {
        self.received + HOST_LIFETIME >= now && self.record.expires + SKEW >= now
    }
}

/// May the host serve: `Some(true)` when a chain of hosts leads to it, `Some(false)` when its chain is too long to tell,
/// `None` when it may not. Any permitted peer may serve what keeps no state.
fn standing(service: &ServiceRecord, host: &HostRecord) -> Option<bool> {
    if !service.hosts_permit(&host.host) {
        return None;
    }
    let proven = service.state == StateKind::None
        || host.succession.proves(host.service, service.genesis.host, host.host);
    let full = || host.succession.is_full(host.service, host.host);
    (proven || full()).then_some(proven)
}

fn service_slot(service: ServiceId) -> Hash {
    super::service_key(service)
}

fn host_slot(service: ServiceId, host: PeerId) -> Hash {
    Hash::of(&[&super::host_key(service).0, &host.0])
}

/// On the great circle of a sphere of the Earth's mean radius.
fn distance_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (lat_a, lat_b) = (a.0.to_radians(), b.0.to_radians());
    let (lat, lon) = (lat_b - lat_a, (b.1 - a.1).to_radians());
    let h = (lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (lon / 2.0).sin().powi(2);
    2.0 * 6371.0 * h.sqrt().min(1.0).asin()
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
