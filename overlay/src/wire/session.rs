//! The session and the datagram lane.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{decode, WireError};
use crate::id::{PeerId, ServiceId, SessionId};
use crate::io::{Lane, MAX_DATAGRAM_FRAME};
use crate::time::Millis;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Hash;
    use crate::wire::{encode, WIRE_VERSION};

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
}
