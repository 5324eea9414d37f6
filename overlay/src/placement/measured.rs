//! What is known of the calls of one stateless service: what they take here and there, and how many there are.

use crate::session::client::Tally;
use crate::time::{Millis, Time};

/// The calls of so many seconds count, if they go on as now.
const AHEAD: f64 = 60.0;
/// Weight of the newest measurement of what a call takes.
const SMOOTHING: f64 = 0.4;
/// Weight of the newest second in the rate of calls: one burst is no habit.
const RATE_SMOOTHING: f64 = 1.0 / 30.0;
/// Calls here before they are compared with those there.
const ENOUGH_CALLS: u32 = 20;
/// Calls here must take longer than there by this factor, and by a ms, to go back.
const SLOWER: f64 = 1.25;
/// A manifest that could not be had, or other hosts, are asked for again after this.
const ASK_AGAIN: Millis = Millis::secs(10);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// At other peers.
    #[default]
    There,
    /// On its way here.
    Coming,
    /// Here, for this node's own calls.
    Here,
    /// Calls are back there; the copy goes when nobody uses it.
    Going,
}

/// What is known of one stateless service.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Measured {
    pub(super) place: Place,
    /// What a call takes, in ms.
    pub(super) here: Option<f64>,
    pub(super) there: Option<f64>,
    pub(super) here_calls: u32,
    /// Calls in a second.
    pub(super) rate: f64,
    pub(super) confirmed: u32,
    pub(super) used_at: Time,
    pub(super) not_before: Time,
    /// When its manifest, or its other hosts, were asked for.
    pub(super) asked_at: Option<Time>,
}

impl Measured {
    pub(super) fn note(&mut self, here: Tally, there: Tally, seconds: f64) {
        let smooth = |known: &mut Option<f64>, tally: Tally| {
            if tally.calls > 0 {
                let sample = tally.took.0 as f64 / f64::from(tally.calls);
                *known = Some(known.map_or(sample, |known| known + SMOOTHING * (sample - known)));
            }
        };
        smooth(&mut self.here, here);
        smooth(&mut self.there, there);
        self.here_calls = self.here_calls.saturating_add(here.calls);
        let calls = f64::from(here.calls.saturating_add(there.calls));
        self.rate += RATE_SMOOTHING * (calls / seconds.max(0.001) - self.rate);
    }

    /// What [`AHEAD`] would save, in ms; `way` is the round trip to the server.
    pub(super) fn saves(&self, way: f64) -> Option<f64> {
        let there = self.there?;
        let here = self.here.unwrap_or((there - way).max(0.0));
        Some(self.rate * AHEAD * (there - here))
    }

    /// Not all the time.
    pub(super) fn may_ask(&mut self, now: Time) -> bool {
        let may = self.asked_at.is_none_or(|at| now.since(at) >= ASK_AGAIN);
        self.asked_at = if may { Some(now) } else { self.asked_at };
        may
    }

    pub(super) fn is_slower_here(&self) -> bool {
        let slower = |here: f64, there: f64| here > there * SLOWER + 1.0;
        self.here_calls >= ENOUGH_CALLS
            && self.here.zip(self.there).is_some_and(|(here, there)| slower(here, there))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(calls: u32, each: u64) -> Tally {
        Tally { calls, took: Millis(each * u64::from(calls)) }
    }

    fn after(looks: &[(Tally, Tally)]) -> Measured {
        let mut known = Measured::default();
        looks.iter().for_each(|(here, there)| known.note(*here, *there, 1.0));
        known
    }

    #[test]
    fn what_a_minute_saves_grows_with_calls_and_the_way() {
        let some = after(&[(tally(0, 0), tally(10, 25)); 400]);
        let more = after(&[(tally(0, 0), tally(20, 25)); 400]);
        assert_eq!(some.saves(20.0).map(f64::round), Some(12_000.0), "10 a second, 60 seconds, 20 ms each");
        assert_eq!(more.saves(20.0).map(f64::round), Some(24_000.0));
        assert_eq!(some.saves(0.0), Some(0.0), "next door there is nothing to save");
        assert_eq!(after(&[(tally(0, 0), tally(0, 0))]).saves(20.0), None, "nothing was measured");
    }

    #[test]
    fn what_was_measured_here_counts_more_than_the_guess() {
        let known = after(&[(tally(0, 0), tally(10, 25)), (tally(10, 30), tally(0, 0))]);
        assert!(known.saves(20.0).is_some_and(|saved| saved < 0.0), "{known:?}");
    }

    #[test]
    fn slower_here_is_told_from_noise() {
        let there = (tally(0, 0), tally(50, 10));
        assert!(!after(&[there, (tally(10, 100), tally(0, 0))]).is_slower_here(), "too few calls");
        assert!(!after(&[there, (tally(50, 13), tally(0, 0))]).is_slower_here());
        assert!(after(&[there, (tally(50, 20), tally(0, 0))]).is_slower_here());
    }
}
