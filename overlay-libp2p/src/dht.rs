//! The DHT: kad with records that every node judges before it keeps them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use libp2p::kad::{self, store::RecordStore, QueryId, QueryResult, Quorum, StoreInserts};
use libp2p::kad::{store::MemoryStore, store::MemoryStoreConfig, Record, RecordKey};
use libp2p::StreamProtocol;
use overlay::id::{Hash, PeerId};
use overlay::io::{DhtCommand, DhtEvent};
use overlay::registry;
use overlay::time::Time;
use web_time::Instant;

use crate::addresses::kernel_peer;

/// The DHT's protocol.
pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/tabfarm/kad/1");
/// A query ends after this time with what it has.
const QUERY_TIME: Duration = Duration::from_secs(10);
/// One request to one peer ends after this time: a tab that is gone must not hold up a query.
const REQUEST_TIME: Duration = Duration::from_secs(3);
/// Nodes that keep a record. kad's 20 would cost a tab 20 WebRTC dials for each put; a record that expires within 90 s
/// and is put again every 30 s does not need them. A guess, to be measured.
const REPLICATION: NonZeroUsize = NonZeroUsize::new(6).expect("6 is not zero");
/// Queries at a time; more are answered empty.
const MAX_QUERIES: usize = 256;
/// Values and providers that a query reports.
const MAX_ANSWERS: usize = 20;
/// A `Get` ends early when this many nodes have answered with a record: the best of them is kept everywhere.
const ENOUGH_RECORDS: usize = 3;
/// The longest value that is kept; the registry's own bound on records is 4 KiB.
const MAX_VALUE: usize = 8 * 1024;
/// How long a provider is believed, and how often one announces itself.
const PROVIDER_TIME: Duration = Duration::from_secs(10 * 60);
const PROVIDER_PERIOD: Duration = Duration::from_secs(3 * 60);

/// Judges a record: the time at which it ends, or `None` if it must not be kept: it is forged, expired, not for this
/// key, or does not supersede the one that is there. Arguments: key, value, the value that is there, now.
pub type Admit = fn(Hash, &[u8], Option<&[u8]>, Time) -> Option<Time>;

/// Judges a record by the registry's rules.
pub fn admit(key: Hash, value: &[u8], there: Option<&[u8]>, now: Time) -> Option<Time> {
    let record = registry::validate(key, value, now).ok()?;
    // What is there was judged when it came; if it has expired since, it gives way to anything valid.
    let there = there.and_then(|there| registry::validate(key, there, now).ok());
    there.is_none_or(|there| record.supersedes(&there)).then(|| record.expires())
}

/// How much a node keeps for others.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Records.
    pub records: usize,
    /// Keys for which it remembers providers.
    pub provided: usize,
}

impl Capacity {
    /// What a tab keeps.
    pub const TAB: Capacity = Capacity { records: 2_048, provided: 2_048 };
    /// What a relay keeps: the records of 10,000 tabs.
    pub const RELAY: Capacity = Capacity { records: 32_768, provided: 16_384 };
}

pub(crate) fn behaviour(local: libp2p::PeerId, capacity: Capacity) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(PROTOCOL);
    config
        .set_query_timeout(QUERY_TIME)
        .set_substreams_timeout(REQUEST_TIME)
        .set_replication_factor(REPLICATION)
        .set_record_filtering(StoreInserts::FilterBoth)
        // The kernel republishes what is its own; expired records are swept by `Dht::sweep`.
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_record_ttl(Some(PROVIDER_TIME))
        .set_provider_publication_interval(Some(PROVIDER_PERIOD))
        .set_periodic_bootstrap_interval(Some(Duration::from_secs(120)));
    let store = MemoryStoreConfig {
        max_records: capacity.records,
        max_value_bytes: MAX_VALUE,
        max_providers_per_key: MAX_ANSWERS,
        max_provided_keys: capacity.provided,
    };
    kad::Behaviour::with_config(local, MemoryStore::with_config(local, store), config)
}

/// The kernel's queries that are under way.
pub(crate) struct Dht {
    admit: Admit,
    queries: HashMap<QueryId, Query>,
}

enum Query {
    Get { key: Hash, values: Vec<Vec<u8>>, answers: usize },
    Providers { key: Hash, peers: Vec<PeerId> },
}

impl Dht {
    pub fn new(admit: Admit) -> Self {
        Self { admit, queries: HashMap::new() }
    }

