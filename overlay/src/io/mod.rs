//! The kernel's two sides as data: what a driver puts in, what it takes out.
//!
//! | file | holds |
//! |---|---|
//! | this one | [`Input`] and [`Output`], lanes and their limits, the DHT, what a node is made with |
//! | `command` | what a person or program asks for: [`Command`], its [`Answer`], its [`Error`] |
//! | `event` | what they are told without asking: [`Event`] |
//! | `info` | services, peers, sessions and the node as they see them: [`Status`] and its parts |

mod command;
mod event;
mod info;

use serde::{Deserialize, Serialize};

use crate::id::{Hash, PeerId, RequestId};
use crate::sandbox::{SandboxCommand, SandboxEvent};
use crate::time::Time;

pub use command::{Answer, Command, Error, Query, VolunteerPolicy};
pub use event::Event;
pub use info::{
    ExternalInfo, ExternalMethod, HandoverReport, HostedInfo, LeftInfo, NickInfo, PeerInfo, RatingInfo,
    ServiceInfo, SessionInfo, Status,
};

/// The most bytes of one frame on any lane; a driver closes a stream that announces a larger one.
pub const MAX_FRAME: usize = 320 * 1024;
/// The most bytes of a call's, a reply's or a message's body.
pub const MAX_BODY: usize = 256 * 1024;
/// The most bytes of a datagram's body: fits an IP packet behind the headers of SCTP, DTLS and a tunnel.
pub const MAX_DATAGRAM: usize = 1200;
/// The most bytes of a frame of the datagram lane: a datagram behind the longest header.
pub const MAX_DATAGRAM_FRAME: usize = MAX_DATAGRAM + 160;

/// The independent lanes between two peers. A driver keeps one stream per lane and peer pair, opened on first use;
/// frames of one lane arrive in order and once while the two stay connected. Those of [`Lane::Datagram`] alone may be
/// lost, overtaken and late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Greetings, queries, records, handover: `/tabfarm/control/1`.
    Control,
    /// Frames of sessions: `/tabfarm/session/1`.
    Session,
    /// Raft messages: `/tabfarm/group/1`.
    Group,
    /// Chunks: `/tabfarm/bulk/1`.
    Bulk,
    /// Datagrams of sessions, each of at most [`MAX_DATAGRAM_FRAME`] bytes: `/tabfarm/datagram/1`.
    Datagram,
}

impl Lane {
    /// All lanes.
    pub const ALL: [Lane; 5] = [Lane::Control, Lane::Session, Lane::Group, Lane::Bulk, Lane::Datagram];

    /// The stream protocol's name.
    pub const fn protocol(self) -> &'static str {
        match self {
            Lane::Control => "/tabfarm/control/1",
            Lane::Session => "/tabfarm/session/1",
            Lane::Group => "/tabfarm/group/1",
            Lane::Bulk => "/tabfarm/bulk/1",
            Lane::Datagram => "/tabfarm/datagram/1",
        }
    }
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// WebRTC between tabs, or a socket to a native node.
    Direct,
    /// Through a relay's circuit: slow and limited.
    Relayed,
}

/// What a driver tells the kernel.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The time of `poll_timeout` has come; spurious and late wakes are harmless.
    Wake,
    /// A person or program asks for something; answered by exactly one [`Output::Answer`] with the same id.
    Command(RequestId, Command),
    /// A peer is connected, or its path changed.
    Connected {
        /// The authenticated peer.
        peer: PeerId,
        /// How it is reached now.
        path: Path,
    },
    /// The last connection to a peer closed. Frames in flight both ways may be lost.
    Disconnected {
        /// The peer.
        peer: PeerId,
    },
    /// A [`Output::Dial`] failed.
    DialFailed {
        /// The peer.
        peer: PeerId,
    },
    /// A frame came.
    Received {
        /// The authenticated sender.
        peer: PeerId,
        /// Its lane.
        lane: Lane,
        /// At most [`MAX_FRAME`] bytes.
        frame: Vec<u8>,
    },
    /// A round trip was measured by libp2p's ping.
    Rtt {
        /// The peer.
        peer: PeerId,
        /// Microseconds.
        micros: u64,
    },
    /// The addresses under which others reach this node changed (a reservation came or went).
    Addresses(Vec<String>),
    /// The DHT answered.
    Dht(DhtEvent),
    /// The sandbox reports.
    Sandbox(SandboxEvent),
    /// What an [`Output::Store`] with `flush` asked for is on disk, or could not be put there.
    Stored {
        /// Its key.
        key: String,
        /// It is on disk.
        done: bool,
    },
}

