//! What the behaviour and the handlers of a pair's connections share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use libp2p::swarm::ConnectionId;
use overlay::id::PeerId;
use overlay::io::Lane;

use super::{index, MAX_DATAGRAMS, MAX_INBOX, MAX_QUEUED, MAX_RETIRED};

/// One pair of peers, this node and `peer`, across all their connections.
pub(super) struct Pair {
    /// The other side.
    pub peer: PeerId,
    /// Names this life of the pair on the wire.
    pub association: u64,
    state: Mutex<PairState>,
}

/// The pair's queues and who serves them.
#[derive(Default)]
pub(super) struct PairState {
    /// The connection that lanes are written to.
    pub sending: Option<ConnectionId>,
    out: [LaneOut; Lane::ALL.len()],
    /// The other side refused a lane and has not opened one itself: it is not of the overlay. Nothing is sent to it.
    pub foreign: bool,
    /// Which connection's stream a lane is being read from.
    pub reading: [Option<ConnectionId>; Lane::ALL.len()],
    remote: Option<u64>,
    retired: VecDeque<u64>,
    wakers: Vec<(ConnectionId, Waker)>,
}

/// Frames of one lane that wait to be written.
#[derive(Default)]
struct LaneOut {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The connection that has a stream for this lane which is not finished.
    writer: Option<ConnectionId>,
}

/// The send queue is full.
#[derive(Debug)]
pub(super) struct Overflow;

/// What a newly opened stream of the other side is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The lane's next stream.
    Read,
    /// The other side has lost what it wrote before: read, and reset the pair.
    Reset,
    /// A stream of a former life: drop it.
    Stale,
}

impl Pair {
    pub fn new(peer: PeerId, association: u64) -> Arc<Self> {
        Arc::new(Self { peer, association, state: Mutex::default() })
    }

    /// Locks the state. A panic elsewhere leaves it usable: every change to it is complete in itself.
    pub fn lock(&self) -> MutexGuard<'_, PairState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PairState {
    /// Queues a frame and wakes the connection that writes.
    pub fn push(&mut self, lane: Lane, frame: Vec<u8>) -> Result<(), Overflow> {
        if self.foreign {
            return Ok(());
        }
        let out = &mut self.out[index(lane)];
        if lane == Lane::Datagram && out.queue.len() >= MAX_DATAGRAMS {
            out.bytes -= out.queue.pop_front().map_or(0, |oldest| oldest.len());
        }
        if out.bytes + frame.len() > MAX_QUEUED {
            return Err(Overflow);
        }
        out.bytes += frame.len();
        out.queue.push_back(frame);
        if let Some(writer) = out.writer.or(self.sending) {
            self.wake(writer);
        }
        Ok(())
    }

    /// Claims the lane for `connection` if it has something to write there and may.
    pub fn claim(&mut self, lane: Lane, connection: ConnectionId) -> bool {
        let out = &mut self.out[index(lane)];
        let may = self.sending == Some(connection) && out.writer.is_none() && !out.queue.is_empty();
        if may {
            out.writer = Some(connection);
        }
        may
    }

    /// A stream that this side opened on `connection` has failed. True if the other side has never spoken on any lane:
    /// then it is not of the overlay, and its connections are none of the lanes' business.
    pub fn refused(&mut self, lane: Lane, connection: ConnectionId) -> bool {
        if self.remote.is_some() {
            return false;
        }
        let out = &mut self.out[index(lane)];
        if out.writer == Some(connection) {
            out.writer = None;
        }
        self.foreign = true;
        self.clear();
        true
    }

    /// Is `connection` still the lane's writer (it is not after a reset)?
    pub fn writes(&self, lane: Lane, connection: ConnectionId) -> bool {
        self.out[index(lane)].writer == Some(connection)
    }

    /// The next frame to write.
    pub fn pop(&mut self, lane: Lane) -> Option<Vec<u8>> {
        let out = &mut self.out[index(lane)];
        let frame = out.queue.pop_front()?;
        out.bytes -= frame.len();
        Some(frame)
    }

    /// The lane's stream on `connection` is finished: whoever sends now may open the next.
    pub fn release(&mut self, lane: Lane, connection: ConnectionId) {
        let out = &mut self.out[index(lane)];
        if out.writer == Some(connection) {
            out.writer = None;
            if let Some(sending) = self.sending {
                self.wake(sending);
            }
        }
    }