    /// Starts what the kernel asks for; an answer at once if it cannot be started.
    pub fn command(
        &mut self,
        kad: &mut kad::Behaviour<MemoryStore>,
        now: Time,
        command: DhtCommand,
    ) -> Option<DhtEvent> {
        let full = self.queries.len() >= MAX_QUERIES;
        match command {
            DhtCommand::Put { key, value, expires } => {
                let expires = instant(now, expires);
                let record = Record { key: record_key(key), value, publisher: None, expires: Some(expires) };
                // An error means that the store is full, and then the record still goes to others by the next put.
                let _ = kad.put_record(record, Quorum::One);
            }
            DhtCommand::Get { key } if full => return Some(DhtEvent::Got { key, values: Vec::new() }),
            DhtCommand::Get { key } => {
                let id = kad.get_record(record_key(key));
                self.queries.insert(id, Query::Get { key, values: Vec::new(), answers: 0 });
            }
            DhtCommand::Provide { key } => {
                let _ = kad.start_providing(record_key(key));
            }
            DhtCommand::Unprovide { key } => kad.stop_providing(&record_key(key)),
            DhtCommand::FindProviders { key } if full => {
                return Some(DhtEvent::Providers { key, peers: Vec::new() });
            }
            DhtCommand::FindProviders { key } => {
                let id = kad.get_providers(record_key(key));
                self.queries.insert(id, Query::Providers { key, peers: Vec::new() });
            }
        }
        None
    }

    /// Takes an event of kad's; an answer when one of the kernel's queries ends.
    pub fn on_event(
        &mut self,
        kad: &mut kad::Behaviour<MemoryStore>,
        now: Time,
        event: kad::Event,
    ) -> Option<DhtEvent> {
        match event {
            kad::Event::InboundRequest {
                request: kad::InboundRequest::PutRecord { record: Some(record), .. },
            } => {
                self.keep(kad.store_mut(), now, record);
                None
            }
            kad::Event::InboundRequest {
                request: kad::InboundRequest::AddProvider { record: Some(record) },
            } => {
                if hash(&record.key).is_some() && kernel_peer(&record.provider).is_some() {
                    let _ = kad.store_mut().add_provider(record);
                }
                None
            }
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                let done = self.on_progress(now, id, result);
                if !done && !step.last {
                    return None;
                }
                if let Some(mut query) = kad.query_mut(&id) {
                    query.finish();
                }
                self.queries.remove(&id).map(Query::answer)
            }
            _ => None,
        }
    }

    /// Keeps a record of somebody else's if it is valid and supersedes what is there.
    fn keep(&self, store: &mut MemoryStore, now: Time, mut record: Record) {
        let Some(key) = hash(&record.key) else { return };
        let there = store.get(&record.key).map(|record| record.value.clone());
        // The same record again only lives on, as long as it may.
        let there = there.filter(|there| *there != record.value);
        let Some(expires) = (self.admit)(key, &record.value, there.as_deref(), now) else { return };
        let latest = instant(now, expires);
        record.expires = Some(record.expires.map_or(latest, |given| given.min(latest)));
        let _ = store.put(record);
    }

    /// Collects; true when there is enough.
    fn on_progress(&mut self, now: Time, id: QueryId, result: QueryResult) -> bool {
        match (self.queries.get_mut(&id), result) {
            (
                Some(Query::Get { key, values, answers }),
                QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))),
            ) => {
                let value = found.record.value;
                let valid = (self.admit)(*key, &value, None, now).is_some();
                if valid && !values.contains(&value) && values.len() < MAX_ANSWERS {
                    values.push(value);
                }
                *answers += usize::from(valid);
                *answers >= ENOUGH_RECORDS
            }
            (
                Some(Query::Providers { peers, .. }),
                QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })),
            ) => {
                for peer in providers.iter().filter_map(kernel_peer) {
                    if peers.len() < MAX_ANSWERS && !peers.contains(&peer) {
                        peers.push(peer);
                    }
                }
                peers.len() >= MAX_ANSWERS
            }
            _ => false,
        }
    }

    /// Forgets records that have expired.
    pub fn sweep(&self, kad: &mut kad::Behaviour<MemoryStore>) {
        let now = Instant::now();
        kad.store_mut().retain(|_, record| !record.is_expired(now));
    }
}

impl Query {
    fn answer(self) -> DhtEvent {
        match self {
            Query::Get { key, values, .. } => DhtEvent::Got { key, values },
            Query::Providers { key, peers } => DhtEvent::Providers { key, peers },
        }
    }
}

fn record_key(key: Hash) -> RecordKey {
    RecordKey::new(&key.0)
}

fn hash(key: &RecordKey) -> Option<Hash> {
    key.as_ref().try_into().ok().map(Hash)
}

/// The instant of `at`, seen from `now`; at most 30 days ahead, which the platforms' clocks can all represent.
fn instant(now: Time, at: Time) -> Instant {
    let ahead = at.since(now).0.min(30 * 24 * 3_600_000);
    Instant::now() + Duration::from_millis(ahead)
}
