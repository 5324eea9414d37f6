//! Sessions of a machine and their outboxes: opened, filled, acknowledged, ended.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Current, Machine, Next};
use crate::id::{PeerId, SessionId};
use crate::sandbox::EventKind;
use crate::wire::OutItem;

/// A session with more undelivered messages is closed.
pub const MAX_OUTBOX_ITEMS: usize = 1024;
/// A session with more undelivered bytes is closed.
pub const MAX_OUTBOX_BYTES: usize = 1024 * 1024;
/// Sessions of one service; further ones are refused.
pub const MAX_SESSIONS: usize = 4096;
/// Of these, sessions of one consumer.
pub const MAX_SESSIONS_PER_CONSUMER: usize = 1024;
/// Undelivered bytes of all sessions together; beyond it the session that holds most is closed.
pub const MAX_OUTBOXES_BYTES: usize = 32 * 1024 * 1024;

/// A session is known by its consumer's key and its id.
pub type SessionKey = (PeerId, SessionId);

/// One session's replicated state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionState {
    /// The module's name for it.
    pub handle: u32,
    /// Inputs up to here are executed.
    pub executed: u64,
    /// Number of the last item put into the outbox.
    pub sent: u64,
    /// Items that the consumer has not acknowledged in the log, the last one numbered `sent`.
    pub outbox: VecDeque<OutItem>,
    pub(super) outbox_bytes: usize,
    pub(super) rooms: BTreeSet<u32>,
    /// The service ended it; it stays until its consumer has acknowledged the outbox, or expires.
    pub(super) closed: bool,
}

impl SessionState {
    /// Number of the first item in the outbox.
    pub fn first(&self) -> u64 {
        self.sent + 1 - self.outbox.len() as u64
    }

    /// Has the service ended it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn push(&mut self, item: OutItem) {
        self.outbox_bytes += item.size();
        self.outbox.push_back(item);
        self.sent += 1;
    }

    fn acknowledge(&mut self, ack: u64) {
        while !self.outbox.is_empty() && self.first() <= ack {
            if let Some(item) = self.outbox.pop_front() {
                self.outbox_bytes -= item.size();
            }
        }
    }

    fn overflows(&self) -> bool {
        self.outbox.len() > MAX_OUTBOX_ITEMS || self.outbox_bytes > MAX_OUTBOX_BYTES
    }
}

impl Machine {
    /// A session.
    pub fn session(&self, key: &SessionKey) -> Option<&SessionState> {
        self.sessions.get(key)
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (&SessionKey, &SessionState)> {
        self.sessions.iter()
    }

    /// Sessions that share a room with this one, without itself.
    pub fn roommates(&self, key: &SessionKey) -> BTreeSet<SessionKey> {
        let rooms = self.sessions.get(key).into_iter().flat_map(|session| &session.rooms);
        let handles = rooms.filter_map(|room| self.rooms.get(room)).flatten();
        handles.filter_map(|handle| self.handles.get(handle)).filter(|other| *other != key).copied().collect()
    }

    pub(super) fn open(&mut self, key: SessionKey, seed: u64) -> Next {
        if self.sessions.len() >= MAX_SESSIONS {
            self.notes.gone.push((key, "the service has too many sessions"));
            return Next::Done;
        }
        let (first, last) = ((key.0, SessionId(0)), (key.0, SessionId(u128::MAX)));
        if self.sessions.range(first..=last).count() >= MAX_SESSIONS_PER_CONSUMER {
            self.notes.gone.push((key, "this consumer has too many sessions of the service"));
            return Next::Done;
        }
        self.last_handle += 1;
        let handle = self.last_handle;
        self.handles.insert(handle, key);
        let session = SessionState {
            handle,
            executed: 1,
            sent: 0,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            rooms: BTreeSet::new(),
            closed: false,
        };
        self.sessions.insert(key, session);
        self.notes.touched.insert(key);
        self.current = Some(Current::Other);
        Next::Run(self.event(EventKind::Open, handle, Some(key.0), seed, Vec::new()))
    }

    pub(super) fn push(&mut self, key: SessionKey, item: OutItem) {
        if let Some(session) = self.sessions.get_mut(&key).filter(|session| !session.closed) {
            self.outboxes_bytes += item.size();
            session.push(item);
            self.notes.touched.insert(key);
        }
    }

    pub(super) fn acknowledge(&mut self, key: SessionKey, ack: u64) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let before = session.outbox_bytes;
        session.acknowledge(ack);
        self.outboxes_bytes -= before - session.outbox_bytes;
        if session.closed && session.outbox.is_empty() {
            self.sessions.remove(&key);
            self.notes.touched.insert(key);
        }
    }

    /// The module ends a session: what it sent before still arrives, then the end.
    pub(super) fn close(&mut self, key: SessionKey) {
        self.push(key, OutItem::Closed { reason: "closed by the service".to_owned() });
        if let Some(session) = self.sessions.get_mut(&key) {
            session.closed = true;
            let (handle, rooms) = (session.handle, std::mem::take(&mut session.rooms));
            self.detach(handle, rooms);
        }
    }

    /// Ends a session with what is in its outbox, and tells the module.
    pub(super) fn remove(&mut self, key: SessionKey, reason: &'static str) {
        let Some(session) = self.sessions.remove(&key) else { return };
        self.outboxes_bytes -= session.outbox_bytes;
        self.notes.touched.remove(&key);
        self.notes.gone.push((key, reason));
        if !session.closed {
            let event = self.event(EventKind::Close, session.handle, Some(key.0), 0, Vec::new());
            self.follow_ups.push_back(event);
            self.detach(session.handle, session.rooms);
        }
    }

    pub(super) fn close_overflowing(&mut self) {
        let touched = self.notes.touched.iter();
        let slow: Vec<_> = touched
            .filter(|key| self.sessions.get(key).is_some_and(SessionState::overflows))
            .copied()
            .collect();
        for key in slow {
            self.remove(key, "the consumer was too slow");
        }
        while self.outboxes_bytes > MAX_OUTBOXES_BYTES {
            let largest = self.sessions.iter().max_by_key(|(_, session)| session.outbox_bytes);
            let Some((key, _)) = largest else { return };
            self.remove(*key, "the consumer was too slow, and the service's outboxes are full");
        }
    }

    pub(super) fn leave_room(&mut self, handle: u32, room: u32) {
        if let Some(members) = self.rooms.get_mut(&room) {
            members.remove(&handle);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }

    fn detach(&mut self, handle: u32, rooms: BTreeSet<u32>) {
        self.handles.remove(&handle);
        for room in rooms {
            self.leave_room(handle, room);
        }
    }
}
