//! Reads at any copy of the state: what they return is at least as new as what was acknowledged when they say.

use overlay::io::{Answer, Command, Config, Error};
use overlay::time::Time;

use super::{session_id, Run, Todo, Waiting};
use crate::link::Micros;
use crate::peer::Peer;
use crate::world::Step;

/// What consumers know of a service's counter.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When a reply showed which highest total.
    totals: Vec<(Micros, u64)>,
}

impl Known {
    /// A call was acknowledged with this total.
    pub(super) fn note(&mut self, now: Micros, total: u64) {
        if self.totals.last().is_none_or(|(_, known)| *known < total) {
            self.totals.push((now, total));
        }
    }

    /// The highest total that was acknowledged at that time.
    fn at(&self, time: Micros) -> u64 {
        let known = self.totals.partition_point(|(at, _)| *at <= time);
        known.checked_sub(1).map_or(0, |last| self.totals[last].1)
    }
}

impl<P: Peer, F: Fn(Config, Time) -> P> Run<'_, P, F> {
    pub(super) fn read(&mut self, consumer: usize) {
        let calls = &self.scenario.calls;
        if calls.reads_per_second == 0 {
            return;
        }
        let at = self.world.now();
        self.later(at + 1_000_000 / calls.reads_per_second, Todo::Read(consumer));
        // Every second one may be a little old.
        let max_age_ms = Some(if self.rng.chance(0.5) { 0 } else { 400 });
        let place = &self.consumers[consumer];
        let Some(session) = place.session.as_ref().and_then(|session| session_id(&session.id)) else {
            return;
        };
        let node = place.node;
        let query =
            Command::Query { session, method: "read".into(), body: Vec::new(), deadline_ms: 0, max_age_ms };
        self.command(node, query, Waiting::Read { consumer, at });
    }

    pub(super) fn on_read(
        &mut self,
        step: &Step,
        consumer: usize,
        at: Micros,
        result: &Result<Answer, Error>,
    ) {
        let place = &self.consumers[consumer];
        let service = place.service;
        let Ok(Answer::Read { body, age_ms, server }) = result else { return };
        let Ok(total) = body.as_slice().try_into().map(u64::from_le_bytes) else { return };
        self.report.reads += 1;
        let leads = self.services[service].name.as_ref().and_then(|name| self.leader(name));
        let elsewhere = leads.is_some_and(|leader| self.world.id(leader).to_string() != *server);
        self.report.reads_elsewhere += u64::from(elsewhere);
        let floor = self.services[service].known.at(at.saturating_sub(Micros::from(*age_ms) * 1000));
        if total < floor && !self.doomed.contains(&service) {
            let what =
                format!("a read of consumer {consumer} of age {age_ms} ms gave {total}, after {floor}");
            self.checker.violate(step, what);
        }
    }
}
