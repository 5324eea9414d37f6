//! One Raft group per stateful service, over the `raft` crate.
//!
//! The group orders opaque payloads; what they mean is `instance`'s business. That of a `single` service has one voter
//! at rest and three during a handover (`docs/protocols/handover.md`), that of a replicated one three or five. Learners
//! hold the state and are fed the log; no majority counts them. Everything that a peer sends passes [`guard`] before raft
//! sees it: raft-rs trusts its peers and panics on what an honest one would not send.
//!
//! A group in which nothing happens *rests*: nobody ticks, and no heartbeats of its own travel. Heartbeats between the peers
//! (`net`) wake it when a member is lost, any message or proposal does at once.
//!

//! Invariant H7: at no moment is a quorum exactly the source and the target. Voters change only by
//! [`Group::change`], as one joint change between odd numbers of voters.
//!
//! | file | holds |
//! |---|---|
//! | this one | a group's life: founded or joined, messages and proposals in, who leads |
//! | `guard` | the only way for a peer's message into raft |
//! | `ready` | what raft has ready: messages to send, entries to keep, what is committed |
//! | `members` | who is in the group, and changes of that |
//! | `log` | the log that is kept, and how far members have it |
//! | `clock` | ticks, elections, the loss of a leader |
//! | `rest` | a group in which nothing happens |
//! | `early` | bugs on purpose |

mod clock;
#[cfg(feature = "seeded-bugs")]
mod early;
mod guard;
mod log;
mod members;
mod ready;
mod rest;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use raft::eraftpb::{MessageType, Snapshot};
use raft::storage::MemStorage;
use raft::{RawNode, StateRole};

use crate::cx::Cx;
use crate::id::PeerId;
use crate::seeded::{self, SeededBug};
use crate::time::Time;
use crate::wire::{LogStart, Member, Members};

use clock::{election_base, ELECTION_TICKS, HEARTBEAT_TICKS};

pub use clock::TICK;
pub use guard::GuardError;
pub use ready::{Committed, Poisoned, Progress};

/// Bytes of entries in one append; an entry alone may exceed it and still fits a frame.
const MAX_APPEND: u64 = 48 * 1024;
/// Bytes that may be proposed and not committed; more is refused as overload.
const MAX_UNCOMMITTED: u64 = 8 * 1024 * 1024;

/// A proposal was not taken: not the leader, a transfer is under way, or too much is uncommitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow;

/// One node's part in a group.
pub struct Group {
    raft: RawNode<MemStorage>,
    id: u64,
    epoch: u64,
    members: Members,
    witness: bool,
    next_tick: Option<Time>,
    /// A local election after the leader's connection closed.
    hasten_at: Option<Time>,
    /// When a leader was last known.
    led_at: Time,
    /// Index of the last applied configuration.
    configured: u64,
    /// Index and size of the entries in the log, and the sum of the sizes.
    kept: VecDeque<(u64, usize)>,
    kept_bytes: usize,
    /// Nobody ticks.
    resting: bool,
    /// It rested until a moment ago.
    woken: bool,
    /// When something last happened: a proposal, an entry, a read, a member that came or went.
    active_at: Time,
    #[cfg(feature = "seeded-bugs")]
    early: early::Early,
}

impl Group {
    /// A new group with this node as its only voter and leader.
    pub fn found(cx: &mut Cx, epoch: u64, index: u64, term: u64) -> Self {
        let id = cx.random_id();
        let members = Members::from([(id, Member { peer: cx.me, witness: false })]);
        let start = LogStart { epoch, index, term, members, learners: Vec::new() };
        let mut group = Self::start(cx, id, &start, false);
        // A single voter wins at once.
        let _ = group.raft.campaign();
        group
    }

    /// Takes part in a group whose log begins at `start`; `id` was announced to the leader before.
    pub fn join(cx: &mut Cx, id: u64, start: &LogStart, witness: bool) -> Self {
        Self::start(cx, id, start, witness)
    }

