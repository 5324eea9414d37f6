//! Ratings: one to five stars that a peer gives a service, signed by it.
//!
//! Each peer has one rating of a service; a newer one replaces it, and zero stars take it back. Relays keep them and tell the
//! sum with what they found; nobody else needs them, so they are not in the DHT. A rating counts for [`RATING_LIFETIME`].
//! Who makes many keys rates many times: what is told is how many keys rated, not how many people.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::key;
use super::record::{seal, RecordError, KIND_RATING, SKEW};
use crate::id::{Hash, PeerId, ServiceId};
use crate::time::{Millis, Time};

/// The longest life of a [`RatingRecord`].
pub const RATING_LIFETIME: Millis = Millis::secs(90 * 24 * 3600);
/// The most stars.
pub const MAX_STARS: u8 = 5;
/// The most ratings that an index keeps of one service; the one that was heard of longest ago goes first.
pub const MAX_RATINGS: usize = 256;
/// The most ratings in an index, of all services together; then the service that has most gives one up.
pub(super) const MAX_ALL_RATINGS: usize = 65_536;
/// The most of them that one peer brought; then what it brought first goes.
pub(super) const MAX_BROUGHT: usize = MAX_ALL_RATINGS / 4;

/// What one peer thinks of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatingRecord {
    /// The service.
    pub service: ServiceId,
    /// Who rates, and signs.
    pub rater: PeerId,
    /// 1 to [`MAX_STARS`]; 0 takes the rating back.
    pub stars: u8,
    /// Higher replaces lower: ms since the Unix epoch.
    pub sequence: u64,
    /// When it was signed.
    pub created: Time,
    /// When it ends, at most [`RATING_LIFETIME`] later.
    pub expires: Time,
}

impl RatingRecord {
    /// Signs and encodes it; an error names a field that others would refuse.
    pub fn encode(&self, secret_key: &[u8; 32]) -> Result<Vec<u8>, RecordError> {
        self.check()?;
        seal(KIND_RATING, self, self.rater, secret_key)
    }

    /// The key that is its own.
    pub fn key(&self) -> Hash {
        rating_key(self.service, self.rater)
    }

    pub(super) fn check(&self) -> Result<(), RecordError> {
        if self.stars > MAX_STARS {
            return Err(RecordError::Field("stars"));
        }
        Ok(())
    }
}

/// What the rating of a service by a peer is known by.
pub fn rating_key(service: ServiceId, rater: PeerId) -> Hash {
    key(b"rating", &[service.0 .0, rater.0].concat())
}

/// How a service is rated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// Stars of all raters.
    pub stars: u32,
    /// How many rated.
    pub count: u32,
}

impl Rating {
    /// Can these numbers be?
    pub fn is_possible(&self) -> bool {
        let few = self.count <= MAX_RATINGS as u32;
        few && (self.count..=self.count * u32::from(MAX_STARS)).contains(&self.stars)
    }
}

/// The ratings of one service.
#[derive(Debug, Default)]
pub(super) struct Ratings {
    by_rater: BTreeMap<PeerId, Kept>,
}

#[derive(Debug)]
struct Kept {
    stars: u8,
    sequence: u64,
    expires: Time,
    received: Time,
    bringer: Option<PeerId>,
    bytes: Vec<u8>,
}

impl Ratings {
    /// May a rating be taken: only a newer one. Who has to give way first, when the service has too many.
    pub(super) fn admit(&self, record: &RatingRecord) -> Result<Option<PeerId>, RecordError> {
        let known = self.by_rater.get(&record.rater);
        if known.is_some_and(|known| known.sequence >= record.sequence) {
            return Err(RecordError::Stale);
        }
        let full = known.is_none() && self.by_rater.len() >= MAX_RATINGS;
        Ok(self.oldest().filter(|_| full))
    }

    /// Keeps an admitted rating.
    pub(super) fn insert(
        &mut self,
        record: &RatingRecord,
        bytes: &[u8],
        bringer: Option<PeerId>,
        received: Time,
    ) {
        let kept = Kept {
            stars: record.stars,
            sequence: record.sequence,
            expires: record.expires,
            received,
            bringer,
            bytes: bytes.to_vec(),
        };
        self.by_rater.insert(record.rater, kept);
    }

    /// Forgets one; when it came, and who brought it.
    pub(super) fn remove(&mut self, rater: &PeerId) -> Option<(Time, Option<PeerId>)> {
        self.by_rater.remove(rater).map(|kept| (kept.received, kept.bringer))
    }

    /// Who rated before all others that are kept.
    pub(super) fn oldest(&self) -> Option<PeerId> {
        self.by_rater.iter().min_by_key(|(_, kept)| kept.received).map(|(rater, _)| *rater)
    }

