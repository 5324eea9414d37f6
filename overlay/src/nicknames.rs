//! Nick names in the DHT: announcing one's own, and looking up who uses a name.
//!
//! A look-up asks for the name's providers, then for the signed record of each of them, so that nobody's claim hides another's.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Hash, PeerId, RequestId};
use crate::io::{Answer, DhtCommand, DhtEvent, Error, NickInfo, Output};
use crate::node::Node;
use crate::registry::{self, NickRecord, RecordError, Validated, NICK_LIFETIME};
use crate::time::{Millis, Time};

/// The own record is signed anew this often: thrice in a lifetime.
const RENEW_EVERY: Millis = Millis(NICK_LIFETIME.0 / 3);
/// A new name is put again after this time: the DHT may have known nobody yet.
const AGAIN_AFTER: Millis = Millis::secs(5);
/// A look-up ends after this time with what was found.
const LOOK_UP_WITHIN: Millis = Millis::secs(8);
/// Look-ups under way.
const MAX_LOOKUPS: usize = 32;

/// This node's own name, and the look-ups under way.
#[derive(Debug, Default)]
pub(crate) struct Nicknames {
    mine: Option<Mine>,
    lookups: Vec<Lookup>,
}

#[derive(Debug)]
struct Mine {
    nick: String,
    profile: String,
    renew_at: Time,
    /// It was put into the DHT more than once.
    settled: bool,
}

#[derive(Debug)]
struct Lookup {
    request: RequestId,
    nick: String,
    /// Records that the DHT has not answered yet; `None` until it named the providers.
    pending: Option<BTreeSet<Hash>>,
    found: BTreeMap<PeerId, NickRecord>,
    began: Time,
}

impl Nicknames {
    /// The name that this node announces.
    pub fn mine(&self) -> Option<&str> {
        self.mine.as_ref().map(|mine| mine.nick.as_str())
    }

    /// When [`Node::keep_nicknames`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let lookups = self.lookups.iter().map(|lookup| lookup.began + LOOK_UP_WITHIN);
        lookups.chain(self.mine.as_ref().map(|mine| mine.renew_at)).min()
    }

    /// Others can be told, or told more: the own record goes out soon.
    pub fn renew(&mut self, now: Time) {
        if let Some(mine) = &mut self.mine {
            (mine.renew_at, mine.settled) = (now, false);
        }
    }
}

impl Node {
    /// Announces a nick name with a line about its person, or withdraws the one that was announced.
    pub(crate) fn announce(&mut self, request: RequestId, nick: Option<String>, profile: String) {
        if let Some(nick) = &nick {
            // What others would refuse is refused here.
            if let Err(error) = self.nick_record(nick, &profile, false) {
                return self.answer(request, Err(Error::Refused(error.to_string())));
            }
        }
        let before = self.nicknames.mine.take();
        if let Some(before) = before.filter(|before| Some(&before.nick) != nick.as_ref()) {
            self.withdraw(&before.nick, &before.profile);
        }
        if let Some(nick) = nick {
            self.nicknames.mine = Some(Mine { nick, profile, renew_at: self.cx.now, settled: false });
            self.keep_nicknames();
        }
        self.answer(request, Ok(Answer::Done));
    }

    /// This node leaves: its name is to be free at once. False when it had none.
    pub(crate) fn withdraw_nick(&mut self) -> bool {
        let Some(mine) = self.nicknames.mine.take() else { return false };
        self.withdraw(&mine.nick, &mine.profile);
        true
    }

    /// Looks up who uses a nick name.
    pub(crate) fn look_up_nick(&mut self, request: RequestId, nick: &str) {
        let nick = nick.trim().to_owned();
        if !registry::is_nick(&nick) {
            return self.answer(request, Err(Error::Refused(RecordError::Field("nick name").to_string())));
        }
        if self.nicknames.lookups.len() >= MAX_LOOKUPS {
            let error =
                Error::Overloaded("too many nick names are being looked up".to_owned(), Millis::secs(1));
            return self.answer(request, Err(error));
        }
        let key = registry::nick_key(&nick);
        let (found, began) = (BTreeMap::new(), self.cx.now);
        self.nicknames.lookups.push(Lookup { request, nick, pending: None, found, began });
        self.cx.put(Output::Dht(DhtCommand::FindProviders { key }));
    }

