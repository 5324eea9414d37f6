//! The receiving half's buffer: reassembles frames, holds what is unread.

use std::collections::VecDeque;

use crate::wire::{varint, Frame, WireError};

/// Longest frame body that is accepted. The specification's limit for the whole frame is the same number.
pub(super) const MAX_FRAME: usize = 16 * 1024;
/// Pieces shorter than this are joined, so that a peer that sends single bytes cannot make us hold a vector for each.
const JOIN_BELOW: usize = 1024;
/// Joined pieces grow up to this.
const JOIN_TO: usize = 16 * 1024;

/// Unread data, in the vectors in which it came.
#[derive(Default)]
pub(super) struct Unread {
    pieces: VecDeque<Piece>,
    len: usize,
}

struct Piece {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Unread {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes over `bytes[at..end]`.
    pub(super) fn push(&mut self, bytes: Vec<u8>, at: usize, end: usize) {
        let len = end - at;
        self.len += len;
        if len < JOIN_BELOW {
            if let Some(last) = self.pieces.back_mut() {
                if last.end - last.at + len <= JOIN_TO {
                    last.bytes.truncate(last.end);
                    last.bytes.extend_from_slice(&bytes[at..end]);
                    last.end = last.bytes.len();
                    return;
                }
            }
        }
        if len > 0 {
            self.pieces.push_back(Piece { bytes, at, end });
        }
    }

    /// Moves as much as possible to `buf`.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> usize {
        let mut read = 0;
        while let Some(piece) = self.pieces.front_mut() {
            let n = (piece.end - piece.at).min(buf.len() - read);
            buf[read..read + n].copy_from_slice(&piece.bytes[piece.at..piece.at + n]);
            piece.at += n;
            read += n;
            if piece.at < piece.end {
                break;
            }
            self.pieces.pop_front();
        }
        self.len -= read;
        read
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.len = 0;
    }
}

/// Bytes of a frame that has not come completely. Some implementations send the length as a message of its own.
#[derive(Default)]
pub(super) struct Partial(Vec<u8>);

/// A frame and, if it has data, where that is in the message.
pub(super) struct Received {
    pub(super) frame: Frame<'static>,
    pub(super) data: Option<(Vec<u8>, usize, usize)>,
}

impl Partial {
    /// Splits a message into frames. Nothing is copied if it holds exactly one.
    pub(super) fn frames(&mut self, message: Vec<u8>) -> Result<Vec<Received>, WireError> {
        let bytes = if self.0.is_empty() {
            message
        } else {
            let mut bytes = std::mem::take(&mut self.0);
            bytes.extend_from_slice(&message);
            bytes
        };
        let mut frames = Vec::with_capacity(1);
        let mut at = 0;
        while let Some((start, end)) = body(&bytes, at)? {
            let Frame { flag, data, credit } = Frame::decode(&bytes[start..end])?;
            let frame = Frame { flag, data: None, credit };
            let last = end == bytes.len();
            if let (Some(data), true, true) = (data, last, frames.is_empty()) {
                // The usual case: the vector becomes the unread piece.
                let offset = data.as_ptr() as usize - bytes.as_ptr() as usize;
                let range = (offset, offset + data.len());
                return Ok(vec![Received { frame, data: Some((bytes, range.0, range.1)) }]);
            }
            frames.push(Received { frame, data: data.map(|data| (data.to_vec(), 0, data.len())) });
            at = end;
        }
        self.0.extend_from_slice(&bytes[at..]);
        Ok(frames)
    }
}

/// Where the frame body that begins with its length at `at` is, if it is there completely.
fn body(bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>, WireError> {
    let Some((len, width)) = varint(&bytes[at..])? else { return Ok(None) };
    if len > MAX_FRAME as u64 {
        return Err(WireError::TooLong { len, max: MAX_FRAME });
    }
    let start = at + width;
    let end = start + len as usize;
    Ok((end <= bytes.len()).then_some((start, end)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            datas in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..20),
            cuts in prop::collection::vec(1usize..5000, 1..20),
        ) {
            let mut bytes = Vec::new();
            for data in &datas {
                Frame { data: Some(data), ..Frame::default() }.encode(&mut bytes);
            }
            let (mut partial, mut unread, mut cuts) = (Partial::default(), Unread::default(), cuts.into_iter().cycle());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (message, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                rest = tail;
                for received in partial.frames(message.to_vec()).unwrap() {
                    let (bytes, at, end) = received.data.unwrap();
                    unread.push(bytes, at, end);
                }
            }
            let expected = datas.concat();
            prop_assert_eq!(unread.len(), expected.len());
            let (mut got, mut buf) = (Vec::new(), [0; 777]);
            loop {
                let n = unread.read(&mut buf);
                if n == 0 { break }
                got.extend_from_slice(&buf[..n]);
            }
            prop_assert_eq!(got, expected);
            prop_assert_eq!(unread.len(), 0);
        }

        #[test]
        fn noise_is_refused_or_held_within_bounds(messages: Vec<Vec<u8>>) {
            let mut partial = Partial::default();
            for message in messages {
                if partial.frames(message).is_err() {
                    break;
                }
                prop_assert!(partial.0.len() <= MAX_FRAME + 10);
            }
        }
    }

    #[test]
    fn single_bytes_do_not_cost_a_vector_each() {
        let mut unread = Unread::default();
        for _ in 0..100_000 {
            unread.push(vec![7], 0, 1);
        }
        assert_eq!((unread.len(), unread.pieces.len()), (100_000, 7));
    }

    #[test]
    fn a_giant_frame_is_refused_by_its_length() {
        let mut message = Vec::new();
        crate::wire::put_varint(&mut message, MAX_FRAME as u64 + 1);
        let refused = WireError::TooLong { len: 16385, max: MAX_FRAME };
        assert_eq!(Partial::default().frames(message).err(), Some(refused));
    }
}
