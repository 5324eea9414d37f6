//! Consumers: they open sessions, call, and check what comes back (H3).

use overlay::io::{Answer, Command, Config, Error, Event};
use overlay::time::Time;

use super::{session_id, Consumer, Run, Todo, Waiting, REOPEN};
use crate::peer::Peer;
use crate::sandbox::CounterReply;
use crate::world::{NodeIndex, Step};

impl<P: Peer, F: Fn(Config, Time) -> P> Run<'_, P, F> {
    pub(super) fn open(&mut self, consumer: usize) {
        let place = &self.consumers[consumer];
        let node = place.node;
        match (&self.services[place.service].name, self.world.is_running(node)) {
            (Some(name), true) => {
                let open = Command::Open { service: name.clone(), deadline_ms: 0 };
                self.command(node, open, Waiting::Open(consumer));
            }
            _ => self.later(self.world.now() + REOPEN, Todo::Open(consumer)),
        }
    }

    pub(super) fn call(&mut self, consumer: usize) {
        let calls = &self.scenario.calls;
        let gap = 1_000_000 / calls.per_second.max(1);
        let say = self.rng.chance(calls.say);
        let place = &mut self.consumers[consumer];
        let (node, opened) = (place.node, place.opened);
        let Some(session) = &mut place.session else { return };
        let id = session.id.clone();
        if calls.session_calls > 0 && session.sent >= calls.session_calls && session.in_flight.is_empty() {
            place.session = None;
            if let Some(session) = session_id(&id) {
                self.command(node, Command::Close { session }, Waiting::Close);
            }
            return self.later(self.world.now() + gap, Todo::Open(consumer));
        }
        if self.scenario.calls.ledger {
            self.ask_ledger(consumer);
        } else if session.in_flight.len() < calls.in_flight {
            session.sent += 1;
            let number = session.sent;
            session.in_flight.push_back(number);
            let method = match number % 17 {
                0 => "later",
                _ if say => "say",
                _ => "add",
            };
            if let Some(session) = session_id(&id) {
                let body = number.to_le_bytes().to_vec();
                let call = Command::Call { session, method: method.into(), body, deadline_ms: 0 };
                self.report.calls += 1;
                self.command(node, call, Waiting::Call { consumer, opened, number, entry: None });
            }
        }
        self.later(self.world.now() + gap, Todo::Call(consumer));
    }

    /// H3: the k-th call of a session gets k, whatever happened in between; and replies come in order.
    pub(super) fn on_reply(
        &mut self,
        step: &Step,
        consumer: usize,
        opened: u64,
        number: u64,
        result: &Result<Answer, Error>,
    ) {
        let now = self.world.now();
        let place = &mut self.consumers[consumer];
        let Some(session) = place.session.as_mut().filter(|_| place.opened == opened) else { return };
        let in_order = session.in_flight.front() == Some(&number);
        session.in_flight.retain(|waiting| *waiting != number);
        match result {
            Ok(Answer::Reply(body)) => {
                self.report.replies += 1;
                let second = (now / 1_000_000) as usize;
                if self.report.replies_per_second.len() <= second {
                    self.report.replies_per_second.resize(second + 1, 0);
                }
                self.report.replies_per_second[second] += 1;
                self.report.longest_gap_ms =
                    self.report.longest_gap_ms.max((now - place.last_reply.max(session.since)) / 1000);
                place.last_reply = now;
                let reply = postcard::from_bytes::<CounterReply>(body);
                let found = reply.as_ref().map(|reply| reply.session).map_err(Clone::clone);
                let known = &mut self.services[place.service].known;
                reply.iter().for_each(|reply| known.note(now, reply.total));
                if found != Ok(number) {
                    let what = format!("H3: call {number} of consumer {consumer} was counted as {found:?}");
                    self.checker.violate(step, what);
                } else if !in_order {
                    self.checker.violate(step, format!("H3: the reply to call {number} came out of order"));
                }
            }
            Err(Error::Disconnected(_) | Error::UnknownOutcome(_) | Error::Deadline(_)) => {}
            other => {
                self.checker
                    .violate(step, format!("call {number} of consumer {consumer} ended with {other:?}"));
            }
        }
    }

    pub(super) fn on_event(&mut self, step: &Step, node: NodeIndex, event: &Event) {
        match event {
            Event::Shed { .. } => self.report.sheds += 1,
            Event::Handover { step: stage, .. } => self.on_stage(node, &stage.clone()),
            Event::Message { session, body } => {
                let line = body.as_slice().try_into().map(u64::from_le_bytes);
                let open = self.consumers.iter_mut().filter(|consumer| consumer.node == node);
                let session =
                    open.filter_map(|consumer| consumer.session.as_mut()).find(|open| open.id == *session);
                let (Some(session), Ok(line)) = (session, line) else { return };
                self.report.messages += 1;
                let last = session.last_line.replace(line);
                if last.is_some_and(|last| line != last + 1) {
                    self.checker.violate(step, format!("H3: node {node} got line {line} after {last:?}"));
                }
            }
            Event::Closed { session, .. } => {
                let now = self.world.now();
                let closed = |consumer: &Consumer| {
                    consumer.node == node && consumer.session.as_ref().is_some_and(|open| open.id == *session)
                };
                if let Some(consumer) = self.consumers.iter().position(closed) {
                    self.consumers[consumer].session = None;
                    self.report.sessions_lost += 1;
                    self.later(now + REOPEN, Todo::Open(consumer));
                }
            }
            _ => {}
        }
    }
}
