//! The only way into `RawNode::step`.
//!
//! raft-rs trusts its peers: a heartbeat with a far commit index, an append response beyond the log, a huge term or
//! a message of a local type from the network panics it or poisons its term. This module refuses what an honest
//! member cannot send. `from` is never taken from the message: it is the raft id that the applied configuration
//! binds to the authenticated peer.

use prost::Message as _;
use raft::eraftpb::{EntryType, Message, MessageType};

use super::Group;
use crate::id::PeerId;

/// How far a member's term may be ahead: elections raise it by one, and pre-vote keeps the lonely from raising it.
const MAX_TERM_AHEAD: u64 = 1024;
/// Entries in one append; the leader's batches are bounded by bytes, 48 KiB.
const MAX_ENTRIES: usize = 8192;

/// Why a group message was refused. All but `NotMember` and `Stale` are lies or faults, never lateness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Not a raft message.
    #[error("not a raft message")]
    Malformed,
    /// The sender is no member of the applied configuration.
    #[error("the sender is no member")]
    NotMember,
    /// For another incarnation of this node, or from another one of the sender.
    #[error("for or from another incarnation")]
    Stale,
    /// A type that never travels between members here.
    #[error("a message of type {0} does not travel")]
    Kind(i32),
    /// No term, or one that nobody can have reached.
    #[error("an impossible term")]
    Term,
    /// An index beyond the log.
    #[error("an index beyond the log")]
    Index,
    /// Entries that do not follow each other, or are newer than their message, or of an unknown kind.
    #[error("impossible entries")]
    Entries,
    /// Entries that contradict what is committed.
    #[error("entries that contradict what is committed")]
    Conflict,
    /// A take-over order from somebody who does not lead.
    #[error("a take-over order from somebody who does not lead")]
    NotLeader,
}

/// Decodes and checks a message from `peer`.
pub(super) fn admit(group: &Group, peer: PeerId, bytes: &[u8]) -> Result<Message, GuardError> {
    let message = Message::decode(bytes).map_err(|_| GuardError::Malformed)?;
    check_identity(group, peer, &message)?;
    check_common(group, &message)?;
    match MessageType::from_i32(message.msg_type) {
        Some(MessageType::MsgAppend) => check_append(group, &message)?,
        Some(MessageType::MsgHeartbeat) => {
            within(message.commit, group.raft.raft.raft_log.last_index())?;
        }
        Some(MessageType::MsgAppendResponse) => {
            let last = group.raft.raft.raft_log.last_index();
            // `index` of a rejection echoes the probe that we sent; both are indexes of our log.
            within(message.index, last)?;
            if message.reject {
                within(message.reject_hint, message.index)?;
            }
        }
        Some(MessageType::MsgHeartbeatResponse)
        | Some(MessageType::MsgRequestVote)
        | Some(MessageType::MsgRequestVoteResponse)
        | Some(MessageType::MsgRequestPreVote)
        | Some(MessageType::MsgRequestPreVoteResponse) => {}
        Some(MessageType::MsgTimeoutNow) => {
            let raft = &group.raft.raft;
            if raft.leader_id != message.from || raft.term != message.term {
                return Err(GuardError::NotLeader);
            }
        }
        // Proposals and reads of consumers have messages of their own; snapshots travel as blobs; the rest is local.
        _ => return Err(GuardError::Kind(message.msg_type)),
    }
    Ok(message)
}

fn check_identity(group: &Group, peer: PeerId, message: &Message) -> Result<(), GuardError> {
    let mut incarnations = group.members.iter().filter(|(_, member)| member.peer == peer).map(|(id, _)| *id);
    if message.to != group.id || message.from == group.id {
        return Err(GuardError::Stale);
    }
    match incarnations.next() {
        None => Err(GuardError::NotMember),
        Some(id) if id == message.from || incarnations.any(|id| id == message.from) => Ok(()),
        Some(_) => Err(GuardError::Stale),
    }
}

fn check_common(group: &Group, message: &Message) -> Result<(), GuardError> {
    if message.term == 0 || message.term > group.raft.raft.term.saturating_add(MAX_TERM_AHEAD) {
        return Err(GuardError::Term);
    }
    // Nobody but the only voter raises the term of its group: a learner that says so would take its leadership.
    if message.term > group.raft.raft.term && group.voters() == [group.id] {
        return Err(GuardError::Term);
    }
    if message.log_term > message.term || message.commit_term > message.term {
        return Err(GuardError::Term);
    }
    // Asking for a snapshot inside raft is not part of our protocol (a lagging member is seeded anew).
    if message.request_snapshot != 0 || message.snapshot.as_ref().is_some_and(|s| *s != Default::default()) {
        return Err(GuardError::Kind(MessageType::MsgSnapshot as i32));
    }
    if message.priority != 0 || message.context.len() > 64 {
        return Err(GuardError::Malformed);
    }
    let carries = message.msg_type == MessageType::MsgAppend as i32;
    if !carries && !message.entries.is_empty() {
        return Err(GuardError::Entries);
    }
    Ok(())
}

fn check_append(group: &Group, message: &Message) -> Result<(), GuardError> {
    if message.entries.len() > MAX_ENTRIES {
        return Err(GuardError::Entries);
    }
    let log = &group.raft.raft.raft_log;
    // raft-rs takes 0 for the term of every index outside its log, so that such a message matches what is not there.
    if message.log_term == 0 && message.index > 0 {
        return Err(GuardError::Term);
    }
    // Who leads has what is committed here. raft-rs searches its log back to `log_term`, and panics on what is compacted.
    let is_current = message.term >= group.raft.raft.term && message.index >= log.committed;
    if is_current && log.term(log.committed).is_ok_and(|ours| message.log_term < ours) {
        return Err(GuardError::Conflict);
    }
    let mut index = message.index;
    let mut term = message.log_term;
    for entry in &message.entries {
        index = index.checked_add(1).ok_or(GuardError::Index)?;
        let known = matches!(
            EntryType::from_i32(entry.entry_type),
            Some(EntryType::EntryNormal | EntryType::EntryConfChangeV2)
        );
        if entry.index != index || entry.term == 0 || entry.term < term || entry.term > message.term || !known
        {
            return Err(GuardError::Entries);
        }
        term = entry.term;
        if index <= log.committed && message.index >= log.first_index() {
            let ours = log.term(index).map_err(|_| GuardError::Conflict)?;
            if ours != entry.term {
                return Err(GuardError::Conflict);
            }
        }
    }
    // A leader may know of commits beyond what this message carries; raft takes the smaller. What it must not do
    // is shorten what we have committed: `maybe_append` panics when a conflict lies at or below the commit index.
    if message.index == log.committed && log.term(message.index).is_ok_and(|ours| ours != message.log_term) {
        return Err(GuardError::Conflict);
    }
    Ok(())
}

fn within(index: u64, last: u64) -> Result<(), GuardError> {
    if index > last {
        return Err(GuardError::Index);
    }
    Ok(())
}
