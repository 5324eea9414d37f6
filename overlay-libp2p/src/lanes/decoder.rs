//! Cuts a stream of bytes into frames.

use overlay::io::MAX_FRAME;

/// Bytes read from a stream at a time unless a large frame is under way.
pub(super) const CHUNK: usize = 8 * 1024;
/// A frame's memory grows by this much as its bytes come, whatever length it announced.
const GROW: usize = 64 * 1024;

/// What a decoder finds.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Association(u64),
    Frame(Vec<u8>),
}

/// A frame is longer than allowed.
#[derive(Debug, PartialEq)]
pub(super) struct TooLong;

/// Cuts a stream of bytes into frames.
#[derive(Default)]
pub(super) struct Decoder {
    /// The association has been read.
    pub(super) association: bool,
    head: [u8; 8],
    have: usize,
    body: Vec<u8>,
    filled: usize,
    /// Length of the frame under way, once it is known.
    length: Option<usize>,
}

impl Decoder {
    pub(super) fn at_boundary(&self) -> bool {
        self.have == 0 && self.length.is_none()
    }

    /// Where the next bytes may go directly, while much of a large frame is missing.
    pub(super) fn target(&mut self) -> Option<&mut [u8]> {
        let missing = self.length? - self.filled;
        if missing <= CHUNK {
            return None;
        }
        let end = self.filled + missing.min(GROW);
        self.body.resize(end, 0);
        Some(&mut self.body[self.filled..])
    }

    /// `read` bytes were put into the target.
    pub(super) fn advance(&mut self, read: usize, out: &mut Vec<Step>) {
        self.filled += read;
        self.body.truncate(self.filled);
        self.finish(out);
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Step>) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if let Some(length) = self.length {
                let take = bytes.len().min(length - self.filled);
                self.body.truncate(self.filled);
                self.body.extend_from_slice(&bytes[..take]);
                self.filled += take;
                bytes = &bytes[take..];
                self.finish(out);
                continue;
            }
            let wanted = if self.association { 4 } else { 8 };
            let take = bytes.len().min(wanted - self.have);
            self.head[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            bytes = &bytes[take..];
            if self.have < wanted {
                break;
            }
            self.have = 0;
            if !self.association {
                self.association = true;
                out.push(Step::Association(u64::from_be_bytes(self.head)));
                continue;
            }
            let [a, b, c, d, ..] = self.head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > MAX_FRAME {
                return Err(TooLong);
            }
            self.length = Some(length);
            self.body = Vec::with_capacity(length.min(GROW));
            self.finish(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Step>) {
        if self.length == Some(self.filled) {
            out.push(Step::Frame(std::mem::take(&mut self.body)));
            self.length = None;
            self.filled = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = 9u64.to_be_bytes().to_vec();
        for frame in frames {
            bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            bytes.extend_from_slice(frame);
        }
        bytes
    }

    #[test]
    fn frames_are_cut_wherever_the_bytes_are_split() {
        let frames = vec![vec![1; 3], vec![], vec![2; 40_000], vec![3; MAX_FRAME], vec![4]];
        let bytes = encoded(&frames);
        let mut expected = vec![Step::Association(9)];
        expected.extend(frames.into_iter().map(Step::Frame));
        for split in [1, 7, 8, 4096, bytes.len()] {
            let (mut decoder, mut steps, mut at) = (Decoder::default(), Vec::new(), 0);
            while at < bytes.len() {
                let direct = match decoder.target() {
                    Some(target) => {
                        let take = target.len().min(split).min(bytes.len() - at);
                        target[..take].copy_from_slice(&bytes[at..at + take]);
                        Some(take)
                    }
                    None => None,
                };
                let take = direct.unwrap_or(split.min(CHUNK).min(bytes.len() - at));
                match direct {
                    Some(take) => decoder.advance(take, &mut steps),
                    None => assert_eq!(decoder.feed(&bytes[at..at + take], &mut steps), Ok(())),
                }
                at += take;
            }
            assert_eq!(steps, expected, "split at {split}");
            assert!(decoder.at_boundary());
        }
    }

    #[test]
    fn a_giant_length_is_refused_before_memory_is_taken() {
        let mut bytes = encoded(&[]);
        bytes.extend_from_slice(&(MAX_FRAME as u32 + 1).to_be_bytes());
        let mut decoder = Decoder::default();
        assert_eq!(decoder.feed(&bytes, &mut Vec::new()), Err(TooLong));
        assert_eq!(decoder.body.capacity(), 0);
    }
}