    fn start(cx: &mut Cx, id: u64, start: &LogStart, witness: bool) -> Self {
        let storage = MemStorage::new();
        let mut snapshot = Snapshot::default();
        {
            let meta = snapshot.mut_metadata();
            meta.index = start.index;
            meta.term = start.term;
            let (learners, voters) = start.members.keys().partition(|id| start.learners.contains(id));
            (meta.mut_conf_state().voters, meta.mut_conf_state().learners) = (voters, learners);
        }
        let config = raft::Config {
            id,
            election_tick: ELECTION_TICKS,
            heartbeat_tick: HEARTBEAT_TICKS,
            min_election_tick: election_base(witness),
            max_election_tick: election_base(witness) + ELECTION_TICKS,
            applied: start.index,
            max_size_per_msg: MAX_APPEND,
            max_inflight_msgs: 64,
            max_uncommitted_size: MAX_UNCOMMITTED,
            check_quorum: !seeded::has(SeededBug::StaleRead),
            pre_vote: true,
            ..Default::default()
        };
        if start.index > 0 {
            // Only an index below what the empty storage holds can fail.
            let _ = storage.wl().apply_snapshot(snapshot);
        } else {
            storage.wl().set_conf_state(snapshot.take_metadata().take_conf_state());
        }
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raft = match RawNode::new(&config, storage, &logger) {
            Ok(raft) => raft,
            Err(error) => unreachable!("a constant configuration was refused: {error}"),
        };
        let mut group = Self {
            raft,
            id,
            epoch: start.epoch,
            members: start.members.clone(),
            witness,
            next_tick: None,
            hasten_at: None,
            led_at: cx.now,
            configured: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            resting: false,
            woken: false,
            active_at: cx.now,
            #[cfg(feature = "seeded-bugs")]
            early: early::Early::default(),
        };
        group.set_timeout();
        group.schedule(cx.now);
        group
    }

    /// Lets a peer's message in, if [`guard`] finds nothing wrong with it.
    pub fn handle_message(&mut self, from: PeerId, bytes: &[u8]) -> Result<(), GuardError> {
        let message = guard::admit(self, from, bytes)?;
        // Answers to the last messages before a rest are no reason to end it.
        let kind = MessageType::from_i32(message.msg_type);
        if !matches!(kind, Some(MessageType::MsgHeartbeatResponse | MessageType::MsgAppendResponse)) {
            self.wake();
        }
        if message.from == self.raft.raft.leader_id {
            self.hasten_at = None;
        }
        let term = self.raft.raft.term;
        // Errors of `step` concern peers that are not tracked any more; the guard has counted what matters.
        let _ = self.raft.step(message);
        if self.raft.raft.term > term {
            // Somebody else elects.
            self.hasten_at = None;
        }
        self.set_timeout();
        Ok(())
    }

    /// Proposes a payload.
    pub fn propose(&mut self, payload: Vec<u8>) -> Result<(), NotNow> {
        #[cfg(feature = "seeded-bugs")]
        if self.raft.raft.state != StateRole::Leader && self.early.propose_alone(&payload) {
            return Ok(());
        }
        if !self.leads() || self.raft.raft.lead_transferee.is_some() {
            return Err(NotNow);
        }
        self.wake();
        self.raft.propose(Vec::new(), payload).map_err(|_| NotNow)
    }

    /// Asks for a linearizable read; its token comes back in [`Progress::reads`].
    pub fn read(&mut self, token: u64) {
        self.wake();
        self.raft.read_index(token.to_le_bytes().to_vec());
    }

    /// Hands leadership to a voter that has caught up.
    pub fn transfer_to(&mut self, id: u64) {
        self.wake();
        self.raft.transfer_leader(id);
    }

    /// Gives up a transfer; this node goes on leading.
    pub fn abort_transfer(&mut self) {
        self.raft.raft.abort_leader_transfer();
    }

    /// Is a transfer under way.
    pub fn is_transferring(&self) -> bool {
        self.raft.raft.lead_transferee.is_some()
    }

    /// This incarnation's raft id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The authority's epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The authority's term.
    pub fn term(&self) -> u64 {
        self.raft.raft.term
    }

    /// Leads, and has committed an entry of its own term: only then does a leader know what is committed.
    pub fn serves(&self) -> bool {
        self.leads() && self.raft.raft.commit_to_current_term()
    }

    /// Leads.
    pub fn leads(&self) -> bool {
        #[cfg(feature = "seeded-bugs")]
        if self.early.is_unfenced() {
            return true;
        }
        self.raft.raft.state == StateRole::Leader
    }

    /// Who leads, as far as known.
    pub fn leader(&self) -> Option<Member> {
        self.members.get(&self.raft.raft.leader_id).copied()
    }

    /// Holds no state.
    pub fn is_witness(&self) -> bool {
        self.witness
    }
}
