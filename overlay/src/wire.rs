//! Messages between nodes: a version byte, then postcard. Every decode is bounded by the frame that it came in.

use std::collections::BTreeMap;

use postcard::ser_flavors::{AllocVec, Flavor};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::{BlobId, Hash, PackageId, PeerId, ServiceId, SessionId};
use crate::io::{Lane, Query, Role, MAX_DATAGRAM_FRAME, MAX_FRAME};
use crate::registry::{Rating, Succession};
use crate::time::Millis;

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

/// The most peers in one [`Control::Peers`].
pub const MAX_PEERS: usize = 32;
/// The most records in one message; a record has at most a few KiB.
pub const MAX_RECORDS: usize = 48;
/// The most entries of a digest in one message.
pub const MAX_DIGEST: usize = 4096;

/// The most learners of a group (replication.md, The group).
pub const MAX_LEARNERS: usize = 2;

/// The most entries of a [`Step::TakeOver`].
pub const MAX_TAIL: usize = 4096;

/// The highest index, term and epoch at which a log may start: counting on from there never overflows.
const MAX_COUNT: u64 = 1 << 48;

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

/// A member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The peer.
    pub peer: PeerId,
    /// It holds no state.
    pub witness: bool,
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

/// Members by raft id. A raft id is a random number per incarnation.
pub type Members = BTreeMap<u64, Member>;

/// Where a group's log starts for a new member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStart {
    /// The authority's epoch.
    pub epoch: u64,
    /// Index of the last entry that the seed contains.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Who is in the group at that index.
    pub members: Members,
    /// Those of them that do not vote.
    pub learners: Vec<u64>,
}

/// The steps of a handover from S (source) to T (target) with W (witness); `docs/protocols/handover.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// T → S: let me serve it.
    Want,
    /// S → T: take it. Answered by `Ready` or `Refuse`.
    Offer {
        /// The publisher's record.
        record: ByteBuf,
        /// The signed manifest.
        manifest: ByteBuf,
        /// Its signature.
        signature: ByteBuf,
        /// How S came to serve.
        succession: Succession,
        /// Only be ready to serve: nobody needs T at this moment.
        standby: bool,
    },
    /// T → S: the package is prepared. W → S: I will vote. The number is the new raft id.
    Ready {
        /// Random, new with each handover.
        raft_id: u64,
    },
    /// S → W: be the third voter. Answered by `Ready` or `Refuse`.
    AskWitness {
        /// `name@publisher`, for people; at most 128 bytes.
        name: String,
    },
    /// S → T: fetch the state. Answered by `Seeded` or `Refuse`.
    Seed {
        /// The state image.
        image: BlobId,
        /// Its size in bytes.
        image_bytes: u64,
        /// The log after it.
        start: LogStart,
        /// S stopped serving; T founds `start.epoch` alone once it has the state.
        sealed: bool,
        /// How T comes to serve: S has signed it.
        succession: Succession,
        /// T becomes one of several replicas; S goes on serving.
        replica: bool,
    },
    /// S → W: where the log starts. Answered by `Seeded`.
    SeedWitness {
        /// The log's start.
        start: LogStart,
    },
    /// T or W → S: I hold the start.
    Seeded,
    /// S → T, a standby: my log ends at this index; go on after it, in the next epoch.
    TakeOver {
        /// The last index.
        index: u64,
        /// The entries before it that T has not acknowledged: index and payload, one after the other; empty when they are
        /// too large for a message.
        tail: Vec<(u64, ByteBuf)>,
    },
    /// S → T, who is a replica already: tell me when you are warm, you will serve next.
    AskWarm,
    /// T → S: I have executed up to here, in a configuration that names me.
    Warm {
        /// Index of the last executed entry.
        executed: u64,
        /// Index of the last applied configuration.
        configured: u64,
    },
    /// T → S, W: I serve alone in this epoch and term; you are out of the group.
    Release {
        /// The epoch.
        epoch: u64,
        /// The term.
        term: u64,
    },
    /// Either side: it does not happen.
    Refuse {
        /// Why, in words.
        reason: String,
    },
    /// S → T: not now; ask again.
    Busy {
        /// When, in ms from now.
        retry_ms: u32,
    },
}

