//! Rest: a group in which nothing happens costs nothing (`docs/performance.md`, P15).
//!
//! The leader alone decides. Once all members have everything and nothing happened for [`REST_AFTER`], it says so and ceases
//! to tick; a member that has exactly this log ceases as well. Nothing is promised by resting: a leader that was replaced
//! meanwhile learns it from the first message that it gets or misses after waking, as if it had been asleep.

use super::Group;
use crate::time::{Millis, Time};

/// How long nothing has happened in a group that rests.
pub const REST_AFTER: Millis = Millis::secs(3);

impl Group {
    /// Ceases to tick, if all members have the whole log and nothing happened for a while. Gives the term and the last
    /// index, for the members.
    pub fn try_rest(&mut self, now: Time) -> Option<(u64, u64)> {
        let log = &self.raft.raft.raft_log;
        let last = log.last_index();
        let quiet = now.since(self.active_at) >= REST_AFTER && self.members.len() > 1 && !self.resting;
        let settled = self.serves() && !self.is_joint() && !self.is_changing() && !self.is_transferring();
        let idle = log.committed == last && self.raft.raft.pending_read_count() == 0;
        let mut others = self.raft.raft.prs().iter();
        let rests = quiet && settled && idle && others.all(|(_, progress)| progress.matched == last);
        if !rests {
            return None;
        }
        self.resting = true;
        self.next_tick = None;
        Some((self.raft.raft.term, last))
    }

    /// The leader says that it rests. Whoever lacks something goes on ticking, and so wakes it.
    pub fn on_rest(&mut self, from: crate::id::PeerId, term: u64, last: u64) {
        let log = &self.raft.raft.raft_log;
        let led = !self.leads() && self.leader().is_some_and(|leader| leader.peer == from);
        if led && self.raft.raft.term == term && log.last_index() == last && log.committed == last {
            self.resting = true;
            self.next_tick = None;
        }
    }

    /// Does it rest.
    pub fn is_resting(&self) -> bool {
        self.resting
    }

    /// Something happens: ticks go on with the next [`Group::schedule`].
    pub(super) fn wake(&mut self) {
        self.woken |= std::mem::take(&mut self.resting);
    }
}
