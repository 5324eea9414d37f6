//! The replicated part of a service besides its module's memory: sessions, dedupe, outboxes, rooms, timers.
//!
//! A pure function of the log. [`Machine::begin`] takes a committed entry and says which event the module runs;
//! [`Machine::finish`] takes the event's outcome and applies its effects. One event is under way at a time, since
//! what an entry does depends on the effects of those before it.
//!
//! Invariants: H2, an outbox item exists only after its entry was committed and executed; H3, per session inputs
//! execute in sequence without gap or repeat, and outbox items are numbered without gap.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::{PackageId, PeerId, SessionId};
use crate::io::MAX_BODY;
use crate::sandbox::{Effect, EventKind, GuestEvent, Outcome};
use crate::seeded::{self, SeededBug};
use crate::time::Time;
use crate::wire::{CallResult, OutItem, SessionInput};

/// Version of this machine's rules; a group runs the lowest of its members (replication.md, Determinism).
pub const MACHINE_VERSION: u16 = 1;
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
/// Timers of one service; further ones are dropped.
pub const MAX_TIMERS: usize = 1024;
/// The shortest timer in ms: a module that re-arms at once must leave its host time for others.
pub const MIN_TIMER_MS: u64 = 10;
/// Rooms that one session may be in.
pub const MAX_ROOMS_PER_SESSION: usize = 64;

/// Calls of other services in one entry, those of their answers included; further ones are dropped.
pub const MAX_CALLS_PER_ENTRY: u32 = 64;
/// The highest number of an input or item in an image: counting on from there never overflows.
const MAX_COUNT: u64 = 1 << 48;

/// A session is known by its consumer's key and its id.
pub type SessionKey = (PeerId, SessionId);

/// What the log of a service holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// An input of a session.
    Session {
        /// Whose.
        key: SessionKey,
        /// Its number in the session.
        seq: u64,
        /// The consumer has the outbox up to here.
        ack: u64,
        /// The input.
        input: SessionInput,
        /// The leader's clock.
        now: Time,
        /// The event's randomness.
        seed: u64,
    },
    /// The consumer has the outbox up to here.
    Ack {
        /// Whose.
        key: SessionKey,
        /// The last item that it has.
        ack: u64,
    },
    /// The consumer is gone for too long.
    Expire {
        /// Whose.
        key: SessionKey,
    },
    /// A timer is due; a no-op unless the table still holds this deadline.
    Timer {
        /// The timer.
        id: u32,
        /// The deadline that the leader saw.
        deadline: Time,
        /// The leader's clock.
        now: Time,
        /// The event's randomness.
        seed: u64,
    },
    /// From here on the module is another one.
    Upgrade {
        /// The new package.
        package: PackageId,
        /// The leader's clock.
        now: Time,
    },
    /// The entry at this index is not executed: it failed on two hosts.
    Skip {
        /// Its index.
        index: u64,
    },
    /// The machine's rules are those of this version from here on.
    MachineVersion(u16),
}

/// What the instance does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Run this event.
    Run(GuestEvent),
    /// Replace the module, then call [`Machine::upgraded`].
    Upgrade(PackageId),
    /// The entry is executed.
    Done,
}

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
    outbox_bytes: usize,
    rooms: BTreeSet<u32>,
    /// The service ended it; it stays until its consumer has acknowledged the outbox, or expires.
    closed: bool,
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

/// What the event under way is for.
#[derive(Clone, Debug, PartialEq)]
enum Current {
    Input {
        key: SessionKey,
        seq: u64,
        is_call: bool,
    },
    /// A new module meets the state; the package before it.
    Upgrade {
        from: PackageId,
    },
    Other,
}

/// The replicated machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    version: u16,
    /// The package whose module runs.
    pub package: PackageId,
    sessions: BTreeMap<SessionKey, SessionState>,
    handles: BTreeMap<u32, SessionKey>,
    last_handle: u32,
    rooms: BTreeMap<u32, BTreeSet<u32>>,
    timers: BTreeMap<u32, Time>,
    now: Time,
    skip: BTreeSet<u64>,
    /// Undelivered bytes of all sessions.
    outboxes_bytes: usize,
    /// The package that an upgrade under way replaces.
    #[serde(skip)]
    replaced: Option<PackageId>,
    #[serde(skip)]
    current: Option<Current>,
    #[serde(skip)]
    follow_ups: VecDeque<GuestEvent>,
    /// Calls of other services by the entry under way.
    #[serde(skip)]
    calls: u32,
    #[serde(skip)]
    notes: Notes,
}

