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

#[cfg(feature = "seeded-bugs")]
mod early;
mod guard;
mod rest;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use prost::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, EntryType, Message, MessageType};
use raft::eraftpb::{ConfChangeTransition, ConfState, Snapshot};
use raft::storage::MemStorage;
use raft::{GetEntriesContext, ProgressState, RawNode, StateRole};
use serde_bytes::ByteBuf;

use crate::cx::Cx;
use crate::id::PeerId;
use crate::seeded::{self, SeededBug};
use crate::time::{Millis, Time};
use crate::wire::{self, LogStart, Member, Members};

pub use guard::GuardError;

/// One raft tick. Heartbeats every 2, elections after 10 to 20 (state holders).
pub const TICK: Millis = Millis(50);
const HEARTBEAT_TICKS: usize = 2;
const ELECTION_TICKS: usize = 10;
/// Witnesses wait longer than any state holder, so that one of those wins when it can (replication.md, Witness).
const WITNESS_ELECTION_TICKS: usize = 25;
/// After the leader's connection closed, the first of those who may follow elects after this time,
const HASTEN: Millis = Millis(20);
/// and each further one this much later: longer than a vote travels, or two elect at once and neither wins.
const STAGGER: Millis = Millis(120);
/// Bytes of entries in one append; an entry alone may exceed it and still fits a frame.
const MAX_APPEND: u64 = 48 * 1024;
/// Bytes of entries that a member keeps; a leader that sends more without letting them be committed is not honest.
const MAX_KEPT: usize = 64 * 1024 * 1024;
/// The same for a witness, who may be one of many groups.
const MAX_WITNESSED: usize = 16 * 1024 * 1024;
/// Entries, and their bytes, that a member of a group of several keeps for others that lag. Who lags further is seeded anew.
const TAIL: (usize, usize) = (4096, 4 * 1024 * 1024);
/// Bytes that may be proposed and not committed; more is refused as overload.
const MAX_UNCOMMITTED: u64 = 8 * 1024 * 1024;

const fn election_base(witness: bool) -> usize {
    if witness {
        WITNESS_ELECTION_TICKS
    } else {
        ELECTION_TICKS
    }
}

