//! Two transports over a pretended WebRTC and pipes for signalling, polled in turns: no clock, no threads.
#![allow(clippy::unwrap_used)]

use std::{
    cell::Cell,
    collections::VecDeque,
    io,
    sync::{Mutex, MutexGuard},
};

use futures::{future, task::noop_waker, AsyncRead, AsyncWrite, FutureExt};
use libp2p_core::{muxing::StreamMuxerEvent, transport::PortUse, Endpoint, StreamMuxer};
use proptest::prelude::*;

use super::*;
use crate::{
    error::RtcError,
    rtc::{Rtc, RtcEvent},
    wire::Signal,
};

/// Polls of everything before a test gives up.
const PATIENCE: usize = 300;

/// A session description that names its connection.
fn sdp(id: u64) -> String {
    format!(
        "v=0\r\ns={id}\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 AA\r\n"
    )
}

/// Connections are numbers: the offer's, on both ends.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<u64>>);

struct FakePeer {
    id: Arc<Mutex<u64>>,
    events: Arc<Mutex<VecDeque<RtcEvent>>>,
    /// The first channel opens some turns after the connection is up.
    opens_at: usize,
    polls: usize,
}

std::thread_local! {
    /// How often a test has polled.
    static TURN: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug, PartialEq)]
struct FakeConnection(u64);

impl Backend for Fake {
    type Peer = FakePeer;
    type Connection = FakeConnection;

    fn peer(&self, _: &Config) -> Result<FakePeer, RtcError> {
        let mut next = self.0.lock().unwrap();
        *next += 1;
        Ok(FakePeer { id: Arc::new(Mutex::new(*next)), events: Arc::default(), opens_at: 0, polls: 0 })
    }

    fn connected(&self, _: PeerId, _: &FakeConnection) {}
}

impl Rtc for FakePeer {
    type Connection = FakeConnection;

    fn offer(&mut self) -> BoxFuture<'static, Result<String, RtcError>> {
        self.events.lock().unwrap().push_back(RtcEvent::Candidate("{}".into()));
        future::ready(Ok(sdp(*self.id.lock().unwrap()))).boxed()
    }

    fn accept(&mut self, _: String) -> BoxFuture<'static, Result<(), RtcError>> {
        self.events.lock().unwrap().extend([RtcEvent::Connected, RtcEvent::InitOpen]);
        future::ready(Ok(())).boxed()
    }

    fn answer(&mut self, offer: String) -> BoxFuture<'static, Result<String, RtcError>> {
        let id = offer.lines().find_map(|line| line.strip_prefix("s=")).unwrap().parse().unwrap();
        *self.id.lock().unwrap() = id;
        self.events.lock().unwrap().extend([RtcEvent::Candidate("{}".into()), RtcEvent::Connected]);
        future::ready(Ok(sdp(id))).boxed()
    }

    fn add_candidate(&mut self, _: &str) {}

    fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<RtcEvent> {
        self.polls += 1;
        assert!(self.polls < 100_000, "spins");
        if TURN.get() < self.opens_at {
            return Poll::Pending;
        }
        let event = self.events.lock().unwrap().pop_front();
        if event == Some(RtcEvent::Connected) {
            self.opens_at = TURN.get() + 20;
        }
        event.map_or(Poll::Pending, Poll::Ready)
    }

    fn into_connection(self, _: BoxFuture<'static, ()>) -> FakeConnection {
        FakeConnection(*self.id.lock().unwrap())
    }
}

impl StreamMuxer for FakeConnection {
    type Substream = Pipe;
    type Error = RtcError;

    fn poll_inbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Pipe, RtcError>> {
        Poll::Pending
    }
    fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Pipe, RtcError>> {
        Poll::Pending
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), RtcError>> {
        Poll::Ready(Ok(()))
    }
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, RtcError>> {
        Poll::Pending
    }
}

/// One end of a pipe.
struct Pipe {
    reads: Arc<Mutex<Half>>,
    writes: Arc<Mutex<Half>>,
}

#[derive(Default)]
struct Half {
    bytes: VecDeque<u8>,
    ended: bool,
}

impl Pipe {
    fn pair() -> (Pipe, Pipe) {
        let (a, b) = <(Arc<Mutex<Half>>, Arc<Mutex<Half>>)>::default();
        (Pipe { reads: a.clone(), writes: b.clone() }, Pipe { reads: b, writes: a })
    }

