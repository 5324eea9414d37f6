//! The replicated part of a service besides its module's memory: sessions, dedupe, outboxes, rooms, timers.
//!
//! A pure function of the log. [`Machine::begin`] takes a committed entry and says which event the module runs;
//! [`Machine::finish`] takes the event's outcome and applies its effects. One event is under way at a time, since
//! what an entry does depends on the effects of those before it.
//!
//! Invariants: H2, an outbox item exists only after its entry was committed and executed; H3, per session inputs
//! execute in sequence without gap or repeat, and outbox items are numbered without gap.

//!
//! | file | holds |
//! |---|---|
//! | this one | the machine: from an entry to an event, from an outcome to the next |
//! | `entry` | what the log of a service holds; what an entry did that is not state |
//! | `sessions` | sessions and their outboxes: opened, filled, acknowledged, ended |
//! | `effects` | what a module may cause: messages, rooms, timers |

mod effects;
mod entry;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::{PackageId, PeerId};
use crate::io::MAX_BODY;
use crate::sandbox::{Effect, EventKind, GuestEvent, Outcome};
use crate::seeded::{self, SeededBug};
use crate::time::Time;
use crate::wire::{CallResult, OutItem, SessionInput};

pub use effects::{MAX_CALLS_PER_ENTRY, MAX_ROOMS_PER_SESSION, MAX_TIMERS, MIN_TIMER_MS};
pub use entry::{Entry, Notes, Upgraded, MACHINE_VERSION};
pub use sessions::{
    SessionKey, SessionState, MAX_OUTBOXES_BYTES, MAX_OUTBOX_BYTES, MAX_OUTBOX_ITEMS, MAX_SESSIONS,
    MAX_SESSIONS_PER_CONSUMER,
};

/// The highest number of an input or item in an image: counting on from there never overflows.
const MAX_COUNT: u64 = 1 << 48;

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
        if let Some(Current::Input { key, seq, is_call: true }) = self.current.take() {
            self.push(key, OutItem::Reply { to: seq, result: bounded_reply(result) });
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

/// A reply that is too large for a frame is the module's failure.
pub(super) fn bounded_reply(result: CallResult) -> CallResult {
    match result {
        CallResult::Ok(body) | CallResult::Failed(body) if body.len() > MAX_BODY => {
            CallResult::Trapped(format!("the reply has {} bytes, more than {MAX_BODY}", body.len()))
        }
        result => result,
    }
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
