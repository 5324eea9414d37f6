//! An index under news, floods, withdrawals and exchange.

use super::*;
use crate::io::{Error, Query, ServiceInfo};
use crate::manifest::{Permit, StateKind};
use crate::registry::rating::{MAX_ALL_RATINGS, MAX_BROUGHT, MAX_RATINGS};
use crate::registry::record::tests::{claim, host, peer, secret, service, NOW};
use crate::registry::{HostRecord, Succession, HOST_LIFETIME, SERVICE_LIFETIME};
use crate::time::Millis;

const ALL: Hash = Hash([0; 32]);

fn names(index: &Index, query: &Query) -> Vec<String> {
    index.search(query, NOW).into_iter().map(|info| info.name).collect()
}

fn put(index: &mut Index, record: &ServiceRecord, by: u8) -> Result<Change, RecordError> {
    index.insert(&record.encode(&secret(by)).unwrap(), NOW)
}

fn put_host(index: &mut Index, record: &HostRecord, by: u8) -> Result<Change, RecordError> {
    index.insert(&record.encode(&secret(by)).unwrap(), NOW)
}

#[test]
fn news_replaces_and_the_rest_is_stale() {
    let mut index = Index::new(10);
    let old = service(1, "counter");
    let new = ServiceRecord { sequence: old.sequence + 1, version: "2.0.0".into(), ..old.clone() };
    let id = old.service();
    assert_eq!(put(&mut index, &old, 1), Ok(Change::Service(id)));
    assert_eq!(put(&mut index, &old, 1), Err(RecordError::Stale));
    assert_eq!(put(&mut index, &new, 1), Ok(Change::Service(id)));
    assert_eq!(put(&mut index, &old, 1), Err(RecordError::Stale));
    assert_eq!(index.service(id, NOW), Some(&new));
    assert_eq!(index.service_bytes(id), Some(new.encode(&secret(1)).unwrap().as_slice()));
    assert_eq!(index.len(), 1);
}

#[test]
fn a_withdrawn_service_is_gone_and_does_not_come_back() {
    let mut index = Index::new(10);
    let live = service(1, "counter");
    let withdrawn = ServiceRecord { sequence: live.sequence + 1, withdrawn: true, ..live.clone() };
    put(&mut index, &live, 1).unwrap();
    put_host(&mut index, &host(live.service(), 4), 4).unwrap();
    put(&mut index, &withdrawn, 1).unwrap();
    assert_eq!(index.search(&Query::default(), NOW), []);
    assert_eq!(index.resolve("counter", NOW), Err(Error::NotFound("counter".into())));
    assert!(index.hosts(live.service(), NOW).is_empty());
    assert_eq!(put(&mut index, &live, 1), Err(RecordError::Stale));
    assert_eq!(put_host(&mut index, &host(live.service(), 4), 4), Err(RecordError::NotPermitted));
}

#[test]
fn a_search_shows_what_a_catalogue_needs() {
    let mut index = Index::new(10);
    let record = service(1, "counter");
    put(&mut index, &record, 1).unwrap();
    let id = record.service();
    for (by, epoch, term) in [(4, 1, 2), (5, 1, 3), (6, 1, 1)] {
        put_host(&mut index, &HostRecord { epoch, term, ..host(id, by) }, by).unwrap();
    }
    let expected = ServiceInfo {
        id: format!("counter@{}", peer(1)),
        name: "counter".into(),
        publisher: peer(1).to_string(),
        version: "1.0.0".into(),
        description: "counts".into(),
        tags: vec!["example".into()],
        state: "single".into(),
        package: record.package.to_string(),
        location: Some((52.52, 13.4)),
        has_ui: true,
        url: None,
        hosts: vec![peer(5).to_string()],
        sequence: NOW.0,
        rating: None,
    };
    assert_eq!(index.search(&Query::default(), NOW), [expected]);
    assert_eq!(index.search_records(&Query::default(), NOW).len(), 4);
}