/// What an entry did that is not state: the instance takes it after each entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// Sessions whose outbox or executed cursor changed.
    pub touched: BTreeSet<SessionKey>,
    /// Sessions that are gone, or inputs of sessions that do not exist, and why.
    pub gone: Vec<(SessionKey, &'static str)>,
    /// What the module logged: level and text.
    pub logs: Vec<(u8, String)>,
    /// Gas burnt.
    pub gas: u64,
    /// Events run.
    pub events: u64,
    /// Traps.
    pub traps: u64,
    /// An upgrade, and how it ended.
    pub upgrade: Option<Upgraded>,
}

/// The end of an upgrade.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgraded {
    /// The package that ran before.
    pub from: PackageId,
    /// The new one.
    pub to: PackageId,
    /// Why the new one did not take the state over: the one before goes on, with the state that it had.
    pub refused: Option<String>,
}

impl Machine {
    /// The machine of a service that nobody has used.
    pub fn new(package: PackageId) -> Self {
        Self {
            version: MACHINE_VERSION,
            package,
            sessions: BTreeMap::new(),
            handles: BTreeMap::new(),
            last_handle: 0,
            rooms: BTreeMap::new(),
            timers: BTreeMap::new(),
            now: Time(0),
            skip: BTreeSet::new(),
            outboxes_bytes: 0,
            replaced: None,
            current: None,
            follow_ups: VecDeque::new(),
            calls: 0,
            notes: Notes::default(),
        }
    }

    /// Is this a state that [`Machine`] can have made; checked after it came from another node.
    pub fn is_sound(&self) -> bool {
        let sessions = self.sessions.iter().all(|(key, session)| {
            (session.closed || self.handles.get(&session.handle) == Some(key))
                && session.sent >= session.outbox.len() as u64
                && session.sent.max(session.executed) <= MAX_COUNT
                && session.handle <= self.last_handle
                && session.outbox_bytes == session.outbox.iter().map(OutItem::size).sum::<usize>()
                && session
                    .rooms
                    .iter()
                    .all(|room| self.rooms.get(room).is_some_and(|members| members.contains(&session.handle)))
        });
        sessions
            && self.version <= MACHINE_VERSION
            && self.last_handle <= u32::MAX / 2
            && self.handles.values().all(|key| self.sessions.get(key).is_some_and(|session| !session.closed))
            && self.sessions.len() <= MAX_SESSIONS
            && self.timers.len() <= MAX_TIMERS
            && self.outboxes_bytes
                == self.sessions.values().map(|session| session.outbox_bytes).sum::<usize>()
            && self.rooms.values().flatten().all(|handle| self.handles.contains_key(handle))
    }

    /// For [`SeededBug::DedupeLostInHandover`]: the inputs of all sessions are forgotten.
    pub(crate) fn forget_executed(&mut self) {
        self.sessions.values_mut().for_each(|session| session.executed = session.executed.min(1));
    }

    /// Begins a committed entry. Nothing may be under way.
    pub fn begin(&mut self, index: u64, entry: Entry) -> Next {
        debug_assert!(self.current.is_none() && self.follow_ups.is_empty());
        self.calls = 0;
        if self.skip.remove(&index) {
            return Next::Done;
        }
        match entry {
            Entry::Session { key, seq, ack, input, now, seed } => {
                self.now = self.now.max(now);
                self.begin_input(key, seq, ack, input, seed)
            }
            Entry::Ack { key, ack } => {
                self.acknowledge(key, ack);
                Next::Done
            }
            Entry::Expire { key } => {
                self.remove(key, "the session expired");
                self.next()
            }
            Entry::Timer { id, deadline, now, seed } => {
                self.now = self.now.max(now);
                if self.timers.get(&id) != Some(&deadline) {
                    return Next::Done;
                }
                self.timers.remove(&id);
                self.current = Some(Current::Other);
                Next::Run(self.event(EventKind::Timer, id, None, seed, Vec::new()))
            }
            Entry::Upgrade { package, now } => {
                self.now = self.now.max(now);
                self.replaced = Some(std::mem::replace(&mut self.package, package));
                Next::Upgrade(package)
            }
            Entry::Skip { index } => {
                self.skip.insert(index);
                Next::Done
            }
            Entry::MachineVersion(version) => {
                self.version = version.min(MACHINE_VERSION);
                Next::Done
            }
        }
    }

    /// The module was replaced; it gets to know.
    pub fn upgraded(&mut self) -> Next {
        let from = self.replaced.take().unwrap_or(self.package);
        self.current = Some(Current::Upgrade { from });
        Next::Run(self.event(EventKind::Upgrade, 0, None, 0, Vec::new()))
    }

