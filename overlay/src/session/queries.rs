//! The consumer's side of read-only calls: which peer answers each of them, and when another is asked.

use std::collections::{BTreeMap, BTreeSet};

use serde_bytes::ByteBuf;

use crate::id::{PeerId, RequestId};
use crate::io::{Answer, Error};
use crate::session::client::{reply, Action};
use crate::time::{Millis, Time};
use crate::wire::{CallResult, ClientBody, Reading};

/// Queries that wait for an answer; further ones are refused as overload.
const MAX_QUERIES: usize = 256;
/// A replica that does not answer a read for this long is asked no more, and the server is.
const REPLICA_WITHIN: Millis = Millis(500);
/// Replicas that a session knows.
const MAX_READERS: usize = 16;

#[derive(Debug)]
struct Pending {
    request: RequestId,
    at: Time,
    deadline: Time,
    method: String,
    body: Vec<u8>,
    /// How old what it reads may be; `None` asks the server alone.
    max_age: Option<Millis>,
    /// The replica that was asked, until when.
    replica: Option<(PeerId, Time)>,
}

/// What a session asks without changing anything.
#[derive(Debug, Default)]
pub struct Queries {
    pending: BTreeMap<u64, Pending>,
    next: u64,
    /// Replicas and standbys that the server named.
    readers: BTreeSet<PeerId>,
    /// In which epoch answers came, and the highest log index of one: later reads are not older.
    seen: (u64, u64),
}

impl Queries {
    /// A new query; its id.
    pub fn add(
        &mut self,
        now: Time,
        request: RequestId,
        deadline: Time,
        (method, body): (String, Vec<u8>),
        max_age: Option<Millis>,
    ) -> Result<u64, Error> {
        if self.pending.len() >= MAX_QUERIES {
            return Err(Error::Overloaded("too many queries wait in this session".to_owned(), Millis(200)));
        }
        self.next += 1;
        let pending = Pending { request, at: now, deadline, method, body, max_age, replica: None };
        self.pending.insert(self.next, pending);
        Ok(self.next)
    }

    /// The server names a peer that holds the state.
    pub fn add_reader(&mut self, peer: PeerId) {
        if self.readers.len() < MAX_READERS {
            self.readers.insert(peer);
        }
    }

    /// Who may be asked besides the server.
    pub fn readers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.readers.iter().copied()
    }

    /// Asks the server, or a replica; `done` is the last input that the service is known to have executed.
    pub fn send(&mut self, now: Time, id: u64, (epoch, done): (u64, u64), to: PeerId, out: &mut Vec<Action>) {
        let seen = if self.seen.0 == epoch { self.seen.1 } else { 0 };
        let reader = self.readers.contains(&to);
        let Some(query) = self.pending.get_mut(&id) else { return };
        query.replica = reader.then_some((to, now + REPLICA_WITHIN));
        let reading = query.max_age.map(|max_age| Reading { max_age, seen, done });
        let (method, body) = (query.method.clone(), ByteBuf::from(query.body.clone()));
        out.push(Action::Send(to, ClientBody::Query { id, method, body, reading }));
    }

    /// The queries that wait.
    pub fn waiting(&self) -> Vec<u64> {
        self.pending.keys().copied().collect()
    }

    /// Is it the replica's turn to answer this query?
    pub fn is_asked(&self, id: u64, peer: PeerId) -> bool {
        self.pending.get(&id).is_some_and(|query| query.replica.is_some_and(|(replica, _)| replica == peer))
    }

    /// An answer; when it was asked for.
    pub fn on_answer(
        &mut self,
        from: PeerId,
        id: u64,
        result: CallResult,
        (epoch, index): (u64, u64),
        age_ms: u32,
        out: &mut Vec<Action>,
    ) -> Option<Time> {
        let query = self.pending.remove(&id)?;
        self.seen = self.seen.max((epoch, index));
        let result = match (reply(result), query.max_age) {
            (Ok(Answer::Reply(body)), Some(_)) => Ok(Answer::Read { body, server: from.to_string(), age_ms }),
            (other, _) => other,
        };
        out.push(Action::Answer(query.request, result));
        Some(query.at)
    }

    /// A peer cannot be asked any more, or does not answer: the queries that wait for it, for the server.
    pub fn give_up(&mut self, peer: PeerId) -> Vec<u64> {
        self.readers.remove(&peer);
        let mut given_up = Vec::new();
        for (id, query) in &mut self.pending {
            if query.replica.is_some_and(|(replica, _)| replica == peer) {
                query.replica = None;
                given_up.push(*id);
            }
        }
        given_up
    }

    /// Replicas that took too long.
    pub fn late(&self, now: Time) -> BTreeSet<PeerId> {
        let replicas = self.pending.values().filter_map(|query| query.replica);
        replicas.filter(|(_, until)| *until <= now).map(|(peer, _)| peer).collect()
    }

    /// Fails what is too late.
    pub fn expire(&mut self, now: Time, out: &mut Vec<Action>) {
        let late = self.pending.iter().filter(|(_, query)| query.deadline <= now);
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(query) = self.pending.remove(&id) {
                let error = Error::Deadline("the service did not answer in time".to_owned());
                out.push(Action::Answer(query.request, Err(error)));
            }
        }
    }

    /// Fails all of them.
    pub fn fail(&mut self, reason: &str, out: &mut Vec<Action>) {
        for (_, query) in std::mem::take(&mut self.pending) {
            out.push(Action::Answer(query.request, Err(Error::Disconnected(reason.to_owned()))));
        }
    }

    /// When [`Queries::late`] or [`Queries::expire`] has something to say.
    pub fn timeout(&self) -> Option<Time> {
        let due =
            |query: &Pending| query.replica.map_or(query.deadline, |(_, until)| until.min(query.deadline));
        self.pending.values().map(due).min()
    }
}