    /// A rating's bytes and its signer's sequence.
    pub(super) fn slot(&self, rater: &PeerId) -> Option<(&[u8], u64)> {
        self.by_rater.get(rater).map(|kept| (kept.bytes.as_slice(), kept.sequence))
    }

    /// Those that are not taken back and not over.
    pub(super) fn sum(&self, now: Time) -> Rating {
        let counts = |kept: &&Kept| kept.stars > 0 && kept.expires + SKEW >= now;
        self.by_rater.values().filter(counts).fold(Rating::default(), |sum, kept| Rating {
            stars: sum.stars + u32::from(kept.stars),
            count: sum.count + 1,
        })
    }

    /// Who rated.
    pub(super) fn raters(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.by_rater.keys().copied()
    }

    /// Whose are over.
    pub(super) fn over(&self, now: Time) -> impl Iterator<Item = PeerId> + '_ {
        let over = self.by_rater.iter().filter(move |(_, kept)| kept.expires + SKEW < now);
        over.map(|(rater, _)| *rater)
    }

    pub(super) fn len(&self) -> usize {
        self.by_rater.len()
    }
}

/// What the ratings of all services take of an index, so that whoever floods it displaces what is its own: the ratings that one
/// peer brought, and then those of the services that have most.
#[derive(Debug, Default)]
pub(super) struct Places {
    all: usize,
    of_service: BTreeMap<ServiceId, usize>,
    by_count: BTreeSet<(usize, ServiceId)>,
    /// Oldest first.
    brought: BTreeMap<PeerId, BTreeSet<(Time, ServiceId, PeerId)>>,
}

impl Places {
    /// Ratings of all services.
    #[cfg(test)]
    pub(super) fn all(&self) -> usize {
        self.all
    }

    pub(super) fn take(&mut self, service: ServiceId, rater: PeerId, at: Time, bringer: Option<PeerId>) {
        self.all += 1;
        self.count(service, |count| count + 1);
        if let Some(bringer) = bringer {
            self.brought.entry(bringer).or_default().insert((at, service, rater));
        }
    }

    pub(super) fn free(&mut self, service: ServiceId, rater: PeerId, at: Time, bringer: Option<PeerId>) {
        self.all -= 1;
        self.count(service, |count| count - 1);
        let Some(bringer) = bringer else { return };
        let is_last = self.brought.get_mut(&bringer).is_some_and(|brought| {
            brought.remove(&(at, service, rater));
            brought.is_empty()
        });
        if is_last {
            self.brought.remove(&bringer);
        }
    }

    /// Which rating gives way before this peer brings another one: one that it brought itself, or, without a rater, the oldest of
    /// a service.
    pub(super) fn gives_way(&self, bringer: Option<PeerId>) -> Option<(ServiceId, Option<PeerId>)> {
        let brought = bringer.and_then(|bringer| self.brought.get(&bringer));
        if let Some(brought) = brought.filter(|brought| brought.len() >= MAX_BROUGHT) {
            return brought.first().map(|(_, service, rater)| (*service, Some(*rater)));
        }
        let fullest = self.by_count.last().filter(|_| self.all >= MAX_ALL_RATINGS);
        fullest.map(|(_, service)| (*service, None))
    }

