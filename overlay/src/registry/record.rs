//! Signed records of all kinds: how one is sealed, and what makes it valid.
//!
//! What is said in a record, and by whom, stands in `service`, `host`, `nick` and `rating`.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::Serialize;

use super::host::{HostRecord, HOST_LIFETIME};
use super::nick::{NickRecord, NICK_LIFETIME};
use super::rating::{RatingRecord, RATING_LIFETIME};
use super::service::{External, ServiceRecord, Wire, SERVICE_LIFETIME};
use super::{host_key, service_key};
use crate::id::{Hash, PeerId};
use crate::time::{Millis, Time};

/// The most bytes of an encoded record: 32 hosts (1 KiB), a description (2 KB), tags and the rest fit, or 32 links of a
/// succession (3.2 KiB), members and addresses.
pub const MAX_RECORD: usize = 5120;
/// How far clocks may differ: records from this far in the future, or this long expired, still count.
pub const SKEW: Millis = Millis::secs(300);
/// The record's format.
const VERSION: u8 = 1;
pub(super) const KIND_SERVICE: u8 = 0;
pub(super) const KIND_HOST: u8 = 1;
pub(super) const KIND_NICK: u8 = 2;
/// A kind of its own: a node that knows nothing of such services refuses it, and hosts none.
pub(super) const KIND_EXTERNAL: u8 = 3;
pub(super) const KIND_RATING: u8 = 4;
/// Keeps a signature on a record from being one on anything else; version and kind follow within the signed bytes.
const DOMAIN: &[u8] = b"tabfarm record\0";

/// A record that passed [`validate`].
#[derive(Clone, Debug, PartialEq)]
pub enum Validated {
    /// Of a publisher.
    Service(ServiceRecord),
    /// Of a host.
    Host(HostRecord),
    /// Of a person's peer.
    Nick(NickRecord),
    /// Of who rates a service.
    Rating(RatingRecord),
}

/// Why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Too many bytes.
    #[error("the record has more than 5120 bytes")]
    Size,
    /// Another format.
    #[error("record version {0} is not supported")]
    Version(u8),
    /// Not a record.
    #[error("the record cannot be read")]
    Malformed,
    /// A field breaks its rule.
    #[error("the record's {0} is not valid")]
    Field(&'static str),
    /// Not signed by whom it names.
    #[error("the record's signature is not its owner's")]
    Signature,
    /// Put under a key that is not its own.
    #[error("the record belongs under another key")]
    Key,
    /// It is over.
    #[error("the record has expired")]
    Expired,
    /// Signed later than now.
    #[error("the record is from the future")]
    Future,
    /// It lives longer than allowed.
    #[error("the record lives longer than allowed")]
    Lifetime,
    /// A record that replaces it, or itself, is known.
    #[error("a newer record is known")]
    Stale,
    /// A host record of a service that the index does not know.
    #[error("the record's service is not known")]
    UnknownService,
    /// The service's record does not permit this host.
    #[error("the service does not permit this host")]
    NotPermitted,
    /// A host that nobody made a host.
    #[error("no chain of hosts leads to this one")]
    Unproven,
    /// The publisher, or the service, has as many records as are kept.
    #[error("too many records of one owner")]
    TooMany,
}

/// Reads a record and checks all that can be checked without others: size, version, fields, signature, that `key` is
/// its own, and its times against `now` with [`SKEW`] of tolerance.
pub fn validate(key: Hash, value: &[u8], now: Time) -> Result<Validated, RecordError> {
    let record = Validated::decode(value)?;
    if record.key() != key {
        return Err(RecordError::Key);
    }
    record.check_times(now)?;
    Ok(record)
}

impl Validated {
    /// Reads a record and checks fields and signature, but neither key nor times.
    pub fn decode(value: &[u8]) -> Result<Self, RecordError> {
        if value.len() > MAX_RECORD {
            return Err(RecordError::Size);
        }
        let (signed, signature) = value.split_last_chunk::<64>().ok_or(RecordError::Malformed)?;
        let (&[version, kind], body) = signed.split_first_chunk::<2>().ok_or(RecordError::Malformed)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let record = match kind {
            KIND_SERVICE => Validated::Service(read::<Wire>(body)?.into()),
            KIND_HOST => Validated::Host(read(body)?),
            KIND_NICK => Validated::Nick(read(body)?),
            KIND_EXTERNAL => Validated::Service(read::<External>(body)?.into()),
            KIND_RATING => Validated::Rating(read(body)?),
            _ => return Err(RecordError::Malformed),
        };
        let key = VerifyingKey::from_bytes(&record.owner().0).map_err(|_| RecordError::Signature)?;
        key.verify_strict(&[DOMAIN, signed].concat(), &(*signature).into())
            .map_err(|_| RecordError::Signature)?;
        match &record {
            Validated::Service(service) => service.check()?,
            Validated::Host(host) => host.check()?,
            Validated::Nick(nick) => nick.check()?,
            Validated::Rating(rating) => rating.check()?,
        }
        Ok(record)
    }

