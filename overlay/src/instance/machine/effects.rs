//! What a module may cause: messages, rooms, timers, calls.

use serde_bytes::ByteBuf;

use super::Machine;
use crate::io::MAX_BODY;
use crate::sandbox::{Effect, EventKind};
use crate::time::Time;
use crate::wire::OutItem;

/// Timers of one service; further ones are dropped.
pub const MAX_TIMERS: usize = 1024;
/// The shortest timer in ms: a module that re-arms at once must leave its host time for others.
pub const MIN_TIMER_MS: u64 = 10;
/// Rooms that one session may be in.
pub const MAX_ROOMS_PER_SESSION: usize = 64;
/// Calls of other services in one entry, those of their answers included; further ones are dropped.
pub const MAX_CALLS_PER_ENTRY: u32 = 64;

impl Machine {
    pub(super) fn apply(&mut self, effect: Effect) {
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

    /// The earliest timer: id and deadline.
    pub fn next_timer(&self) -> Option<(u32, Time)> {
        self.timers
            .iter()
            .map(|(id, deadline)| (*id, *deadline))
            .min_by_key(|(id, deadline)| (*deadline, *id))
    }
}
