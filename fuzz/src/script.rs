//! Bytes as a script: each choice takes a few of them, and the script ends with them.

/// What is left of a script.
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// A script of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of `count` things, at most 256.
    pub fn pick(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    /// The next `count` bytes, or what is left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number near `about`, at an end of the range, or any.
    pub fn number(&mut self, about: u64) -> u64 {
        let how = self.byte();
        match how {
            0..=127 => about.wrapping_add(u64::from(how)).wrapping_sub(64),
            128..=191 => u64::from(how - 128),
            192..=223 => u64::MAX - u64::from(how - 192),
            _ => {
                let mut eight = [0; 8];
                let taken = self.bytes(8);
                eight[..taken.len()].copy_from_slice(taken);
                u64::from_le_bytes(eight)
            }
        }
    }
}
