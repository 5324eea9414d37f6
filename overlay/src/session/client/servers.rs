//! Which server a session follows, and how it looks for one that it has lost.

use super::{Action, ClientSession, Phase, SEEK_EVERY};
use crate::id::{PeerId, SessionId};
use crate::io::{Error, Event};
use crate::session::window::Windows;
use crate::session::NOT_PERMITTED;
use crate::time::{Millis, Time};
use crate::wire::{ClientBody, SessionInput};

/// After this time without progress everything unacknowledged is sent again.
const RESEND_AFTER: Millis = Millis(1000);
/// A server that is connected and says nothing to so many of these is left for another one: it may have been voted out of its group
/// without having heard of it.
pub(super) const MAX_UNHEARD: u32 = 3;
/// A session that finds no server for this long is closed.
pub(super) const GIVE_UP_AFTER: Millis = Millis::secs(30);
/// Servers of a stateless service that are told that another one was faster.
const MAX_ASKED: usize = 32;

impl ClientSession {
    /// The connection to a peer closed, or could not be made.
    pub fn on_unreachable(&mut self, now: Time, peer: PeerId, out: &mut Vec<Action>) {
        self.ask_server(now, peer, out);
        if peer == self.server && self.phase == Phase::Open {
            self.seek(now, out);
        }
    }

    /// The registry's hosts of the service.
    pub fn on_hosts(&mut self, hosts: &[PeerId]) {
        hosts.iter().for_each(|host| self.add_candidate(*host));
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<Action>) {
        self.expire_calls(now, out);
        self.go_on_moving(now, out);
        for replica in self.queries.late(now) {
            self.ask_server(now, replica, out);
        }
        if self.ack_at.is_some_and(|at| at <= now) {
            out.push(Action::Send(self.server, ClientBody::Ack));
        }
        match self.phase {
            Phase::Opening { request, deadline } if deadline <= now => {
                out.push(Action::Answer(request, Err(Error::NoServer(self.name.clone()))));
                out.push(Action::Ended);
            }
            Phase::Seeking { since } if now.since(since) >= GIVE_UP_AFTER => {
                self.fail("no server of the service could be reached for 30 s", out);
            }
            Phase::Open if !self.unacked.is_empty() && now.since(self.progress_at) >= RESEND_AFTER => {
                self.progress_at = now;
                self.unheard += 1;
                if self.unheard > MAX_UNHEARD && !self.stateless {
                    return self.seek(now, out);
                }
                self.resend(out);
            }
            Phase::Opening { .. } | Phase::Seeking { .. } if self.seek_at.is_some_and(|at| at <= now) => {
                self.seek_at = Some(now + SEEK_EVERY);
                self.try_next(out);
            }
            _ => {}
        }
    }

