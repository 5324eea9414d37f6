//! Consumers that use a counter, registers and queues, and the record of what they asked and heard.

use overlay::io::{Answer, Command, Config, Error};
use overlay::time::Time;
use serde_json::Value;

use super::{session_id, Run, Waiting, JOURNAL_BEFORE};
use crate::history::model::Call;
use crate::history::{self, Operation, Outcome};
use crate::peer::Peer;
use crate::sandbox::{Asked, CounterReply};
use crate::world::Step;

/// Few objects, so that consumers meet at them.
const REGISTERS: u64 = 3;
const QUEUES: u64 = 2;

impl<P: Peer, F: Fn(Config, Time) -> P> Run<'_, P, F> {
    /// The next call of a consumer, if it has room for one; who waits for answers still looks.
    pub(super) fn ask_ledger(&mut self, consumer: usize) {
        let end = (self.scenario.seconds + self.scenario.quiet_seconds) * 1_000_000;
        let room = |open: &super::Session| open.in_flight.len() < self.scenario.calls.in_flight;
        let has_room = self.consumers[consumer].session.as_ref().is_some_and(room);
        if self.world.now() + 2 * JOURNAL_BEFORE >= end {
            return;
        }
        let value = self.report.history.operations.len() as u64 + 1;
        let register = format!("r{}", self.rng.below(REGISTERS));
        let queue = format!("q{}", self.rng.below(QUEUES));
        match self.rng.below(10) {
            _ if !has_room => self.look(consumer, Call::Read { key: register }),
            0 | 1 => self.ask(consumer, Call::Add),
            2 => self.ask(consumer, Call::Write { key: register, value }),
            3 => {
                let from = self.last_seen(&register);
                self.ask(consumer, Call::Cas { key: register, from, to: value });
            }
            4 => self.ask(consumer, Call::Read { key: register }),
            5 | 6 => self.look(consumer, Call::Read { key: register }),
            7 | 8 => self.ask(consumer, Call::Enqueue { key: queue, value }),
            _ => self.ask(consumer, Call::Dequeue { key: queue }),
        }
    }

    /// When all calls are over: what was executed?
    pub(super) fn ask_journal(&mut self, consumer: usize) {
        self.ask(consumer, Call::Journal);
    }

    /// Checks what was recorded.
    pub(super) fn check_history(&mut self, end: &Step) {
        if !self.scenario.calls.ledger {
            return;
        }
        let verdict = history::check(&self.report.history);
        for what in verdict.violations.iter().chain(&verdict.undecided) {
            self.checker.violate(end, format!("history: {what}"));
        }
        if verdict.journalled.is_none() {
            self.checker.violate(end, "nobody could ask for the journal".to_owned());
        }
        self.report.verdict = Some(verdict);
    }

    pub(super) fn record_answer(&mut self, entry: usize, result: &Result<Answer, Error>) {
        let now = self.world.now();
        let Some(operation) = self.report.history.operations.get_mut(entry) else { return };
        operation.returned = Some(now);
        operation.outcome = match result {
            Ok(Answer::Reply(body) | Answer::Read { body, .. }) => {
                let json = match operation.number {
                    0 => body,
                    _ => postcard::take_from_bytes::<CounterReply>(body).map_or(&[][..], |(_, json)| json),
                };
                // What is unreadable is nobody's answer: the check says so.
                operation.result = serde_json::from_slice(json).unwrap_or(Value::String("unreadable".into()));
                Outcome::Ok
            }
            // Refused before it was sent.
            Err(Error::Overloaded(..)) => Outcome::Fail,
            _ => Outcome::Unknown,
        };
    }

    fn ask(&mut self, consumer: usize, call: Call) {
        let place = &mut self.consumers[consumer];
        let (node, opened) = (place.node, place.opened);
        let Some(session) = &mut place.session else { return };
        session.sent += 1;
        let number = session.sent;
        session.in_flight.push_back(number);
        let Some(session) = session_id(&session.id) else { return };
        let entry = self.record(consumer, number, call.clone(), true);
        let asked = Asked { id: entry as u64 + 1, call };
        let body = serde_json::to_vec(&asked).unwrap_or_default();
        self.report.calls += 1;
        let call = Command::Call { session, method: "ledger".into(), body, deadline_ms: 0 };
        self.command(node, call, Waiting::Call { consumer, opened, number, entry: Some(entry) });
    }

    fn look(&mut self, consumer: usize, call: Call) {
        let place = &self.consumers[consumer];
        let node = place.node;
        let Some(session) = place.session.as_ref().and_then(|open| session_id(&open.id)) else { return };
        let entry = self.record(consumer, 0, call.clone(), false);
        let body = serde_json::to_vec(&Asked { id: 0, call }).unwrap_or_default();
        // Every other one may be answered by any copy of the state, as of now.
        let max_age_ms = (entry % 2 == 1).then_some(0);
        let query = Command::Query { session, method: "look".into(), body, deadline_ms: 0, max_age_ms };
        self.command(node, query, Waiting::Query { entry });
    }

    fn record(&mut self, consumer: usize, number: u64, call: Call, logged: bool) -> usize {
        let entry = self.report.history.operations.len();
        self.report.history.operations.push(Operation {
            client: format!("c{consumer}.{}", self.consumers[consumer].opened),
            number,
            id: (logged && call != Call::Journal).then_some(entry as u64 + 1),
            call,
            invoke: self.world.now(),
            returned: None,
            outcome: Outcome::Unknown,
            result: Value::Null,
        });
        entry
    }

    /// What a register held when it was last seen by anybody: exchanges that have a chance.
    fn last_seen(&self, key: &str) -> Option<u64> {
        self.report.history.operations.iter().rev().filter(|op| op.outcome == Outcome::Ok).find_map(|op| {
            match &op.call {
                Call::Write { key: of, value } if of == key => Some(*value),
                Call::Cas { key: of, to, .. } if of == key && op.result == Value::Bool(true) => Some(*to),
                _ => None,
            }
        })
    }
}
