//! Load: what a host does before it has too much to do (row 40; Panitzek et al., section III: services are shed before a
//! device is overloaded).
//!
//! Every second a host looks at the gas that each of its services burnt, and where that leads: the rate, smoothed, and its
//! trend. When the forecast for [`AHEAD`] exceeds what its person grants, the heaviest service that fits elsewhere moves to the
//! volunteer that has most to spare. So it does when its own alarms ring late, whatever keeps its thread: a slow machine, or
//! a page that has other things to do. Volunteers say in their greeting what they can do and how busy they are. Memory and
//! storage need no forecast: what a manifest asks for is set aside before its module comes, and the sandbox holds it to that.

use std::collections::BTreeMap;

use crate::id::{PeerId, ServiceId};
use crate::io::{Event, VolunteerPolicy};
use crate::manifest::Package;
use crate::node::Node;
use crate::serving::GAS_PER_CORE;
use crate::time::{Millis, Time};

/// How often it looks.
const LOOK_EVERY: Millis = Millis::secs(1);
/// How far it looks ahead, in seconds.
const AHEAD: f64 = 10.0;
/// Share of the capacity above which a host sheds, in percent.
const HIGH: f64 = 80.0;
/// Looks in a row that must find too much.
const CONFIRMED: u32 = 3;
/// A host does not shed again for this long, nor what came this short a time ago.
const COOL_DOWN: Millis = Millis::secs(15);
/// What a service needs elsewhere, on top of its forecast.
const HEADROOM: f64 = 1.25;
/// Weight of the newest sample.
const SMOOTHING: f64 = 0.4;
/// Alarms that ring this much later than asked for, in ms and smoothed: the thread has too much to do.
const LATE: f64 = 300.0;
/// A node whose alarm was this late was asleep, and learns nothing from it about its load.
const SLEPT: Millis = Millis::secs(15);
/// Committed entries that wait for the module: more than this, and the gas that it burns is not all that it needs.
const LONG_QUEUE: usize = 32;

/// A service's use of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Gas per second.
    rate: f64,
    /// Change of the rate per second.
    trend: f64,
    total: u64,
    samples: u32,
}

impl Usage {
    /// The gas that was burnt until now, `seconds` after the last sample; `waits`: there was more to do than was done.
    pub fn note(&mut self, total: u64, seconds: f64, waits: bool) {
        let burnt = total.saturating_sub(self.total) as f64 / seconds.max(0.001);
        // What waits cannot show how much it needs: at least more than now.
        let sample = if waits { burnt * 1.5 } else { burnt };
        self.total = total;
        self.samples += 1;
        if self.samples <= 2 {
            (self.rate, self.trend) = (if self.samples == 1 { 0.0 } else { sample }, 0.0);
            return;
        }
        let before = self.rate;
        self.rate += SMOOTHING * (sample - self.rate);
        self.trend += SMOOTHING * ((self.rate - before) / seconds.max(0.001) - self.trend);
    }

    /// Gas per second in [`AHEAD`] seconds. A falling load is not foreseen: it may rise again.
    pub fn forecast(&self) -> f64 {
        self.rate + self.trend.max(0.0) * AHEAD
    }
}

/// What a host knows of its load.
#[derive(Debug, Default)]
pub struct Balance {
    at: Option<Time>,
    usage: BTreeMap<ServiceId, Usage>,
    /// How late this node's alarms ring, in ms.
    late: f64,
    too_much: u32,
    shed_at: Option<Time>,
    /// Percent of the capacity, in steps of ten, as the greeting says.
    pub busy: u8,
}

impl Balance {
    /// An alarm rang so much too late. True while that is too much, and not of a sleep.
    fn note_late(&mut self, late: Millis) -> bool {
        if late >= SLEPT {
            self.late = 0.0;
            return false;
        }
        self.late += SMOOTHING * (late.0 as f64 - self.late);
        self.late > LATE
    }