/// What the kernel asks of its driver. Drained fully after each input.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a frame to a connected peer. A driver whose queue for the peer and lane is full (4 MiB) closes the
    /// connection and reports `Disconnected`; of the datagram lane it drops frames instead.
    Send {
        /// A connected peer.
        peer: PeerId,
        /// The lane.
        lane: Lane,
        /// At most [`MAX_FRAME`] bytes.
        frame: Vec<u8>,
    },
    /// Connect to a peer. Answered by `Connected` or `DialFailed`.
    Dial {
        /// The peer.
        peer: PeerId,
        /// Addresses that somebody claims for it (at most 8); the driver adds what it knows itself.
        hints: Vec<String>,
    },
    /// Close the connections to a peer.
    Hangup {
        /// The peer.
        peer: PeerId,
    },
    /// Ask the DHT.
    Dht(DhtCommand),
    /// Ask the sandbox.
    Sandbox(SandboxCommand),
    /// Keep a value on disk for later runs of this node, or forget it. What is kept goes to [`Command::Recall`].
    Store {
        /// Of at most 128 characters.
        key: String,
        /// `None` forgets.
        value: Option<Vec<u8>>,
        /// Put it on the medium itself, and say so with [`Input::Stored`]: somebody waits for it.
        flush: bool,
    },
    /// The answer to a command.
    Answer {
        /// The command's id.
        request: RequestId,
        /// What came of it.
        result: Result<Answer, Error>,
    },
    /// Something happened that a person or program may want to know.
    Event(Event),
}

/// What the kernel asks of the DHT. Keys are 32-byte hashes; a driver gives up after 10 s and reports what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtCommand {
    /// Store a record (validated by each node with [`crate::registry::validate`]).
    Put {
        /// Where.
        key: Hash,
        /// An encoded record.
        value: Vec<u8>,
        /// After which nodes forget it.
        expires: Time,
    },
    /// Fetch the best record; answered by [`DhtEvent::Got`].
    Get {
        /// Where.
        key: Hash,
    },
    /// Announce this node as a provider of a key.
    Provide {
        /// The key.
        key: Hash,
    },
    /// Stop announcing.
    Unprovide {
        /// The key.
        key: Hash,
    },
    /// Find up to 20 providers; answered by [`DhtEvent::Providers`].
    FindProviders {
        /// The key.
        key: Hash,
    },
}

/// What the DHT answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhtEvent {
    /// End of a `Get`: every distinct valid value that was found (at most 20), empty when none or in time-out.
    Got {
        /// The key.
        key: Hash,
        /// Encoded records, not yet trusted by the kernel.
        values: Vec<Vec<u8>>,
    },
    /// End of a `FindProviders`.
    Providers {
        /// The key.
        key: Hash,
        /// Claimed providers, at most 20.
        peers: Vec<PeerId>,
    },
}

/// Which kind of node this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A browser tab.
    Tab,
    /// A native node with a public address.
    Relay,
}

/// What a node is made with.
#[derive(Clone)]
pub struct Config {
    /// The secret ed25519 key.
    pub secret_key: [u8; 32],
    /// The kind of node.
    pub role: Role,
    /// A name that its person chose; at most 64 bytes are used.
    pub name: String,
    /// The seed of every random choice.
    pub seed: [u8; 32],
}
