//! Which datagrams were seen: a window of 256 numbers per sender, so that a frame which two hosts forwarded during a
//! handover arrives once.

use std::collections::BTreeMap;

/// Numbers below the highest that are told apart.
const SPAN: u32 = 256;
/// Senders that are remembered.
const MAX_SENDERS: usize = 256;

/// The senders of one session's rooms.
#[derive(Debug, Default)]
pub struct Windows(BTreeMap<u32, Window>);

#[derive(Debug, Default)]
struct Window {
    highest: u32,
    /// Bit n: `highest - n` was seen.
    seen: [u64; 4],
}

impl Windows {
    /// Is this the first time that number `seq` of `sender` comes? What is older than the window counts as seen.
    pub fn admit(&mut self, sender: u32, seq: u32) -> bool {
        if self.0.len() >= MAX_SENDERS && !self.0.contains_key(&sender) {
            self.0.pop_first();
        }
        self.0.entry(sender).or_default().admit(seq)
    }
}

impl Window {
    fn admit(&mut self, seq: u32) -> bool {
        if seq > self.highest {
            self.shift(seq - self.highest);
            self.highest = seq;
        }
        let back = self.highest - seq;
        if back >= SPAN {
            return false;
        }
        let (word, bit) = ((back / 64) as usize, 1 << (back % 64));
        let first = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        first
    }

    fn shift(&mut self, by: u32) {
        if by >= SPAN {
            self.seen = [0; 4];
            return;
        }
        let (words, bits) = ((by / 64) as usize, by % 64);
        for at in (0..4_usize).rev() {
            let high = at.checked_sub(words).map_or(0, |from| self.seen[from] << bits);
            let low = match (bits, at.checked_sub(words + 1)) {
                (1.., Some(from)) => self.seen[from] >> (64 - bits),
                _ => 0,
            };
            self.seen[at] = high | low;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn each_number_of_the_window_is_admitted_once(steps in proptest::collection::vec((0..3u32, 0..600u32), 0..400)) {
            let mut windows = Windows::default();
            let mut seen: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
            for (sender, seq) in steps {
                let known = seen.entry(sender).or_default();
                let highest = known.last().copied().unwrap_or(0).max(seq);
                let expected = highest - seq < SPAN && !known.contains(&seq);
                prop_assert_eq!(windows.admit(sender, seq), expected);
                known.insert(seq);
            }
        }
    }

    #[test]
    fn senders_are_bounded_and_apart() {
        let mut windows = Windows::default();
        assert!((0..1000).all(|sender| windows.admit(sender, 7)));
        assert!(windows.0.len() <= MAX_SENDERS);
        assert!(!windows.admit(999, 7));
        assert!(windows.admit(999, u32::MAX) && !windows.admit(999, 8));
    }
}
