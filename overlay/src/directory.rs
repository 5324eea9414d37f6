//! Finding services: this node's index of validated records, searches at relays, and the DHT behind them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_bytes::ByteBuf;

use crate::cx::{Cx, Signal};
use crate::id::{Hash, PeerId, ServiceId};
use crate::io::{DhtCommand, DhtEvent, Lane, Output, Query, Role};
use crate::net::Net;
use crate::registry::{self, Change, Index, Rating, RecordError, Validated};
use crate::time::{Millis, Time};
use crate::wire::Control;

/// Services in a tab's index; it caches what it asked for.
const TAB_CAPACITY: usize = 4096;
/// Services in a relay's index.
const RELAY_CAPACITY: usize = 65_536;
/// Searches under way; further ones end at once with what is known.
const MAX_SEARCHES: usize = 256;
/// How long relays may take to answer.
const RELAYS_WITHIN: Millis = Millis(1500);
/// How long the DHT and other tabs may take.
const OTHERS_WITHIN: Millis = Millis(4000);
/// Host records that wait for the record of their service.
const MAX_ORPHANS: usize = 64;
/// Tabs that are asked when there is no relay.
const ASK_TABS: usize = 8;

#[derive(Debug)]
struct Search {
    query: Query,
    service: Option<ServiceId>,
    asked: BTreeSet<PeerId>,
    /// Keys that the DHT has not answered yet.
    pending: BTreeSet<Hash>,
    until: Time,
    /// Relays were asked; next the DHT and tabs.
    widened: bool,
    /// A relay answered: the list is that of an index.
    indexed: bool,
    found: bool,
}

/// Records, and searches for them.
#[derive(Debug)]
pub struct Directory {
    index: Index,
    searches: BTreeMap<u64, Search>,
    ended: BTreeMap<u64, bool>,
    next: u64,
    /// Host records that the DHT gave before the record of their service.
    orphans: VecDeque<(ServiceId, Vec<u8>)>,
}

impl Directory {
    /// An empty directory for a node of this role.
    pub fn new(role: Role) -> Self {
        let capacity = if role == Role::Relay { RELAY_CAPACITY } else { TAB_CAPACITY };
        Self {
            index: Index::new(capacity),
            searches: BTreeMap::new(),
            ended: BTreeMap::new(),
            next: 0,
            orphans: VecDeque::new(),
        }
    }

    /// The records.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Takes a record from anybody, if it is valid and news. True when it is.
    pub fn learn(&mut self, cx: &Cx, net: &mut Net, record: &[u8]) -> bool {
        self.learn_from(cx, net, record, None)
    }

    /// The same, of a peer that brought it.
    pub fn learn_from(&mut self, cx: &Cx, net: &mut Net, record: &[u8], bringer: Option<PeerId>) -> bool {
        let result = self.index.insert_from(record, bringer, cx.now);
        if result == Err(RecordError::UnknownService) {
            if let Ok(Validated::Host(host)) = Validated::decode(record) {
                if self.orphans.len() >= MAX_ORPHANS {
                    self.orphans.pop_front();
                }
                self.orphans.push_back((host.service, record.to_vec()));
            }
        }
        match result {
            Ok(Change::Host(service, host)) => {
                let hosts = self.index.hosts(service, cx.now);
                let addresses = hosts.into_iter().find(|record| record.host == host);
                addresses.into_iter().for_each(|record| net.hint(host, record.addresses.clone()));
            }
            Ok(Change::Service(service)) => {
                let (own, others) =
                    std::mem::take(&mut self.orphans).into_iter().partition(|(of, _)| *of == service);
                self.orphans = others;
                let own: VecDeque<(ServiceId, Vec<u8>)> = own;
                own.into_iter().for_each(|(_, orphan)| {
                    self.learn(cx, net, &orphan);
                });
            }
            Ok(Change::Rating(_)) | Err(_) => {}
        }
        result.is_ok()
    }

