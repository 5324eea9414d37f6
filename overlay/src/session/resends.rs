//! How much a consumer may have sent to it anew. An outbox is sent again when its session resumes: after a lost connection, a
//! change of server, a gap. A consumer that asks for it again and again would use up what its service may send; so what is
//! sent anew has a bound for each consumer, and beyond that waits.

use std::collections::BTreeMap;

use crate::id::PeerId;
use crate::instance::machine::{SessionKey, MAX_OUTBOX_BYTES};
use crate::time::{Millis, Time};

/// Bytes that a consumer may have at once: a whole outbox (guess).
const BURST: i64 = MAX_OUTBOX_BYTES as i64;
/// Bytes of this that come back in a second: a small part of what a host grants by default (guess).
const PER_SECOND: i64 = 32 * 1024;
/// What an answer costs besides its items.
const ANSWER: i64 = 128;

/// What consumers had sent anew, and sessions that wait for it.
#[derive(Debug, Default)]
pub struct Resends {
    left: BTreeMap<PeerId, (i64, Time)>,
    waiting: BTreeMap<SessionKey, Time>,
}

impl Resends {
    /// May an outbox be sent to the consumer again: when, if not now.
    pub fn wait(&self, now: Time, consumer: PeerId) -> Option<Time> {
        let left = self.left_of(now, consumer);
        let missing = u64::try_from(1 - left).ok().filter(|missing| *missing > 0)?;
        Some(now + Millis((missing * 1000).div_ceil(PER_SECOND as u64)))
    }

    /// So many bytes were sent anew. A consumer may go over by one outbox, and waits the longer.
    pub fn charge(&mut self, now: Time, consumer: PeerId, bytes: usize) {
        let left = self.left_of(now, consumer) - ANSWER - bytes as i64;
        self.left.insert(consumer, (left, now));
    }

    /// A session waits until then. False when it does already.
    pub fn postpone(&mut self, session: SessionKey, until: Time) -> bool {
        self.waiting.insert(session, until).is_none()
    }

    /// Sessions that have waited long enough.
    pub fn due(&mut self, now: Time) -> Vec<SessionKey> {
        let due: Vec<SessionKey> =
            self.waiting.iter().filter(|(_, at)| **at <= now).map(|(session, _)| *session).collect();
        due.iter().for_each(|session| {
            self.waiting.remove(session);
        });
        due
    }

    /// When [`Resends::due`] has some.
    pub fn timeout(&self) -> Option<Time> {
        self.waiting.values().min().copied()
    }

    /// Forgets who has all of it again.
    pub fn sweep(&mut self, now: Time) {
        let full: Vec<PeerId> =
            self.left.keys().filter(|peer| self.left_of(now, **peer) >= BURST).copied().collect();
        full.iter().for_each(|peer| {
            self.left.remove(peer);
        });
    }

    fn left_of(&self, now: Time, consumer: PeerId) -> i64 {
        let (left, at) = self.left.get(&consumer).copied().unwrap_or((BURST, now));
        let back = i64::try_from(now.since(at).0).unwrap_or(i64::MAX).saturating_mul(PER_SECOND) / 1000;
        left.saturating_add(back).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    const NOW: Time = Time(1_000_000);
    const ONE: PeerId = PeerId([1; 32]);
    const OTHER: PeerId = PeerId([2; 32]);

    #[test]
    fn who_had_a_whole_outbox_waits_for_the_next_and_nobody_else_does() {
        let mut resends = Resends::default();
        assert_eq!(resends.wait(NOW, ONE), None);
        resends.charge(NOW, ONE, 2 * BURST as usize);
        let until = resends.wait(NOW, ONE).unwrap();
        assert_eq!(until.since(NOW).0 / 1000, (BURST / PER_SECOND) as u64);
        assert_eq!(resends.wait(NOW, OTHER), None);
        assert_eq!(resends.wait(until - Millis(1), ONE), Some(until));
        assert_eq!(resends.wait(until, ONE), None);
        resends.sweep(until + Millis::secs(3600));
        assert!(resends.left.is_empty(), "nothing is remembered of who has all of it again");
    }

    #[test]
    fn a_session_waits_once_and_is_served_once() {
        let mut resends = Resends::default();
        let session = (ONE, SessionId(1));
        assert!(resends.postpone(session, NOW + Millis(5)));
        assert!(!resends.postpone(session, NOW + Millis(5)));
        assert_eq!((resends.timeout(), resends.due(NOW)), (Some(NOW + Millis(5)), vec![]));
        assert_eq!((resends.due(NOW + Millis(5)), resends.timeout()), (vec![session], None));
    }
}
