//! What the log of a service holds, and what an entry of it did.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::SessionKey;
use crate::id::PackageId;
use crate::time::Time;
use crate::wire::SessionInput;

/// Version of this machine's rules; a group runs the lowest of its members.
pub const MACHINE_VERSION: u16 = 1;

/// What the log of a service holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// An input of a session.
    Session {
        /// Whose.
        key: SessionKey,
        /// Its number in the session.
        seq: u64,
        /// The consumer has the outbox up to here.
        ack: u64,
        /// The input.
        input: SessionInput,
        /// The leader's clock.
        now: Time,
        /// The event's randomness.
        seed: u64,
    },
    /// The consumer has the outbox up to here.
    Ack {
        /// Whose.
        key: SessionKey,
        /// The last item that it has.
        ack: u64,
    },
    /// The consumer is gone for too long.
    Expire {
        /// Whose.
        key: SessionKey,
    },
    /// A timer is due; a no-op unless the table still holds this deadline.
    Timer {
        /// The timer.
        id: u32,
        /// The deadline that the leader saw.
        deadline: Time,
        /// The leader's clock.
        now: Time,
        /// The event's randomness.
        seed: u64,
    },
    /// From here on the module is another one.
    Upgrade {
        /// The new package.
        package: PackageId,
        /// The leader's clock.
        now: Time,
    },
    /// The entry at this index is not executed: it failed on two hosts.
    Skip {
        /// Its index.
        index: u64,
    },
    /// The machine's rules are those of this version from here on.
    MachineVersion(u16),
}

/// What an entry did that is not state: the instance takes it after each entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// Sessions whose outbox or executed cursor changed.
    pub touched: BTreeSet<SessionKey>,
    /// Sessions that are gone, or inputs of sessions that do not exist, and why.
    pub gone: Vec<(SessionKey, &'static str)>,
    /// What the module logged: level and text.
    pub logs: Vec<(u8, String)>,
    /// Gas burnt.
    pub gas: u64,
    /// Events run.
    pub events: u64,
    /// Traps.
    pub traps: u64,
    /// An upgrade, and how it ended.
    pub upgrade: Option<Upgraded>,
}

/// The end of an upgrade.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgraded {
    /// The package that ran before.
    pub from: PackageId,
    /// The new one.
    pub to: PackageId,
    /// Why the new one did not take the state over: the one before goes on, with the state that it had.
    pub refused: Option<String>,
}