/// A proposal was not taken: not the leader, a transfer is under way, or too much is uncommitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow;

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

    /// Proposes the joint change to exactly `wanted`. False when it cannot be proposed now.
    pub fn change(&mut self, wanted: &Members) -> bool {
        if !self.may_change() {
            return false;
        }
        let now = self.voters();
        let add = wanted.keys().filter(|id| !now.contains(id));
        let remove = now.iter().filter(|id| !wanted.contains_key(id));
        let single = |kind: ConfChangeType, id: &u64| {
            let mut change = ConfChangeSingle::default();
            change.set_change_type(kind);
            change.node_id = *id;
            change
        };
        let mut change = ConfChangeV2::default();
        change.set_transition(ConfChangeTransition::Explicit);
        change.changes = add
            .map(|id| single(ConfChangeType::AddNode, id))
            .chain(remove.map(|id| single(ConfChangeType::RemoveNode, id)))
            .collect();
        if change.changes.is_empty() {
            return false;
        }
        let mut known = self.members.clone();
        known.extend(wanted.iter().map(|(id, member)| (*id, *member)));
        self.wake();
        self.raft.propose_conf_change(wire::encode(&known), change).is_ok()
    }

    /// Proposes to feed the log to a learner that holds the state. False when it cannot be proposed now.
    pub fn add_learner(&mut self, id: u64, peer: PeerId) -> bool {
        let mut known = self.members.clone();
        known.insert(id, Member { peer, witness: false });
        !self.members.contains_key(&id) && self.change_learner(ConfChangeType::AddLearnerNode, id, &known)
    }

    /// Proposes to feed a learner no more.
    pub fn remove_learner(&mut self, id: u64) -> bool {
        let known = self.members.clone();
        self.is_learner(id) && self.change_learner(ConfChangeType::RemoveNode, id, &known)
    }

    fn may_change(&self) -> bool {
        self.leads() && !self.is_changing() && !self.is_joint()
    }

    fn change_learner(&mut self, kind: ConfChangeType, id: u64, known: &Members) -> bool {
        if !self.may_change() {
            return false;
        }
        let mut single = ConfChangeSingle::default();
        single.set_change_type(kind);
        single.node_id = id;
        let change = ConfChangeV2 { changes: vec![single], ..ConfChangeV2::default() };
        self.wake();
        self.raft.propose_conf_change(wire::encode(known), change).is_ok()
    }

    /// Proposes to leave a joint configuration. False when there is none or it cannot be proposed now.
    pub fn leave_joint(&mut self) -> bool {
        self.leads()
            && self.is_joint()
            && !self.is_changing()
            && self.raft.propose_conf_change(Vec::new(), ConfChangeV2::default()).is_ok()
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

    /// The connection to a peer closed: when it led and we hold state, elect without waiting for silence.
    pub fn on_disconnected(&mut self, now: Time, peer: PeerId) {
        let leader = self.raft.raft.leader_id;
        if self.members.get(&leader).is_some_and(|member| member.peer == peer) && leader != self.id {
            self.hasten_at = Some(now + Millis(HASTEN.0 + STAGGER.0 * (self.rank(leader) - 1)));
        }
        let id = self.members.iter().find(|(_, member)| member.peer == peer).map(|(id, _)| *id);
        if let Some(id) = id {
            self.wake();
            if self.leads() {
                self.raft.report_unreachable(id);
            }
            self.schedule(now);
        }
    }

    /// Time passes: at most one tick, however late it is (missed ticks are never replayed).
    pub fn handle_timeout(&mut self, cx: &mut Cx) {
        if self.hasten_at.is_some_and(|at| at <= cx.now) {
            self.hasten_at = None;
            if !self.leads() && self.is_voter() {
                let mut message = Message::default();
                message.set_msg_type(MessageType::MsgTimeoutNow);
                message.to = self.id;
                message.from = self.raft.raft.leader_id;
                message.term = self.raft.raft.term;
                let _ = self.raft.step(message);
                self.set_timeout();
            }
        }
        if self.next_tick.is_some_and(|at| at <= cx.now) {
            self.raft.tick();
            self.set_timeout();
            self.next_tick = None;
        }
        self.note_leader(cx.now);
        self.schedule(cx.now);
    }

    /// When [`Group::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        self.next_tick.into_iter().chain(self.hasten_at).min()
    }

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

    fn compact(&mut self, index: u64) {
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

    /// The last index that a member has acknowledged, to its leader.
    pub fn matched(&self, id: u64) -> u64 {
        self.raft.raft.prs().get(id).map_or(0, |progress| progress.matched)
    }

    /// The term of the last entry of this node's log.
    pub fn log_term(&self) -> u64 {
        self.raft.raft.raft_log.last_term()
    }

    /// The last index of this node's log.
    pub fn last_index(&self) -> u64 {
        self.raft.raft.raft_log.last_index()
    }

    /// The voter with state that has the longest log, besides this node.
    pub fn best_state_holder(&self) -> Option<u64> {
        let holds = |(id, member): &(&u64, &Member)| **id != self.id && !member.witness && self.votes(**id);
        self.members.iter().filter(holds).map(|(id, _)| *id).max_by_key(|id| self.matched(*id))
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

    /// A configuration is proposed and not applied yet.
    pub fn is_changing(&self) -> bool {
        self.raft.raft.has_pending_conf()
    }

    /// Who leads, as far as known.
    pub fn leader(&self) -> Option<Member> {
        self.members.get(&self.raft.raft.leader_id).copied()
    }

    /// How long no leader is known.
    pub fn leaderless_for(&self, now: Time) -> Millis {
        if self.leads() || self.resting {
            return Millis(0);
        }
        now.since(self.led_at)
    }

    /// Who is in the group: voters and learners.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Ids of the members that no majority counts.
    pub fn learners(&self) -> Vec<u64> {
        self.conf_state().learners
    }

    /// Is that member fed without being counted.
    pub fn is_learner(&self, id: u64) -> bool {
        self.raft.raft.prs().conf().learners().contains(&id)
    }

    /// Is this node one of the voters.
    pub fn is_voter(&self) -> bool {
        self.votes(self.id)
    }

    /// The members that majorities are taken of.
    pub fn voting_members(&self) -> Members {
        let voters = self.members.iter().filter(|(id, _)| self.votes(**id));
        voters.map(|(id, member)| (*id, *member)).collect()
    }

    /// A voter that holds state, as far as this node knows the group.
    pub fn has_state_voter(&self, peer: PeerId) -> bool {
        self.members.iter().any(|(id, member)| member.peer == peer && !member.witness && self.votes(*id))
    }

    fn votes(&self, id: u64) -> bool {
        self.raft.raft.prs().conf().voters().contains(id)
    }

    /// Ids of the voters, both sides of a joint configuration.
    pub fn voters(&self) -> Vec<u64> {
        let state = self.conf_state();
        let mut voters = state.voters;
        voters.extend(state.voters_outgoing);
        voters.sort_unstable();
        voters.dedup();
        voters
    }

    /// The voters that each majority is taken of: one set, or two while the configuration is joint. Never exactly two
    /// voters (H7).
    pub fn majorities(&self) -> Vec<Vec<u64>> {
        let state = self.conf_state();
        [state.voters, state.voters_outgoing].into_iter().filter(|voters| !voters.is_empty()).collect()
    }

    /// Is a joint configuration applied.
    pub fn is_joint(&self) -> bool {
        !self.conf_state().voters_outgoing.is_empty()
    }

    /// Holds no state.
    pub fn is_witness(&self) -> bool {
        self.witness
    }

    /// Index of the last committed entry.
    pub fn committed(&self) -> u64 {
        self.raft.raft.raft_log.committed
    }

    /// Index of the last applied configuration.
    pub fn configured(&self) -> u64 {
        self.configured
    }

    /// The place of this node among those who elect after `leader` is lost: state holders in the order of their ids, then
    /// witnesses.
    fn rank(&self, leader: u64) -> u64 {
        let before = |(id, member): &(&u64, &Member)| {
            **id != leader && !self.is_learner(**id) && (member.witness, **id) < (self.witness, self.id)
        };
        let place = self.members.iter().filter(before).count() as u64 + 1;
        if self.witness {
            place + 8
        } else {
            place
        }
    }

    fn count(&mut self, entries: &[Entry]) {
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

    /// raft-rs lets a leader that was voted out go on, and panics when it counts votes for itself. Whoever is left is told
    /// to take over at once.
    fn step_down(&mut self) {
        if let Some(id) = self.best_state_holder() {
            self.raft.transfer_leader(id);
        }
        let term = self.raft.raft.term;
        self.raft.raft.become_follower(term, raft::INVALID_ID);
    }

    /// A follower that is not in its own applied configuration never campaigns, so raft keeps the name of a leader that
    /// is long gone: what counts is that it was heard.
    fn note_leader(&mut self, now: Time) {
        let heard = self.raft.raft.election_elapsed < 2 * election_base(self.witness);
        if self.leader().is_some() && (heard || self.leads()) {
            self.led_at = now;
        }
    }

    fn conf_state(&self) -> ConfState {
        self.raft.raft.prs().conf().to_conf_state()
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

    #[cfg(feature = "seeded-bugs")]
    fn give_early(&mut self, progress: &mut Progress, entries: &[Entry]) {
        let (leads, index, term) = (self.raft.raft.state == StateRole::Leader, self.committed(), self.term());
        progress.committed.extend(self.early.take(leads, entries, index, term));
    }

    fn configure(&mut self, entry: &Entry) -> Result<(), Poisoned> {
        let change =
            ConfChangeV2::decode(&entry.data[..]).map_err(|_| Poisoned("an unreadable configuration"))?;
        if !entry.context.is_empty() {
            let known: Members = wire::decode(&entry.context)
                .map_err(|_| Poisoned("unreadable members of a configuration"))?;
            if known.len() > 9 || change.changes.iter().any(|change| !known.contains_key(&change.node_id)) {
                return Err(Poisoned("a configuration names members that it does not describe"));
            }
            self.members.extend(known);
        }
        let state =
            self.raft.apply_conf_change(&change).map_err(|_| Poisoned("an impossible configuration"))?;
        self.raft.store().wl().set_conf_state(state.clone());
        let sets = [&state.voters, &state.voters_outgoing, &state.learners, &state.learners_next];
        let stays = |id: &u64| sets.iter().any(|ids| ids.contains(id));
        self.members.retain(|id, _| stays(id));
        self.configured = entry.index;
        Ok(())
    }

    /// raft-rs draws its time-out from the thread's randomness after each reset. Ours is a function of the raft id
    /// and the term: the same in each run of a seed, different between members, new in each term (equal time-outs
    /// livelock elections: replication.md, Elections).
    fn set_timeout(&mut self) {
        let base = election_base(self.witness);
        let mixed = (self.id ^ self.raft.raft.term.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.raft.raft.set_randomized_election_timeout(base + (mixed >> 40) as usize % ELECTION_TICKS);
    }

    /// A lone leader needs no ticks, nor does anybody while the group rests.
    fn schedule(&mut self, now: Time) {
        if std::mem::take(&mut self.woken) {
            (self.active_at, self.led_at) = (now, now);
        }
        if self.resting || self.leads() && self.members.len() == 1 && !self.is_joint() {
            self.next_tick = None;
        } else if self.next_tick.is_none() {
            self.next_tick = Some(now + TICK);
        }
    }
}