    /// Applies the outcome of the event under way.
    pub fn finish(&mut self, outcome: Outcome) -> Next {
        self.notes.events += 1;
        let (result, effects) = match outcome {
            Outcome::Done { reply, effects, gas } => {
                self.notes.gas = self.notes.gas.saturating_add(gas);
                (CallResult::Ok(ByteBuf::from(reply)), effects)
            }
            Outcome::Failed { reply, effects, gas } => {
                self.notes.gas = self.notes.gas.saturating_add(gas);
                (CallResult::Failed(ByteBuf::from(reply)), effects)
            }
            Outcome::Trapped { reason } => {
                self.notes.traps += 1;
                self.notes.logs.push((0, format!("trapped: {reason}")));
                (CallResult::Trapped(reason), Vec::new())
            }
        };
        if let Some(Current::Upgrade { from }) = self.current {
            self.current = None;
            return self.finish_upgrade(from, result, effects);
        }
        let result = match result {
            CallResult::Ok(body) | CallResult::Failed(body) if body.len() > MAX_BODY => {
                CallResult::Trapped(format!("the reply has {} bytes, more than {MAX_BODY}", body.len()))
            }
            result => result,
        };
        if let Some(Current::Input { key, seq, is_call: true }) = self.current.take() {
            self.push(key, OutItem::Reply { to: seq, result });
        }
        for effect in effects {
            self.apply(effect);
        }
        self.close_overflowing();
        self.next()
    }

    /// A new module that fails or traps when it meets the state is not the service's: the sandbox has the one before again.
    fn finish_upgrade(&mut self, from: PackageId, result: CallResult, effects: Vec<Effect>) -> Next {
        let to = self.package;
        let refused = match result {
            CallResult::Ok(_) => None,
            CallResult::Failed(text) => Some(String::from_utf8_lossy(&text).chars().take(200).collect()),
            CallResult::Trapped(reason) => Some(reason),
        };
        match &refused {
            None => effects.into_iter().for_each(|effect| self.apply(effect)),
            Some(_) => self.package = from,
        }
        self.notes.upgrade = Some(Upgraded { from, to, refused });
        self.close_overflowing();
        self.next()
    }

    /// The event that a read-only call runs; it changes nothing.
    pub fn query(&self, key: SessionKey, method: &str, body: &[u8], seed: u64) -> Option<GuestEvent> {
        let handle = self.sessions.get(&key)?.handle;
        Some(self.event(EventKind::Query, handle, Some(key.0), seed, call_input(method, body)))
    }

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

    /// The earliest timer: id and deadline.
    pub fn next_timer(&self) -> Option<(u32, Time)> {
        self.timers
            .iter()
            .map(|(id, deadline)| (*id, *deadline))
            .min_by_key(|(id, deadline)| (*deadline, *id))
    }

    /// Counts gas that a query burnt: it is work of this host's, though no entry's.
    pub fn note_gas(&mut self, gas: u64) {
        self.notes.gas = self.notes.gas.saturating_add(gas);
    }

    /// What happened since the last call.
    pub fn take_notes(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }

    fn begin_input(&mut self, key: SessionKey, seq: u64, ack: u64, input: SessionInput, seed: u64) -> Next {
        if input == SessionInput::Open && seq == 1 && !self.sessions.contains_key(&key) {
            return self.open(key, seed);
        }
        self.acknowledge(key, ack);
        let Some(session) = self.sessions.get_mut(&key) else {
            self.notes.gone.push((key, "no such session"));
            return Next::Done;
        };
        self.notes.touched.insert(key);
        if session.closed {
            return Next::Done;
        }
        // H3: a repeat was executed before; a gap means that an earlier input was lost, and the consumer resends.
        if !follows(seq, session.executed) {
            return Next::Done;
        }
        session.executed = session.executed.max(seq);
        let handle = session.handle;
        let (kind, is_call, bytes) = match input {
            SessionInput::Open => return Next::Done,
            SessionInput::Close => {
                self.remove(key, "closed by the consumer");
                return self.next();
            }
            SessionInput::Call { method, body } => (EventKind::Call, true, call_input(&method, &body)),
            SessionInput::Message(body) => (EventKind::Message, false, body.into_vec()),
        };
        self.current = Some(Current::Input { key, seq, is_call });
        Next::Run(self.event(kind, handle, Some(key.0), seed, bytes))
    }