#[test]
fn what_runs_elsewhere_is_found_and_has_no_hosts() {
    use crate::registry::record::tests::external;
    let mut index = Index::new(10);
    put(&mut index, &external(), 1).unwrap();
    let id = external().service();
    assert_eq!(put_host(&mut index, &claim(id, 1), 1), Err(RecordError::NotPermitted));
    assert_eq!(put_host(&mut index, &claim(id, 4), 4), Err(RecordError::NotPermitted));
    let found: Vec<_> =
        index.search(&Query::default(), NOW).into_iter().map(|info| (info.url, info.hosts)).collect();
    assert_eq!(found, [(Some("https://api.example.org/v1".into()), vec![])]);
    assert_eq!(index.resolve("weather", NOW).map(ServiceRecord::origin), Ok(Some("https://api.example.org")));
    // What was served by tabs until now: their records go.
    let served = service(1, "served");
    put(&mut index, &served, 1).unwrap();
    put_host(&mut index, &host(served.service(), 4), 4).unwrap();
    let moved = ServiceRecord { name: "served".into(), sequence: NOW.0 + 1, ..external() };
    put(&mut index, &moved, 1).unwrap();
    assert!(index.hosts(served.service(), NOW).is_empty());
}

#[test]
fn queries_narrow() {
    let mut index = Index::new(10);
    put(&mut index, &service(1, "counter"), 1).unwrap();
    put(&mut index, &ServiceRecord { tags: vec!["talk".into()], location: None, ..service(1, "chat") }, 1)
        .unwrap();
    put(&mut index, &ServiceRecord { description: "Étude".into(), ..service(2, "chat") }, 2).unwrap();
    let query = Query::default;
    let text = |text: &str| Query { text: Some(text.into()), ..query() };
    assert_eq!(names(&index, &query()), ["chat", "chat", "counter"]);
    assert_eq!(names(&index, &Query { name: Some("chat".into()), ..query() }), ["chat", "chat"]);
    assert_eq!(names(&index, &Query { tag: Some("talk".into()), ..query() }), ["chat"]);
    assert_eq!(names(&index, &text("COUNT")), ["chat", "counter"]);
    assert_eq!(names(&index, &text("éTUDE")), ["chat"]);
    assert_eq!(names(&index, &text("nothing")), [""; 0]);
    let near = |km| Query { near: Some((48.14, 11.58, km)), ..query() };
    assert_eq!(names(&index, &near(500.0)), [""; 0]);
    assert_eq!(names(&index, &near(510.0)), ["chat", "counter"]);
    assert_eq!(names(&index, &near(f64::NAN)), [""; 0]);
}

#[test]
fn names_resolve_or_are_ambiguous() {
    let mut index = Index::new(10);
    for by in [1, 2] {
        put(&mut index, &service(by, "chat"), by).unwrap();
    }
    put(&mut index, &service(1, "counter"), 1).unwrap();
    assert_eq!(index.resolve("counter", NOW), Ok(&service(1, "counter")));
    let full = service(2, "chat").full_name();
    assert_eq!(index.resolve(&full, NOW), Ok(&service(2, "chat")));
    let Err(Error::Ambiguous(mut found)) = index.resolve("chat", NOW) else { panic!("ambiguous") };
    found.sort();
    let mut expected = [1, 2].map(|by| service(by, "chat").full_name());
    expected.sort();
    assert_eq!(found, expected);
    for text in ["nobody", "chat@nobody", "@", "", &service(3, "chat").full_name()] {
        assert_eq!(index.resolve(text, NOW), Err(Error::NotFound(text.into())));
    }
}

