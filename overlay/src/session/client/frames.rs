//! What servers say to a session: items in their order, answers, who serves now (H3, H4).

use serde_bytes::ByteBuf;

use super::{Action, ClientSession, Phase, ASK_AGAIN, NO_DATAGRAMS};
use crate::id::PeerId;
use crate::io::{Answer, Error, Event};
use crate::time::{Millis, Time};
use crate::wire::{CallResult, ClientBody, OutItem, ServerBody, ServerFrame};

/// Received items that are not acknowledged before an acknowledgement is sent on its own.
const ACK_EVERY: u64 = 16;
const ACK_AFTER: Millis = Millis(500);

impl ClientSession {
    /// A frame from a peer that [`ClientSession::hears`].
    pub fn handle_frame(&mut self, now: Time, from: PeerId, frame: ServerFrame, out: &mut Vec<Action>) {
        if frame.body == (ServerBody::Moved { to: None }) && from == self.server {
            // It has the service no more, and knows of no authority.
            return self.seek(now, out);
        }
        if let ServerBody::Answer { id, .. } = &frame.body {
            if self.queries.is_asked(*id, from) {
                // A replica's answer says nothing about who serves; one of another authority is left (H4).
                if (frame.epoch, frame.term) == (self.epoch, self.term) {
                    self.on_answer(from, frame, out);
                }
                return;
            }
        }
        if self.stateless && self.phase == Phase::Open && from != self.server {
            // It was asked as well and answers late, or ends what it was asked: authorities of its hosts say nothing of each other.
            return;
        }
        let authority = (frame.epoch, frame.term);
        // H1: in one authority only one peer serves, and this session has met it.
        let other = from != self.server && authority == (self.epoch, self.term);
        match frame.body {
            ServerBody::Datagram { from, seq, body }
                if frame.epoch == self.epoch && frame.term <= self.term =>
            {
                return self.receive_datagram(from, seq, body, out);
            }
            _ if authority < (self.epoch, self.term) => return,
            _ => {}
        }
        if from != self.server && matches!(frame.body, ServerBody::Moved { .. }) {
            self.ask_server(now, from, out);
        }
        match frame.body {
            ServerBody::Moved { to } if to != Some(from) => {
                let newer = (frame.epoch, frame.term) > (self.epoch, self.term);
                if from == self.server || newer {
                    self.follow(now, to, (frame.epoch, frame.term), out);
                }
                return;
            }
            ServerBody::Gone { reason } => {
                if from == self.server || (frame.epoch, frame.term) > (self.epoch, self.term) {
                    self.on_gone(now, reason, out);
                }
                return;
            }
            ServerBody::Prepare { next } => {
                if from == self.server {
                    self.add_candidate(next);
                    self.queries.add_reader(next);
                    out.push(Action::Connect(next));
                }
                return;
            }
            _ => {}
        }
        if other {
            return;
        }
        self.adopt(now, from, authority, out);
        self.done = self.done.max(frame.ack);
        self.trim(now, frame.ack);
        match frame.body {
            ServerBody::Out { seq, item } => self.receive(now, seq, item, out),
            ServerBody::Answer { .. } => {
                let asked = self.on_answer(from, frame, out);
                asked.into_iter().for_each(|at| self.tally.note(now.since(at)));
            }
            ServerBody::Datagram { from, seq, body } => self.receive_datagram(from, seq, body, out),
            ServerBody::NoDatagrams => self.on_no_datagrams(now, out),
            _ => {}
        }
        self.go_on_moving(now, out);
    }

    /// An answer; when the query was asked.
    pub(super) fn on_answer(
        &mut self,
        from: PeerId,
        frame: ServerFrame,
        out: &mut Vec<Action>,
    ) -> Option<Time> {
        let ServerBody::Answer { id, result, index, age_ms } = frame.body else { return None };
        self.queries.on_answer(from, id, result, (frame.epoch, index), age_ms, out)
    }

    /// What a replica was asked goes to the server.
    pub(super) fn ask_server(&mut self, now: Time, replica: PeerId, out: &mut Vec<Action>) {
        for id in self.queries.give_up(replica) {
            self.queries.send(now, id, (self.epoch, self.done), self.server, out);
        }
    }

    pub(super) fn trim(&mut self, now: Time, ack: u64) {
        while self.unacked.front().is_some_and(|(seq, _)| *seq <= ack) {
            if let Some((_, input)) = self.unacked.pop_front() {
                self.unacked_bytes -= input.size();
                self.progress_at = now;
            }
        }
    }

    pub(super) fn receive(&mut self, now: Time, seq: u64, item: OutItem, out: &mut Vec<Action>) {
        if seq <= self.received {
            return;
        }
        if seq > self.received + 1 {
            // An item was lost with a connection: ask for it.
            out.push(Action::Send(self.server, self.resume()));
            return;
        }
        self.received = seq;
        self.ack_at = self.ack_at.or(Some(now + ACK_AFTER));
        match item {
            OutItem::Reply { to, result } => {
                if let Some(call) = self.calls.remove(&to) {
                    self.tally.note(now.since(call.at));
                    out.push(Action::Answer(call.request, reply(result)));
                }
            }
            OutItem::Message(body) => {
                self.only_calls = false;
                let event = Event::Message { session: self.id.to_string(), body: body.into_vec() };
                out.push(Action::Event(event));
            }
            OutItem::Closed { reason } => {
                out.push(Action::Send(self.server, ClientBody::Ack));
                self.fail(&reason, out);
                return;
            }
        }
        if self.received - self.acknowledged >= ACK_EVERY {
            out.push(Action::Send(self.server, ClientBody::Ack));
        }
    }

    pub(super) fn receive_datagram(&mut self, sender: u32, seq: u32, body: ByteBuf, out: &mut Vec<Action>) {
        if self.windows.admit(sender, seq) {
            let event = Event::Datagram { session: self.id.to_string(), body: body.into_vec() };
            out.push(Action::Event(event));
        }
    }

    /// Those that were under way are told of together.
    pub(super) fn on_no_datagrams(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.no_datagrams.replace(now).is_none_or(|at| now.since(at) >= ASK_AGAIN) {
            let (session, message) = (self.id.to_string(), NO_DATAGRAMS.to_owned());
            let code = Error::NotPermitted(message.clone()).code().to_owned();
            out.push(Action::Event(Event::SessionError { session, code, message }));
        }
    }
}

/// What a caller gets.
pub(in crate::session) fn reply(result: CallResult) -> Result<Answer, Error> {
    match result {
        CallResult::Ok(body) => Ok(Answer::Reply(body.into_vec())),
        CallResult::Failed(text) => Err(Error::Trapped(String::from_utf8_lossy(&text).into_owned())),
        CallResult::Trapped(reason) => Err(Error::Trapped(reason)),
    }
}
