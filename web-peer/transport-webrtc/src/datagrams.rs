//! Datagrams beside the streams: each connection may have one more data channel, unordered and without retransmission.
//!
//! Both ends make the channel themselves (`negotiated`, [`CHANNEL_ID`]), each once the other has announced
//! [`PROTOCOL`] by identify: a peer that does not know it never sees anything of it. Who calls
//! [`Behaviour::datagrams`](crate::Behaviour::datagrams) announces it.
//!
//! `gate` is what one channel says and when it may be used, `handler` announces and hears the announcement.

mod gate;
mod handler;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use libp2p_identity::PeerId;
use libp2p_swarm::StreamProtocol;

pub(crate) use self::{
    gate::{Gate, Lossy},
    handler::{Announcer, Identified},
};

/// By announcing it a peer says that it makes the channel too. Nobody opens a stream of it.
pub const PROTOCOL: StreamProtocol = StreamProtocol::new("/tabfarm/webrtc-datagrams/1");
/// Of the channel on both ends. Browsers give streams the lowest free ids of every second one, so that this one is free as
/// long as an end opens at most [`UNIDENTIFIED_STREAMS`]; once it has made the channel its browser leaves the id out.
/// Associations of all browsers have it: the smallest have 256.
pub(crate) const CHANNEL_ID: u16 = 255;
/// Most streams of a connection whose peer has not said yet what it speaks.
pub(crate) const UNIDENTIFIED_STREAMS: usize = 100;
/// The longest datagram: with its tag it is within the 16 KiB that every browser takes for one message.
pub const MAX_LEN: usize = 16 * 1024 - 1;
/// Received datagrams that wait to be taken; further ones are lost.
const MAX_WAITING: usize = 512;
/// Their bytes.
const MAX_WAITING_BYTES: usize = 256 * 1024;

/// Sends and receives datagrams: to and from every peer with a WebRTC connection whose two ends know of them.
#[derive(Clone, Default)]
pub struct Datagrams(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The connections of each peer, oldest first.
    links: BTreeMap<PeerId, Vec<Box<dyn Link>>>,
    waiting: VecDeque<(PeerId, Vec<u8>)>,
    bytes: usize,
    waker: Option<Waker>,
}

/// A connection, as far as datagrams go.
pub(crate) trait Link: Send {
    /// Makes the channel, if it is not made: the peer does so too.
    fn open(&self, peer: PeerId, datagrams: &Datagrams);
    /// The peer has said what it speaks: the channel is made, or never will be.
    fn identified(&self);
    /// Sends a datagram or loses it; false if there is no channel, or the peer is not known to have it.
    fn send(&self, datagram: &[u8]) -> bool;
    /// The connection is gone.
    fn is_closed(&self) -> bool;
}

impl Datagrams {
    /// Sends a datagram of at most [`MAX_LEN`] bytes. It may get lost, be late and overtake others. False if it cannot be
    /// sent: there is no channel to the peer (yet), or it is too long.
    pub fn send(&self, peer: &PeerId, datagram: &[u8]) -> bool {
        let state = self.lock();
        let Some(links) = state.links.get(peer).filter(|_| datagram.len() <= MAX_LEN) else { return false };
        links.iter().rev().any(|link| link.send(datagram))
    }

