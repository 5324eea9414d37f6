//! What a fetch knows of one provider: its standing, its window, its time-out.

use std::collections::BTreeMap;

use crate::time::{Millis, Time};

/// The first time-out of a request; doubled with each silence of the provider (guess).
pub(super) const FIRST_TIMEOUT: Millis = Millis(2_000);
/// The longest time-out.
pub(super) const LAST_TIMEOUT: Millis = Millis(30_000);
/// A window grows while answers take less than this: in flight is what the provider gives in this time.
const FULL_PIPE: Millis = Millis(250);
/// The most chunks in flight to one provider (1 MiB).
pub(super) const MAX_WINDOW: usize = 16;

#[derive(Debug)]
pub(super) struct Provider {
    pub(super) standing: Standing,
    /// When the list of chunks was asked for.
    pub(super) meta_asked: Option<Time>,
    /// When each chunk was asked for.
    pub(super) in_flight: BTreeMap<u32, Time>,
    pub(super) window: usize,
    pub(super) silences: usize,
    pub(super) timeout: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Usable,
    Missing,
    Late,
    Lied,
}

impl Provider {
    pub(super) fn new() -> Self {
        Self {
            standing: Standing::Usable,
            meta_asked: None,
            in_flight: BTreeMap::new(),
            window: 2,
            silences: 0,
            timeout: FIRST_TIMEOUT,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let asked = self.in_flight.values().copied().chain(self.meta_asked).min()?;
        Some(asked + self.timeout)
    }

    pub(super) fn on_answer(&mut self, took: Millis) {
        if took <= FULL_PIPE {
            self.window = (self.window + 1).min(MAX_WINDOW);
        } else {
            self.window = (self.window - 1).max(1);
        }
        self.timeout = Millis((took.0 * 3).clamp(FIRST_TIMEOUT.0, LAST_TIMEOUT.0));
    }
}