    fn lock(half: &Mutex<Half>) -> MutexGuard<'_, Half> {
        half.lock().unwrap()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut half = Pipe::lock(&self.reads);
        let n = buf.len().min(half.bytes.len());
        if n == 0 && !half.ended {
            // Whatever waits is polled again in the next turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        for (to, from) in buf.iter_mut().zip(half.bytes.drain(..n)) {
            *to = from;
        }
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pipe::lock(&self.writes).bytes.extend(buf);
        Poll::Ready(Ok(buf.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pipe::lock(&self.writes).ended = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        Pipe::lock(&self.writes).ended = true;
    }
}

type Mail = Arc<Mutex<VecDeque<Introduction>>>;

/// A path that takes `delay` polls.
struct Post {
    own: PeerId,
    inbox: Mail,
    outbox: Mail,
    delay: usize,
}

impl SignallingPath for Post {
    fn open(&mut self, _: &WebRtcAddress) -> BoxFuture<'static, Result<Box<dyn SignallingIo>, PathError>> {
        let (outbox, peer, mut delay) = (self.outbox.clone(), self.own, self.delay);
        poll_fn(move |_| {
            if delay > 0 {
                delay -= 1;
                return Poll::Pending;
            }
            let (ours, theirs) = Pipe::pair();
            outbox.lock().unwrap().push_back(Introduction { peer, io: Box::new(theirs) });
            Poll::Ready(Ok(Box::new(ours) as Box<dyn SignallingIo>))
        })
        .boxed()
    }

    fn poll_introduction(&mut self, _: &mut Context<'_>) -> Poll<Introduction> {
        self.inbox.lock().unwrap().pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

struct Node {
    id: PeerId,
    transport: WebRtcTransport<Fake>,
    upgrades: Vec<BoxFuture<'static, Result<Output<Fake>, Error>>>,
    accepted: Vec<u64>,
}

impl Node {
    fn poll(&mut self, cx: &mut Context<'_>) {
        TURN.set(TURN.get() + 1);
        while let Poll::Ready(event) = Pin::new(&mut self.transport).poll(cx) {
            self.upgrades.push(event.into_incoming().unwrap().0);
        }
        let accepted = &mut self.accepted;
        self.upgrades.retain_mut(|upgrade| match upgrade.poll_unpin(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok((_, connection))) => {
                accepted.push(connection.0);
                false
            }
            Poll::Ready(Err(_)) => false,
        });
    }

    fn dial(&mut self, peer: PeerId) -> BoxFuture<'static, Result<Output<Fake>, Error>> {
        let opts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        self.transport.dial(bare(peer), opts).unwrap_or_else(|_| panic!("our own address"))
    }
}

fn nodes(delay_a: usize, delay_b: usize) -> (Node, Node, Mail) {
    let (a, b) = (PeerId::random(), PeerId::random());
    let (mail_a, mail_b) = (Mail::default(), Mail::default());
    let fake = Fake::default();
    let node = |id, inbox: &Mail, outbox: &Mail, delay| Node {
        id,
        transport: WebRtcTransport::with_backend(
            id,
            Config::default(),
            fake.clone(),
            Post { own: id, inbox: inbox.clone(), outbox: outbox.clone(), delay },
            Established::default(),
        ),
        upgrades: Vec::new(),
        accepted: Vec::new(),
    };
    (node(a, &mail_a, &mail_b, delay_a), node(b, &mail_b, &mail_a, delay_b), mail_b)
}