#[test]
fn hosts_are_permitted_known_and_short_lived() {
    let mut index = Index::new(10);
    let record = ServiceRecord { hosts: Permit::Peers(vec![peer(4)]), ..service(1, "counter") };
    let id = record.service();
    assert_eq!(put_host(&mut index, &host(id, 4), 4), Err(RecordError::UnknownService));
    put(&mut index, &record, 1).unwrap();
    assert_eq!(put_host(&mut index, &host(id, 5), 5), Err(RecordError::NotPermitted));
    assert_eq!(put_host(&mut index, &host(id, 4), 4), Ok(Change::Host(id, peer(4))));
    assert_eq!(put_host(&mut index, &host(id, 4), 4), Err(RecordError::Stale));
    assert_eq!(put_host(&mut index, &host(id, 1), 1), Ok(Change::Host(id, peer(1))));
    assert_eq!(index.hosts(id, NOW + HOST_LIFETIME).len(), 2);
    assert!(index.hosts(id, NOW + HOST_LIFETIME + Millis(1)).is_empty());
    let narrower = ServiceRecord { sequence: NOW.0 + 1, hosts: Permit::Peers(vec![peer(6)]), ..record };
    put(&mut index, &narrower, 1).unwrap();
    assert_eq!(index.hosts(id, NOW).iter().map(|host| host.host).collect::<Vec<_>>(), [peer(1)]);
}

#[test]
fn a_host_that_nobody_made_one_is_refused() {
    let mut index = Index::new(10);
    let record = service(1, "counter");
    let id = record.service();
    put(&mut index, &record, 1).unwrap();
    assert_eq!(put_host(&mut index, &claim(id, 9), 9), Err(RecordError::Unproven));
    let high = HostRecord { epoch: 9, term: 9, ..claim(id, 9) };
    assert_eq!(put_host(&mut index, &high, 9), Err(RecordError::Unproven));
    put_host(&mut index, &host(id, 4), 4).unwrap();
    // A chain that is too long to be proven counts only while nobody with a better claim is alive.
    let mut long = Succession::of(peer(40));
    for (from, to) in (40..72).map(|n| (n, n + 1)).chain([(72, 9)]) {
        long = long.extended(id, peer(to), &secret(from));
    }
    let long = HostRecord { epoch: 2, succession: long, ..host(id, 9) };
    put_host(&mut index, &long, 9).unwrap();
    assert_eq!(index.hosts(id, NOW).iter().map(|host| host.host).collect::<Vec<_>>(), [peer(4)]);
    // The publisher says that the service goes on from there.
    let genesis = crate::registry::Genesis { host: peer(72), machine_version: 1 };
    put(&mut index, &ServiceRecord { sequence: NOW.0 + 1, genesis, ..record }, 1).unwrap();
    assert_eq!(index.hosts(id, NOW).iter().map(|host| host.host).collect::<Vec<_>>(), [peer(9)]);
    // What keeps no state is served by whoever is permitted.
    let free = ServiceRecord { state: StateKind::None, ..service(1, "free") };
    put(&mut index, &free, 1).unwrap();
    put_host(&mut index, &claim(free.service(), 9), 9).unwrap();
}

#[test]
fn a_full_index_drops_first_what_nobody_serves() {
    let mut index = Index::new(2);
    let (old, new) = (service(1, "served"), service(2, "idle"));
    put(&mut index, &old, 1).unwrap();
    put_host(&mut index, &host(old.service(), 4), 4).unwrap();
    put(&mut index, &new, 2).unwrap();
    put(&mut index, &service(3, "third"), 3).unwrap();
    assert_eq!(names(&index, &Query::default()), ["served", "third"]);
}

#[test]
fn a_flood_stays_within_its_bounds() {
    let mut index = Index::new(100);
    for n in 0..=MAX_PER_PUBLISHER {
        let put = put(&mut index, &service(1, &format!("s{n}")), 1);
        assert_eq!(put.is_ok(), n < MAX_PER_PUBLISHER);
    }
    for by in 2..60 {
        put(&mut index, &service(by, "x"), by).unwrap();
    }
    assert_eq!(index.len(), 100);
    let id = service(59, "x").service();
    for by in 1..20 {
        put_host(&mut index, &host(id, by), by).unwrap();
    }
    assert_eq!(index.hosts(id, NOW).len(), MAX_HOSTS_KNOWN);
    assert_eq!(index.digest(ALL).len(), 100 + MAX_HOSTS_KNOWN);
    index.expire(NOW + SERVICE_LIFETIME + SKEW + Millis(1));
    assert!(
        index.is_empty()
            && index.keys.is_empty()
            && index.by_name.is_empty()
            && index.by_tag.is_empty()
            && index.by_age.is_empty()
            && index.per_publisher.is_empty()
    );
}

