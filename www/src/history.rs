//! What was measured over the last minutes, by service: delay and rate of this tab's calls, load of what runs here, number of servers. Only
//! differences of counters that the peer keeps; where nothing was measured there is no point.

use std::collections::{BTreeSet, VecDeque};

use crate::model::{Calls, ServiceInfo, Status};

/// How often a sample is taken, in ms.
pub const EVERY_MS: u32 = 2_000;
/// Samples that are kept: five minutes.
pub const MAX_SAMPLES: usize = 150;
/// Services that are followed; what runs here and what is called comes first.
const MAX_SERVICES: usize = 32;

/// What was measured between two moments.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sample {
    /// The later one, in ms since 1970.
    pub at: f64,
    /// Mean time from a call to its reply; `None` where nothing was answered.
    pub delay_ms: Option<f64>,
    /// Calls of this tab, per second.
    pub calls: f64,
    /// Events and gas of this tab's instance, per second, where it runs here.
    pub load: Option<Load>,
    /// Tabs that serve it, as far as this tab knows.
    pub servers: usize,
}

/// What a service does in this tab, per second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Load {
    pub events: f64,
    pub gas: f64,
}

/// A service's samples, oldest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Series {
    pub service: String,
    pub samples: VecDeque<Sample>,
    calls: Calls,
    /// Events and gas until now, where it runs here.
    hosted: Option<(u64, u64)>,
}

/// All of them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History {
    series: Vec<Series>,
}

impl History {
    /// The services that are followed.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.series.iter().map(|series| series.service.as_str())
    }

    /// A service's samples.
    pub fn of(&self, service: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.service == service)
    }

    /// What a service does here now.
    pub fn load(&self, service: &str) -> Option<Load> {
        self.of(service)?.samples.back()?.load
    }

    /// Takes a sample of everything.
    pub fn take(&mut self, at: f64, me: &str, status: &Status, catalogue: &[ServiceInfo], calls: &[Calls]) {
        let known = known(status, catalogue, calls);
        self.series.retain(|series| known.contains(&series.service.as_str()));
        for service in known {
            if self.of(service).is_none() {
                self.series.push(Series { service: service.to_owned(), ..Series::default() });
            }
        }
        for series in &mut self.series {
            let counted =
                calls.iter().find(|calls| calls.service == series.service).cloned().unwrap_or_default();
            let servers = servers(&series.service, me, status, catalogue);
            series.take(at, status, counted, servers);
        }
    }
}

impl Series {
    fn take(&mut self, at: f64, status: &Status, counted: Calls, servers: usize) {
        let hosted = status
            .hosting
            .iter()
            .find(|hosted| hosted.service == self.service)
            .map(|hosted| (hosted.events, hosted.gas));
        if let Some(last) = self.samples.back().map(|sample| sample.at) {
            let seconds = ((at - last) / 1000.0).max(0.001);
            let called = counted.calls.saturating_sub(self.calls.calls);
            let answered = called.saturating_sub(counted.failed.saturating_sub(self.calls.failed));
            let delay_ms =
                (answered > 0).then(|| (counted.total_ms - self.calls.total_ms).max(0.0) / answered as f64);
            let load = hosted.map(|(events, gas)| {
                // A service that came back or moved here counts from where it is.
                let (before_events, before_gas) = self.hosted.unwrap_or((events, gas));
                Load {
                    events: events.saturating_sub(before_events) as f64 / seconds,
                    gas: gas.saturating_sub(before_gas) as f64 / seconds,
                }
            });
            self.samples.push_back(Sample { at, delay_ms, calls: called as f64 / seconds, load, servers });
        } else {
            self.samples.push_back(Sample {
                at,
                servers,
                load: hosted.map(|_| Load::default()),
                ..Sample::default()
            });
        }
        if self.samples.len() > MAX_SAMPLES {
            self.samples.pop_front();
        }
        (self.calls, self.hosted) = (counted, hosted);
    }
}

