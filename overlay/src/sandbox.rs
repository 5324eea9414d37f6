//! What the kernel asks of a sandbox and what the sandbox answers: plain data, no code.
//!
//! A sandbox prepares packages (inspect, instrument, compile), holds instances and runs one event at a time per
//! instance, in the order of the commands. Everything that decides an event's outcome is in the command, so two
//! sandboxes that ran the same events hold the same state.

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, PackageId, PeerId};
use crate::manifest::ExampleCall;

/// The kinds of event that a module's `handle` takes.
pub use service_abi::Kind as EventKind;

/// Limits that decide an event's outcome. They come from the manifest, never from the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most linear memory a module may have, in 64 KiB pages.
    pub memory_pages: u32,
    /// Gas that one event may burn.
    pub gas_per_event: u64,
    /// Depth of the call stack, in the instrumenter's units.
    pub stack_depth: u32,
    /// Bytes that one event may put out: reply, sends and broadcasts together.
    pub output_bytes: u32,
    /// Bytes that keys and values of the kv store may take together.
    pub kv_bytes: u64,
}

/// One event for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestEvent {
    /// What happened.
    pub kind: EventKind,
    /// Session handle, timer id or request id, by kind.
    pub session: u32,
    /// What `now()` returns during the event, in ms since the Unix epoch.
    pub now_ms: u64,
    /// Seed of what `random` returns during the event.
    pub seed: u64,
    /// The consumer of `session`, where there is one.
    pub consumer: Option<PeerId>,
    /// What `input(ptr)` copies to the guest.
    pub input: Vec<u8>,
}

/// What an event did besides changing the module's state, in the order in which the module did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Send bytes to one session.
    Send {
        /// Handle of the session.
        session: u32,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Close a session.
    Close {
        /// Handle of the session.
        session: u32,
    },
    /// Put a session into a room.
    Join {
        /// Handle of the session.
        session: u32,
        /// The room.
        room: u32,
    },
    /// Take a session out of a room.
    Leave {
        /// Handle of the session.
        session: u32,
        /// The room.
        room: u32,
    },
    /// Send bytes to each session of a room.
    Broadcast {
        /// The room.
        room: u32,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Fire a timer `ms` after the event's `now`; a negative value cancels it.
    Timer {
        /// The module's own id of the timer.
        id: u32,
        /// Milliseconds from the event's `now`, or negative.
        ms: i64,
    },
    /// Call another service; the answer arrives as an [`EventKind::Reply`] event.
    Call {
        /// The request's id, chosen by the sandbox in sequence.
        request: u32,
        /// The service's name.
        service: String,
        /// u16 LE method length, method, body.
        input: Vec<u8>,
    },
    /// A line for the log that the person who hosts or publishes sees.
    Log {
        /// 0 error, 1 warning, 2 information, 3 debug.
        level: u8,
        /// The text.
        text: String,
    },
}

/// How an event ended. Depends on the log alone, so it is the same on every replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// `handle` returned zero.
    Done {
        /// What the module passed to `reply`.
        #[serde(with = "serde_bytes")]
        reply: Vec<u8>,
        /// What else it did.
        effects: Vec<Effect>,
        /// Gas that it burnt.
        gas: u64,
    },
    /// `handle` returned non-zero: the call failed, the state changes and effects stand.
    Failed {
        /// The module's error text.
        #[serde(with = "serde_bytes")]
        reply: Vec<u8>,
        /// What else it did.
        effects: Vec<Effect>,
        /// Gas that it burnt.
        gas: u64,
    },
    /// The event trapped: the state is as before it, and it had no effects.
    Trapped {
        /// Why, in words: `out of gas`, `unreachable`, `stack too deep`, …
        reason: String,
    },
}

/// What the kernel asks of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxCommand {
    /// Inspect, instrument and compile a module. Answered by `Prepared` or `Refused`.
    Prepare {
        /// The package that holds the module.
        package: PackageId,
        /// The original module.
        module: Vec<u8>,
        /// The limits to instrument it with.
        limits: Limits,
        /// What its trial calls.
        examples: Vec<ExampleCall>,
    },
    /// Make an instance of a prepared package: fresh (runs `start` and `_initialize`) or from a snapshot (runs
    /// neither). Answered by `Created` or `Failed`.
    Create {
        /// The new instance's id; never used before.
        instance: InstanceId,
        /// A prepared package.
        package: PackageId,
        /// A state from `Snapshot`.
        restore: Option<Vec<u8>>,
    },
    /// Run one event. Answered by `Ran` or `Failed`. Commands for one instance run in order.
    Run {
        /// The instance.
        instance: InstanceId,
        /// Echoed in the answer.
        run: u64,
        /// The event.
        event: GuestEvent,
    },
    /// Take a snapshot after the commands before it. Answered by `Snapshot` or `Failed`.
    Snapshot {
        /// The instance.
        instance: InstanceId,
        /// Echoed in the answer.
        run: u64,
    },
    /// Replace the instance's module by another prepared package, keeping its kv store and its sessions; a fresh
    /// memory. The kernel then runs an [`EventKind::Upgrade`] event. Answered by `Created` or `Failed`.
    Upgrade {
        /// The instance.
        instance: InstanceId,
        /// A prepared package.
        package: PackageId,
    },
    /// Forget a prepared package that no instance uses; no answer.
    Release {
        /// The package.
        package: PackageId,
    },
    /// End an instance; no answer.
    Stop {
        /// The instance.
        instance: InstanceId,
    },
}

/// What the sandbox reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxEvent {
    /// The package can be instantiated.
    Prepared {
        /// The package.
        package: PackageId,
    },
    /// The package was refused before it ran.
    Refused {
        /// The package.
        package: PackageId,
        /// Why, in words for a person.
        reason: String,
    },
    /// The instance is ready.
    Created {
        /// The instance.
        instance: InstanceId,
    },
    /// An event ran.
    Ran {
        /// The instance.
        instance: InstanceId,
        /// From the command.
        run: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// A snapshot.
    Snapshot {
        /// The instance.
        instance: InstanceId,
        /// From the command.
        run: u64,
        /// Memory, globals, tables, sessions and kv; opaque, uncompressed.
        state: Vec<u8>,
    },
    /// The instance is gone for a reason that is the host's, not the log's: wall-clock kill, no memory, worker lost.
    Failed {
        /// The instance.
        instance: InstanceId,
        /// Why, in words.
        reason: String,
    },
}
