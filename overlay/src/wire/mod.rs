//! Messages between nodes: a version byte, then postcard. Every decode is bounded by the frame that it came in.
//!
//! | file | messages |
//! |---|---|
//! | this one | frames of all lanes: [`encode`], [`decode`] |
//! | `control` | the control lane: greetings, queries, records, rings |
//! | `handover` | the steps of a handover, on the control lane |
//! | `group` | the group lane; who is in a group |
//! | `session` | the session and the datagram lane |

mod control;
mod group;
mod handover;
mod session;

use postcard::ser_flavors::{AllocVec, Flavor};
use serde::de::DeserializeOwned;
use serde::Serialize;

use crate::io::{Lane, MAX_FRAME};

pub use control::{Control, Hello, Holding, Pickup, MAX_DIGEST, MAX_PEERS, MAX_REASON, MAX_RECORDS};
pub use group::{GroupBody, GroupFrame, LogStart, Member, Members, MAX_LEARNERS};
pub use handover::{Step, MAX_TAIL};
pub use session::{
    CallResult, ClientBody, ClientFrame, OutItem, Reading, ServerBody, ServerFrame, SessionFrame,
    SessionInput,
};

/// The version of every message on every lane. A node refuses frames of another version by name.
pub const WIRE_VERSION: u8 = 1;

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No version byte.
    #[error("the frame is empty")]
    Empty,
    /// More than [`MAX_FRAME`] bytes.
    #[error("the frame has {0} bytes, more than {MAX_FRAME}")]
    TooLarge(usize),
    /// Another version of the protocol.
    #[error("the frame has version {0}, not {WIRE_VERSION}")]
    Version(u8),
    /// Not a message.
    #[error("the frame is malformed")]
    Malformed,
    /// Bytes after the message.
    #[error("the frame has {0} bytes too many")]
    Trailing(usize),
    /// A list is longer than its bound.
    #[error("the list {0} is too long")]
    TooLong(&'static str),
    /// An ordered message on the datagram lane, or a datagram on an ordered one.
    #[error("the message belongs on {}", .0.protocol())]
    WrongLane(Lane),
}

/// A message as a frame.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Serialising plain data into memory fails only on types that postcard cannot express; ours are tested.
    match versioned(WIRE_VERSION, message) {
        Ok(frame) => frame,
        Err(error) => unreachable!("a message type that postcard cannot express: {error}"),
    }
}

/// A message behind a byte that says its version. Not by `postcard::to_extend`, which copies chunks of state byte by byte.
pub(crate) fn versioned<T: Serialize>(version: u8, message: &T) -> postcard::Result<Vec<u8>> {
    let mut frame = AllocVec::new();
    frame.try_push(version)?;
    postcard::serialize_with_flavor(message, frame)
}

/// A frame as a message.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> Result<T, WireError> {
    if frame.len() > MAX_FRAME {
        return Err(WireError::TooLarge(frame.len()));
    }
    decode_unbounded(frame)
}

/// Like [`decode`], for bytes whose size was bounded by other means (a state image).
pub(crate) fn decode_unbounded<T: DeserializeOwned>(frame: &[u8]) -> Result<T, WireError> {
    match frame.split_first() {
        None => Err(WireError::Empty),
        Some((&WIRE_VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((message, [])) => Ok(message),
            Ok((_, rest)) => Err(WireError::Trailing(rest.len())),
            Err(_) => Err(WireError::Malformed),
        },
        Some((&version, _)) => Err(WireError::Version(version)),
    }
}

/// Refuses what is out of its bounds.
fn refuse(what: &'static str, out_of_bounds: bool) -> Result<(), WireError> {
    if out_of_bounds {
        Err(WireError::TooLong(what))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Hash, PackageId};
    use proptest::prelude::*;

    #[test]
    fn frames_of_another_kind_are_refused_by_name() {
        let frame = encode(&Control::NoPackage(PackageId(Hash([1; 32]))));
        assert_eq!(decode::<Control>(&[]), Err(WireError::Empty));
        assert_eq!(decode::<Control>(&[9, 0]), Err(WireError::Version(9)));
        assert_eq!(decode::<Control>(&vec![1; MAX_FRAME + 1]), Err(WireError::TooLarge(MAX_FRAME + 1)));
        assert_eq!(decode::<Control>(&frame[..9]), Err(WireError::Malformed));
        let mut long = frame.clone();
        long.push(0);
        assert_eq!(decode::<Control>(&long), Err(WireError::Trailing(1)));
        assert_eq!(decode::<Control>(&frame), Ok(Control::NoPackage(PackageId(Hash([1; 32])))));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Some(first) = bytes.first_mut() { *first = WIRE_VERSION; }
            let _ = decode::<Control>(&bytes).map(|control| control.check());
            let _ = decode::<SessionFrame>(&bytes);
            let _ = decode::<GroupFrame>(&bytes);
        }
    }
}