    /// Searches wider than the index; ends in [`Signal::Searched`] with the returned id. With `service` the search
    /// ends as soon as a live host of it is known, or that it runs outside of all tabs.
    pub fn search(&mut self, cx: &mut Cx, net: &mut Net, query: Query, service: Option<ServiceId>) -> u64 {
        self.next += 1;
        let id = self.next;
        if self.searches.len() >= MAX_SEARCHES {
            self.end(cx, id, false);
            return id;
        }
        let relays: BTreeSet<PeerId> = net.of_role(Role::Relay).take(4).collect();
        let search = Search {
            query,
            service,
            asked: relays.clone(),
            pending: BTreeSet::new(),
            until: cx.now + RELAYS_WITHIN,
            widened: false,
            indexed: false,
            found: false,
        };
        for relay in &relays {
            net.send(cx, *relay, Lane::Control, &Control::Query { id, query: search.query.clone() });
        }
        self.searches.insert(id, search);
        if relays.is_empty() {
            self.widen(cx, net, id);
        }
        id
    }

    /// Ends at once in [`Signal::Searched`]: what is known is enough.
    pub fn no_search(&mut self, cx: &mut Cx) -> u64 {
        self.next += 1;
        self.end(cx, self.next, true);
        self.next
    }

    /// Did a relay answer the search that has just ended. Forgets it.
    pub fn take_ended(&mut self, id: u64) -> bool {
        self.ended.remove(&id).unwrap_or(false)
    }

    /// Somebody answered a search.
    pub fn on_found(
        &mut self,
        cx: &mut Cx,
        net: &mut Net,
        from: PeerId,
        id: u64,
        (records, ratings): (&[ByteBuf], &[(ServiceId, Rating)]),
    ) {
        let is_relay =
            net.peer(&from).and_then(|peer| peer.hello.as_ref()).is_some_and(|h| h.role == Role::Relay);
        let Some(search) = self.searches.get_mut(&id) else { return };
        if !search.asked.remove(&from) {
            return;
        }
        search.indexed |= is_relay;
        search.found |= !records.is_empty();
        let query = search.query.clone();
        for record in records {
            self.learn_from(cx, net, record, Some(from));
        }
        for (service, rating) in ratings.iter().filter(|_| is_relay) {
            self.index.hear_rating(&query, *service, *rating);
        }
        self.step(cx, net, id);
    }

    /// The DHT answered.
    pub fn on_dht(&mut self, cx: &mut Cx, net: &mut Net, event: DhtEvent) {
        match event {
            DhtEvent::Got { key, values } => {
                self.searches.values_mut().for_each(|search| {
                    search.pending.remove(&key);
                });
                let mut news = false;
                for value in values {
                    news |= self.learn(cx, net, &value);
                }
                if news {
                    self.searches.values_mut().for_each(|search| search.found = true);
                }
                for id in self.searches.keys().copied().collect::<Vec<_>>() {
                    self.step(cx, net, id);
                }
            }
            DhtEvent::Providers { key, peers } => {
                let keyed = |search: &Search| search.widened && provider_keys(&search.query).contains(&key);
                let ids: Vec<u64> =
                    self.searches.iter().filter(|(_, search)| keyed(search)).map(|(id, _)| *id).collect();
                for id in ids {
                    if let Some(search) = self.searches.get_mut(&id) {
                        search.pending.remove(&key);
                    }
                    self.ask(cx, net, id, &peers);
                    self.step(cx, net, id);
                }
            }
        }
    }

