//! What raft has ready: messages to send, entries to keep, what is committed.

use prost::Message as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
#[cfg(feature = "seeded-bugs")]
use raft::StateRole;
use serde_bytes::ByteBuf;

use super::Group;
use crate::cx::Cx;
use crate::id::PeerId;

/// Bytes of entries that a member keeps; a leader that sends more without letting them be committed is not honest.
const MAX_KEPT: usize = 64 * 1024 * 1024;
/// The same for a witness, who may be one of many groups.
const MAX_WITNESSED: usize = 16 * 1024 * 1024;

/// A group broke a promise of raft and must be dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the group is broken: {0}")]
pub struct Poisoned(pub &'static str);

/// A payload that is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its index in the log.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// What was proposed; empty for a leader's first entry and for configurations.
    pub payload: Vec<u8>,
}

/// What came of draining raft.
#[derive(Debug, Default)]
pub struct Progress {
    /// Messages by peer, encoded.
    pub messages: Vec<(PeerId, ByteBuf)>,
    /// Committed payloads in order.
    pub committed: Vec<Committed>,
    /// The voters changed.
    pub configured: bool,
    /// Reads that may run once the index is executed: (token, index).
    pub reads: Vec<(u64, u64)>,
}

impl Group {
    /// Takes everything that raft has ready.
    pub fn drain(&mut self, cx: &mut Cx) -> Result<Progress, Poisoned> {
        let mut progress = Progress::default();
        #[cfg(feature = "seeded-bugs")]
        self.give_early(&mut progress, &[]);
        while self.raft.has_ready() {
            let mut ready = self.raft.ready();
            self.post(&mut progress, ready.take_messages());
            for state in ready.take_read_states() {
                if let Ok(token) = state.request_ctx.try_into() {
                    progress.reads.push((u64::from_le_bytes(token), state.index));
                }
            }
            if !ready.snapshot().is_empty() {
                return Err(Poisoned("a snapshot passed the guard"));
            }
            self.count(ready.entries());
            #[cfg(feature = "seeded-bugs")]
            self.give_early(&mut progress, ready.entries());
            if !self.leads() && self.kept_bytes > if self.witness { MAX_WITNESSED } else { MAX_KEPT } {
                return Err(Poisoned("the leader sent more entries than a member keeps"));
            }
            let committed = ready.take_committed_entries();
            let appended = self.raft.store().wl().append(ready.entries());
            appended.map_err(|_| Poisoned("entries do not continue the log"))?;
            if let Some(state) = ready.hs() {
                self.raft.store().wl().set_hardstate(state.clone());
            }
            self.post(&mut progress, ready.take_persisted_messages());
            let mut light = self.raft.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.raft.store().wl().mut_hard_state().commit = commit;
            }
            self.post(&mut progress, light.take_messages());
            // After `advance`: raft-rs panics when a leader persists entries in a configuration without itself.
            self.commit(&mut progress, committed)?;
            self.commit(&mut progress, light.take_committed_entries())?;
            self.raft.advance_apply();
            if self.leads() && !self.raft.raft.promotable() {
                self.step_down();
            }
        }
        if !progress.committed.is_empty() || !progress.reads.is_empty() {
            self.active_at = cx.now;
        }
        self.note_leader(cx.now);
        self.set_timeout();
        self.schedule(cx.now);
        Ok(progress)
    }

    fn post(&self, progress: &mut Progress, messages: Vec<Message>) {
        for message in messages {
            // Who lags behind the log is seeded by our own means.
            let is_snapshot = message.msg_type == MessageType::MsgSnapshot as i32;
            if let Some(member) = self.members.get(&message.to).filter(|_| !is_snapshot) {
                progress.messages.push((member.peer, ByteBuf::from(message.encode_to_vec())));
            }
        }
    }

    fn commit(&mut self, progress: &mut Progress, entries: Vec<Entry>) -> Result<(), Poisoned> {
        for mut entry in entries {
            let payload = match entry.get_entry_type() {
                #[cfg(feature = "seeded-bugs")]
                EntryType::EntryNormal if self.early.had(entry.index) => continue,
                EntryType::EntryNormal => std::mem::take(&mut entry.data).to_vec(),
                EntryType::EntryConfChangeV2 => {
                    self.configure(&entry)?;
                    progress.configured = true;
                    Vec::new()
                }
                EntryType::EntryConfChange => return Err(Poisoned("a configuration of the old kind")),
            };
            progress.committed.push(Committed { index: entry.index, term: entry.term, payload });
        }
        Ok(())
    }

    /// raft-rs lets a leader that was voted out go on, and panics when it counts votes for itself. Whoever is left is told
    /// to take over at once.
    fn step_down(&mut self) {
        if let Some(id) = self.best_state_holder() {
            self.raft.transfer_leader(id);
        }
        let term = self.raft.raft.term;
        self.raft.raft.become_follower(term, raft::INVALID_ID);
    }

    #[cfg(feature = "seeded-bugs")]
    fn give_early(&mut self, progress: &mut Progress, entries: &[Entry]) {
        let (leads, index, term) = (self.raft.raft.state == StateRole::Leader, self.committed(), self.term());
        progress.committed.extend(self.early.take(leads, entries, index, term));
    }
}
