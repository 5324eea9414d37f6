//! Records that are forged, stale, moved, oversized or flipped.

use super::*;
use crate::id::{PackageId, ServiceId};
use crate::manifest::{Permit, StateKind};
use crate::registry::{Genesis, Succession};
use proptest::prelude::*;

pub(in crate::registry) const NOW: Time = Time(1_800_000_000_000);

pub(in crate::registry) fn secret(n: u8) -> [u8; 32] {
    [n; 32]
}

pub(in crate::registry) fn peer(n: u8) -> PeerId {
    PeerId(SigningKey::from_bytes(&secret(n)).verifying_key().to_bytes())
}

pub(in crate::registry) fn service(publisher: u8, name: &str) -> ServiceRecord {
    ServiceRecord {
        name: name.into(),
        publisher: peer(publisher),
        sequence: NOW.0,
        package: PackageId(Hash::of(&[name.as_bytes()])),
        version: "1.0.0".into(),
        description: "counts".into(),
        tags: vec!["example".into()],
        state: StateKind::Single,
        location: Some((52.52, 13.4)),
        has_ui: true,
        url: None,
        hosts: Permit::Anyone,
        genesis: Genesis { host: peer(publisher), machine_version: 1 },
        created: NOW,
        expires: NOW + SERVICE_LIFETIME,
        withdrawn: false,
    }
}

/// Of a service that runs outside of all tabs.
pub(in crate::registry) fn external() -> ServiceRecord {
    let url = Some("https://api.example.org/v1".into());
    ServiceRecord { url, state: StateKind::None, ..service(1, "weather") }
}

/// A record of a host whom the service's publisher made one.
pub(in crate::registry) fn host(service: ServiceId, by: u8) -> HostRecord {
    let publisher = (1..100).find(|n| {
        ["counter", "chat", "x", "served"].map(|name| ServiceId::new(peer(*n), name)).contains(&service)
    });
    let publisher = publisher.unwrap_or(by);
    let succession = Succession::of(peer(publisher)).extended(service, peer(by), &secret(publisher));
    HostRecord { succession, ..claim(service, by) }
}

/// A record of a host that made itself one.
pub(in crate::registry) fn claim(service: ServiceId, by: u8) -> HostRecord {
    HostRecord {
        service,
        epoch: 1,
        term: 2,
        host: peer(by),
        succession: Succession::of(peer(by)),
        members: vec![peer(by)],
        addresses: vec!["/dns4/example.org/tcp/443/wss".into()],
        sequence: NOW.0,
        created: NOW,
        expires: NOW + HOST_LIFETIME,
    }
}

#[test]
fn records_round_trip() {
    for record in [
        service(1, "counter"),
        ServiceRecord { hosts: Permit::Peers(vec![peer(2), peer(3)]), location: None, ..service(1, "chat") },
        ServiceRecord { withdrawn: true, ..service(1, "chat") },
        external(),
    ] {
        let bytes = record.encode(&secret(1)).unwrap();
        let key = service_key(record.service());
        assert_eq!(validate(key, &bytes, NOW), Ok(Validated::Service(record)));
    }
    let record = host(service(1, "counter").service(), 4);
    let bytes = record.encode(&secret(4)).unwrap();
    assert_eq!(validate(host_key(record.service), &bytes, NOW), Ok(Validated::Host(record)));
}

#[test]
fn the_largest_host_record_fits() {
    let service = service(1, "counter").service();
    let chain =
        (1..33).fold(Succession::of(peer(1)), |chain, n| chain.extended(service, peer(n + 1), &secret(n)));
    let record = HostRecord {
        epoch: u64::MAX,
        term: u64::MAX,
        succession: chain,
        members: vec![peer(1); 8],
        addresses: vec!["a".repeat(256); 4],
        ..host(service, 33)
    };
    assert!(record.encode(&secret(33)).unwrap().len() <= MAX_RECORD);
}

#[test]
fn the_largest_record_fits() {
    let record = ServiceRecord {
        name: "n".repeat(64),
        version: "1".repeat(32),
        description: "é".repeat(500),
        tags: vec!["t".repeat(32); 8],
        hosts: Permit::Peers(vec![peer(2); 32]),
        ..service(1, "x")
    };
    assert!(record.encode(&secret(1)).unwrap().len() <= MAX_RECORD);
}