#[test]
fn one_dial_makes_one_connection() {
    let (mut a, mut b, _) = nodes(0, 0);
    let mut dial = a.dial(b.id);
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    for _ in 0..PATIENCE {
        a.poll(&mut cx);
        b.poll(&mut cx);
        if let Poll::Ready(dialled) = dial.poll_unpin(&mut cx) {
            b.poll(&mut cx);
            let (peer, connection) = dialled.unwrap();
            assert_eq!((peer, vec![connection.0], a.accepted), (b.id, b.accepted, vec![]));
            return;
        }
    }
    panic!("the dial hangs");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whichever side begins, however long the ways are, and in whatever order the two are polled: both dials succeed
    /// with the same connection, and there is no other.
    #[test]
    fn simultaneous_dials_share_one_connection(
        delay_a in 0usize..12,
        delay_b in 0usize..12,
        ahead in 0usize..12,
        order in prop::collection::vec(0u8..4, 0..60),
    ) {
        let (mut a, mut b, _) = nodes(delay_a, delay_b);
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut dial_a = Some(a.dial(b.id));
        let mut dial_b = None;
        let (mut got_a, mut got_b) = (None, None);
        let fair = (0..4).cycle().take(4 * PATIENCE);
        for (turn, step) in order.into_iter().chain(fair).enumerate() {
            // A peer that is connected already has no reason to dial.
            if turn == ahead && b.accepted.is_empty() {
                dial_b = Some(b.dial(a.id));
            }
            let poll = |dial: &mut Option<BoxFuture<'static, _>>, got: &mut Option<u64>, cx: &mut Context<'_>| {
                let ready = dial.as_mut().map(|dial| dial.poll_unpin(cx));
                if let Some(Poll::Ready(result)) = ready {
                    *dial = None;
                    let (_, connection): Output<Fake> = Result::<_, Error>::unwrap(result);
                    *got = Some(connection.0);
                }
            };
            match step {
                0 => a.poll(&mut cx),
                1 => poll(&mut dial_a, &mut got_a, &mut cx),
                2 => b.poll(&mut cx),
                _ => poll(&mut dial_b, &mut got_b, &mut cx),
            }
        }
        prop_assert!(dial_a.is_none() && dial_b.is_none(), "a dial hangs");
        let ends_a: Vec<u64> = got_a.into_iter().chain(a.accepted).collect();
        let ends_b: Vec<u64> = got_b.into_iter().chain(b.accepted).collect();
        prop_assert_eq!(ends_a.len(), 1, "{:?} {:?}", ends_a, ends_b);
        prop_assert_eq!(ends_a, ends_b);
    }

    /// A stranger's bytes make no connection, no panic, and leave nothing behind.
    #[test]
    fn strangers_bytes_come_to_nothing(
        signals in prop::collection::vec((0u8..3, "[a-z{}\":]{0,40}", any::<bool>()), 0..80),
        noise: Vec<u8>,
    ) {
        let (_, mut b, mail) = nodes(0, 0);
        let (ours, theirs) = Pipe::pair();
        let mut bytes = Vec::new();
        for (kind, text, valid) in signals {
            let text = if valid && kind < 2 { sdp(1) } else { text };
            match kind {
                0 => Signal::Offer(text),
                1 => Signal::Answer(text),
                _ => Signal::Candidate(text),
            }
            .encode(&mut bytes);
        }
        bytes.extend(noise);
        Pipe::lock(&ours.writes).bytes.extend(bytes);
        drop(ours);
        mail.lock().unwrap().push_back(Introduction { peer: PeerId::random(), io: Box::new(theirs) });
        let waker = noop_waker();
        for _ in 0..10 {
            b.poll(&mut Context::from_waker(&waker));
        }
        prop_assert!(b.upgrades.is_empty() && b.accepted.len() <= 1);
        prop_assert_eq!(Arc::strong_count(&b.transport.answering), 1);
    }
}

#[test]
fn more_handshakes_than_allowed_are_dropped() {
    let (_, mut b, mail) = nodes(0, 0);
    let mut kept = Vec::new();
    for _ in 0..200 {
        let (ours, theirs) = Pipe::pair();
        kept.push(ours);
        mail.lock().unwrap().push_back(Introduction { peer: PeerId::random(), io: Box::new(theirs) });
    }
    b.poll(&mut Context::from_waker(&noop_waker()));
    let refused = kept.iter().filter(|pipe| Pipe::lock(&pipe.reads).ended).count();
    assert_eq!((b.transport.reading.len(), refused), (64, 136));
}

#[test]
fn a_full_node_refuses_and_says_so_and_a_free_place_is_used() {
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    // Of two whose dials cross the greater one's counts: the other would wait for its offer, as it may not be full.
    let (mut a, mut b) = loop {
        let (a, b, _) = nodes(0, 0);
        if a.id.to_bytes() > b.id.to_bytes() {
            break (a, b);
        }
    };
    let full = Config::default().max_connections;
    b.transport.established.store(full, Ordering::Relaxed);
    let opts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let own = b.transport.dial(bare(a.id), opts).err();
    assert!(matches!(own, Some(TransportError::Other(Error::Full(limit))) if limit == full));
    let mut dialled = |a: &mut Node, b: &mut Node| {
        let mut dial = a.dial(b.id);
        for _ in 0..PATIENCE {
            a.poll(&mut cx);
            b.poll(&mut cx);
            if let Poll::Ready(dialled) = dial.poll_unpin(&mut cx) {
                b.poll(&mut cx);
                return dialled;
            }
        }
        panic!("the dial hangs");
    };
    assert!(matches!(dialled(&mut a, &mut b), Err(Error::Refused)));
    assert!(b.accepted.is_empty() && b.upgrades.is_empty());
    b.transport.established.store(full - 1, Ordering::Relaxed);
    assert!(dialled(&mut a, &mut b).is_ok());
    assert_eq!(b.accepted.len(), 1);
}

#[test]
fn dials_under_way_count() {
    let (mut a, _, _) = nodes(PATIENCE, 0);
    a.transport.established.store(Config::default().max_connections - 2, Ordering::Relaxed);
    let opts = || DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let mut under_way: Vec<_> = (0..2).map(|_| a.dial(PeerId::random())).collect();
    assert!(a.transport.dial(bare(PeerId::random()), opts()).is_err());
    under_way.pop();
    assert!(a.transport.dial(bare(PeerId::random()), opts()).is_ok());
}
