//! The control lane: greetings, queries, records, what is asked of members, rings.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{refuse, Step, WireError};
use crate::id::{Hash, PackageId, PeerId, ServiceId};
use crate::io::{Query, Role};
use crate::registry::Rating;

/// The most peers in one [`Control::Peers`].
pub const MAX_PEERS: usize = 32;
/// The most records in one message; a record has at most a few KiB.
pub const MAX_RECORDS: usize = 48;
/// The most entries of a digest in one message.
pub const MAX_DIGEST: usize = 4096;

/// The longest reason that a peer gives, in bytes.
pub const MAX_REASON: usize = 512;

/// Messages of the control lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Control {
    /// Who I am and what I take on; sent on connection and after a change.
    Hello(Hello),
    /// Which tabs are there?
    GetPeers,
    /// Tabs that the sender is connected to.
    Peers(Vec<PeerId>),
    /// Signed records for the receiver's index.
    Records(Vec<ByteBuf>),
    /// Search your index.
    Query {
        /// Echoed in the answer.
        id: u64,
        /// What for.
        query: Query,
    },
    /// The records that match a query.
    Found {
        /// From the query.
        id: u64,
        /// Signed records of services and hosts.
        records: Vec<ByteBuf>,
        /// How services among them are rated.
        ratings: Vec<(ServiceId, Rating)>,
    },
    /// Relay to relay: what I have.
    Digest(Vec<(Hash, u64)>),
    /// Relay to relay: send me these.
    Missing(Vec<Hash>),
    /// Send me this manifest.
    GetPackage(PackageId),
    /// A signed manifest.
    PackageIs {
        /// Canonical JSON; its digest is the package.
        manifest: ByteBuf,
        /// Of the publisher over the manifest.
        signature: ByteBuf,
    },
    /// I have no such package.
    NoPackage(PackageId),
    /// Are you there? Whoever hears nothing of a peer that it counts on asks.
    Ping,
    /// I am.
    Pong,
    /// My page ends or freezes at this moment.
    Bye,
    /// You sent me a message of a group that I am no member of.
    NoGroup(ServiceId),
    /// Member → leader: how far is the log committed?
    AskIndex {
        /// The service.
        service: ServiceId,
        /// Echoed in the answer.
        token: u64,
    },
    /// Leader → member: so far, and a majority confirmed that I lead.
    IndexIs {
        /// The service.
        service: ServiceId,
        /// From the question.
        token: u64,
        /// The index.
        index: u64,
    },
    /// To the members of a replicated group that is gone: what I have left of it.
    Recalled {
        /// The service.
        service: ServiceId,
        /// What.
        holding: Holding,
    },
    /// A step of a handover.
    Handover {
        /// The service that moves.
        service: ServiceId,
        /// Chosen by whoever began.
        id: u64,
        /// The step.
        step: Step,
    },
    /// Asks the receiver's person into a conference.
    Ring {
        /// Random; echoed in the answer.
        id: u64,
        /// Who asks, for people; at most 128 bytes.
        nick: String,
        /// Which conference; 1 to 512 bytes.
        conference: String,
    },
    /// The answer to a ring.
    PickUp {
        /// From the ring.
        id: u64,
        /// The answer.
        answer: Pickup,
    },
    /// The sender has stopped ringing.
    RingOver {
        /// From the ring.
        id: u64,
    },
    /// Whoever serves → publisher: your newer version runs here, or does not.
    Version {
        /// The service.
        service: ServiceId,
        /// The version.
        package: PackageId,
        /// Why not; at most [`MAX_REASON`] bytes.
        refused: Option<String>,
    },
}

/// How somebody answers a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pickup {
    /// Comes.
    Accepted,
    /// Does not come.
    Declined,
    /// Nobody was asked: too many rings.
    Busy,
}

