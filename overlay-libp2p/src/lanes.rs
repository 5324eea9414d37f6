//! Lanes: the independent streams between two peers, over whatever connections they have.
//!
//! One pair of peers may have several connections at a time: a relayed one that is being replaced by WebRTC, or two
//! that crossed. The pair's frames nevertheless arrive in order and exactly once while the two stay connected:
//!
//! - Each side writes each lane to one stream of its own, opened on first use, and reads the lane from the stream that
//!   the other side opened. A stream starts with the writer's 8-byte association, then carries frames: `u32`
//!   big-endian length, body.
//! - All lanes are written to the best connection, direct before relayed. When a better one comes, the writer
//!   finishes the old stream, closes it and waits until the reader, having read everything, has closed it too; only
//!   then it opens the lane anew. So an upgrade loses nothing and reorders nothing.
//! - A connection that closes before its streams were finished may have lost frames. Then the pair reports
//!   [`Event::Disconnected`] and, if other connections are left, [`Event::Connected`] again.
//! - An association is drawn anew whenever the first connection of a pair comes up. A stream with another association
//!   than before shows that the other side has started afresh while a dead connection still seemed alive here: the
//!   pair is reset and the older connections are closed.
//! - A peer that refuses a lane, and has opened none itself, is not of the overlay: a plain libp2p node that uses this
//!   one as a relay or for the DHT. It is reported as disconnected and left alone; its connections stay.
//!
//! - The datagram lane is lossy. Where the platform has a way beside the streams ([`Datagrams`]), its frames take that; else
//!   its stream, before which few of them wait: the oldest are dropped.
//!
//! `behaviour` holds the pairs, `handler` the lanes of one connection (`upgrade` names them, `streams` moves their bytes,
//! `decoder` cuts them into frames), `shared` is what the two share: handlers take frames straight from the pair's queues
//! and put them straight into the inbox, without a hop over a channel.

mod behaviour;
mod datagrams;
mod decoder;
mod handler;
mod shared;
mod streams;
mod upgrade;

pub use behaviour::{Behaviour, Event, Limit};
pub use datagrams::Datagrams;
pub use handler::Handler;

use overlay::io::{MAX_DATAGRAM_FRAME, MAX_FRAME};

/// Bytes that may wait for one peer on one lane; more closes the connections to it.
pub const MAX_QUEUED: usize = 4 * 1024 * 1024;
/// Datagrams that may wait for one peer's stream, a second of voice: the oldest of more are dropped.
const MAX_DATAGRAMS: usize = 64;
/// Bytes of received frames that may wait for the driver, all peers together; more stops reading.
const MAX_INBOX: usize = 8 * 1024 * 1024;
/// Frames that are queued together are written together, up to about this many bytes.
const COALESCE: usize = 16 * 1024;
/// Bytes that one lane may read in one turn, so that no peer starves the others.
const READ_TURN: usize = 256 * 1024;
/// Associations remembered so that a late stream of a former life is not taken for a new one.
const MAX_RETIRED: usize = 4;

/// Index of a lane in arrays.
fn index(lane: overlay::io::Lane) -> usize {
    lane as usize
}

const _: () = assert!(MAX_FRAME < MAX_QUEUED && MAX_FRAME < MAX_INBOX);
const _: () = assert!(MAX_DATAGRAMS * MAX_DATAGRAM_FRAME < MAX_QUEUED);
