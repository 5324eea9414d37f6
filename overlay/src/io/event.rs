//! What people and programs are told without having asked.

use serde::{Deserialize, Serialize};

use super::SessionInfo;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// `joined` or the relays changed.
    Status,
    /// A peer came, went or changed.
    Peer {
        /// The peer.
        id: String,
        /// Is it connected now.
        connected: bool,
    },
    /// What is hosted here changed.
    Hosting {
        /// `name@publisher`.
        service: String,
    },
    /// A step of a handover in which this node takes part.
    Handover {
        /// `name@publisher`.
        service: String,
        /// From.
        from: String,
        /// To.
        to: String,
        /// `offer`, `seed`, `join`, `warm`, `take-over`, `release`, `done`, `aborted`.
        step: String,
        /// Why it was aborted, or empty.
        reason: String,
    },
    /// A service came back from a checkpoint: what happened since may be lost.
    Restored {
        /// `name@publisher`.
        service: String,
        /// When the checkpoint was taken, in ms since the Unix epoch.
        since: u64,
    },
    /// This node foresees more load than its person grants, or cannot keep up: a service moves.
    Shed {
        /// `name@publisher`.
        service: String,
        /// Who takes it.
        to: String,
        /// The load that is foreseen, in percent of what is granted.
        percent: u32,
        /// How late this node's alarms ring, in ms, when that is why; else 0.
        late_ms: u32,
    },
    /// A stateless service that this node calls runs here from now on, or not any more.
    Placed {
        /// `name@publisher`.
        service: String,
        /// Here, or at another peer.
        here: bool,
        /// What a call took here, in ms, as far as measured.
        here_ms: Option<f64>,
        /// What a call took at another peer, in ms, as far as measured.
        there_ms: Option<f64>,
        /// Calls in a second.
        rate: f64,
        /// What it costs to have it here, in ms.
        cost_ms: f64,
    },
    /// A session follows its service to another server.
    Moved(SessionInfo),
    /// A message for a session of this node.
    Message {
        /// The session's id in hex.
        session: String,
        /// The message.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// A datagram for a session of this node.
    Datagram {
        /// The session's id in hex.
        session: String,
        /// The datagram.
        #[serde(with = "serde_bytes")]
        body: Vec<u8>,
    },
    /// Something that a session sent without waiting for an answer was refused.
    SessionError {
        /// The session's id in hex.
        session: String,
        /// One of the codes of [`super::Error`].
        code: String,
        /// In words.
        message: String,
    },
    /// A session ended.
    Closed {
        /// The session's id in hex.
        session: String,
        /// Why, in words.
        reason: String,
    },
    /// A line that a hosted module logged.
    Log {
        /// `name@publisher`.
        service: String,
        /// 0 error … 3 debug.
        level: u8,
        /// The text; untrusted.
        text: String,
    },
    /// Somebody asks this node's person into a conference; answered by [`super::Command::PickUp`].
    Ring {
        /// Its number.
        ring: u64,
        /// The caller's peer id.
        from: String,
        /// The id's end, for people to compare.
        short: String,
        /// The caller's nick name; untrusted text.
        nick: String,
        /// Which conference; untrusted text.
        conference: String,
    },
    /// A ring ended unanswered.
    RingOver {
        /// Its number.
        ring: u64,
    },
    /// Something went wrong that no command's answer tells.
    Error {
        /// One of the codes of [`super::Error`].
        code: String,
        /// In words.
        message: String,
    },
}
