//! The invariants of replication and handover, checked after every event from what nodes are told and do.
//!
//! | | checked here |
//! |---|---|
//! | H1 | two hosts never acknowledge in one (epoch, term) of a service |
//! | H2 | a reply that leaves a host was produced by a state which that host's sandbox has reached |
//! | H3 | `run`: each session's replies and messages are without gap and repeat, in order |
//! | H4 | a frame of a lower (epoch, term) than its session has seen gives a consumer no reply and no message |
//! | H5 | no host sends in a lower (epoch, term) than it has sent in before |
//! | H6 | `run`: after faults somebody serves |
//! | H7 | a configuration of voters never has exactly two |
//!
//! And one that follows from all of them: two states of one lineage after equally many events are equal, so nothing that
//! was acknowledged is ever undone.

use std::collections::{BTreeMap, BTreeSet};

use overlay::id::{PeerId, ServiceId, SessionId};
use overlay::io::{Answer, Event, Input, Lane, Output};
use overlay::wire::{self, CallResult, OutItem, ServerBody, ServerFrame, SessionFrame};

use crate::sandbox::CounterReply;
use crate::world::{NodeIndex, Step};

/// The most violations that are kept of a run.
const MAX_VIOLATIONS: usize = 20;

/// Epoch and term.
pub type Authority = (u64, u64);

/// What was seen so far, and what was wrong.
#[derive(Debug, Default)]
pub struct Checker {
    acknowledged: BTreeMap<(ServiceId, Authority), NodeIndex>,
    sent: BTreeMap<(NodeIndex, u64, ServiceId), Authority>,
    heard: BTreeMap<(NodeIndex, SessionId), Authority>,
    /// The hosts of which each session knows: it listens to no others.
    known: BTreeMap<(NodeIndex, SessionId), BTreeSet<PeerId>>,
    states: BTreeMap<(u64, u64), (u64, NodeIndex)>,
    reached: BTreeMap<(NodeIndex, u64), u64>,
    /// Violations, in words.
    pub violations: Vec<String>,
}

impl Checker {
    /// Checks one event. `incarnation` is that of the step's node.
    pub fn on_step(&mut self, step: &Step, incarnation: u64) {
        let Some(node) = step.node else { return };
        for point in &step.points {
            let (digest, by) =
                *self.states.entry((point.lineage, point.events)).or_insert((point.digest, node));
            if digest != point.digest {
                self.violate(step, format!(
                    "node {node} and node {by} differ after {} events of lineage {:x}: an acknowledged event may be undone",
                    point.events, point.lineage
                ));
            }
            let reached = self.reached.entry((node, point.lineage)).or_default();
            *reached = (*reached).max(point.events);
        }
        for output in &step.outputs {
            if let Output::Send { lane: Lane::Session, frame, .. } = output {
                if let Ok(SessionFrame::Server(frame)) = wire::decode(frame) {
                    self.on_server_frame(step, node, incarnation, &frame);
                }
            }
        }
        if let Some(Input::Received { peer, lane: Lane::Session, frame }) = &step.input {
            if let Ok(SessionFrame::Server(frame)) = wire::decode::<SessionFrame>(frame) {
                if self.listens(step, node, *peer, &frame) {
                    self.on_heard(step, node, &frame);
                }
            }
        }
    }

    /// A host's voters, as it has applied them: each of the one or two majorities that a decision needs (H7).
    pub fn on_voters(&mut self, step: &Step, node: NodeIndex, majorities: &[Vec<PeerId>]) {
        if majorities.iter().any(|voters| voters.len() == 2) {
            self.violate(step, format!("H7: node {node} has a configuration of exactly two voters"));
        }
    }

