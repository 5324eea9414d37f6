//! A room's history.

use std::collections::VecDeque;

/// The most lines that a room remembers.
const MAX_LINES: usize = 100;
/// The most bytes that a room remembers: all rooms together fit in the manifest's memory.
const MAX_BYTES: usize = 32 * 1024;

/// What a room remembers.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// When somebody entered last, in ms since the Unix epoch.
    pub(crate) last_used: u64,
    lines: VecDeque<String>,
    bytes: usize,
}

impl Room {
    pub(crate) fn remember(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            self.bytes -= self.lines.pop_front().map_or(self.bytes, |old| old.len());
        }
    }

    /// The lines, oldest first.
    pub(crate) fn history(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_are_forgotten() {
        let mut room = Room::default();
        (0..MAX_LINES + 5).for_each(|n| room.remember(n.to_string()));
        assert_eq!((room.history().len(), room.history()[0].as_str()), (MAX_LINES, "5"));
        room.remember("x".repeat(MAX_BYTES));
        assert_eq!(room.history().len(), 1);
        room.remember("y".repeat(MAX_BYTES + 1));
        assert_eq!((room.history().len(), room.bytes), (0, 0));
    }
}