    /// Judges a stream that the other side opened on `connection`.
    pub fn admit(&mut self, lane: Lane, connection: ConnectionId, association: u64) -> Admission {
        if self.remote == Some(association) {
            let before = self.reading[index(lane)].replace(connection);
            return if before.is_none() { Admission::Read } else { Admission::Reset };
        }
        if self.retired.contains(&association) {
            return Admission::Stale;
        }
        let before = self.remote.replace(association);
        self.reading = Default::default();
        self.reading[index(lane)] = Some(connection);
        let Some(before) = before else { return Admission::Read };
        self.retired.push_back(before);
        if self.retired.len() > MAX_RETIRED {
            self.retired.pop_front();
        }
        Admission::Reset
    }

    /// Forgets `connection`. True if frames may have been lost with it.
    pub fn drop_connection(&mut self, connection: ConnectionId) -> bool {
        self.wakers.retain(|(id, _)| *id != connection);
        let mut lost = false;
        for lane in Lane::ALL.map(index) {
            if self.out[lane].writer == Some(connection) {
                self.out[lane].writer = None;
                lost = true;
            }
            if self.reading[lane] == Some(connection) {
                self.reading[lane] = None;
                lost = true;
            }
        }
        lost
    }

    /// Drops everything that waits.
    pub fn clear(&mut self) {
        for out in &mut self.out {
            out.queue.clear();
            out.bytes = 0;
        }
    }

    /// Makes `connection` the one that is written to, and wakes the old and the new one.
    pub fn send_on(&mut self, connection: ConnectionId) {
        let before = self.sending.replace(connection);
        if let Some(before) = before.filter(|before| *before != connection) {
            self.wake(before);
        }
        self.wake(connection);
    }

    /// Keeps the waker of a connection's handler.
    pub fn register(&mut self, connection: ConnectionId, cx: &Context<'_>) {
        match self.wakers.iter_mut().find(|(id, _)| *id == connection) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => self.wakers.push((connection, cx.waker().clone())),
        }
    }

    fn wake(&self, connection: ConnectionId) {
        if let Some((_, waker)) = self.wakers.iter().find(|(id, _)| *id == connection) {
            waker.wake_by_ref();
        }
    }
}

/// What handlers tell the behaviour, in order.
#[derive(Debug)]
pub(super) enum Item {
    /// A whole frame.
    Frame { peer: PeerId, lane: Lane, frame: Vec<u8> },
    /// The other side has started afresh; `keep` is the connection that shows it.
    Reset { peer: PeerId, keep: ConnectionId },
    /// The other side speaks no lanes.
    Foreign { peer: PeerId },
    /// The other side broke the protocol or closed a stream in the middle.
    Broken { peer: PeerId, connection: ConnectionId },
}

/// Received frames on their way to the behaviour.
#[derive(Default)]
pub(super) struct Inbox(Mutex<InboxState>);

#[derive(Default)]
struct InboxState {
    items: VecDeque<Item>,
    bytes: usize,
    behaviour: Option<Waker>,
    blocked: Vec<Waker>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is there room for more frames? If not, the caller is woken when there is.
    pub fn has_room(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        let room = state.bytes < MAX_INBOX;
        if !room {
            state.blocked.push(cx.waker().clone());
        }
        room
    }

    /// Adds an item and wakes the behaviour. Frames only after [`Inbox::has_room`]; each handler may exceed the
    /// bound by the frames of one read.
    pub fn push(&self, item: Item) {
        let mut state = self.lock();
        state.bytes += item.cost();
        state.items.push_back(item);
        if let Some(waker) = state.behaviour.take() {
            waker.wake();
        }
    }

    /// The oldest item. Without one, the behaviour is woken when there is.
    pub fn pop(&self, cx: Option<&Context<'_>>) -> Option<Item> {
        let mut state = self.lock();
        let item = state.items.pop_front();
        match (&item, cx) {
            (Some(item), _) => {
                state.bytes -= item.cost();
                if state.bytes < MAX_INBOX / 2 {
                    state.blocked.drain(..).for_each(Waker::wake);
                }
            }
            (None, Some(cx)) => state.behaviour = Some(cx.waker().clone()),
            (None, None) => {}
        }
        item
    }
}

