//! For [`SeededBug`]s alone: payloads that a member takes for committed though no majority has them.

use raft::eraftpb::{Entry, EntryType};

use super::Committed;
use crate::seeded::{has, SeededBug};

/// What a member that cannot wait has done.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// Payloads up to here were given out.
    given: u64,
    /// It led once.
    led: bool,
    /// What it proposed when it did not lead any more.
    alone: Vec<Vec<u8>>,
}

impl Early {
    /// Does it take itself for the leader, whoever leads.
    pub fn is_unfenced(&self) -> bool {
        self.led && has(SeededBug::NoFence)
    }

    /// Takes what a follower that is unfenced proposes; false for everybody else.
    pub fn propose_alone(&mut self, payload: &[u8]) -> bool {
        if self.is_unfenced() {
            self.alone.push(payload.to_vec());
        }
        self.is_unfenced()
    }

    /// What is given out before its time: a leader's own entries, and what was proposed alone.
    pub fn take(&mut self, leads: bool, entries: &[Entry], index: u64, term: u64) -> Vec<Committed> {
        self.led |= leads;
        let alone = std::mem::take(&mut self.alone).into_iter();
        let mut early: Vec<_> = alone.map(|payload| Committed { index, term, payload }).collect();
        for entry in entries.iter().filter(|_| leads && has(SeededBug::AcknowledgeBeforeCommit)) {
            if entry.index == self.given + 1 && entry.get_entry_type() == EntryType::EntryNormal {
                self.given = entry.index;
                early.push(Committed { index: entry.index, term: entry.term, payload: entry.data.to_vec() });
            }
        }
        early
    }

    /// Was a committed entry given out before.
    pub fn had(&mut self, index: u64) -> bool {
        let had = has(SeededBug::AcknowledgeBeforeCommit) && index <= self.given;
        self.given = self.given.max(index);
        had
    }
}