    /// Who signed it.
    pub fn owner(&self) -> PeerId {
        match self {
            Validated::Service(service) => service.publisher,
            Validated::Host(host) => host.host,
            Validated::Nick(nick) => nick.peer,
            Validated::Rating(rating) => rating.rater,
        }
    }

    /// The key under which it belongs in the DHT.
    pub fn key(&self) -> Hash {
        match self {
            Validated::Service(service) => service_key(service.service()),
            Validated::Host(host) => host_key(host.service),
            Validated::Nick(nick) => nick.key(),
            Validated::Rating(rating) => rating.key(),
        }
    }

    /// When it ends.
    pub fn expires(&self) -> Time {
        match self {
            Validated::Service(service) => service.expires,
            Validated::Host(host) => host.expires,
            Validated::Nick(nick) => nick.expires,
            Validated::Rating(rating) => rating.expires,
        }
    }

    /// Its signer's sequence number.
    pub fn sequence(&self) -> u64 {
        match self {
            Validated::Service(service) => service.sequence,
            Validated::Host(host) => host.sequence,
            Validated::Nick(nick) => nick.sequence,
            Validated::Rating(rating) => rating.sequence,
        }
    }

    /// Does it replace `other`? Only a record of the same kind and key: of a publisher or person by sequence, of a host by
    /// (epoch, term, sequence). A record does not replace itself.
    pub fn supersedes(&self, other: &Self) -> bool {
        match (self, other) {
            (Validated::Service(new), Validated::Service(old)) => {
                new.service() == old.service() && new.sequence > old.sequence
            }
            (Validated::Host(new), Validated::Host(old)) => {
                let rank = |host: &HostRecord| (host.epoch, host.term, host.sequence);
                new.service == old.service && rank(new) > rank(old)
            }
            (Validated::Nick(new), Validated::Nick(old)) => {
                new.key() == old.key() && new.sequence > old.sequence
            }
            (Validated::Rating(new), Validated::Rating(old)) => {
                new.key() == old.key() && new.sequence > old.sequence
            }
            _ => false,
        }
    }

    /// Is it valid at `now`, with [`SKEW`] of tolerance?
    pub(super) fn check_times(&self, now: Time) -> Result<(), RecordError> {
        let (sequence, created, expires, lifetime) = match self {
            Validated::Service(service) => {
                (service.sequence, service.created, service.expires, SERVICE_LIFETIME)
            }
            Validated::Host(host) => (host.sequence, host.created, host.expires, HOST_LIFETIME),
            Validated::Nick(nick) => (nick.sequence, nick.created, nick.expires, NICK_LIFETIME),
            Validated::Rating(rating) => (rating.sequence, rating.created, rating.expires, RATING_LIFETIME),
        };
        // Sequences are times, so a bound on them keeps an owner from locking itself, or a thief of its key from locking it, out.
        if created > now + SKEW || sequence > (now + SKEW).0 {
            return Err(RecordError::Future);
        }
        if let Validated::Host(host) = self {
            // Epochs are 1, or the second in which a service was founded anew, and rise by at most 2 at once: a bound
            // keeps a liar from an authority that nobody can outrank.
            if host.epoch > (now + SKEW).0 / 1000 {
                return Err(RecordError::Future);
            }
        }
        if expires < created || expires.since(created) > lifetime {
            return Err(RecordError::Lifetime);
        }
        if expires + SKEW < now {
            return Err(RecordError::Expired);
        }
        Ok(())
    }
}

pub(super) fn seal<T: Serialize>(
    kind: u8,
    body: &T,
    owner: PeerId,
    secret_key: &[u8; 32],
) -> Result<Vec<u8>, RecordError> {
    let key = SigningKey::from_bytes(secret_key);
    if key.verifying_key().to_bytes() != owner.0 {
        return Err(RecordError::Signature);
    }
    let mut bytes = postcard::to_extend(body, vec![VERSION, kind]).map_err(|_| RecordError::Malformed)?;
    let signature = key.sign(&[DOMAIN, &bytes].concat());
    bytes.extend_from_slice(&signature.to_bytes());
    if bytes.len() > MAX_RECORD {
        return Err(RecordError::Size);
    }
    Ok(bytes)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, RecordError> {
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Ok(record),
        _ => Err(RecordError::Malformed),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
pub(super) mod tests;