    /// When [`ClientSession::handle_timeout`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        let calls = self.calls.values().map(|call| call.deadline).chain(self.move_timeout()).min();
        let queries = self.queries.timeout();
        let phase = match self.phase {
            Phase::Opening { deadline, .. } => self.seek_at.into_iter().chain([deadline]).min(),
            Phase::Seeking { .. } => self.seek_at,
            Phase::Open => (!self.unacked.is_empty()).then_some(self.progress_at + RESEND_AFTER),
        };
        [calls, queries, phase, self.ack_at].into_iter().flatten().min()
    }

    /// Takes `from` as the server, if it is not already; then everything unacknowledged goes to it.
    pub(super) fn adopt(&mut self, now: Time, from: PeerId, authority: (u64, u64), out: &mut Vec<Action>) {
        let opened = match self.phase {
            Phase::Opening { request, .. } => Some(request),
            _ => None,
        };
        self.unheard = 0;
        let same = from == self.server && authority == (self.epoch, self.term);
        let moved = from != self.server;
        if authority.0 != self.epoch {
            // What came back from a checkpoint gives the numbers of lost sessions to others.
            self.windows = Windows::default();
        }
        (self.server, self.epoch, self.term) = (from, authority.0, authority.1);
        if same && self.phase == Phase::Open {
            return;
        }
        self.phase = Phase::Open;
        self.seek_at = None;
        self.progress_at = now;
        for other in std::mem::take(&mut self.asked).into_iter().filter(|other| *other != from) {
            out.push(Action::SendAs(other, self.wire, 2, SessionInput::Close));
        }
        match opened {
            // Its frames are on the way to this server already, unless another one answered.
            Some(request) => {
                out.push(Action::Opened(request));
                if moved {
                    self.resend(out);
                }
            }
            None => {
                self.resend(out);
                out.push(Action::Moved);
            }
        }
        self.send_held(now, out);
    }

    /// The server says that somebody else serves.
    pub(super) fn follow(
        &mut self,
        now: Time,
        to: Option<PeerId>,
        authority: (u64, u64),
        out: &mut Vec<Action>,
    ) {
        (self.epoch, self.term) = authority.max((self.epoch, self.term));
        let Some(to) = to else { return self.seek(now, out) };
        self.add_candidate(to);
        let opening = matches!(self.phase, Phase::Opening { .. });
        self.server = to;
        self.unheard = 0;
        self.progress_at = now;
        self.resend(out);
        if !opening {
            self.phase = Phase::Open;
            self.seek_at = None;
            out.push(Action::Moved);
            self.send_held(now, out);
        }
    }

    pub(super) fn on_gone(&mut self, now: Time, reason: String, out: &mut Vec<Action>) {
        match self.phase {
            Phase::Opening { request, .. } => {
                let error = match reason.as_str() {
                    NOT_PERMITTED => Error::NotPermitted(reason),
                    _ => Error::Refused(reason),
                };
                out.push(Action::Answer(request, Err(error)));
                out.push(Action::Ended);
            }
            // Refused before it was open: trying again at once would go on for ever.
            _ if self.stateless && self.unacked.front().is_none_or(|(seq, _)| *seq > 1) => {
                self.renew(now, out)
            }
            _ => self.fail(&reason, out),
        }
    }

    /// A stateless service forgets its sessions with their server: calls under way have an unknown outcome, and the
    /// session begins anew.
    pub(super) fn renew(&mut self, now: Time, out: &mut Vec<Action>) {
        for call in std::mem::take(&mut self.calls).into_values() {
            let error = Error::UnknownOutcome("the server was lost".to_owned());
            out.push(Action::Answer(call.request, Err(error)));
        }
        self.unacked.clear();
        self.unacked_bytes = 0;
        self.asked.clear();
        (self.next_seq, self.received, self.acknowledged, self.done) = (1, 0, 0, 0);
        (self.epoch, self.term) = (0, 0);
        self.wire = SessionId(self.wire.0.wrapping_add(1));
        // Another server numbers its sessions anew.
        self.windows = Windows::default();
        self.progress_at = now;
        self.push(SessionInput::Open, out);
    }

    pub(super) fn seek(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Seeking { since: now };
        self.seek_at = Some(now + SEEK_EVERY);
        if self.stateless {
            self.renew(now, out);
        }
        // Calls that waited for a move wait for the next server now.
        self.go_on_moving(now, out);
        self.try_next(out);
    }

    /// Asks one candidate after the other; announced successors and hosts that the registry names.
    pub(super) fn try_next(&mut self, out: &mut Vec<Action>) {
        if self.seek_turn.is_multiple_of(4) {
            out.push(Action::Lookup);
        }
        let others: Vec<_> = self.candidates.iter().filter(|peer| **peer != self.server).copied().collect();
        let turn = self.seek_turn % (others.len() + 1);
        self.seek_turn += 1;
        let peer = others.get(turn).copied().unwrap_or(self.server);
        self.ask(peer, out);
    }

    /// Asks a peer whether it serves.
    pub(super) fn ask(&mut self, peer: PeerId, out: &mut Vec<Action>) {
        out.push(Action::Send(peer, self.resume()));
        if self.stateless && self.asked.len() < MAX_ASKED {
            self.asked.insert(peer);
        }
        if self.stateless || matches!(self.phase, Phase::Opening { .. }) {
            if let Some((seq, input)) = self.unacked.front().cloned() {
                out.push(Action::Send(peer, ClientBody::Input { seq, input }));
            }
        }
    }

    pub(super) fn resend(&mut self, out: &mut Vec<Action>) {
        out.push(Action::Send(self.server, self.resume()));
        for (seq, input) in &self.unacked {
            let (seq, input) = (*seq, input.clone());
            out.push(Action::Send(self.server, ClientBody::Input { seq, input }));
        }
        for id in self.queries.waiting() {
            self.queries.send(self.progress_at, id, (self.epoch, self.done), self.server, out);
        }
    }

    pub(super) fn resume(&self) -> ClientBody {
        ClientBody::Resume { next: self.unacked.front().map_or(self.next_seq, |(seq, _)| *seq) }
    }

    pub(super) fn expire_calls(&mut self, now: Time, out: &mut Vec<Action>) {
        let text = "the service did not answer in time; it is not known whether the call was executed";
        let calls: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.deadline <= now).map(|(seq, _)| *seq).collect();
        for seq in calls {
            if let Some(call) = self.calls.remove(&seq) {
                out.push(Action::Answer(call.request, Err(Error::Deadline(text.to_owned()))));
            }
        }
        if let Some(moving) = &mut self.moving {
            moving.expire(now, out);
        }
        self.queries.expire(now, out);
    }

    /// Ends the session; what was under way has an unknown outcome.
    pub(super) fn fail(&mut self, reason: &str, out: &mut Vec<Action>) {
        for call in std::mem::take(&mut self.calls).into_values() {
            out.push(Action::Answer(call.request, Err(Error::UnknownOutcome(reason.to_owned()))));
        }
        for call in self.moving.take().into_iter().flat_map(|moving| moving.waiting) {
            out.push(Action::Answer(call.request, Err(Error::Disconnected(reason.to_owned()))));
        }
        self.queries.fail(reason, out);
        out.push(Action::Event(Event::Closed { session: self.id.to_string(), reason: reason.to_owned() }));
        out.push(Action::Ended);
    }

    pub(super) fn add_candidate(&mut self, peer: PeerId) {
        // An honest history names few hosts; the bound keeps a lying server from growing the set.
        if self.candidates.len() >= 16 {
            self.candidates.pop_first();
        }
        self.candidates.insert(peer);
    }
}
