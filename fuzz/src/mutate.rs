//! Mutations that are the same in every run: what a test does where libFuzzer is not.

/// Numbers that look random and are not (xorshift64*, Marsaglia 2003 and Vigna 2016).
pub struct Numbers(u64);

impl Numbers {
    /// Which follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one, below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// Another version of `bytes`: some flipped, replaced, cut out, repeated or added.
pub fn mutated(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const TELLING: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    let mut out = bytes.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(out.len() + 1);
        let end = (at + 1 + numbers.below(8)).min(out.len());
        match numbers.below(6) {
            0 if at < out.len() => out[at] ^= 1 << numbers.below(8),
            1 if at < out.len() => out[at] = TELLING[numbers.below(TELLING.len())],
            2 if at < end => drop(out.drain(at..end)),
            3 if at < end => {
                let again = out[at..end].to_vec();
                out.splice(at..at, again);
            }
            4 => out.truncate(at),
            _ => out.insert(at, numbers.below(256) as u8),
        }
    }
    out
}
