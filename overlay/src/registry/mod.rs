//! The registry of services: signed records, where they lie in the DHT, and the index that relays keep of them.
//!
//! A publisher signs a [`ServiceRecord`] (what the service is, who may host it), whoever serves signs a [`HostRecord`]
//! (who serves it now, with the [`Succession`] that made it the host), a person's peer signs a [`NickRecord`] (its nick name)
//! and [`RatingRecord`]s (its stars for services). [`validate`] is what every DHT node and every index
//! runs before it stores a record; [`Index`] makes them searchable.
//!
//! | file | holds |
//! |---|---|
//! | this one | keys of the DHT |
//! | `record` | how records are sealed and checked |
//! | `service`, `host`, `nick`, `rating` | the four kinds of record |
//! | `succession` | who was given a service by whom |
//! | `index` | the store that is searched |
//!
//! Scope: who owns a name (its publisher), what replaces what, who was given a service by whom, bounds. Not here: whether
//! a host tells the truth.
//!
//! Keys of the DHT, each with a domain of its own: [`service_key`] and [`host_key`] hold records; [`name_key`],
//! [`tag_key`] and [`package_key`] have providers only; [`nick_key`] has providers, each with a record under [`nick_record_key`].

use crate::id::{Hash, PackageId, ServiceId};

mod host;
mod index;
mod nick;
mod rating;
mod record;
mod service;
mod succession;

pub use host::{HostRecord, HOST_LIFETIME};
pub use index::{Change, Index, MAX_HOSTS_KNOWN, MAX_PER_PUBLISHER, MAX_RESULTS};
pub use nick::{is_nick, nick_key, nick_record_key, NickRecord, MAX_NICK, MAX_PROFILE, NICK_LIFETIME};
pub use rating::{rating_key, Rating, RatingRecord, MAX_RATINGS, MAX_STARS, RATING_LIFETIME};
pub use record::{validate, RecordError, Validated, MAX_RECORD, SKEW};
pub use service::{Genesis, ServiceRecord, SERVICE_LIFETIME};
pub use succession::{Link, Succession, MAX_LINKS};

/// Where a service's record is.
pub fn service_key(service: ServiceId) -> Hash {
    key(b"service", &service.0 .0)
}

/// Where the record of who serves a service is.
pub fn host_key(service: ServiceId) -> Hash {
    key(b"host", &service.0 .0)
}

/// Whose providers publish or serve a service of this name.
pub fn name_key(name: &str) -> Hash {
    key(b"name", name.as_bytes())
}

/// Whose providers know services with this tag.
pub fn tag_key(tag: &str) -> Hash {
    key(b"tag", tag.as_bytes())
}

/// Whose providers hold a package's manifest and files.
pub fn package_key(package: PackageId) -> Hash {
    key(b"package", &package.0 .0)
}

fn key(kind: &[u8], id: &[u8]) -> Hash {
    Hash::of(&[b"tabfarm dht 1\0", kind, b"\0", id])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_kinds_differ() {
        let id = Hash::of(&[b"x"]);
        let text = "x";
        let mut keys = vec![
            service_key(ServiceId(id)),
            host_key(ServiceId(id)),
            package_key(PackageId(id)),
            name_key(text),
            tag_key(text),
            nick_key(text),
        ];
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6);
    }
}