/// A message of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupFrame {
    /// The group's service.
    pub service: ServiceId,
    /// The group's epoch.
    pub epoch: u64,
    /// What is said.
    pub body: GroupBody,
}

/// What a member says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GroupBody {
    /// An `eraftpb.Message`.
    Raft(ByteBuf),
    /// Leader → members: nothing happens; nobody ticks until something does.
    Rest {
        /// The leader's term.
        term: u64,
        /// The last index of its log.
        last: u64,
    },
}

/// Messages of the session lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionFrame {
    /// From a consumer.
    Client(ClientFrame),
    /// From a server.
    Server(ServerFrame),
    /// From a server that does not serve any more to the one that does: a late datagram of a consumer.
    Late {
        /// The consumer.
        consumer: PeerId,
        /// Its frame.
        frame: ClientFrame,
    },
}

impl SessionFrame {
    /// Where it goes: datagrams go on a lane of their own, on which nothing else may come.
    pub fn lane(&self) -> Lane {
        let datagram = match self {
            SessionFrame::Client(frame) => frame.is_datagram(),
            SessionFrame::Server(frame) => matches!(frame.body, ServerBody::Datagram { .. }),
            SessionFrame::Late { .. } => true,
        };
        if datagram {
            Lane::Datagram
        } else {
            Lane::Session
        }
    }

    /// A frame of the session or the datagram lane.
    pub fn decode(lane: Lane, frame: &[u8]) -> Result<Self, WireError> {
        if lane == Lane::Datagram && frame.len() > MAX_DATAGRAM_FRAME {
            return Err(WireError::TooLarge(frame.len()));
        }
        let message: Self = decode(frame)?;
        match &message {
            SessionFrame::Late { frame, .. } if !frame.is_datagram() => {
                Err(WireError::WrongLane(Lane::Session))
            }
            _ if message.lane() != lane => Err(WireError::WrongLane(message.lane())),
            _ => Ok(message),
        }
    }
}

/// Consumer → server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientFrame {
    /// The service.
    pub service: ServiceId,
    /// The session.
    pub session: SessionId,
    /// The consumer has everything up to this outbox sequence number.
    pub ack: u64,
    /// The frame itself.
    pub body: ClientBody,
}

impl ClientFrame {
    /// Lossy: nobody sends it again.
    pub fn is_datagram(&self) -> bool {
        matches!(self.body, ClientBody::Datagram { .. })
    }
}

/// What a consumer sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClientBody {
    /// An ordered input; the first (seq 1) is `Open`.
    Input {
        /// 1, 2, 3, …
        seq: u64,
        /// The input.
        input: SessionInput,
    },
    /// I am here (again): send what I have not acknowledged.
    Resume {
        /// Number of the first input that follows.
        next: u64,
    },
    /// Only the acknowledgement.
    Ack,
    /// A read-only call, outside the order.
    Query {
        /// Echoed in the answer.
        id: u64,
        /// The method.
        method: String,
        /// The body.
        body: ByteBuf,
        /// Any member that holds the state may answer; `None`: only who serves.
        reading: Option<Reading>,
    },
    /// Forward to the session's rooms.
    Datagram {
        /// Counts up in the session.
        seq: u32,
        /// At most 1,200 bytes.
        body: ByteBuf,
    },
}

/// What a read-only call may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// How old; zero: everything that was acknowledged before the call.
    pub max_age: Millis,
    /// Not before this index of the log, which the session has read already.
    pub seen: u64,
    /// After this input of the session.
    pub done: u64,
}

/// An ordered input of a session, as it is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionInput {
    /// Opens the session.
    Open,
    /// A call.
    Call {
        /// The method.
        method: String,
        /// The body.
        body: ByteBuf,
    },
    /// A message.
    Message(ByteBuf),
    /// Ends the session.
    Close,
}

impl SessionInput {
    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        match self {
            SessionInput::Open | SessionInput::Close => 0,
            SessionInput::Call { method, body } => method.len() + body.len(),
            SessionInput::Message(body) => body.len(),
        }
    }
}

