//! The application binary interface (version 1) between a service module and its host: what a module imports and
//! exports, how input is laid out, what the error codes mean, and how large things may be.
//!
//! A module is core wasm. Its whole state lies in linear memory, mutable globals, mutated tables and the kv store, and
//! every message boundary is a safe point to move it. Everything is synchronous; effects leave after `handle` returns.
//!
//! | module | holds |
//! |---|---|
//! | [`imports`] | the host functions with their signatures |
//! | [`limits`] | bounds that are part of the ABI version |
//! | [`input`] | layout of the input of calls and replies |
//! | [`report`] | what inspection finds in a module, as plain data for policies |

#![no_std]
#![warn(missing_docs)]

extern crate alloc;

pub mod imports;
pub mod input;
pub mod limits;
pub mod report;

/// The version of this interface; a manifest names it as `abi`.
pub const ABI_VERSION: u32 = 1;

/// The wasm module name of every import.
pub const IMPORT_MODULE: &str = "host";

/// The export that takes events: `handle(kind: i32, session: i32, len: i32) -> i32`; zero means success.
pub const HANDLE: &str = "handle";
/// The exported linear memory.
pub const MEMORY: &str = "memory";
/// An optional export without parameters and results, run once when an instance is created and never at a restore.
pub const INITIALIZE: &str = "_initialize";

/// First character of the names that the instrumenter adds; a module may not export such names itself.
pub const RESERVED: char = '$';

/// The kinds of event that `handle` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// A session opened.
    Open = 0,
    /// An ordered message of a session.
    Message = 1,
    /// A session closed.
    Close = 2,
    /// A call; input as in [`input::split_call`].
    Call = 3,
    /// A read-only call; what it writes is discarded.
    Query = 4,
    /// A timer fired; `session` is the timer's id.
    Timer = 5,
    /// The answer to an outgoing call; `session` is the request, input as in [`input::split_reply`].
    Reply = 6,
    /// The module was replaced by a newer version: memory is fresh, sessions and kv are kept.
    Upgrade = 7,
}

impl Kind {
    /// The kind of a number that `handle` got.
    pub const fn from_i32(kind: i32) -> Option<Self> {
        Some(match kind {
            0 => Kind::Open,
            1 => Kind::Message,
            2 => Kind::Close,
            3 => Kind::Call,
            4 => Kind::Query,
            5 => Kind::Timer,
            6 => Kind::Reply,
            7 => Kind::Upgrade,
            _ => return None,
        })
    }
}

/// Negative results of host functions. They depend on replicated state and on the arguments only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// No such session is open.
    NoSession = -1,
    /// The event has put out as much as its limit allows; nothing of this call was queued.
    OutputLimit = -2,
    /// The kv store would exceed its limit; it is unchanged.
    StorageLimit = -3,
    /// No such key.
    NotFound = -4,
    /// An argument is too long or malformed.
    Invalid = -5,
}

impl Code {
    /// The code of a host function's negative result.
    pub const fn from_i32(code: i32) -> Option<Self> {
        Some(match code {
            -1 => Code::NoSession,
            -2 => Code::OutputLimit,
            -3 => Code::StorageLimit,
            -4 => Code::NotFound,
            -5 => Code::Invalid,
            _ => return None,
        })
    }

    /// The code in words.
    pub const fn text(self) -> &'static str {
        match self {
            Code::NoSession => "no such session is open",
            Code::OutputLimit => "the event's output limit is reached",
            Code::StorageLimit => "the storage limit is reached",
            Code::NotFound => "no such key",
            Code::Invalid => "an argument is too long or malformed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree() {
        for number in 0..8 {
            assert_eq!(Kind::from_i32(number).map(|kind| kind as i32), Some(number));
        }
        assert_eq!((Kind::from_i32(8), Kind::from_i32(-1)), (None, None));
        for number in -5..0 {
            assert_eq!(Code::from_i32(number).map(|code| code as i32), Some(number));
        }
        assert_eq!((Code::from_i32(0), Code::from_i32(-6)), (None, None));
    }
}
