//! The two protobuf messages of the specification, and the uvarint length before each.
//!
//! Both have the same shape, an optional enum (field 1) and an optional byte string (field 2), so one reader serves
//! both. Unknown fields are skipped, as protobuf asks; that is what lets [`Frame::credit`] ride along unseen by
//! implementations that do not know it.

use thiserror::Error;

/// Longest uvarint that is accepted: ten bytes hold any `u64`.
const MAX_VARINT: usize = 10;

/// Why bytes were refused. The sender broke the protocol; nothing is known about what it meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// A uvarint longer than ten bytes, or one that does not fit 64 bits.
    #[error("a number that does not fit 64 bits")]
    Varint,
    /// A field ends behind its message.
    #[error("a field that is longer than its message")]
    Truncated,
    /// A wire type that protobuf has dropped or never had.
    #[error("an unknown protobuf wire type")]
    WireType,
    /// A flag or message type outside its enum.
    #[error("an enum value outside its range")]
    Enum,
    /// A message longer than its bound.
    #[error("a message of {len} bytes where {max} are allowed")]
    TooLong {
        /// Length that was announced.
        len: u64,
        /// Length that is allowed.
        max: usize,
    },
    /// A string that is not UTF-8.
    #[error("a string that is not UTF-8")]
    Utf8,
}

/// What a frame may say beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// No more data will follow from the sender; answered with [`Flag::FinAck`].
    Fin,
    /// The sender drops everything that it still receives.
    StopSending,
    /// The sender gave the stream up; what it sent before may be dropped.
    Reset,
    /// The sender has seen our [`Flag::Fin`].
    FinAck,
}

impl Flag {
    fn from_number(n: u64) -> Result<Flag, WireError> {
        Ok(match n {
            0 => Flag::Fin,
            1 => Flag::StopSending,
            2 => Flag::Reset,
            3 => Flag::FinAck,
            _ => return Err(WireError::Enum),
        })
    }

    fn number(self) -> u8 {
        match self {
            Flag::Fin => 0,
            Flag::StopSending => 1,
            Flag::Reset => 2,
            Flag::FinAck => 3,
        }
    }
}

/// One message on a data channel, borrowed from the bytes that were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame<'a> {
    /// Field 1.
    pub flag: Option<Flag>,
    /// Field 2.
    pub data: Option<&'a [u8]>,
    /// Field 3, ours: the sender accepts data on this stream up to this many bytes since its start.
    pub credit: Option<u64>,
}

impl<'a> Frame<'a> {
    /// Reads a frame's body (without its length).
    pub fn decode(body: &'a [u8]) -> Result<Frame<'a>, WireError> {
        let mut frame = Frame::default();
        let mut rest = body;
        while !rest.is_empty() {
            match field(&mut rest)? {
                (1, Value::Number(n)) => frame.flag = Some(Flag::from_number(n)?),
                (2, Value::Bytes(bytes)) => frame.data = Some(bytes),
                (3, Value::Number(n)) => frame.credit = Some(n),
                _ => {}
            }
        }
        Ok(frame)
    }

    /// Appends the frame with its length to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut len = 0;
        if self.flag.is_some() {
            len += 2;
        }
        if let Some(credit) = self.credit {
            len += 1 + varint_len(credit);
        }
        if let Some(data) = self.data {
            len += 1 + varint_len(data.len() as u64) + data.len();
        }
        put_varint(out, len as u64);
        if let Some(flag) = self.flag {
            out.extend_from_slice(&[0x08, flag.number()]);
        }
        if let Some(credit) = self.credit {
            out.push(0x18);
            put_varint(out, credit);
        }
        if let Some(data) = self.data {
            out.push(0x12);
            put_varint(out, data.len() as u64);
            out.extend_from_slice(data);
        }
    }
}

/// Most bytes that [`Frame::encode`] adds to `data`: two lengths of up to 3 bytes, a tag, and a credit of up to 11.
pub const FRAME_OVERHEAD: usize = 3 + 1 + 3 + 1 + MAX_VARINT;

/// One message of the signalling protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The dialler's session description.
    Offer(String),
    /// The listener's.
    Answer(String),
    /// The JSON of `RTCIceCandidate.toJSON()`.
    Candidate(String),
}

impl Signal {
    /// Reads a signalling message's body (without its length). A missing type is an offer, a missing text empty.
    pub fn decode(body: &[u8]) -> Result<Signal, WireError> {
        let (mut kind, mut text) = (0, &[][..]);
        let mut rest = body;
        while !rest.is_empty() {
            match field(&mut rest)? {
                (1, Value::Number(n)) => kind = n,
                (2, Value::Bytes(bytes)) => text = bytes,
                _ => {}
            }
        }
        let text = std::str::from_utf8(text).map_err(|_| WireError::Utf8)?.to_owned();
        Ok(match kind {
            0 => Signal::Offer(text),
            1 => Signal::Answer(text),
            2 => Signal::Candidate(text),
            _ => return Err(WireError::Enum),
        })
    }