    /// The next datagram that came, and from whom.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<(PeerId, Vec<u8>)> {
        let mut state = self.lock();
        match state.waiting.pop_front() {
            Some((peer, datagram)) => {
                state.bytes -= datagram.len();
                Poll::Ready((peer, datagram))
            }
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// A connection is up.
    pub(crate) fn connected(&self, peer: PeerId, link: Box<dyn Link>) {
        let mut state = self.lock();
        state.prune();
        state.links.entry(peer).or_default().push(link);
    }

    /// A peer has said what it speaks; `speaks`: datagrams, so that it makes the channel.
    pub(crate) fn identified(&self, peer: PeerId, speaks: bool) {
        let state = self.lock();
        for link in state.links.get(&peer).into_iter().flatten() {
            if speaks {
                link.open(peer, self);
            }
            link.identified();
        }
    }

    /// A connection is gone.
    pub(crate) fn prune(&self) {
        self.lock().prune();
    }

    /// A datagram came.
    pub(crate) fn deliver(&self, peer: PeerId, datagram: Vec<u8>) {
        let mut state = self.lock();
        if state.waiting.len() >= MAX_WAITING || state.bytes + datagram.len() > MAX_WAITING_BYTES {
            return;
        }
        state.bytes += datagram.len();
        state.waiting.push_back((peer, datagram));
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn prune(&mut self) {
        self.links.retain(|_, links| {
            links.retain(|link| !link.is_closed());
            !links.is_empty()
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::task::noop_waker_ref;

    use super::*;

    #[derive(Clone, Default)]
    struct Recorded(Arc<Mutex<Record>>);

    #[derive(Default)]
    struct Record {
        open: bool,
        identified: bool,
        closed: bool,
        sent: Vec<Vec<u8>>,
    }

    impl Recorded {
        fn close(&self) {
            self.0.lock().unwrap().closed = true;
        }

        fn sent(&self) -> Vec<Vec<u8>> {
            self.0.lock().unwrap().sent.clone()
        }
    }

    impl Link for Recorded {
        fn open(&self, _: PeerId, _: &Datagrams) {
            self.0.lock().unwrap().open = true;
        }

        fn identified(&self) {
            self.0.lock().unwrap().identified = true;
        }

        fn send(&self, datagram: &[u8]) -> bool {
            let mut link = self.0.lock().unwrap();
            if link.open {
                link.sent.push(datagram.to_vec());
            }
            link.open
        }

        fn is_closed(&self) -> bool {
            self.0.lock().unwrap().closed
        }
    }

    #[test]
    fn a_peer_is_sent_to_after_its_announcement_on_the_newest_of_its_connections() {
        let (datagrams, peer, link) = (Datagrams::default(), PeerId::random(), Recorded::default());
        assert!(!datagrams.send(&peer, &[1]), "not connected");
        datagrams.connected(peer, Box::new(link.clone()));
        assert!(!datagrams.send(&peer, &[1]), "it has announced nothing");
        datagrams.identified(PeerId::random(), true);
        assert!(!datagrams.send(&peer, &[1]), "somebody else did");
        datagrams.identified(peer, false);
        assert!(link.0.lock().unwrap().identified);
        assert!(!datagrams.send(&peer, &[1]), "it speaks something else");
        datagrams.identified(peer, true);
        assert!(datagrams.send(&peer, &[1]));
        let newer = Recorded::default();
        datagrams.connected(peer, Box::new(newer.clone()));
        assert!(datagrams.send(&peer, &[2]), "the newer one has no channel yet");
        datagrams.identified(peer, true);
        assert!(datagrams.send(&peer, &[3]));
        newer.close();
        datagrams.prune();
        assert!(datagrams.send(&peer, &[4]));
        assert!(!datagrams.send(&peer, &[0; MAX_LEN + 1]));
        assert_eq!((link.sent(), newer.sent()), (vec![vec![1], vec![2], vec![4]], vec![vec![3]]));
        link.close();
        datagrams.prune();
        assert!(datagrams.lock().links.is_empty());
    }

    #[test]
    fn what_nobody_takes_is_lost_beyond_a_bound() {
        let (datagrams, peer) = (Datagrams::default(), PeerId::random());
        for n in 0..2 * MAX_WAITING {
            datagrams.deliver(peer, vec![n as u8]);
        }
        let cx = Context::from_waker(noop_waker_ref());
        let mut taken = 0;
        while let Poll::Ready((from, datagram)) = datagrams.poll(&cx) {
            assert_eq!((from, datagram), (peer, vec![taken as u8]));
            taken += 1;
        }
        assert_eq!(taken, MAX_WAITING);
        for _ in 0..2 * MAX_WAITING_BYTES / MAX_LEN {
            datagrams.deliver(peer, vec![0; MAX_LEN]);
        }
        assert_eq!(datagrams.lock().waiting.len(), MAX_WAITING_BYTES / MAX_LEN);
    }
}
