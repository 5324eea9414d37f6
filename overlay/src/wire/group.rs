//! The group lane, and who is in a group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{refuse, WireError};
use crate::id::{PeerId, ServiceId};

/// The most learners of a group: standbys, or copies that answer reads.
pub const MAX_LEARNERS: usize = 2;

/// The highest index, term and epoch at which a log may start: counting on from there never overflows.
pub(super) const MAX_COUNT: u64 = 1 << 48;

/// A message of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupFrame {
    /// The group's service.
    pub service: ServiceId,
    /// The group's epoch.
    pub epoch: u64,
    /// What is said.
    pub body: GroupBody,
}

/// What a member says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GroupBody {
    /// An `eraftpb.Message`.
    Raft(ByteBuf),
    /// Leader → members: nothing happens; nobody ticks until something does.
    Rest {
        /// The leader's term.
        term: u64,
        /// The last index of its log.
        last: u64,
    },
}

/// A member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The peer.
    pub peer: PeerId,
    /// It holds no state.
    pub witness: bool,
}

/// Members by raft id. A raft id is a random number per incarnation.
pub type Members = BTreeMap<u64, Member>;

/// Where a group's log starts for a new member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStart {
    /// The authority's epoch.
    pub epoch: u64,
    /// Index of the last entry that the seed contains.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Who is in the group at that index.
    pub members: Members,
    /// Those of them that do not vote.
    pub learners: Vec<u64>,
}

impl LogStart {
    pub(super) fn check(&self) -> Result<(), WireError> {
        let voters = self.members.keys().filter(|id| !self.learners.contains(id)).count();
        refuse("members", voters == 0 || voters > 7)?;
        refuse("learners", self.learners.len() > MAX_LEARNERS || self.members.len() > 9)?;
        refuse("members", self.members.contains_key(&0) || self.index == 0 || self.term == 0)?;
        refuse("log", self.index.max(self.term).max(self.epoch) > MAX_COUNT)
    }
}