#[test]
fn only_the_owner_signs() {
    let record = service(1, "counter");
    assert_eq!(record.encode(&secret(2)), Err(RecordError::Signature));
    let mut forged = ServiceRecord { publisher: peer(2), ..record.clone() }.encode(&secret(2)).unwrap();
    let own = record.encode(&secret(1)).unwrap();
    let at = forged.len() - 64;
    forged[at..].copy_from_slice(&own[own.len() - 64..]);
    assert_eq!(Validated::decode(&forged), Err(RecordError::Signature));
    // Another's record does not get a place under my service's key.
    let theirs = service(2, "counter").encode(&secret(2)).unwrap();
    assert_eq!(validate(service_key(record.service()), &theirs, NOW), Err(RecordError::Key));
}

#[test]
fn a_record_of_one_kind_is_none_of_the_other() {
    let mut bytes = service(1, "counter").encode(&secret(1)).unwrap();
    bytes[1] = KIND_HOST;
    assert!(Validated::decode(&bytes).is_err());
}

#[test]
fn what_runs_elsewhere_is_a_kind_of_its_own() {
    let bytes = external().encode(&secret(1)).unwrap();
    assert_eq!(bytes[..2], [VERSION, KIND_EXTERNAL]);
    assert_eq!(external().origin(), Some("https://api.example.org"));
    assert!(!external().hosts_permit(&peer(1)) && !external().hosts_permit(&peer(2)));
    // Neither kind is read as the other, and what no author may write nobody reads, however well it is signed.
    let sealed = |kind, record: ServiceRecord, url: &str| {
        let body = External { service: Wire::from(&record), url: url.to_owned() };
        Validated::decode(&seal(kind, &body, record.publisher, &secret(1)).unwrap())
    };
    assert_eq!(sealed(KIND_SERVICE, external(), "https://a.org"), Err(RecordError::Malformed));
    let plain = seal(KIND_EXTERNAL, &Wire::from(&external()), peer(1), &secret(1)).unwrap();
    assert_eq!(Validated::decode(&plain), Err(RecordError::Malformed));
    for url in
        ["", "javascript:alert(1)", "http://a.org", "https://10.0.0.1", "https://u@a.org", "https://a.org/#x"]
    {
        assert_eq!(sealed(KIND_EXTERNAL, external(), url), Err(RecordError::Field("url")), "{url}");
    }
    let single = ServiceRecord { state: StateKind::Single, ..external() };
    assert_eq!(sealed(KIND_EXTERNAL, single, "https://a.org"), Err(RecordError::Field("state")));
    let hosts = ServiceRecord { hosts: Permit::Peers(vec![peer(2)]), ..external() };
    assert_eq!(sealed(KIND_EXTERNAL, hosts, "https://a.org"), Err(RecordError::Field("hosts")));
}

#[test]
fn times_are_checked_with_tolerance() {
    let base = service(1, "counter");
    let key = service_key(base.service());
    let check =
        |record: &ServiceRecord, now| validate(key, &record.encode(&secret(1)).unwrap(), now).map(|_| ());
    let at = |created: Time, expires: Time| ServiceRecord { created, expires, ..base.clone() };
    assert_eq!(check(&base, NOW), Ok(()));
    assert_eq!(check(&base, NOW - SKEW), Ok(()));
    assert_eq!(check(&base, NOW - SKEW - Millis(1)), Err(RecordError::Future));
    assert_eq!(check(&base, NOW + SERVICE_LIFETIME + SKEW), Ok(()));
    assert_eq!(check(&base, NOW + SERVICE_LIFETIME + SKEW + Millis(1)), Err(RecordError::Expired));
    assert_eq!(check(&at(NOW, NOW + SERVICE_LIFETIME + Millis(1)), NOW), Err(RecordError::Lifetime));
    assert_eq!(check(&at(NOW, NOW - Millis(1)), NOW), Err(RecordError::Lifetime));
    let ahead = ServiceRecord { sequence: u64::MAX, ..base.clone() };
    assert_eq!(check(&ahead, NOW), Err(RecordError::Future));
    assert_eq!(check(&at(Time(u64::MAX), Time(u64::MAX)), NOW), Err(RecordError::Future));

    let host = HostRecord { expires: NOW + HOST_LIFETIME + Millis(1), ..host(base.service(), 4) };
    let bytes = host.encode(&secret(4)).unwrap();
    assert_eq!(validate(host_key(host.service), &bytes, NOW), Err(RecordError::Lifetime));
}