impl Item {
    /// What it counts in the inbox; the constant makes empty frames count too.
    fn cost(&self) -> usize {
        match self {
            Item::Frame { frame, .. } => frame.len() + 64,
            Item::Reset { .. } | Item::Foreign { .. } | Item::Broken { .. } => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_a_new_life_resets_and_one_of_a_former_life_is_stale() {
        let pair = Pair::new(PeerId([1; 32]), 1);
        let (first, second) = (ConnectionId::new_unchecked(1), ConnectionId::new_unchecked(2));
        let mut state = pair.lock();
        assert_eq!(state.admit(Lane::Control, first, 7), Admission::Read);
        assert_eq!(state.admit(Lane::Session, first, 7), Admission::Read);
        assert_eq!(state.admit(Lane::Control, second, 8), Admission::Reset);
        assert_eq!(state.admit(Lane::Session, first, 7), Admission::Stale);
        assert_eq!(state.admit(Lane::Session, second, 8), Admission::Read);
        assert_eq!(state.admit(Lane::Session, first, 8), Admission::Reset);
    }

    #[test]
    fn who_refuses_a_lane_is_foreign_unless_it_has_spoken_itself() {
        let pair = Pair::new(PeerId([1; 32]), 1);
        let connection = ConnectionId::new_unchecked(1);
        let mut state = pair.lock();
        state.send_on(connection);
        assert!(state.push(Lane::Control, vec![1]).is_ok());
        assert!(state.claim(Lane::Control, connection));
        assert!(state.refused(Lane::Control, connection));
        assert!(state.push(Lane::Control, vec![2]).is_ok());
        assert!(!state.claim(Lane::Control, connection), "nothing is sent to it");
        assert!(!state.drop_connection(connection), "nor lost with it");
        assert_eq!(state.admit(Lane::Control, connection, 7), Admission::Read);
        assert!(!state.refused(Lane::Session, connection), "it speaks lanes, and broke one");
    }

    #[test]
    fn a_queue_overflows_at_its_bound_and_not_before() {
        let pair = Pair::new(PeerId([1; 32]), 1);
        let mut state = pair.lock();
        let frame = || vec![0; MAX_QUEUED / 16];
        for _ in 0..16 {
            assert!(state.push(Lane::Bulk, frame()).is_ok());
        }
        assert!(state.push(Lane::Bulk, vec![0]).is_err());
        assert!(state.push(Lane::Control, vec![0]).is_ok());
        assert!(state.pop(Lane::Bulk).is_some());
        assert!(state.push(Lane::Bulk, frame()).is_ok());
    }

    #[test]
    fn few_datagrams_wait_and_the_oldest_give_way() {
        let pair = Pair::new(PeerId([1; 32]), 1);
        let mut state = pair.lock();
        for n in 0..3 * MAX_DATAGRAMS {
            assert!(state.push(Lane::Datagram, vec![n as u8; 1200]).is_ok());
        }
        let left: Vec<u8> = std::iter::from_fn(|| Some(state.pop(Lane::Datagram)?[0])).collect();
        assert_eq!(left, (2 * MAX_DATAGRAMS..3 * MAX_DATAGRAMS).map(|n| n as u8).collect::<Vec<_>>());
        assert_eq!(state.out[index(Lane::Datagram)].bytes, 0);
    }

    #[test]
    fn only_the_sending_connection_claims_a_lane_and_only_when_it_is_free() {
        let pair = Pair::new(PeerId([1; 32]), 1);
        let (relayed, direct) = (ConnectionId::new_unchecked(1), ConnectionId::new_unchecked(2));
        let mut state = pair.lock();
        state.send_on(relayed);
        assert!(!state.claim(Lane::Control, relayed), "nothing to write");
        assert!(state.push(Lane::Control, vec![1]).is_ok());
        assert!(state.claim(Lane::Control, relayed));
        state.send_on(direct);
        assert!(!state.claim(Lane::Control, direct), "the old stream is not finished");
        state.release(Lane::Control, relayed);
        assert!(state.claim(Lane::Control, direct));
        assert!(!state.drop_connection(relayed), "nothing was lost with it");
        assert!(state.drop_connection(direct));
    }
}