    /// A peer is gone: it will not answer.
    pub fn on_unreachable(&mut self, cx: &mut Cx, net: &mut Net, peer: PeerId) {
        for id in self.searches.keys().copied().collect::<Vec<_>>() {
            if self.searches.get_mut(&id).is_some_and(|search| search.asked.remove(&peer)) {
                self.step(cx, net, id);
            }
        }
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, cx: &mut Cx, net: &mut Net) {
        let late: Vec<u64> =
            self.searches.iter().filter(|(_, search)| search.until <= cx.now).map(|(id, _)| *id).collect();
        for id in late {
            let widened = self.searches.get(&id).is_some_and(|search| search.widened || search.found);
            if widened {
                self.finish(cx, id);
            } else {
                self.widen(cx, net, id);
            }
        }
    }

    /// When [`Directory::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        self.searches.values().map(|search| search.until).min()
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: Time) {
        self.index.expire(now);
    }

    /// Sends records to every connected relay.
    pub fn push_to_relays(&self, cx: &mut Cx, net: &mut Net, records: Vec<Vec<u8>>, but: Option<PeerId>) {
        let records: Vec<ByteBuf> = records.into_iter().map(ByteBuf::from).collect();
        if records.is_empty() {
            return;
        }
        for relay in net.of_role(Role::Relay).filter(|relay| Some(*relay) != but).collect::<Vec<_>>() {
            net.send(cx, relay, Lane::Control, &Control::Records(records.clone()));
        }
    }

    fn step(&mut self, cx: &mut Cx, net: &mut Net, id: u64) {
        let Some(search) = self.searches.get(&id) else { return };
        let known = match search.service {
            Some(service) => {
                let elsewhere =
                    self.index.service(service, cx.now).is_some_and(|record| record.url.is_some());
                elsewhere || !self.index.hosts(service, cx.now).is_empty()
            }
            None => search.found,
        };
        let exhausted = search.asked.is_empty() && search.pending.is_empty();
        match (known && search.service.is_some(), exhausted) {
            (true, _) => self.finish(cx, id),
            (false, true) if known || search.widened => self.finish(cx, id),
            (false, true) => self.widen(cx, net, id),
            (false, false) => {}
        }
    }

    /// No relay, or none that knows: ask the DHT and other tabs.
    fn widen(&mut self, cx: &mut Cx, net: &mut Net, id: u64) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        search.widened = true;
        search.until = cx.now + OTHERS_WITHIN;
        search.pending = provider_keys(&search.query).into_iter().collect();
        for key in &search.pending {
            cx.put(Output::Dht(DhtCommand::FindProviders { key: *key }));
        }
        if let Some(service) = search.service {
            for key in [registry::service_key(service), registry::host_key(service)] {
                search.pending.insert(key);
                cx.put(Output::Dht(DhtCommand::Get { key }));
            }
        }
        let tabs: Vec<PeerId> = net.of_role(Role::Tab).take(ASK_TABS).collect();
        self.ask(cx, net, id, &tabs);
        self.step(cx, net, id);
    }

    fn ask(&mut self, cx: &mut Cx, net: &mut Net, id: u64, peers: &[PeerId]) {
        let Some(search) = self.searches.get_mut(&id) else { return };
        let me = cx.me;
        for peer in peers.iter().filter(|peer| **peer != me) {
            let query = Control::Query { id, query: search.query.clone() };
            if search.asked.len() < 24
                && !search.asked.contains(peer)
                && net.send_or_dial(cx, *peer, Lane::Control, &query)
            {
                search.asked.insert(*peer);
            }
        }
    }

    fn finish(&mut self, cx: &mut Cx, id: u64) {
        if let Some(search) = self.searches.remove(&id) {
            self.end(cx, id, search.indexed);
        }
    }

    fn end(&mut self, cx: &mut Cx, id: u64, indexed: bool) {
        self.ended.insert(id, indexed);
        cx.signal(Signal::Searched(id));
    }
}

/// Where the DHT may know providers of what is searched for.
fn provider_keys(query: &Query) -> Vec<Hash> {
    let name = query.name.as_deref().map(registry::name_key);
    name.into_iter().chain(query.tag.as_deref().map(registry::tag_key)).collect()
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