    /// When it looks again.
    pub fn timeout(&self) -> Option<Time> {
        self.at.map(|at| at + LOOK_EVERY)
    }
}

impl VolunteerPolicy {
    /// Is a package among those that the person lets this node take.
    pub(crate) fn takes(&self, package: &Package) -> bool {
        let manifest = &package.manifest;
        let listed = |list: &[String], on: &dyn Fn(&String) -> bool| list.is_empty() || list.iter().any(on);
        listed(&self.services, &|name| *name == manifest.name || *name == package.full_name())
            && listed(&self.publishers, &|peer| *peer == package.publisher.to_string())
            && listed(&self.tags, &|tag| manifest.tags.contains(tag))
    }

    /// Gas per second that the person grants.
    pub(crate) fn gas_per_second(&self) -> u64 {
        GAS_PER_CORE / 100 * u64::from(self.cpu.clamp(1, 100))
    }
}

impl Node {
    /// Gas per second that this node's person grants.
    pub(crate) fn capacity(&self) -> u64 {
        self.policy.as_ref().unwrap_or(&VolunteerPolicy::default()).gas_per_second()
    }

    /// Looks at the load, and sheds what will be too much.
    pub(crate) fn keep_balance(&mut self) {
        let now = self.cx.now;
        if self.balance.timeout().is_some_and(|at| at > now) {
            return;
        }
        let serves = self.hosted.values().any(|hosted| hosted.is_serving());
        let Some(at) = self.balance.at.filter(|_| serves) else {
            self.balance.at = serves.then_some(now);
            return;
        };
        self.balance.at = Some(now);
        let seconds = now.since(at).0 as f64 / 1000.0;
        let hosted = &self.hosted;
        self.balance.usage.retain(|service, _| hosted.contains_key(service));
        for (service, hosted) in &self.hosted {
            let waits = hosted.instance.as_ref().is_some_and(|instance| instance.backlog() > LONG_QUEUE);
            self.balance.usage.entry(*service).or_default().note(hosted.gas(), seconds, waits);
        }
        let capacity = self.capacity() as f64;
        let percent = |gas: f64| 100.0 * gas / capacity;
        let slow = self.balance.note_late(now.since(at + LOOK_EVERY));
        let rate: f64 = self.balance.usage.values().map(|usage| usage.rate).sum();
        let busy = if slow { 100 } else { (percent(rate) / 10.0).round().clamp(0.0, 10.0) as u8 * 10 };
        if busy != self.balance.busy {
            self.balance.busy = busy;
            self.cx.signal(crate::cx::Signal::HelloChanged);
        }
        let forecast: f64 = self.balance.usage.values().map(Usage::forecast).sum();
        // A node that was asleep itself knows nothing of what it could have done.
        let high = slow || percent(forecast) > HIGH && seconds < 3.0;
        self.balance.too_much = if high { self.balance.too_much + 1 } else { 0 };
        let cool = self.balance.shed_at.is_none_or(|at| now.since(at) >= COOL_DOWN);
        if self.balance.too_much >= CONFIRMED && cool && self.leaving.is_none() {
            self.shed(percent(forecast), slow);
        }
    }

    /// The heaviest service that fits elsewhere moves there.
    fn shed(&mut self, percent: f64, slow: bool) {
        let now = self.cx.now;
        let settled = |service: &ServiceId| {
            self.hosted.get(service).is_some_and(|hosted| {
                let since = hosted.serving_since().filter(|since| now.since(*since) >= COOL_DOWN);
                since.is_some() && hosted.source.is_none() && hosted.is_stateful()
            })
        };
        let mut heavy: Vec<(ServiceId, f64)> = self
            .balance
            .usage
            .iter()
            .filter(|(service, _)| settled(service))
            .map(|(service, usage)| (*service, usage.forecast()))
            .collect();
        heavy.sort_by(|one, other| other.1.total_cmp(&one.1));
        for (service, needs) in heavy {
            let Some(to) = self.roomiest(service, needs * HEADROOM) else { continue };
            self.balance.shed_at = Some(now);
            self.balance.too_much = 0;
            if let Some(hosted) = self.hosted.get(&service) {
                let service = hosted.name.clone();
                self.cx.event(Event::Shed {
                    service,
                    to: to.to_string(),
                    percent: percent.min(1000.0) as u32,
                    late_ms: if slow { self.balance.late as u32 } else { 0 },
                });
            }
            return self.hand_over(service, to, None);
        }
    }