    /// Notes a violation that was found elsewhere.
    pub fn violate(&mut self, step: &Step, what: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(format!("{:>9.3} s: {what}", step.at as f64 / 1e6));
        }
    }

    fn on_server_frame(&mut self, step: &Step, node: NodeIndex, incarnation: u64, frame: &ServerFrame) {
        let authority = (frame.epoch, frame.term);
        let reply = match &frame.body {
            ServerBody::Out { item, .. } => Some(item),
            ServerBody::Ack => None,
            _ => return,
        };
        let first = *self.acknowledged.entry((frame.service, authority)).or_insert(node);
        if first != node {
            self.violate(step, format!("H1: node {node} acknowledges in {authority:?}, as node {first} did"));
        }
        let last = self.sent.entry((node, incarnation, frame.service)).or_default();
        if authority < *last {
            let last = *last;
            self.violate(step, format!("H5: node {node} sends in {authority:?} after it sent in {last:?}"));
        } else {
            *last = authority;
        }
        let Some(OutItem::Reply { result: CallResult::Ok(body), .. }) = reply else { return };
        let Ok(counter) = postcard::from_bytes::<CounterReply>(body) else { return };
        let reached = self.reached.get(&(node, counter.lineage)).copied().unwrap_or_default();
        if counter.events > reached {
            self.violate(
                step,
                format!(
                    "H2: node {node} replies with event {}, its instance has reached {reached}",
                    counter.events
                ),
            );
        }
    }

    /// A frame counts as heard when something came of it, or when a host that the session listens to had named its sender.
    /// A replica's answer of another authority than the session's is left unread.
    fn listens(&mut self, step: &Step, node: NodeIndex, from: PeerId, frame: &ServerFrame) -> bool {
        let known = self.known.entry((node, frame.session)).or_default();
        let came = |output: &Output| matches!(output, Output::Answer { .. } | Output::Event(_));
        let something = step.outputs.iter().any(came);
        if something {
            known.insert(from);
        }
        if !known.contains(&from) {
            return false;
        }
        match frame.body {
            ServerBody::Prepare { next: named } | ServerBody::Moved { to: Some(named) } => {
                known.insert(named);
                true
            }
            ServerBody::Answer { .. } => something,
            _ => true,
        }
    }

    fn on_heard(&mut self, step: &Step, node: NodeIndex, frame: &ServerFrame) {
        let authority = (frame.epoch, frame.term);
        let highest = self.heard.entry((node, frame.session)).or_default();
        if authority >= *highest {
            *highest = authority;
            return;
        }
        let highest = *highest;
        let id = frame.session.to_string();
        let delivered = step.outputs.iter().any(|output| match output {
            Output::Answer { result: Ok(Answer::Reply(_)), .. } => true,
            Output::Event(Event::Message { session, .. }) => *session == id,
            _ => false,
        });
        if delivered {
            self.violate(step, format!("H4: node {node} took from {authority:?} after it heard {highest:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Point;
    use overlay::id::Hash;
    use overlay::io::Output;
    use serde_bytes::ByteBuf;

    const SERVICE: ServiceId = ServiceId(Hash([1; 32]));
    const SESSION: SessionId = SessionId(5);

    fn step(node: NodeIndex, outputs: Vec<Output>, points: Vec<Point>) -> Step {
        Step { at: 0, node: Some(node), input: None, outputs, points, token: None }
    }

    fn frame(authority: Authority, events: u64) -> Vec<u8> {
        let reply = CounterReply { session: 1, total: 1, lineage: 9, events, digest: 0 };
        let reply = ByteBuf::from(postcard::to_allocvec(&reply).unwrap());
        let body = ServerBody::Out { seq: 1, item: OutItem::Reply { to: 1, result: CallResult::Ok(reply) } };
        let (epoch, term) = authority;
        wire::encode(&SessionFrame::Server(ServerFrame {
            service: SERVICE,
            session: SESSION,
            epoch,
            term,
            ack: 1,
            body,
        }))
    }

    fn reply(authority: Authority, events: u64) -> Vec<Output> {
        vec![Output::Send { peer: PeerId([2; 32]), lane: Lane::Session, frame: frame(authority, events) }]
    }

    fn heard(authority: Authority, outputs: Vec<Output>) -> Step {
        let frame = frame(authority, 1);
        let input = Input::Received { peer: PeerId([2; 32]), lane: Lane::Session, frame };
        Step { input: Some(input), ..step(7, outputs, Vec::new()) }
    }

    /// The first word of what is found.
    fn found(steps: Vec<Step>) -> Vec<String> {
        let mut checker = Checker::default();
        steps.iter().for_each(|step| checker.on_step(step, 0));
        let word = |text: &String| text.split(": ").nth(1).unwrap_or_default().to_owned();
        checker.violations.iter().map(word).collect()
    }

    fn point(events: u64, digest: u64) -> Vec<Point> {
        vec![Point { lineage: 9, events, digest }]
    }

    /// What an honest history looks like: nothing is found.
    #[test]
    fn a_move_from_one_host_to_the_next_is_fine() {
        let history = vec![
            step(1, reply((1, 1), 1), point(1, 7)),
            heard((1, 1), Vec::new()),
            step(2, reply((1, 2), 2), point(2, 8)),
            step(1, Vec::new(), point(2, 8)),
            heard((1, 2), Vec::new()),
        ];
        assert_eq!(found(history), [""; 0]);
    }

    #[test]
    fn each_seeded_fault_is_found() {
        let two_hosts = vec![step(1, reply((1, 1), 1), point(1, 7)), step(2, reply((1, 1), 1), point(1, 7))];
        assert_eq!(found(two_hosts), ["H1"]);
        let before_execution = vec![step(1, reply((1, 1), 2), point(1, 7))];
        assert_eq!(found(before_execution), ["H2"]);
        let unfenced = vec![step(1, reply((1, 3), 1), point(1, 7)), step(1, reply((1, 2), 1), Vec::new())];
        assert_eq!(found(unfenced), ["H5"]);
        let message = Event::Message { session: SESSION.to_string(), body: Vec::new() };
        let message = || vec![Output::Event(message.clone())];
        let follows_back = vec![heard((2, 1), message()), heard((1, 9), message())];
        assert_eq!(found(follows_back), ["H4"]);
        let undone = found(vec![step(1, Vec::new(), point(4, 7)), step(2, Vec::new(), point(4, 8))]);
        assert!(undone.len() == 1 && undone[0].starts_with("node 2 and node 1 differ"), "{undone:?}");
    }

    #[test]
    fn two_voters_are_found() {
        let mut checker = Checker::default();
        let (one, two) = (vec![PeerId([1; 32])], vec![PeerId([1; 32]), PeerId([2; 32])]);
        let here = step(1, Vec::new(), Vec::new());
        checker.on_voters(&here, 1, &[one.clone(), [two.clone(), one].concat()]);
        assert_eq!(checker.violations, [""; 0]);
        checker.on_voters(&here, 1, &[two]);
        assert_eq!(checker.violations.len(), 1);
    }
}
