//! What one connection is doing, and of how little use that is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A client that has taken nothing of its answer for this long may lose its place.
const BLOCKED: Duration = Duration::from_secs(2);
/// An answer that has taken this long may lose its place: the app's largest file at 64 KiB a second.
const LONG: Duration = Duration::from_secs(30);

/// What one connection is doing.
#[derive(Clone, Default)]
pub(crate) struct Activity(Arc<Mutex<Doing>>);

struct Doing {
    /// Requests whose answers are being made or sent.
    answering: usize,
    /// Those of them whose bodies are still to come.
    asking: usize,
    /// Bytes wait for the client.
    unsent: bool,
    /// The client has taken nothing since.
    blocked: Option<Instant>,
    /// When it began to do what it does.
    since: Instant,
}

impl Default for Doing {
    fn default() -> Self {
        Self { answering: 0, asking: 0, unsent: false, blocked: None, since: Instant::now() }
    }
}

/// In which order connections go: the smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// It asks nothing.
    Idle(Instant),
    /// It has not asked all of it.
    Asking(Instant),
    /// It does not take its answer.
    Blocked(Instant),
    /// It has been at one answer for long.
    Long(Instant),
}

impl Activity {
    /// A request has come; it is being answered until the returned guard goes.
    pub fn answer(&self) -> Answering {
        let mut doing = self.lock();
        doing.answering += 1;
        doing.since = Instant::now();
        Answering(self.clone())
    }

    /// A request has a body that is still to come, until the returned guard goes.
    pub fn ask(&self) -> Asking {
        self.lock().asking += 1;
        Asking(self.clone())
    }

    /// Bytes wait for the client, who takes none.
    pub fn on_blocked(&self) {
        let mut doing = self.lock();
        doing.unsent = true;
        doing.blocked.get_or_insert_with(Instant::now);
    }

    /// The client has taken some.
    pub fn on_taken(&self) {
        let mut doing = self.lock();
        doing.unsent = true;
        doing.blocked = None;
    }

    /// The client has taken all.
    pub fn on_flushed(&self) {
        let mut doing = self.lock();
        doing.blocked = None;
        if std::mem::take(&mut doing.unsent) && doing.answering == 0 {
            doing.since = Instant::now();
        }
    }

    /// Of what little use the connection is; `None` while it is of use.
    pub(super) fn least_use(&self, now: Instant) -> Option<Use> {
        let doing = self.lock();
        let past = |at: Instant, time| now.saturating_duration_since(at) >= time;
        if doing.answering == 0 && !doing.unsent {
            Some(Use::Idle(doing.since))
        } else if let Some(at) = doing.blocked.filter(|at| past(*at, BLOCKED)) {
            Some(Use::Blocked(at))
        } else if doing.asking > 0 {
            Some(Use::Asking(doing.since))
        } else {
            past(doing.since, LONG).then_some(Use::Long(doing.since))
        }
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request is being answered while this lives.
pub(super) struct Answering(Activity);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut doing = self.0.lock();
        doing.answering -= 1;
        doing.since = Instant::now();
    }
}

/// A request's body is coming while this lives.
pub(super) struct Asking(Activity);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.lock().asking -= 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_read_goes_before_one_that_reads_slowly() {
        let (slow, deaf) = (Activity::default(), Activity::default());
        let _answers = (slow.answer(), deaf.answer());
        slow.on_taken();
        deaf.on_blocked();
        let now = Instant::now();
        assert_eq!((slow.least_use(now), deaf.least_use(now)), (None, None));
        let later = now + LONG;
        assert!(deaf.least_use(later).unwrap() < slow.least_use(later).unwrap());
        deaf.on_taken();
        assert_eq!(deaf.least_use(now + BLOCKED), None);
    }

    #[test]
    fn a_request_whose_body_does_not_come_goes_before_one_that_is_whole() {
        let (whole, half) = (Activity::default(), Activity::default());
        let _answers = (whole.answer(), half.answer());
        let body = half.ask();
        let now = Instant::now();
        assert_eq!(whole.least_use(now), None);
        assert!(matches!(half.least_use(now), Some(Use::Asking(_))));
        drop(body);
        assert_eq!(half.least_use(now), None);
    }
}