    /// Appends the message with its length to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, text) = match self {
            Signal::Offer(text) => (0, text),
            Signal::Answer(text) => (1, text),
            Signal::Candidate(text) => (2, text),
        };
        put_varint(out, (2 + 1 + varint_len(text.len() as u64) + text.len()) as u64);
        out.extend_from_slice(&[0x08, kind, 0x12]);
        put_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

/// Reads a uvarint from the front of `bytes`: its value and length, or `None` if more bytes are needed.
pub fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, WireError> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(MAX_VARINT).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == MAX_VARINT - 1 && bits > 1 {
            return Err(WireError::Varint);
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() >= MAX_VARINT {
        return Err(WireError::Varint);
    }
    Ok(None)
}

/// Appends `value` as a uvarint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length of `value` as a uvarint.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Skipped,
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>), WireError> {
    let tag = number(rest)?;
    let value = match tag & 7 {
        0 => Value::Number(number(rest)?),
        1 => take(rest, 8).map(|_| Value::Skipped)?,
        2 => {
            let len = number(rest)?;
            Value::Bytes(take(rest, usize::try_from(len).map_err(|_| WireError::Truncated)?)?)
        }
        5 => take(rest, 4).map(|_| Value::Skipped)?,
        _ => return Err(WireError::WireType),
    };
    Ok((tag >> 3, value))
}

fn number(rest: &mut &[u8]) -> Result<u64, WireError> {
    let (value, len) = varint(rest)?.ok_or(WireError::Truncated)?;
    *rest = &rest[len..];
    Ok(value)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], WireError> {
    if rest.len() < len {
        return Err(WireError::Truncated);
    }
    let (head, tail) = rest.split_at(len);
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(encoded: &[u8]) -> &[u8] {
        let (len, at) = varint(encoded).unwrap().unwrap();
        assert_eq!(len as usize, encoded.len() - at);
        &encoded[at..]
    }

    #[test]
    fn frames_are_what_other_implementations_send() {
        let mut out = Vec::new();
        Frame { data: Some(b"hi"), ..Frame::default() }.encode(&mut out);
        assert_eq!(out, [4, 0x12, 2, b'h', b'i']);
        out.clear();
        Frame { flag: Some(Flag::FinAck), ..Frame::default() }.encode(&mut out);
        assert_eq!(out, [2, 0x08, 3]);
    }

    #[test]
    fn a_missing_signal_type_is_an_offer() {
        assert_eq!(Signal::decode(&[0x12, 1, b'x']), Ok(Signal::Offer("x".into())));
        assert_eq!(Signal::decode(&[]), Ok(Signal::Offer(String::new())));
        assert_eq!(Signal::decode(&[0x08, 3]), Err(WireError::Enum));
        assert_eq!(Signal::decode(&[0x12, 1, 0xff]), Err(WireError::Utf8));
    }

    #[test]
    fn unknown_fields_are_skipped_and_short_ones_refused() {
        let frame = Frame::decode(&[0x2a, 1, 9, 0x31, 1, 2, 3, 4, 5, 6, 7, 8, 0x12, 1, 7]).unwrap();
        assert_eq!(frame, Frame { data: Some(&[7]), ..Frame::default() });
        assert_eq!(Frame::decode(&[0x12, 5, 0]), Err(WireError::Truncated));
        assert_eq!(Frame::decode(&[0x13]), Err(WireError::WireType));
        assert_eq!(Frame::decode(&[0x08, 9]), Err(WireError::Enum));
        assert_eq!(varint(&[0xff; 10]), Err(WireError::Varint));
    }

    proptest! {
        #[test]
        fn frames_round_trip(flag in 0u64..5, credit: Option<u64>, data: Option<Vec<u8>>) {
            let frame = Frame { flag: Flag::from_number(flag).ok(), credit, data: data.as_deref() };
            let mut out = Vec::new();
            frame.encode(&mut out);
            prop_assert!(out.len() <= data.as_ref().map_or(0, Vec::len) + FRAME_OVERHEAD);
            prop_assert_eq!(Frame::decode(body(&out)), Ok(frame));
        }

        #[test]
        fn signals_round_trip(kind in 0..3, text: String) {
            let signal = match kind { 0 => Signal::Offer(text), 1 => Signal::Answer(text), _ => Signal::Candidate(text) };
            let mut out = Vec::new();
            signal.encode(&mut out);
            prop_assert_eq!(Signal::decode(body(&out)), Ok(signal));
        }

        #[test]
        fn noise_never_panics(bytes: Vec<u8>) {
            let _ = Frame::decode(&bytes);
            let _ = Signal::decode(&bytes);
            let _ = varint(&bytes);
        }

        #[test]
        fn varints_round_trip(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(varint_len(value), out.len());
            prop_assert_eq!(varint(&out), Ok(Some((value, out.len()))));
            prop_assert_eq!(varint(&out[..out.len() - 1]), Ok(None));
        }
    }
}
