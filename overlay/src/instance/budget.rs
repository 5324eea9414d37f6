//! What this node grants a service in a second: gas, and bytes to its consumers.

use super::{Instance, Work};
use crate::sandbox::Outcome;
use crate::time::{Millis, Time};

/// Bytes above the share count up to what takes this long to earn: no consumer silences a service for longer by asking for
/// the same again and again.
pub(super) const MAX_DEBT: Millis = Millis::secs(60);

#[derive(Debug)]
pub(super) struct Budget {
    per_second: u64,
    left: i128,
    at: Time,
}

impl Budget {
    /// A new share. What was used above the one before counts.
    fn new(per_second: u64, before: Option<&mut Self>, now: Time) -> Self {
        let left = before.map(|before| {
            before.has_some(now);
            before.left
        });
        Self { per_second, left: left.unwrap_or(i128::MAX).min(per_second.into()), at: now }
    }

    /// Earns what the time since the last look is worth; is anything left?
    fn has_some(&mut self, now: Time) -> bool {
        let per_second = i128::from(self.per_second);
        let earned = per_second * i128::from(now.since(self.at).0) / 1000;
        self.left = (self.left + earned).min(per_second);
        self.at = now;
        self.left > 0
    }

    /// When something is left again.
    fn refilled_at(&self) -> Option<Time> {
        let missing = self.left.unsigned_abs() * 1000 / u128::from(self.per_second.max(1)) + 1;
        let wait = Millis(u64::try_from(missing).unwrap_or(1000).clamp(1, 1000));
        (self.left <= 0).then_some(self.at + wait)
    }
}

impl Instance {
    /// Limits the gas that this node spends on the service, and the bytes that it sends to its consumers, per second.
    /// Later, never other outcomes.
    pub fn limit(&mut self, now: Time, gas: Option<u64>, output: Option<u64>) {
        self.gas = gas.map(|per_second| Budget::new(per_second, self.gas.as_mut(), now));
        self.output = output.map(|per_second| Budget::new(per_second, self.output.as_mut(), now));
    }

    /// So many bytes were sent to consumers.
    pub fn sent(&mut self, bytes: usize) {
        if let Some(output) = &mut self.output {
            let most = i128::from(output.per_second) * i128::from(MAX_DEBT.0) / 1000;
            output.left = (output.left - bytes as i128).max(-most);
        }
    }

    /// May it send what can as well be lost?
    pub fn may_send(&mut self, now: Time) -> bool {
        self.output.as_mut().is_none_or(|output| output.has_some(now))
    }

    /// When the gas, and the bytes, of a new second are there for what waits.
    pub(super) fn refill(&self) -> Option<Time> {
        let waits = matches!(self.work, Work::Idle) && !self.has_nothing_to_do();
        let budgets = [&self.gas, &self.output].into_iter().flatten().filter(|_| waits);
        budgets.filter_map(Budget::refilled_at).max()
    }

    pub(super) fn is_within_limits(&mut self, now: Time) -> bool {
        let mut budgets = [&mut self.gas, &mut self.output].into_iter().flatten();
        budgets.all(|budget| budget.has_some(now))
    }

    pub(super) fn spend(&mut self, gas: u64) {
        if let Some(budget) = &mut self.gas {
            budget.left -= i128::from(gas);
        }
    }
}

pub(super) fn gas_of(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Done { gas, .. } | Outcome::Failed { gas, .. } => *gas,
        // A trap does not say how much it burnt: all of it, so that no module gets around a person's limit by trapping.
        Outcome::Trapped { .. } => crate::manifest::GAS_PER_EVENT,
    }
}