/// A node's greeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Tab or relay.
    pub role: Role,
    /// A name for people; at most 64 bytes.
    pub name: String,
    /// Takes services.
    pub volunteer: bool,
    /// Would be a witness.
    pub witness: bool,
    /// Gas per second that it grants, in millions.
    pub capacity: u32,
    /// How much of that is used, in percent, roughly.
    pub busy: u8,
    /// What it hosts, `name@publisher`; at most 16.
    pub hosting: Vec<String>,
    /// Where it can be reached; at most 4.
    pub addresses: Vec<String>,
}

/// What a member has of a group that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The authority's epoch.
    pub epoch: u64,
    /// The term of the last entry.
    pub term: u64,
    /// Its index.
    pub index: u64,
    /// In memory, with a vote in the group; else on disk, by a member that has none any more.
    pub alive: bool,
}

impl Holding {
    /// Whose state is newer: raft's order of logs; of equals, who lives.
    pub fn order(&self) -> (u64, u64, u64, bool) {
        (self.epoch, self.term, self.index, self.alive)
    }
}

impl Control {
    /// The bounds of the lists that a peer sent.
    pub fn check(&self) -> Result<(), WireError> {
        match self {
            Control::Hello(hello) => {
                refuse("name", hello.name.len() > 64)?;
                refuse("hosting", hello.hosting.len() > 16 || hello.hosting.iter().any(|s| s.len() > 128))?;
                refuse(
                    "addresses",
                    hello.addresses.len() > 4 || hello.addresses.iter().any(|a| a.len() > 512),
                )
            }
            Control::Peers(peers) => refuse("peers", peers.len() > MAX_PEERS),
            Control::Records(records) => refuse("records", records.len() > MAX_RECORDS),
            Control::Found { records, ratings, .. } => {
                refuse("records", records.len() > MAX_RECORDS)?;
                refuse("ratings", ratings.len() > MAX_RECORDS)
            }
            Control::Digest(digest) => refuse("digest", digest.len() > MAX_DIGEST),
            Control::Missing(keys) => refuse("missing", keys.len() > MAX_DIGEST),
            Control::Query { query, .. } => {
                let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > 256);
                refuse("query", long(&query.name) || long(&query.text) || long(&query.tag))
            }
            Control::PackageIs { manifest, signature } => {
                refuse("manifest", manifest.len() > 64 * 1024)?;
                refuse("signature", signature.len() != 64)
            }
            Control::Handover { step, .. } => step.check(),
            Control::Ring { nick, conference, .. } => {
                refuse("nick", nick.len() > 4 * crate::registry::MAX_NICK)?;
                refuse("conference", conference.is_empty() || conference.len() > crate::rings::MAX_CONFERENCE)
            }
            Control::Version { refused, .. } => {
                refuse("refused", refused.as_ref().is_some_and(|reason| reason.len() > MAX_REASON))
            }
            Control::GetPeers
            | Control::GetPackage(_)
            | Control::NoPackage(_)
            | Control::NoGroup(_)
            | Control::AskIndex { .. }
            | Control::IndexIs { .. }
            | Control::Recalled { .. }
            | Control::Ping
            | Control::Pong
            | Control::Bye
            | Control::PickUp { .. }
            | Control::RingOver { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_refused() {
        let peers = Control::Peers(vec![PeerId([0; 32]); MAX_PEERS + 1]);
        assert_eq!(peers.check(), Err(WireError::TooLong("peers")));
    }

    #[test]
    fn rings_are_bounded() {
        let ring = |nick: &str, conference: &str| {
            Control::Ring { id: 1, nick: nick.to_owned(), conference: conference.to_owned() }.check()
        };
        assert_eq!(ring("Ann", "voice@x/tea"), Ok(()));
        assert_eq!(ring(&"n".repeat(129), "x"), Err(WireError::TooLong("nick")));
        assert_eq!(ring("Ann", ""), Err(WireError::TooLong("conference")));
        assert_eq!(ring("Ann", &"x".repeat(513)), Err(WireError::TooLong("conference")));
    }
}