    /// The DHT answered, perhaps to a look-up.
    pub(crate) fn on_nick_dht(&mut self, event: &DhtEvent) {
        let now = self.cx.now;
        match event {
            DhtEvent::Providers { key, peers } => {
                for lookup in &mut self.nicknames.lookups {
                    if lookup.pending.is_some() || registry::nick_key(&lookup.nick) != *key {
                        continue;
                    }
                    let keys = peers.iter().map(|peer| registry::nick_record_key(&lookup.nick, *peer));
                    let keys: BTreeSet<Hash> = keys.collect();
                    for key in &keys {
                        self.cx.put(Output::Dht(DhtCommand::Get { key: *key }));
                    }
                    lookup.pending = Some(keys);
                }
            }
            DhtEvent::Got { key, values } => {
                for lookup in &mut self.nicknames.lookups {
                    if !lookup.pending.as_mut().is_some_and(|pending| pending.remove(key)) {
                        continue;
                    }
                    for value in values {
                        if let Ok(Validated::Nick(record)) = registry::validate(*key, value, now) {
                            lookup.take(record);
                        }
                    }
                }
            }
        }
        self.end_lookups();
    }

    /// Renews the own record, and ends look-ups that take too long.
    pub(crate) fn keep_nicknames(&mut self) {
        let now = self.cx.now;
        if let Some(mine) = self.nicknames.mine.as_mut().filter(|mine| mine.renew_at <= now) {
            mine.renew_at = now + if mine.settled { RENEW_EVERY } else { AGAIN_AFTER };
            mine.settled = true;
            let (nick, profile) = (mine.nick.clone(), mine.profile.clone());
            self.put_nick(&nick, &profile, false);
            self.cx.put(Output::Dht(DhtCommand::Provide { key: registry::nick_key(&nick) }));
        }
        self.end_lookups();
    }

    fn end_lookups(&mut self) {
        let now = self.cx.now;
        let done = |lookup: &Lookup| {
            lookup.began + LOOK_UP_WITHIN <= now || lookup.pending.as_ref().is_some_and(BTreeSet::is_empty)
        };
        let (ended, rest) = std::mem::take(&mut self.nicknames.lookups).into_iter().partition(done);
        self.nicknames.lookups = rest;
        let ended: Vec<Lookup> = ended;
        for lookup in ended {
            let live = lookup.found.into_values().filter(|record| !record.withdrawn);
            let mut found = Vec::new();
            for record in live {
                self.net.hint(record.peer, record.addresses.clone());
                found.push(NickInfo {
                    nick: record.nick,
                    peer: record.peer.to_string(),
                    short: record.peer.short(),
                    profile: record.profile,
                    announced: record.created.0,
                });
            }
            let took_ms = now.since(lookup.began).0;
            self.answer(lookup.request, Ok(Answer::Nicknames { found, took_ms }));
        }
    }

    fn withdraw(&mut self, nick: &str, profile: &str) {
        self.put_nick(nick, profile, true);
        self.cx.put(Output::Dht(DhtCommand::Unprovide { key: registry::nick_key(nick) }));
    }

    fn put_nick(&mut self, nick: &str, profile: &str, withdrawn: bool) {
        // It was checked when it was announced; addresses are bounded here.
        if let Ok((key, value)) = self.nick_record(nick, profile, withdrawn) {
            let expires = self.cx.now + NICK_LIFETIME;
            self.cx.put(Output::Dht(DhtCommand::Put { key, value, expires }));
        }
    }

    fn nick_record(
        &self,
        nick: &str,
        profile: &str,
        withdrawn: bool,
    ) -> Result<(Hash, Vec<u8>), RecordError> {
        let now = self.cx.now;
        let fits = |address: &&String| address.len() <= 256;
        let record = NickRecord {
            nick: nick.to_owned(),
            peer: self.cx.me,
            profile: profile.to_owned(),
            addresses: self.addresses.iter().filter(fits).take(4).cloned().collect(),
            // A withdrawal in the millisecond of its announcement still replaces it.
            sequence: now.0 + u64::from(withdrawn),
            created: now,
            expires: now + NICK_LIFETIME,
            withdrawn,
        };
        Ok((record.key(), record.encode(&self.secret)?))
    }
}

impl Lookup {
    /// The newest record of each peer.
    fn take(&mut self, record: NickRecord) {
        let older = |known: &NickRecord| known.sequence < record.sequence;
        if self.found.get(&record.peer).is_none_or(older) {
            self.found.insert(record.peer, record);
        }
    }
}

#[cfg(test)]
#[path = "nicknames_tests.rs"]
mod tests;