#[test]
fn two_indexes_become_equal_by_digests() {
    let (mut a, mut b) = (Index::new(1000), Index::new(1000));
    for by in 1..90 {
        put(if by % 2 == 0 { &mut a } else { &mut b }, &service(by, "x"), by).unwrap();
    }
    let newer = ServiceRecord { sequence: NOW.0 + 5, ..service(2, "x") };
    put(&mut b, &newer, 2).unwrap();
    put_host(&mut b, &host(newer.service(), 7), 7).unwrap();
    for _ in 0..3 {
        for swap in [false, true] {
            let (from, to) = if swap { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let missing = to.missing(&from.digest(ALL));
            for record in from.records(&missing) {
                to.insert(&record, NOW).unwrap();
            }
        }
    }
    assert_eq!(a.digest(ALL), b.digest(ALL));
    assert_eq!(a.len(), 89);
    assert_eq!(a.service(newer.service(), NOW), Some(&newer));
    assert_eq!(a.hosts(newer.service(), NOW).len(), 1);
    let whole = a.digest(ALL);
    assert_eq!(a.digest(whole[50].0), whole[50..]);
}

/// S4 of the bars: no forged, stale or replayed record is accepted.
#[test]
fn ten_thousand_forgeries_are_refused() {
    let mut index = Index::new(10);
    let record = service(1, "counter");
    put(&mut index, &ServiceRecord { sequence: NOW.0 + 1, ..record.clone() }, 1).unwrap();
    let own = record.encode(&secret(1)).unwrap();
    let before = index.digest(ALL);
    for n in 0..10_000_usize {
        let mut bytes = own.clone();
        match n % 3 {
            0 => bytes[n % own.len()] ^= 1 << (n % 8),
            1 => bytes.truncate(n % own.len()),
            _ => {} // a replay of an older record
        }
        assert!(index.insert(&bytes, NOW).is_err());
    }
    assert_eq!(index.digest(ALL), before);
}

#[test]
fn what_no_ratings_can_sum_up_to_is_not_believed() {
    let mut index = Index::new(10);
    let record = service(1, "counter");
    put(&mut index, &record, 1).unwrap();
    let heard = |index: &mut Index, stars, count| {
        index.hear_rating(&Query::default(), record.service(), Rating { stars, count });
        index.rating(record.service(), NOW)
    };
    assert_eq!(heard(&mut index, 6, 1), None);
    assert_eq!(heard(&mut index, 7, 2), Some(Rating { stars: 7, count: 2 }));
}

#[test]
fn ratings_are_counted_until_they_go() {
    use crate::registry::{RatingRecord, RATING_LIFETIME};
    let mut index = Index::new(10);
    let lived = ServiceRecord { expires: NOW + SERVICE_LIFETIME, ..service(1, "counter") };
    put(&mut index, &lived, 1).unwrap();
    let rate = |index: &mut Index, rater: u8, expires| {
        let (service, rater_id) = (lived.service(), peer(rater));
        let (stars, sequence, created) = (3, NOW.0, NOW);
        let record = RatingRecord { service, rater: rater_id, stars, sequence, created, expires };
        index.insert(&record.encode(&secret(rater)).unwrap(), NOW).unwrap();
    };
    rate(&mut index, 2, NOW + Millis(1));
    rate(&mut index, 3, NOW + RATING_LIFETIME);
    assert_eq!((index.places.all(), index.keys.len()), (2, 3));
    index.expire(NOW + Millis(2) + SKEW);
    assert_eq!((index.places.all(), index.keys.len()), (1, 2));
    index.remove(lived.service());
    assert_eq!((index.places.all(), index.keys.len()), (0, 0));
}

#[test]
fn a_relay_tells_ratings_of_what_was_searched_for() {
    let mut index = Index::new(10);
    let (one, other) = (service(1, "counter"), service(1, "chat"));
    [&one, &other].into_iter().for_each(|record| {
        put(&mut index, record, 1).unwrap();
    });
    let told = Rating { stars: 5, count: 1 };
    let named = |name: &str| Query { name: Some(name.into()), ..Query::default() };
    let tagged = |tag: &str| Query { tag: Some(tag.into()), ..Query::default() };
    for (query, believed) in [(named("chat"), false), (tagged("games"), false), (named("counter"), true)] {
        index.hear_rating(&query, one.service(), told);
        assert_eq!(index.rating(one.service(), NOW), Some(told).filter(|_| believed), "{query:?}");
    }
    index.hear_rating(&tagged("example"), other.service(), told);
    assert_eq!(index.rating(other.service(), NOW), Some(told));
}

/// Services that take all the ratings that an index keeps, if each of so many raters rates each of them.
fn rated_by_all(index: &mut Index, raters: usize) -> Vec<ServiceId> {
    let services: Vec<ServiceRecord> =
        (0..MAX_ALL_RATINGS / raters).map(|n| service((n % 8) as u8, &format!("s{n}"))).collect();
    for (n, record) in services.iter().enumerate() {
        put(index, record, (n % 8) as u8).unwrap();
    }
    services.iter().map(ServiceRecord::service).collect()
}

fn rate(index: &mut Index, of: ServiceId, rater: usize, bringer: Option<PeerId>) {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&rater.to_le_bytes());
    let (rater, stars, sequence) = (PeerId(key), 3, NOW.0);
    let (created, expires) = (NOW, NOW + crate::registry::RATING_LIFETIME);
    let record = RatingRecord { service: of, rater, stars, sequence, created, expires };
    assert_eq!(index.insert_rating(&record, b"", bringer, NOW), Ok(Change::Rating(of)));
}