/// The services that are worth following, each once, the most relevant first.
fn known<'a>(status: &'a Status, catalogue: &'a [ServiceInfo], calls: &'a [Calls]) -> Vec<&'a str> {
    let here = status.hosting.iter().map(|hosted| hosted.service.as_str());
    let open = status.sessions.iter().map(|session| session.service.as_str());
    // The last call comes last.
    let called = calls.iter().rev().map(|calls| calls.service.as_str());
    let found = catalogue.iter().map(|service| service.id.as_str());
    let elsewhere = status.peers.iter().flat_map(|peer| peer.hosting.iter().map(String::as_str));
    let mut known: Vec<&str> = Vec::new();
    for service in here.chain(open).chain(called).chain(found).chain(elsewhere) {
        if known.len() == MAX_SERVICES {
            break;
        }
        if !known.contains(&service) {
            known.push(service);
        }
    }
    known
}

fn servers(service: &str, me: &str, status: &Status, catalogue: &[ServiceInfo]) -> usize {
    let mut servers: BTreeSet<&str> = BTreeSet::new();
    servers.extend(
        status
            .peers
            .iter()
            .filter(|peer| peer.hosting.iter().any(|each| each == service))
            .map(|peer| peer.id.as_str()),
    );
    servers.extend(
        catalogue
            .iter()
            .filter(|each| each.id == service)
            .flat_map(|each| each.hosts.iter().map(String::as_str)),
    );
    // What this tab does it knows best.
    servers.remove(me);
    if status.hosting.iter().any(|hosted| hosted.service == service && hosted.role == "leader") {
        servers.insert(me);
    }
    servers.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hosted;

    fn calls(calls: u64, failed: u64, total_ms: f64) -> Vec<Calls> {
        vec![Calls { service: "a@1".into(), calls, failed, total_ms }]
    }

    fn hosting(events: u64, gas: u64) -> Status {
        let hosted =
            Hosted { service: "a@1".into(), role: "leader".into(), events, gas, ..Hosted::default() };
        Status { hosting: vec![hosted], ..Status::default() }
    }

    #[test]
    fn samples_are_differences_of_counters() {
        let mut history = History::default();
        history.take(0.0, "me", &hosting(100, 1_000), &[], &calls(50, 0, 500.0));
        history.take(2_000.0, "me", &hosting(110, 3_000), &[], &calls(60, 2, 580.0));
        history.take(4_000.0, "me", &Status::default(), &[], &calls(60, 2, 580.0));
        let samples = history.of("a@1").map(|series| Vec::from(series.samples.clone()));
        let load = |events, gas| Some(Load { events, gas });
        assert_eq!(
            samples,
            Some(vec![
                Sample { at: 0.0, delay_ms: None, calls: 0.0, load: load(0.0, 0.0), servers: 1 },
                Sample {
                    at: 2_000.0,
                    delay_ms: Some(10.0),
                    calls: 5.0,
                    load: load(5.0, 1_000.0),
                    servers: 1
                },
                Sample { at: 4_000.0, delay_ms: None, calls: 0.0, load: None, servers: 0 },
            ])
        );
    }

    #[test]
    fn services_and_samples_are_bounded() {
        let services: Vec<_> = (0..100)
            .map(|n| ServiceInfo {
                id: format!("s{n}@1"),
                hosts: vec!["other".into()],
                ..ServiceInfo::default()
            })
            .collect();
        let mut history = History::default();
        for at in 0..200 {
            history.take(f64::from(at) * 2_000.0, "me", &hosting(0, 0), &services, &[]);
        }
        assert_eq!(history.services().count(), MAX_SERVICES);
        assert!(history.series.iter().all(|series| series.samples.len() == MAX_SAMPLES));
        assert_eq!(history.services().next(), Some("a@1"), "what runs here comes first");
        assert_eq!(history.load("a@1"), Some(Load::default()));
    }
}