    fn open(&mut self, key: SessionKey, seed: u64) -> Next {
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

    fn apply(&mut self, effect: Effect) {
        match effect {
            // The sandbox refuses these to the module; a host that lets them through must not break its consumers.
            Effect::Send { bytes, .. } | Effect::Broadcast { bytes, .. } if bytes.len() > MAX_BODY => {}
            Effect::Send { session, bytes } => {
                if let Some(key) = self.handles.get(&session) {
                    self.push(*key, OutItem::Message(ByteBuf::from(bytes)));
                }
            }
            Effect::Broadcast { room, bytes } => {
                let handles = self.rooms.get(&room).into_iter().flatten();
                let keys: Vec<_> = handles.filter_map(|handle| self.handles.get(handle)).copied().collect();
                for key in keys {
                    self.push(key, OutItem::Message(ByteBuf::from(bytes.clone())));
                }
            }
            Effect::Close { session } => {
                if let Some(key) = self.handles.get(&session).copied() {
                    self.close(key);
                }
            }
            Effect::Join { session, room } => {
                let state = self.handles.get(&session).and_then(|key| self.sessions.get_mut(key));
                if let Some(state) = state.filter(|state| state.rooms.len() < MAX_ROOMS_PER_SESSION) {
                    state.rooms.insert(room);
                    self.rooms.entry(room).or_default().insert(session);
                }
            }
            Effect::Leave { session, room } => {
                if let Some(state) = self.handles.get(&session).and_then(|key| self.sessions.get_mut(key)) {
                    state.rooms.remove(&room);
                }
                self.leave_room(session, room);
            }
            Effect::Timer { id, ms } => {
                self.timers.remove(&id);
                if let (Ok(ms), true) = (u64::try_from(ms), self.timers.len() < MAX_TIMERS) {
                    self.timers.insert(id, Time(self.now.0.saturating_add(ms.max(MIN_TIMER_MS))));
                }
            }
            // A module that calls in answer to each answer would never finish its entry.
            Effect::Call { .. } if self.calls >= MAX_CALLS_PER_ENTRY => {}
            Effect::Call { request, .. } => {
                self.calls += 1;
                // docs/not-done.md: services cannot call each other yet. Told to the module, so that it can go on.
                // A reply's input is 1 for failed, then the text.
                let input = b"\x01calls between services are not available".to_vec();
                let event = self.event(EventKind::Reply, request, None, 0, input);
                self.follow_ups.push_back(event);
            }
            Effect::Log { level, text } => self.notes.logs.push((level, text)),
        }
    }

    fn push(&mut self, key: SessionKey, item: OutItem) {
        if let Some(session) = self.sessions.get_mut(&key).filter(|session| !session.closed) {
            self.outboxes_bytes += item.size();
            session.push(item);
            self.notes.touched.insert(key);
        }
    }

    fn close_overflowing(&mut self) {
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

    fn acknowledge(&mut self, key: SessionKey, ack: u64) {
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
    fn close(&mut self, key: SessionKey) {
        self.push(key, OutItem::Closed { reason: "closed by the service".to_owned() });
        if let Some(session) = self.sessions.get_mut(&key) {
            session.closed = true;
            let (handle, rooms) = (session.handle, std::mem::take(&mut session.rooms));
            self.detach(handle, rooms);
        }
    }

    /// Ends a session with what is in its outbox, and tells the module.
    fn remove(&mut self, key: SessionKey, reason: &'static str) {
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

    fn detach(&mut self, handle: u32, rooms: BTreeSet<u32>) {
        self.handles.remove(&handle);
        for room in rooms {
            self.leave_room(handle, room);
        }
    }

    fn leave_room(&mut self, handle: u32, room: u32) {
        if let Some(members) = self.rooms.get_mut(&room) {
            members.remove(&handle);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }

    fn next(&mut self) -> Next {
        match self.follow_ups.pop_front() {
            Some(event) => {
                self.current = Some(Current::Other);
                Next::Run(event)
            }
            None => Next::Done,
        }
    }

    fn event(
        &self,
        kind: EventKind,
        session: u32,
        consumer: Option<PeerId>,
        seed: u64,
        input: Vec<u8>,
    ) -> GuestEvent {
        GuestEvent { kind, session, now_ms: self.now.0, seed, consumer, input }
    }
}

/// Exactly once: of a session whose inputs up to `executed` were executed, the next one may be.
pub fn follows(seq: u64, executed: u64) -> bool {
    seq == executed + 1
        || seeded::has(SeededBug::NoDedupe) && seq > 1 && seq <= executed
        || seeded::has(SeededBug::DedupeLostInHandover) && executed > 0 && seq > executed
}

/// Input of a call or query: u16 LE length of the method, the method, the body.
fn call_input(method: &str, body: &[u8]) -> Vec<u8> {
    let length = method.len().min(u16::MAX as usize);
    let mut input = Vec::with_capacity(2 + length + body.len());
    input.extend_from_slice(&(length as u16).to_le_bytes());
    input.extend_from_slice(&method.as_bytes()[..length]);
    input.extend_from_slice(body);
    input
}
