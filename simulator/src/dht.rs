//! The modelled DHT: one table for all, with delays and with the validation that every real DHT node runs.

use std::collections::BTreeMap;

use overlay::id::{Hash, PeerId};
use overlay::io::{DhtCommand, DhtEvent};
use overlay::registry::{self, Validated};
use overlay::time::{Millis, Time};

/// The most values and providers that a lookup gives.
const MOST: usize = 20;
/// After which a provider that did not announce itself again is forgotten.
const PROVIDER_LIFETIME: Millis = Millis::secs(1800);

/// Values and providers by key.
#[derive(Debug, Default)]
pub struct Dht {
    values: BTreeMap<Hash, Vec<(Validated, Vec<u8>)>>,
    providers: BTreeMap<Hash, BTreeMap<PeerId, Time>>,
    /// Records that were refused; an honest network has none.
    pub refused: u64,
}

impl Dht {
    /// Runs a command; lookups have an answer.
    pub fn handle(&mut self, now: Time, from: PeerId, command: &DhtCommand) -> Option<DhtEvent> {
        match command {
            DhtCommand::Put { key, value, .. } => {
                match registry::validate(*key, value, now) {
                    Ok(record) => self.put(*key, record, value),
                    Err(_) => self.refused += 1,
                }
                None
            }
            DhtCommand::Get { key } => {
                let values = self.values.get(key).into_iter().flatten();
                let live = values.filter(|(_, bytes)| registry::validate(*key, bytes, now).is_ok());
                Some(DhtEvent::Got {
                    key: *key,
                    values: live.map(|(_, bytes)| bytes.clone()).take(MOST).collect(),
                })
            }
            DhtCommand::Provide { key } => {
                self.providers.entry(*key).or_default().insert(from, now + PROVIDER_LIFETIME);
                None
            }
            DhtCommand::Unprovide { key } => {
                self.providers.entry(*key).or_default().remove(&from);
                None
            }
            DhtCommand::FindProviders { key } => {
                let providers = self.providers.get(key).into_iter().flatten();
                let live = providers.filter(|(_, until)| **until > now).map(|(peer, _)| *peer);
                Some(DhtEvent::Providers { key: *key, peers: live.take(MOST).collect() })
            }
        }
    }

    /// A node keeps the best value of a key; nodes differ, so a lookup may find the best of several signers.
    fn put(&mut self, key: Hash, record: Validated, bytes: &[u8]) {
        let values = self.values.entry(key).or_default();
        let of_same = values.iter().position(|(other, _)| other.owner() == record.owner());
        match of_same {
            Some(at) if record.supersedes(&values[at].0) => values[at] = (record, bytes.to_vec()),
            Some(_) => {}
            None if values.len() < MOST => values.push((record, bytes.to_vec())),
            None => {}
        }
    }
}
