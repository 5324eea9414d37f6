//! Time in a group: ticks, elections, and what follows when a leader is lost.

use raft::eraftpb::{Message, MessageType};

use super::Group;
use crate::cx::Cx;
use crate::id::PeerId;
use crate::time::{Millis, Time};
use crate::wire::Member;

/// One raft tick. Heartbeats every 2, elections after 10 to 20 (state holders).
pub const TICK: Millis = Millis(50);
pub(super) const HEARTBEAT_TICKS: usize = 2;
pub(super) const ELECTION_TICKS: usize = 10;
/// Witnesses wait longer than any state holder, so that one of those wins when it can.
const WITNESS_ELECTION_TICKS: usize = 25;
/// After the leader's connection closed, the first of those who may follow elects after this time,
const HASTEN: Millis = Millis(20);
/// and each further one this much later: longer than a vote travels, or two elect at once and neither wins.
const STAGGER: Millis = Millis(120);

pub(super) const fn election_base(witness: bool) -> usize {
    if witness {
        WITNESS_ELECTION_TICKS
    } else {
        ELECTION_TICKS
    }
}

impl Group {
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

    /// How long no leader is known.
    pub fn leaderless_for(&self, now: Time) -> Millis {
        if self.leads() || self.resting {
            return Millis(0);
        }
        now.since(self.led_at)
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

    /// A follower that is not in its own applied configuration never campaigns, so raft keeps the name of a leader that
    /// is long gone: what counts is that it was heard.
    pub(super) fn note_leader(&mut self, now: Time) {
        let heard = self.raft.raft.election_elapsed < 2 * election_base(self.witness);
        if self.leader().is_some() && (heard || self.leads()) {
            self.led_at = now;
        }
    }

    /// raft-rs draws its time-out from the thread's randomness after each reset. Ours is a function of the raft id
    /// and the term: the same in each run of a seed, different between members, new in each term (equal time-outs
    /// livelock elections).
    pub(super) fn set_timeout(&mut self) {
        let base = election_base(self.witness);
        let mixed = (self.id ^ self.raft.raft.term.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.raft.raft.set_randomized_election_timeout(base + (mixed >> 40) as usize % ELECTION_TICKS);
    }

    /// A lone leader needs no ticks, nor does anybody while the group rests.
    pub(super) fn schedule(&mut self, now: Time) {
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