/// Server → consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerFrame {
    /// The service.
    pub service: ServiceId,
    /// The session.
    pub session: SessionId,
    /// The authority's epoch.
    pub epoch: u64,
    /// The authority's term.
    pub term: u64,
    /// Inputs up to here are executed.
    pub ack: u64,
    /// The frame itself.
    pub body: ServerBody,
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ServerBody {
    /// Only the acknowledgement.
    Ack,
    /// The next item of the session's outbox.
    Out {
        /// 1, 2, 3, …
        seq: u64,
        /// The item.
        item: OutItem,
    },
    /// The answer to a query.
    Answer {
        /// From the query.
        id: u64,
        /// Its result.
        result: CallResult,
        /// Index of the last log entry that it read.
        index: u64,
        /// What it read is at most this old, in ms.
        age_ms: u32,
    },
    /// Connect to this peer as well: it will probably serve next.
    Prepare {
        /// The peer.
        next: PeerId,
    },
    /// Somebody else serves, or nobody is known to.
    Moved {
        /// Who.
        to: Option<PeerId>,
    },
    /// The session does not exist (any more).
    Gone {
        /// Why, in words.
        reason: String,
    },
    /// A datagram of a room.
    Datagram {
        /// The sender: the handle of its session.
        from: u32,
        /// Of the sender.
        seq: u32,
        /// The datagram.
        body: ByteBuf,
    },
    /// The service's manifest does not permit datagrams: one was dropped.
    NoDatagrams,
}

/// An item of a session's outbox, part of the replicated state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OutItem {
    /// The reply to the call with this input sequence number.
    Reply {
        /// The call's sequence number.
        to: u64,
        /// Its result.
        result: CallResult,
    },
    /// A message.
    Message(ByteBuf),
    /// The service ended the session; nothing follows.
    Closed {
        /// Why, in words.
        reason: String,
    },
}

impl OutItem {
    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        match self {
            OutItem::Reply { result, .. } => result.size(),
            OutItem::Message(body) => body.len(),
            OutItem::Closed { reason } => reason.len(),
        }
    }
}

/// How a call or query ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CallResult {
    /// The module replied.
    Ok(ByteBuf),
    /// The module refused the call; its own words.
    Failed(ByteBuf),
    /// The module trapped; the call had no effect.
    Trapped(String),
}

impl CallResult {
    fn size(&self) -> usize {
        match self {
            CallResult::Ok(body) | CallResult::Failed(body) => body.len(),
            CallResult::Trapped(reason) => reason.len(),
        }
    }
}

