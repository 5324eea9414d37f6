//! The heads of a connection's requests: where they end, and which of them says two lengths.
//!
//! `Transfer-Encoding` beside `Content-Length` is how a request is smuggled past whoever stands in front and reads the other
//! one; a server may refuse it (RFC 9112, section 6.3). hyper reads it by its chunks and drops the length before anybody can
//! see it, so the bytes of heads are looked at on their way in.
//!
//! Heads are told from bodies by the bodies' lengths. Chunks are not followed: a connection ends with the answer to a request
//! that has some. Of what hyper refuses anyway nothing need be known: following ends there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

const LENGTH: &[u8] = b"content-length";
const CODING: &[u8] = b"transfer-encoding";
/// No request of a connection.
const NONE: u64 = u64::MAX;

/// The request of a connection that says two lengths, once it has come. There is one at most: its answer ends the connection.
#[derive(Clone)]
pub(super) struct Ambiguous(Arc<AtomicU64>);

impl Default for Ambiguous {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(NONE)))
    }
}

impl Ambiguous {
    /// Is it the one with this number? The first has 0. To be asked when the request's head has been read.
    pub fn is(&self, number: u64) -> bool {
        self.0.load(Ordering::Relaxed) == number
    }
}

/// Follows the requests of one connection.
#[derive(Default)]
pub(super) struct Heads {
    at: At,
    /// Requests whose heads are over.
    number: u64,
    head: Head,
    /// Which of them says both.
    pub ambiguous: Ambiguous,
}

/// Where in the bytes.
#[derive(Clone, Copy)]
enum At {
    /// In a line of a head, of which this is known.
    Head(Line),
    /// So many bytes before the end of a body.
    Body(u64),
    /// Where nothing more need be known.
    Past,
}

#[derive(Clone, Copy)]
enum Line {
    /// Nothing of it yet, but maybe its CR.
    Start,
    /// In a name that may become one of these two: so many bytes are right.
    Length(usize),
    Coding(usize),
    /// In the value of `Content-Length`.
    Value(Digits),
    /// In something else.
    Other,
}

/// A number as hyper reads it: digits, blanks around them.
#[derive(Clone, Copy)]
enum Digits {
    Before,
    In(u64),
    After(u64),
    Wrong,
}

/// What the head's lines have said.
#[derive(Default)]
struct Head {
    /// The request line is over.
    has_begun: bool,
    is_coded: bool,
    length: Option<Digits>,
}

impl Default for At {
    fn default() -> Self {
        At::Head(Line::Start)
    }
}

impl Heads {
    /// Is the first head over, or of no interest?
    pub fn has_first(&self) -> bool {
        self.number > 0 || matches!(self.at, At::Past)
    }

    /// Bytes have come.
    pub fn on_bytes(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            match self.at {
                At::Past => return,
                At::Body(left) => {
                    let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[skipped..];
                    let left = left - skipped as u64;
                    self.at = if left == 0 { At::default() } else { At::Body(left) };
                    continue;
                }
                At::Head(line) if *byte == b'\n' => self.on_line(line),
                At::Head(line) => self.at = At::Head(self.head.on_byte(line, *byte)),
            }
            bytes = rest;
        }
    }

    /// A line is over.
    fn on_line(&mut self, line: Line) {
        self.at = At::default();
        if !matches!(line, Line::Start) {
            return self.head.on_line(line);
        }
        // Empty lines before a request are none of it.
        if !self.head.has_begun {
            return;
        }
        let head = std::mem::take(&mut self.head);
        self.at = match (head.is_coded, head.length) {
            (false, None | Some(Digits::In(0) | Digits::After(0))) => At::default(),
            (false, Some(Digits::In(length) | Digits::After(length))) => At::Body(length),
            _ => At::Past,
        };
        if head.is_coded && head.length.is_some() {
            self.ambiguous.0.store(self.number, Ordering::Relaxed);
        }
        self.number += 1;
    }
}