fn count(index: &Index, of: ServiceId) -> u32 {
    index.rating(of, NOW).map_or(0, |rating| rating.count)
}

#[test]
fn ratings_of_many_keys_displace_those_of_the_services_that_have_most() {
    let mut index = Index::new(1000);
    let flooded = rated_by_all(&mut index, MAX_RATINGS);
    for of in &flooded {
        (0..MAX_RATINGS).for_each(|rater| rate(&mut index, *of, rater, None));
    }
    assert_eq!(index.places.all(), MAX_ALL_RATINGS);
    let small = service(9, "small");
    put(&mut index, &small, 9).unwrap();
    (0..5).for_each(|rater| rate(&mut index, small.service(), rater, None));
    // The flood goes on.
    for (n, of) in flooded.iter().cycle().take(2_000).enumerate() {
        rate(&mut index, *of, MAX_RATINGS + n, None);
    }
    assert_eq!(count(&index, small.service()), 5, "what few have rated is kept");
    assert_eq!(index.places.all(), MAX_ALL_RATINGS);
    let kept: u32 = flooded.iter().map(|of| count(&index, *of)).sum();
    assert_eq!(kept as usize, MAX_ALL_RATINGS - 5);
    assert!(flooded.iter().all(|of| count(&index, *of) >= MAX_RATINGS as u32 - 1), "all give up as many");
    assert_eq!(index.keys.len(), MAX_ALL_RATINGS + flooded.len() + 1);
}

#[test]
fn who_brings_too_many_ratings_displaces_its_own() {
    let mut index = Index::new(1000);
    let services = rated_by_all(&mut index, MAX_RATINGS);
    let (honest, flood) = (Some(peer(1)), Some(peer(2)));
    rate(&mut index, services[0], 1_000_000, honest);
    for n in 0..MAX_BROUGHT + 1_000 {
        rate(&mut index, services[1 + n % 200], n, flood);
    }
    assert_eq!((count(&index, services[0]), index.places.all()), (1, MAX_BROUGHT + 1));
    // What it took back or lost does not count.
    index.remove(services[1]);
    let left = index.places.all();
    assert!(left < MAX_BROUGHT);
    rate(&mut index, services[2], 2_000_000, flood);
    assert_eq!(index.places.all(), left + 1);
}
