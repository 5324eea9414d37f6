//! What a person wants to read of a run.

use overlay::id::PeerId;
use overlay::io::{Config, Event, HostedInfo, Input, Lane, Output};
use overlay::time::Time;
use overlay::wire::{self, Control};

use super::{Run, MAX_LOG};
use crate::peer::Peer;
use crate::world::{NodeIndex, Step};

impl<P: Peer, F: Fn(Config, Time) -> P> Run<'_, P, F> {
    /// What a person wants to read of a run: handovers, faults, errors, connections.
    pub(super) fn note_log(&mut self, step: &Step, node: NodeIndex) {
        let mut log = |line: String| {
            if self.report.log.len() < MAX_LOG {
                self.report.log.push(format!("{:>10.4} node {node:<3} {line}", step.at as f64 / 1e6));
            }
        };
        let place = |peer: &PeerId| self.world.find(peer).map_or(-1, |node| node as i64);
        match &step.input {
            Some(Input::Disconnected { peer }) => log(format!("disconnected from {}", place(peer))),
            Some(Input::Connected { peer, .. }) => log(format!("connected to {}", place(peer))),
            Some(Input::DialFailed { peer }) => log(format!("cannot reach {}", place(peer))),
            _ => {}
        }
        for output in &step.outputs {
            match output {
                Output::Send { peer, lane: Lane::Control, frame } => {
                    if let Ok(Control::Handover { step, .. }) = wire::decode(frame) {
                        let text: String = format!("{step:?}").chars().take(90).collect();
                        log(format!("to {}: {text}", place(peer)));
                    }
                }
                Output::Event(Event::Handover { step, reason, .. }) => log(format!("at {step} {reason}")),
                Output::Event(Event::Error { message, .. }) => log(format!("error: {message}")),
                Output::Event(Event::Closed { reason, .. }) => log(format!("session closed: {reason}")),
                Output::Event(Event::Hosting { .. }) => {
                    let hosting = self.world.peer(node).map(Peer::hosting).unwrap_or_default();
                    let places = |members: &[String]| -> Vec<i64> {
                        members.iter().map(|id| id.parse().map_or(-1, |peer| place(&peer))).collect()
                    };
                    let view = |h: &HostedInfo| (h.role.clone(), h.epoch, h.term, places(&h.members));
                    log(format!("hosts {:?}", hosting.iter().map(view).collect::<Vec<_>>()));
                }
                Output::Event(Event::Moved(info)) => {
                    let server = info.server.parse().map_or(-1, |peer| place(&peer));
                    log(format!("follows to {server} in {:?}", (info.epoch, info.term)));
                }
                Output::Answer { result: Err(error), .. } => log(format!("{error}")),
                _ => {}
            }
        }
    }
}