impl Head {
    fn on_byte(&mut self, line: Line, byte: u8) -> Line {
        let is = |name: &[u8], at: usize| name.get(at) == Some(&byte.to_ascii_lowercase());
        match line {
            Line::Start if byte == b'\r' => Line::Start,
            // The request line has no name.
            Line::Start if !self.has_begun => Line::Other,
            Line::Start if is(LENGTH, 0) => Line::Length(1),
            Line::Start if is(CODING, 0) => Line::Coding(1),
            Line::Length(at) if is(LENGTH, at) => Line::Length(at + 1),
            Line::Coding(at) if is(CODING, at) => Line::Coding(at + 1),
            Line::Length(at) if at == LENGTH.len() && byte == b':' => Line::Value(Digits::Before),
            Line::Coding(at) if at == CODING.len() && byte == b':' => {
                self.is_coded = true;
                Line::Other
            }
            Line::Value(digits) => Line::Value(digits.on_byte(byte)),
            _ => Line::Other,
        }
    }

    fn on_line(&mut self, line: Line) {
        self.has_begun = true;
        let Line::Value(digits) = line else { return };
        self.length = Some(match (self.length, digits) {
            (None, first) => first,
            // The same once more.
            (Some(Digits::In(one) | Digits::After(one)), Digits::In(other) | Digits::After(other))
                if one == other =>
            {
                digits
            }
            _ => Digits::Wrong,
        });
    }
}

impl Digits {
    fn on_byte(self, byte: u8) -> Self {
        let appended = |number: u64| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        };
        match (self, byte) {
            // The CR before the line's end; anywhere else hyper refuses it.
            (_, b'\r') => self,
            (Digits::Before, b' ' | b'\t') => Digits::Before,
            (Digits::Before, _) => appended(0).map_or(Digits::Wrong, Digits::In),
            (Digits::In(number) | Digits::After(number), b' ' | b'\t') => Digits::After(number),
            (Digits::In(number), _) => appended(number).map_or(Digits::Wrong, Digits::In),
            (Digits::After(_) | Digits::Wrong, _) => Digits::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const BODY: &str = "POST /a:b HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:\t 007 \r\n\r\n";
    const BOTH: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";

    /// The request that is found, however the bytes are cut.
    fn found(text: &str) -> Option<u64> {
        let follow = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut heads = Heads::default();
            pieces.for_each(|piece| heads.on_bytes(piece));
            (0..4).find(|number| heads.ambiguous.is(*number))
        };
        let found = follow(&mut [text.as_bytes()].into_iter());
        for cut in 0..=text.len() {
            let (one, other) = text.as_bytes().split_at(cut);
            assert_eq!(follow(&mut [one, other].into_iter()), found, "{text:?} cut at {cut}");
        }
        assert_eq!(follow(&mut text.as_bytes().chunks(1)), found, "{text:?} byte by byte");
        found
    }

    #[test]
    fn a_request_that_says_both_is_found_wherever_it_stands() {
        assert_eq!(found(BOTH), Some(0));
        assert_eq!(found(&format!("{PLAIN}{BODY}1234567\r\n{BOTH}{PLAIN}")), Some(2));
        for fields in [
            "content-length: 3\r\ntransfer-encoding: chunked",
            "TRANSFER-ENCODING:chunked\r\nX: 1\r\nContent-Length:",
            "Transfer-Encoding: chunked\r\nContent-Length: nonsense",
            "Content-Length: 3\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(found(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n")), Some(0), "{fields}");
        }
    }

    #[test]
    fn no_body_and_no_other_request_is_taken_for_it() {
        let length = BOTH.len();
        let inside = format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{BOTH}");
        assert_eq!(found(&inside), None);
        assert_eq!(found(&format!("{inside}{BODY}1234567{PLAIN}")), None);
        // Chunks are not followed.
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(found(&format!("{chunked}0\r\n\r\n{BOTH}")), None);
        for fields in [
            "X-Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Content-Length-X: 3\r\nTransfer-Encoding: chunked",
            "X: Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer: 1\r\nContent: 2\r\nContent-Length: 0\r\ncontent-length: 0",
            // Refused by hyper, and so not followed.
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: 99999999999999999999999",
            "Content-Length: 3 3",
            "Content-Length: +3",
        ] {
            assert_eq!(found(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n")), None, "{fields}");
        }
    }
}
