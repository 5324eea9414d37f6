//! The log that a member keeps, and how far the others have it.

use raft::eraftpb::{Entry, EntryType};
use raft::{GetEntriesContext, ProgressState};
use serde_bytes::ByteBuf;

use super::Group;
use crate::wire::{LogStart, Member};

/// Entries, and their bytes, that a member of a group of several keeps for others that lag. Who lags further is seeded anew.
const TAIL: (usize, usize) = (4096, 4 * 1024 * 1024);

impl Group {
    /// Forgets entries that this node has `executed` and nobody needs: alone all of them, a leader what all members
    /// have, the others what is beyond the [`TAIL`] that they keep for those who lag.
    pub fn trim(&mut self, executed: u64) {
        let everybody = match self.voters()[..] {
            [only] if only == self.id && self.learners().is_empty() => u64::MAX,
            _ if self.leads() => {
                self.raft.raft.prs().iter().map(|(_, progress)| progress.matched).min().unwrap_or(0)
            }
            _ => 0,
        };
        // From twice the tail on, so that a log is not walked and copied for each entry that comes.
        let long = self.kept.len() > 2 * TAIL.0 || self.kept_bytes > 2 * TAIL.1;
        let (mut count, mut bytes) = (0, 0);
        let beyond = |(_, size): &&(u64, usize)| {
            (count, bytes) = (count + 1, bytes + size);
            count > TAIL.0 || bytes > TAIL.1
        };
        let tail = if long { self.kept.iter().rev().find(beyond).map_or(0, |(index, _)| *index) } else { 0 };
        self.compact(everybody.max(tail).min(executed));
    }

    pub(super) fn compact(&mut self, index: u64) {
        let first = self.raft.raft.raft_log.first_index();
        let applied = self.raft.raft.raft_log.applied;
        if index <= first || index > applied || self.raft.store().wl().compact(index).is_err() {
            return;
        }
        while let Some((_, size)) = self.kept.front().copied().filter(|(kept, _)| *kept < index) {
            self.kept.pop_front();
            self.kept_bytes -= size;
        }
    }

    pub(super) fn count(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        while let Some((_, size)) = self.kept.back().copied().filter(|(index, _)| *index >= first) {
            self.kept.pop_back();
            self.kept_bytes -= size;
        }
        for entry in entries {
            let size = entry.data.len() + entry.context.len() + 64;
            self.kept.push_back((entry.index, size));
            self.kept_bytes += size;
        }
    }

    /// The log's start for a member that holds the state at `index`; `None` when the log does not reach it, or the
    /// voters there are not those of now.
    pub fn start_at(&self, index: u64) -> Option<LogStart> {
        let term = self.raft.raft.raft_log.term(index).ok().filter(|term| *term > 0)?;
        if index < self.configured || self.is_joint() {
            return None;
        }
        let learners = self.learners();
        Some(LogStart { epoch: self.epoch, index, term, members: self.members.clone(), learners })
    }

    /// The payloads of this node's log after index `after`, up to `last`, with their indexes; `None` when it does not hold
    /// all of them. Configurations have none.
    pub fn payloads(&self, after: u64, last: u64) -> Option<Vec<(u64, ByteBuf)>> {
        if after >= last {
            return Some(Vec::new());
        }
        let log = &self.raft.raft.raft_log;
        let entries = log.slice(after + 1, last + 1, None, GetEntriesContext::empty(false)).ok()?;
        let payload = |entry: Entry| {
            let normal = entry.entry_type == EntryType::EntryNormal as i32;
            (entry.index, ByteBuf::from(if normal { entry.data.to_vec() } else { Vec::new() }))
        };
        Some(entries.into_iter().map(payload).collect())
    }

    /// Members whom this leader's log does not reach any more: they need a seed.
    pub fn left_behind(&self) -> Vec<u64> {
        let behind = |id: &&u64| {
            let progress = self.raft.raft.prs().get(**id);
            progress.is_some_and(|progress| progress.state == ProgressState::Snapshot)
        };
        self.members.keys().filter(behind).copied().collect()
    }

    /// Entries of this leader's log that a member has not.
    pub fn lag(&self, id: u64) -> u64 {
        self.last_index().saturating_sub(self.matched(id))
    }

    /// The last index that a member has acknowledged, to its leader.
    pub fn matched(&self, id: u64) -> u64 {
        self.raft.raft.prs().get(id).map_or(0, |progress| progress.matched)
    }

    /// The voter with state that has the longest log, besides this node.
    pub fn best_state_holder(&self) -> Option<u64> {
        let holds = |(id, member): &(&u64, &Member)| **id != self.id && !member.witness && self.votes(**id);
        self.members.iter().filter(holds).map(|(id, _)| *id).max_by_key(|id| self.matched(*id))
    }

    /// The term of the last entry of this node's log.
    pub fn log_term(&self) -> u64 {
        self.raft.raft.raft_log.last_term()
    }

    /// The last index of this node's log.
    pub fn last_index(&self) -> u64 {
        self.raft.raft.raft_log.last_index()
    }

    /// Index of the last committed entry.
    pub fn committed(&self) -> u64 {
        self.raft.raft.raft_log.committed
    }
}