impl Control {
    /// The bounds of the lists that a peer sent.
    pub fn check(&self) -> Result<(), WireError> {
        let fits = |name, long: bool| if long { Err(WireError::TooLong(name)) } else { Ok(()) };
        match self {
            Control::Hello(hello) => {
                fits("name", hello.name.len() > 64)?;
                fits("hosting", hello.hosting.len() > 16 || hello.hosting.iter().any(|s| s.len() > 128))?;
                fits("addresses", hello.addresses.len() > 4 || hello.addresses.iter().any(|a| a.len() > 512))
            }
            Control::Peers(peers) => fits("peers", peers.len() > MAX_PEERS),
            Control::Records(records) => fits("records", records.len() > MAX_RECORDS),
            Control::Found { records, ratings, .. } => {
                fits("records", records.len() > MAX_RECORDS)?;
                fits("ratings", ratings.len() > MAX_RECORDS)
            }
            Control::Digest(digest) => fits("digest", digest.len() > MAX_DIGEST),
            Control::Missing(keys) => fits("missing", keys.len() > MAX_DIGEST),
            Control::Query { query, .. } => {
                let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > 256);
                fits("query", long(&query.name) || long(&query.text) || long(&query.tag))
            }
            Control::PackageIs { manifest, signature } => {
                fits("manifest", manifest.len() > 64 * 1024)?;
                fits("signature", signature.len() != 64)
            }
            Control::Handover { step, .. } => step.check(),
            Control::Ring { nick, conference, .. } => {
                fits("nick", nick.len() > 4 * crate::registry::MAX_NICK)?;
                fits("conference", conference.is_empty() || conference.len() > crate::rings::MAX_CONFERENCE)
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

impl Step {
    fn check(&self) -> Result<(), WireError> {
        let fits = |name, long: bool| if long { Err(WireError::TooLong(name)) } else { Ok(()) };
        match self {
            Step::Seed { start, succession, .. } => {
                fits("succession", !succession.is_bounded())?;
                Step::SeedWitness { start: start.clone() }.check()
            }
            Step::SeedWitness { start } => {
                let voters = start.members.keys().filter(|id| !start.learners.contains(id)).count();
                fits("members", voters == 0 || voters > 7)?;
                fits("learners", start.learners.len() > MAX_LEARNERS || start.members.len() > 9)?;
                fits("members", start.members.contains_key(&0) || start.index == 0 || start.term == 0)?;
                fits("log", start.index.max(start.term).max(start.epoch) > MAX_COUNT)
            }
            Step::TakeOver { index, tail } => {
                let follow = |tail: &[(u64, ByteBuf)]| {
                    tail.windows(2).all(|pair| pair[0].0.checked_add(1) == Some(pair[1].0))
                };
                fits("log", *index > MAX_COUNT)?;
                fits("tail", tail.len() > MAX_TAIL || !follow(tail))
            }
            Step::Refuse { reason } => fits("reason", reason.len() > 512),
            Step::AskWitness { name } => fits("name", name.len() > 128),
            Step::Ready { raft_id } => fits("raft id", *raft_id == 0),
            Step::Offer { manifest, signature, succession, .. } => {
                fits("manifest", manifest.len() > 64 * 1024 || signature.len() != 64)?;
                fits("succession", !succession.is_bounded())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn a_log_cannot_start_where_counting_overflows() {
        let members = Members::from([(1, Member { peer: PeerId([1; 32]), witness: false })]);
        let start = LogStart { epoch: 1, index: 5, term: 2, members, learners: Vec::new() };
        let check = |start: LogStart| {
            let step = Step::SeedWitness { start };
            Control::Handover { service: ServiceId(Hash([0; 32])), id: 1, step }.check()
        };
        assert_eq!(check(start.clone()), Ok(()));
        assert_eq!(check(LogStart { index: u64::MAX, ..start.clone() }), Err(WireError::TooLong("log")));
        assert_eq!(check(LogStart { term: u64::MAX, ..start.clone() }), Err(WireError::TooLong("log")));
        assert_eq!(check(LogStart { epoch: u64::MAX, ..start }), Err(WireError::TooLong("log")));
    }

    #[test]
    fn a_tail_whose_numbers_overflow_is_refused() {
        let tail = vec![(u64::MAX, ByteBuf::new()), (0, ByteBuf::new())];
        assert_eq!(Step::TakeOver { index: 5, tail }.check(), Err(WireError::TooLong("tail")));
    }

    #[test]
    fn the_longest_datagrams_fit_their_lane_and_nothing_else_may_come_on_it() {
        let (service, session) = (ServiceId(Hash([0xff; 32])), SessionId(u128::MAX));
        let client = |body| ClientFrame { service, session, ack: u64::MAX, body };
        let server =
            |body| ServerFrame { service, session, epoch: u64::MAX, term: u64::MAX, ack: u64::MAX, body };
        let body = || ByteBuf::from(vec![0xff; crate::io::MAX_DATAGRAM]);
        let datagram = client(ClientBody::Datagram { seq: u32::MAX, body: body() });
        let from = u32::MAX;
        for frame in [
            SessionFrame::Client(datagram.clone()),
            SessionFrame::Server(server(ServerBody::Datagram { from, seq: u32::MAX, body: body() })),
            SessionFrame::Late { consumer: PeerId([0xff; 32]), frame: datagram },
        ] {
            let bytes = encode(&frame);
            assert_eq!(
                SessionFrame::decode(Lane::Session, &bytes),
                Err(WireError::WrongLane(Lane::Datagram))
            );
            assert_eq!(SessionFrame::decode(Lane::Datagram, &bytes), Ok(frame));
        }
        for frame in [
            SessionFrame::Client(client(ClientBody::Ack)),
            SessionFrame::Server(server(ServerBody::NoDatagrams)),
            SessionFrame::Late { consumer: PeerId([1; 32]), frame: client(ClientBody::Ack) },
        ] {
            let refused = Err(WireError::WrongLane(Lane::Session));
            assert_eq!(SessionFrame::decode(Lane::Datagram, &encode(&frame)), refused);
        }
        let long = vec![WIRE_VERSION; MAX_DATAGRAM_FRAME + 1];
        assert_eq!(SessionFrame::decode(Lane::Datagram, &long), Err(WireError::TooLarge(long.len())));
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