    /// The volunteer with most to spare that may host the service, if it has `needs`.
    fn roomiest(&self, service: ServiceId, needs: f64) -> Option<PeerId> {
        let now = self.cx.now;
        let record = self.directory.index().service(service, now)?;
        let keeper = &self.hosted.get(&service)?.keeper;
        let spare = self.net.volunteers().filter(|(id, ..)| keeper.may_ask(now, id));
        let spare = spare.filter_map(|(id, _, hello)| {
            let spare = f64::from(hello.capacity) * 1e6 * (100.0 - f64::from(hello.busy.min(100))) / 100.0;
            (record.hosts_permit(&id) && spare >= needs).then_some((spare, id))
        });
        spare.max_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1))).map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_claims_most_room_and_refuses_is_not_asked_at_once_again() {
        use crate::handover::hostile_tests::{host, meets, offers, other, record, service};
        use crate::wire::Step;
        let (mut node, honest, record) = (host(), PeerId([8; 32]), record());
        assert!(node.directory.learn(&node.cx, &mut node.net, &record));
        for (peer, capacity) in [(other(), u32::MAX), (honest, 500)] {
            meets(&mut node, peer, capacity, &[]);
        }
        assert_eq!(node.roomiest(service(), 1e6), Some(other()));
        offers(&mut node);
        node.on_handover_step(other(), service(), 5, Step::Refuse { reason: String::new() });
        assert_eq!(node.roomiest(service(), 1e6), Some(honest));
    }

    fn after(samples: &[u64]) -> Usage {
        let mut usage = Usage::default();
        let mut total = 0;
        for gas in samples {
            total += gas;
            usage.note(total, 1.0, false);
        }
        usage
    }

    #[test]
    fn a_steady_load_is_foreseen_as_it_is() {
        let usage = after(&[900, 100, 100, 100, 100, 100, 100]);
        assert_eq!(usage.forecast().round(), 100.0, "what was burnt before it was looked at does not count");
    }

    #[test]
    fn a_rising_load_is_foreseen_before_it_is_there() {
        let usage = after(&[0, 100, 120, 140, 160, 180, 200]);
        assert!(usage.rate < 200.0 && usage.forecast() > 250.0, "{usage:?}");
    }

    #[test]
    fn alarms_that_keep_ringing_late_are_too_much_and_a_sleep_is_not() {
        let mut balance = Balance::default();
        assert!(!balance.note_late(Millis(700)), "once is nothing");
        assert!(balance.note_late(Millis(700)) && balance.note_late(Millis(700)));
        assert!(!balance.note_late(Millis::secs(40)), "asleep");
        assert!((0..100).all(|_| !balance.note_late(Millis(250))));
    }

    #[test]
    fn a_host_whose_alarms_ring_late_has_too_much_to_do() {
        let mut node = crate::handover::hostile_tests::host();
        for _ in 0..6 {
            node.cx.now = node.cx.now + Millis(1_800);
            node.keep_balance();
        }
        assert!(node.balance.too_much >= CONFIRMED && node.balance.busy == 100);
    }

    #[test]
    fn one_peak_is_forgotten() {
        let peak = after(&[0, 100, 100, 400]);
        let later = after(&[0, 100, 100, 400, 100, 100, 100, 100, 100, 100]);
        assert!(later.forecast() < peak.forecast() / 3.0, "{later:?}");
    }
}
