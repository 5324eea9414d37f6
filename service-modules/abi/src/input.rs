//! Layout of the input of events.

use alloc::vec::Vec;

use crate::limits::MAX_METHOD;

/// The input of a call or query: u16 little-endian length of the method's name, the name in UTF-8, the body. `None` if
/// the name is longer than [`MAX_METHOD`].
pub fn join_call(method: &str, body: &[u8]) -> Option<Vec<u8>> {
    if method.len() > MAX_METHOD {
        return None;
    }
    let mut input = Vec::with_capacity(2 + method.len() + body.len());
    input.extend_from_slice(&(method.len() as u16).to_le_bytes());
    input.extend_from_slice(method.as_bytes());
    input.extend_from_slice(body);
    Some(input)
}

/// Method and body of the input of a call or query; `None` if it is malformed.
pub fn split_call(input: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = input.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    if length > MAX_METHOD || length > rest.len() {
        return None;
    }
    let (method, body) = rest.split_at(length);
    Some((core::str::from_utf8(method).ok()?, body))
}

/// The input of a reply event: one byte, 0 for an answer and 1 for a failure, then the answer or the error's text.
pub fn join_reply(answer: Result<&[u8], &str>) -> Vec<u8> {
    let (status, body) = match answer {
        Ok(body) => (0, body),
        Err(text) => (1, text.as_bytes()),
    };
    let mut input = Vec::with_capacity(1 + body.len());
    input.push(status);
    input.extend_from_slice(body);
    input
}

/// The answer (`Ok`) or error text (`Err`) in the input of a reply event; an empty input is a failure without a text.
pub fn split_reply(input: &[u8]) -> Result<&[u8], &[u8]> {
    match input.split_first() {
        Some((0, body)) => Ok(body),
        Some((_, text)) => Err(text),
        None => Err(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_replies_round_trip() {
        for (method, body) in [("", &b""[..]), ("add", b"5"), ("größe", b"\0\xff")] {
            assert_eq!(join_call(method, body).as_deref().and_then(split_call), Some((method, body)));
        }
        assert_eq!(split_reply(&join_reply(Ok(b"yes"))), Ok(&b"yes"[..]));
        assert_eq!(split_reply(&join_reply(Err("no"))), Err(&b"no"[..]));
        assert_eq!(split_reply(b""), Err(&b""[..]));
    }

    #[test]
    fn malformed_calls_are_refused() {
        for input in [&b""[..], b"\x01", b"\x05\0add", b"\x02\0\xff\xfe", b"\xff\xff"] {
            assert_eq!(split_call(input), None, "{input:?}");
        }
        assert_eq!(join_call(core::str::from_utf8(&[b'm'; MAX_METHOD + 1]).unwrap_or(""), b""), None);
    }
}