#[test]
fn fields_are_refused_by_name() {
    let base = service(1, "counter");
    let with = |change: fn(&mut ServiceRecord)| {
        let mut record = base.clone();
        change(&mut record);
        record.encode(&secret(1)).map(|_| ())
    };
    assert_eq!(with(|r| r.name = "A".into()), Err(RecordError::Field("name")));
    assert_eq!(with(|r| r.version = "1\n".into()), Err(RecordError::Field("version")));
    assert_eq!(with(|r| r.description = "\u{202e}".into()), Err(RecordError::Field("description")));
    assert_eq!(with(|r| r.tags = vec!["x".into(); 9]), Err(RecordError::Field("tags")));
    assert_eq!(with(|r| r.location = Some((f64::NAN, 0.0))), Err(RecordError::Field("location")));
    assert_eq!(with(|r| r.location = Some((0.0, f64::INFINITY))), Err(RecordError::Field("location")));
    assert_eq!(with(|r| r.hosts = Permit::Peers(vec![])), Err(RecordError::Field("hosts")));
    // The same on the receiving side, with a correct signature by a signer who does not check.
    let bad = ServiceRecord { name: "../x".into(), ..base };
    let bytes = seal(KIND_SERVICE, &Wire::from(&bad), bad.publisher, &secret(1)).unwrap();
    assert_eq!(Validated::decode(&bytes), Err(RecordError::Field("name")));
    let host = HostRecord { addresses: vec!["a\u{1b}".into()], ..host(bad.service(), 1) };
    let bytes = seal(KIND_HOST, &host, host.host, &secret(1)).unwrap();
    assert_eq!(Validated::decode(&bytes), Err(RecordError::Field("addresses")));
    assert_eq!(Validated::decode(&[VERSION; MAX_RECORD + 1]), Err(RecordError::Size));
    assert_eq!(Validated::decode(&[9; 100]), Err(RecordError::Version(9)));
}

#[test]
fn what_supersedes_what() {
    let old = service(1, "counter");
    let new = ServiceRecord { sequence: old.sequence + 1, ..old.clone() };
    let other = ServiceRecord { sequence: old.sequence + 1, ..service(2, "counter") };
    let host = |epoch, term, sequence| {
        Validated::Host(HostRecord { epoch, term, sequence, ..host(old.service(), 4) })
    };
    let service = |record: &ServiceRecord| Validated::Service(record.clone());
    assert!(service(&new).supersedes(&service(&old)));
    assert!(!service(&old).supersedes(&service(&new)));
    assert!(!service(&old).supersedes(&service(&old)));
    assert!(!service(&other).supersedes(&service(&old)));
    assert!(!service(&new).supersedes(&host(1, 1, 1)));
    assert!(host(1, 1, 2).supersedes(&host(1, 1, 1)));
    assert!(host(1, 2, 1).supersedes(&host(1, 1, 9)));
    assert!(host(2, 1, 1).supersedes(&host(1, 9, 9)));
    assert!(!host(1, 9, 9).supersedes(&host(2, 1, 1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..4u8) {
        prop_assert!(Validated::decode(&bytes).is_err());
        if bytes.len() > 2 {
            bytes[..2].copy_from_slice(&[VERSION, kind]);
            prop_assert!(Validated::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8, kind in any::<bool>()) {
        let record = service(1, "counter");
        let mut bytes = if kind {
            record.encode(&secret(1)).unwrap()
        } else {
            host(record.service(), 4).encode(&secret(4)).unwrap()
        };
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Validated::decode(&bytes).is_err());
        bytes.truncate(at);
        prop_assert!(Validated::decode(&bytes).is_err());
    }
}
