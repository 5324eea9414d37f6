//! What one client of the gateway may use. A client is one IPv4 address, or the network that an IPv6 provider gives to
//! one customer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use governor::{DefaultKeyedRateLimiter, Quota};
use overlay::time::Millis;

use super::Client;
use crate::http::network;
use crate::metrics::Metrics;
use crate::problem::Problem;

/// The rate limiter forgets idle clients when it knows more than these.
const MANY_CLIENTS: usize = 4_096;

/// What one client may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls at once.
    pub calls: usize,
    /// Calls and new sessions a second; as many again may come in one burst.
    pub per_second: NonZeroU32,
    /// Sessions at once: WebSockets and streams of events.
    pub sessions: usize,
    /// Sessions of all clients.
    pub all_sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // A school has one address.
        let per_second = NonZeroU32::MIN.saturating_add(499);
        Self { calls: 256, per_second, sessions: 128, all_sessions: 1_024 }
    }
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// One call.
    Call,
    /// A session that stays open.
    Session,
}

/// All clients.
#[derive(Clone)]
pub struct Clients {
    limits: Limits,
    rate: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    uses: Arc<Mutex<HashMap<(IpAddr, Use), usize>>>,
    metrics: Metrics,
}

/// A use under way; it ends when this is dropped.
pub struct Permit {
    clients: Clients,
    key: (IpAddr, Use),
}

impl Clients {
    /// Nobody yet.
    pub fn new(limits: Limits, metrics: Metrics) -> Self {
        let quota = Quota::per_second(limits.per_second).allow_burst(limits.per_second.saturating_mul(TWO));
        Self { limits, rate: Arc::new(DefaultKeyedRateLimiter::keyed(quota)), uses: Arc::default(), metrics }
    }

    /// Lets a client in, or says how it has to wait.
    pub fn admit(&self, Client(address): Client, wanted: Use) -> Result<Permit, Problem> {
        let address = network(address);
        if self.rate.len() > MANY_CLIENTS {
            self.rate.retain_recent();
        }
        if self.rate.check_key(&address).is_err() {
            return Err(self.refuse("rate", "you call too often; slow down", Millis::secs(1)));
        }
        let key = (address, wanted);
        let mut uses = self.lock();
        let own = uses.get(&key).copied().unwrap_or_default();
        let all =
            || uses.iter().filter(|((_, each), _)| *each == wanted).map(|(_, count)| count).sum::<usize>();
        let full = match wanted {
            Use::Call => own >= self.limits.calls,
            Use::Session => own >= self.limits.sessions || all() >= self.limits.all_sessions,
        };
        if full {
            drop(uses);
            let detail = "too many of your calls or sessions are open; end one or wait";
            return Err(self.refuse("places", detail, Millis::secs(2)));
        }
        *uses.entry(key).or_default() += 1;
        if wanted == Use::Session {
            self.metrics.gateway_sessions.inc();
        }
        drop(uses);
        Ok(Permit { clients: self.clone(), key })
    }

    fn refuse(&self, reason: &'static str, detail: &'static str, after: Millis) -> Problem {
        self.metrics.refused(reason);
        tracing::debug!(reason, "a client was turned away");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail).retry_after(after)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(IpAddr, Use), usize>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut uses = self.clients.lock();
        if let Some(count) = uses.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                uses.remove(&self.key);
            }
        }
        if self.key.1 == Use::Session {
            self.clients.metrics.gateway_sessions.dec();
        }
    }
}

/// A burst is twice what a second allows.
const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn clients(calls: usize, per_second: u32) -> Clients {
        let per_second = NonZeroU32::new(per_second).unwrap();
        Clients::new(Limits { calls, per_second, sessions: 1, all_sessions: 2 }, Metrics::default())
    }

    fn client(last: u8) -> Client {
        Client(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn places_are_a_clients_own_and_come_back() {
        let clients = clients(2, 1_000);
        let held =
            [clients.admit(client(1), Use::Call).unwrap(), clients.admit(client(1), Use::Call).unwrap()];
        assert!(clients.admit(client(1), Use::Call).is_err());
        assert!(clients.admit(client(2), Use::Call).is_ok(), "another client");
        drop(held);
        assert!(clients.admit(client(1), Use::Call).is_ok());
        let _sessions = [1, 2].map(|n| clients.admit(client(n), Use::Session).unwrap());
        assert!(clients.admit(client(3), Use::Session).is_err(), "all places are taken");
        assert_eq!(clients.lock().len(), 2, "who uses nothing is forgotten");
    }

    #[test]
    fn who_calls_too_often_is_told_and_a_customer_of_ipv6_is_one_client() {
        let clients = clients(100, 2);
        let of = |text: &str| Client(text.parse().unwrap());
        for last in 1..=4 {
            assert!(clients.admit(of(&format!("2001:db8::{last}")), Use::Call).is_ok());
        }
        assert!(clients.admit(of("2001:db8::5"), Use::Call).is_err());
        assert!(clients.admit(of("2001:db8:0:1::5"), Use::Call).is_ok());
    }
}
