//! A session with a stateless service goes to another of its servers, with nothing lost: calls that come meanwhile wait
//! until those under way are answered.

use std::collections::VecDeque;

use super::{Action, ClientSession, Phase};
use crate::id::{PeerId, RequestId};
use crate::io::Error;
use crate::time::{Millis, Time};
use crate::wire::SessionInput;

/// Calls under way that are not answered for this long keep the session where it is.
const MOVE_WITHIN: Millis = Millis::secs(2);
/// The server that it goes to may take so long before others are asked, the one that it leaves among them.
const ANSWER_WITHIN: Millis = Millis::secs(1);

/// What a session's calls took since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls and queries that were answered.
    pub calls: u32,
    /// The time that they took together.
    pub took: Millis,
}

impl Tally {
    pub(super) fn note(&mut self, took: Millis) {
        self.add(Tally { calls: 1, took });
    }

    /// Both together.
    pub fn add(&mut self, other: Tally) {
        self.calls = self.calls.saturating_add(other.calls);
        self.took = Millis(self.took.0.saturating_add(other.took.0));
    }
}

/// A call that waits for the move.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) request: RequestId,
    pub(super) deadline: Time,
    pub(super) method: String,
    pub(super) body: Vec<u8>,
}

/// A move under way.
#[derive(Debug)]
pub(super) struct Move {
    to: PeerId,
    until: Time,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) bytes: usize,
}

impl Move {
    /// Fails the calls that waited too long; they were never sent.
    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Action>) {
        let (late, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|call| call.deadline <= now);
        self.waiting = waiting;
        let late: VecDeque<Waiting> = late;
        for call in late {
            let error = Error::Deadline("the service did not answer in time".to_owned());
            out.push(Action::Answer(call.request, Err(error)));
        }
    }
}

impl ClientSession {
    /// May it go to another server: a stateless one keeps nothing of a session that only called.
    pub fn may_move(&self) -> bool {
        self.stateless && self.only_calls && self.phase == Phase::Open && self.moving.is_none()
    }

    /// Does its service keep nothing of a session.
    pub fn is_stateless(&self) -> bool {
        self.stateless
    }

    /// Takes what was measured of the calls at [`ClientSession::authority`].
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Goes to another server of the service as soon as no call is under way.
    pub fn move_to(&mut self, now: Time, to: PeerId, out: &mut Vec<Action>) {
        if self.may_move() && to != self.server {
            self.moving = Some(Move { to, until: now + MOVE_WITHIN, waiting: VecDeque::new(), bytes: 0 });
            self.go_on_moving(now, out);
        }
    }

    /// Moves when nothing is under way any more, and stays when that takes too long or the server is lost.
    pub(super) fn go_on_moving(&mut self, now: Time, out: &mut Vec<Action>) {
        let idle = self.calls.is_empty() && self.unacked.is_empty();
        let moves = idle && self.phase == Phase::Open && self.only_calls;
        let stays = |moving: &Move| moving.until <= now || self.phase != Phase::Open || !self.only_calls;
        if !self.moving.as_ref().is_some_and(|moving| moves || stays(moving)) {
            return;
        }
        let Some(moving) = self.moving.take() else { return };
        if moves {
            let close = SessionInput::Close;
            out.push(Action::SendAs(self.server, self.wire, self.next_seq, close));
            self.add_candidate(self.server);
            self.add_candidate(moving.to);
            self.server = moving.to;
            self.unheard = 0;
            // As if it had lost its server: if this one does not answer, the others are asked.
            self.phase = Phase::Seeking { since: now };
            self.seek_at = Some(now + ANSWER_WITHIN);
            self.renew(now, out);
            self.ask(moving.to, out);
        }
        // They were admitted when they came.
        for call in moving.waiting {
            self.send_call(now, call, out);
        }
    }

    /// When [`ClientSession::go_on_moving`] has something to say.
    pub(super) fn move_timeout(&self) -> Option<Time> {
        let moving = self.moving.as_ref()?;
        moving.waiting.iter().map(|call| call.deadline).chain([moving.until]).min()
    }
}
