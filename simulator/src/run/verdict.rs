//! What must hold in the end.

use std::collections::BTreeMap;

use overlay::io::Config;
use overlay::time::Time;

use super::{Consumer, Run};
use crate::link::Micros;
use crate::peer::Peer;
use crate::report::RunReport;
use crate::world::{NodeIndex, Step};

/// An open session must have had a reply in this last part of a run.
const FRESH: Micros = 4_000_000;

impl<P: Peer, F: Fn(Config, Time) -> P> Run<'_, P, F> {
    /// H6, and that consumers are served in the end.
    pub(super) fn finish(mut self) -> RunReport {
        let end = Step {
            at: self.world.now(),
            node: None,
            input: None,
            outputs: Vec::new(),
            points: Vec::new(),
            token: None,
        };
        for fault in self.world.faults() {
            self.checker.violate(&end, fault);
        }
        if self.world.refused_records() > 0 {
            let refused = self.world.refused_records();
            self.checker.violate(&end, format!("the DHT refused {refused} records of honest nodes"));
        }
        let mut leaders: BTreeMap<Option<NodeIndex>, u64> = BTreeMap::new();
        for service in 0..self.services.len() {
            let Some(name) = self.services[service].name.clone() else {
                self.checker.violate(&end, format!("service {service} was never published"));
                continue;
            };
            let roles: Vec<String> =
                self.hosting(&name).iter().map(|(node, info)| format!("{node} {}", info.role)).collect();
            let leads = self.leader(&name).is_some();
            let doomed = self.doomed.contains(&service);
            let stuck = !roles.is_empty();
            if !leads && (stuck || !doomed) {
                self.checker.violate(&end, format!("H6: nobody serves {name}; members: {roles:?}"));
            }
            self.report.lost += u64::from(!leads);
            *leaders.entry(self.leader(&name)).or_default() += 1;
            let served = |consumer: &Consumer| consumer.last_reply + FRESH >= end.at;
            let consumers = self.consumers.iter().filter(|consumer| consumer.service == service);
            let starved: Vec<NodeIndex> = consumers
                .filter(|consumer| leads && !served(consumer))
                .map(|consumer| consumer.node)
                .collect();
            if !starved.is_empty() {
                let what =
                    format!("H6: {name} is led, but the consumers at nodes {starved:?} are not served");
                self.checker.violate(&end, what);
            }
        }
        self.report.most_led = leaders.into_values().max().unwrap_or(0);
        self.check_history(&end);
        self.report.violations = self.checker.violations;
        self.report.events = self.world.events;
        self.report.frames = self.world.sent.0;
        self.report.bytes = self.world.sent.1;
        self.report.trace = self.world.trace();
        self.report
    }
}
