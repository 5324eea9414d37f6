//! What `/metrics` tells, in the text format of OpenMetrics.

use std::sync::Arc;
use std::time::Duration;

use overlay::io::Error;
use prometheus_client::encoding::{text, EncodeLabelSet};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{exponential_buckets, Histogram};
use prometheus_client::registry::Registry;

use crate::http::Counts;
use crate::node::Facts;

/// How calls through the gateway ended: `ok`, or the code of their error.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

/// Why the gateway turned a client away.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

/// What is counted as it happens. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    /// Sessions of HTTP clients that are open.
    pub gateway_sessions: Gauge,
    calls: Family<Ended, Counter>,
    seconds: Histogram,
    refused: Family<Refused, Counter>,
    registry: Arc<Registry>,
}

impl Default for Metrics {
    /// Nothing yet.
    fn default() -> Self {
        let (gateway_sessions, calls, refused) = (Gauge::default(), Family::default(), Family::default());
        // 1 ms to 65 s.
        let seconds = Histogram::new(exponential_buckets(0.001, 2.0, 17));
        let mut registry = Registry::with_prefix("tabfarm_gateway");
        registry.register("calls", "Calls through the gateway, by how they ended", calls.clone());
        registry.register("call_seconds", "How long they took", seconds.clone());
        registry.register("sessions", "Sessions of HTTP clients", gateway_sessions.clone());
        registry.register("refused", "Requests turned away, by reason", refused.clone());
        Self { gateway_sessions, calls, seconds, refused, registry: Arc::new(registry) }
    }
}

impl Metrics {
    /// A call ended.
    pub fn called(&self, took: Duration, error: Option<&Error>) {
        let outcome = error.map_or("ok", Error::code);
        self.calls.get_or_create(&Ended { outcome }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A client was turned away.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Refused { reason }).inc();
    }

    /// The text of `/metrics`.
    pub fn text(&self, facts: &Facts, http: Counts) -> Result<String, std::fmt::Error> {
        let mut now = Registry::with_prefix("tabfarm_relay");
        let gauges = [
            ("peers", "Connected peers", facts.peers),
            ("relays", "Other relays that are connected", facts.relays.len()),
            ("reservations", "Reservations held by tabs", facts.reservations),
            ("circuits", "Open circuits", facts.circuits),
            ("http_connections", "Open HTTP connections", http.open),
        ];
        for (name, help, value) in gauges {
            now.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
        }
        now.register("http_refused", "HTTP connections refused", ConstCounter::new(http.refused));
        now.register("http_evicted", "HTTP connections closed for others", ConstCounter::new(http.evicted));
        let mut out = String::new();
        text::encode_registry(&mut out, &now)?;
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_asks_for_what_is_told() {
        let metrics = Metrics::default();
        metrics.called(Duration::from_millis(3), None);
        metrics.refused("rate");
        let text = metrics.text(&Facts::default(), Counts::default()).unwrap();
        let told: Vec<&str> = text.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../deploy/dashboard.json")).unwrap();
        let mut asked = 0;
        for target in dashboard["panels"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|panel| panel["targets"].as_array().unwrap())
        {
            let expression = target["expr"].as_str().unwrap();
            let names = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for name in names.filter(|name| name.starts_with("tabfarm_")) {
                assert!(told.contains(&name), "{name} in {expression}");
                asked += 1;
            }
        }
        assert!(asked >= 12);
    }

    #[test]
    fn the_text_names_what_is_counted() {
        let metrics = Metrics::default();
        metrics.called(Duration::from_millis(3), None);
        metrics.called(Duration::from_millis(3), Some(&Error::Trapped("x".into())));
        metrics.refused("rate");
        let facts = Facts { peers: 4, ..Facts::default() };
        let text = metrics.text(&facts, Counts { open: 2, refused: 1, evicted: 0 }).unwrap();
        for line in [
            "# TYPE tabfarm_relay_peers gauge",
            "tabfarm_relay_peers 4",
            "tabfarm_relay_http_connections 2",
            "tabfarm_relay_http_refused_total 1",
            "tabfarm_gateway_calls_total{outcome=\"ok\"} 1",
            "tabfarm_gateway_calls_total{outcome=\"trapped\"} 1",
            "tabfarm_gateway_refused_total{reason=\"rate\"} 1",
            "tabfarm_gateway_call_seconds_count 2",
            "# EOF",
        ] {
            assert!(text.lines().any(|each| each == line), "{line} in\n{text}");
        }
    }
}