    fn count(&mut self, service: ServiceId, change: impl Fn(usize) -> usize) {
        let before = self.of_service.get(&service).copied().unwrap_or_default();
        let after = change(before);
        self.by_count.remove(&(before, service));
        if after == 0 {
            self.of_service.remove(&service);
        } else {
            self.of_service.insert(service, after);
            self.by_count.insert((after, service));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{peer, secret, service, NOW};
    use super::super::{validate, Index, Validated};
    use super::*;

    fn record(rater: u8, stars: u8, sequence: u64) -> RatingRecord {
        let of = service(0, "counter").service();
        let (created, expires) = (NOW, NOW + RATING_LIFETIME);
        RatingRecord { service: of, rater: peer(rater), stars, sequence: NOW.0 + sequence, created, expires }
    }

    fn bytes(record: &RatingRecord, by: u8) -> Vec<u8> {
        record.encode(&secret(by)).unwrap()
    }

    fn rated(index: &Index, now: Time) -> Option<Rating> {
        index.rating(service(0, "counter").service(), now)
    }

    fn index() -> Index {
        let mut index = Index::new(10);
        let record = service(0, "counter");
        index.insert(&record.encode(&secret(0)).unwrap(), NOW).unwrap();
        index
    }

    #[test]
    fn each_peer_counts_once_with_its_newest_rating() {
        let mut index = index();
        for (rater, stars, sequence) in [(1, 5, 1), (2, 2, 1), (1, 4, 2)] {
            index.insert(&bytes(&record(rater, stars, sequence), rater), NOW).unwrap();
        }
        assert_eq!(rated(&index, NOW), Some(Rating { stars: 6, count: 2 }));
        assert_eq!(index.insert(&bytes(&record(1, 1, 1), 1), NOW), Err(RecordError::Stale));
        index.insert(&bytes(&record(2, 0, 2), 2), NOW).unwrap();
        assert_eq!(rated(&index, NOW), Some(Rating { stars: 4, count: 1 }), "taken back");
        assert_eq!(rated(&index, NOW + RATING_LIFETIME + SKEW + Millis(1)), None, "over");
    }

    #[test]
    fn forged_and_foreign_ratings_are_refused() {
        let valid = bytes(&record(1, 5, 1), 1);
        assert!(matches!(validate(record(1, 5, 1).key(), &valid, NOW), Ok(Validated::Rating(_))));
        for at in 0..valid.len() {
            let mut forged = valid.clone();
            forged[at] ^= 1;
            assert!(validate(record(1, 5, 1).key(), &forged, NOW).is_err(), "byte {at}");
        }
        assert_eq!(record(1, 5, 1).encode(&secret(2)).err(), Some(RecordError::Signature));
        assert_eq!(record(1, 6, 1).encode(&secret(1)).err(), Some(RecordError::Field("stars")));
        let mut index = index();
        let own = record(0, 5, 1);
        assert_eq!(index.insert(&bytes(&own, 0), NOW), Err(RecordError::NotPermitted), "its publisher");
        let other = RatingRecord { service: service(1, "other").service(), ..record(1, 5, 1) };
        assert_eq!(index.insert(&bytes(&other, 1), NOW), Err(RecordError::UnknownService));
        let long = RatingRecord { expires: NOW + RATING_LIFETIME + Millis(1), ..record(1, 5, 1) };
        assert_eq!(index.insert(&bytes(&long, 1), NOW), Err(RecordError::Lifetime));
    }

    #[test]
    fn a_service_has_no_more_ratings_than_are_kept() {
        let mut index = index();
        let key = |n: u32| {
            let mut secret = [9; 32];
            secret[..4].copy_from_slice(&n.to_le_bytes());
            secret
        };
        for n in 0..MAX_RATINGS as u32 + 10 {
            let rater = ed25519_dalek::SigningKey::from_bytes(&key(n)).verifying_key().to_bytes();
            let record = RatingRecord { rater: PeerId(rater), ..record(1, 3, 1) };
            index.insert(&record.encode(&key(n)).unwrap(), NOW + Millis(n.into())).unwrap();
        }
        let count = MAX_RATINGS as u32;
        assert_eq!(rated(&index, NOW), Some(Rating { stars: 3 * count, count }));
        assert_eq!(index.digest(Hash([0; 32])).len(), MAX_RATINGS.min(crate::wire::MAX_DIGEST - 1) + 1);
    }

    #[test]
    fn ratings_take_no_place_of_what_finds_and_reaches_services() {
        let mut index = index();
        let other = service(1, "other");
        index.insert(&other.encode(&secret(1)).unwrap(), NOW).unwrap();
        // Each of the two is rated often, so that whichever comes first would fill an answer.
        for (of, publisher, from) in [(rated_service(), 0, 2), (other.service(), 1, 100)] {
            let host = super::super::record::tests::host(of, 99);
            let host = super::super::HostRecord { host: peer(publisher), ..host };
            let host = super::super::HostRecord {
                succession: super::super::Succession::of(peer(publisher)),
                ..host
            };
            index.insert(&host.encode(&secret(publisher)).unwrap(), NOW).unwrap();
            for rater in from..from + 60 {
                let record = RatingRecord { service: of, ..record(rater, 3, 1) };
                index.insert(&bytes(&record, rater), NOW).unwrap();
            }
        }
        let keys: Vec<Hash> = index.digest(Hash([0; 32])).into_iter().map(|(key, _)| key).collect();
        let answer = index.records(&keys);
        let ratings = |record: &&Vec<u8>| matches!(Validated::decode(record), Ok(Validated::Rating(_)));
        assert_eq!((keys.len(), answer.len()), (124, crate::wire::MAX_RECORDS));
        assert_eq!(answer.iter().filter(ratings).count(), crate::wire::MAX_RECORDS - 4);
    }

    fn rated_service() -> ServiceId {
        service(0, "counter").service()
    }

    #[test]
    fn what_a_relay_says_must_be_possible() {
        for (stars, count, possible) in
            [(5, 1, true), (1, 1, true), (6, 1, false), (1, 2, false), (0, 0, true)]
        {
            assert_eq!(Rating { stars, count }.is_possible(), possible, "{stars} of {count}");
        }
        assert!(!Rating { stars: u32::MAX, count: u32::MAX }.is_possible(), "more than any relay keeps");
    }
}
