//! Lanes over real connections: order, an upgrade in the middle, a full queue, a peer that starts afresh.
#![allow(missing_docs, clippy::unwrap_used)]

use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::transport::MemoryTransport;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{dial_opts::DialOpts, dial_opts::PeerCondition, NetworkBehaviour, SwarmEvent};
use libp2p::{noise, ping, relay, yamux, Multiaddr, PeerId, Swarm, Transport};
use overlay::io::{Lane, Path, MAX_DATAGRAM_FRAME, MAX_FRAME};
use overlay_libp2p::addresses::kernel_peer;
use overlay_libp2p::lanes::{Behaviour, Datagrams, Event, Limit, MAX_QUEUED};
use tokio::sync::mpsc;
use tokio::time::timeout;

#[derive(NetworkBehaviour)]
struct Protocols {
    lanes: Behaviour,
    client: relay::client::Behaviour,
    server: Toggle<relay::Behaviour>,
    ping: ping::Behaviour,
}

enum Do {
    Dial(Multiaddr),
    Listen(Multiaddr),
    Send(overlay::id::PeerId, Lane, Vec<u8>),
}

/// A peer that runs in a task; the task ends, and its sockets close, when it is dropped.
struct Peer {
    id: PeerId,
    address: Multiaddr,
    todo: mpsc::UnboundedSender<Do>,
    events: mpsc::UnboundedReceiver<Event>,
    listening: mpsc::UnboundedReceiver<Multiaddr>,
}

impl Peer {
    async fn start(key: &Keypair, seed: u64, is_relay: bool) -> Peer {
        Peer::limited(key, seed, is_relay, None).await
    }

    async fn limited(key: &Keypair, seed: u64, is_relay: bool, limit: Option<Limit>) -> Peer {
        Peer::with_lanes(key, is_relay, Behaviour::new(seed).with_limit(limit)).await
    }

    async fn with_lanes(key: &Keypair, is_relay: bool, lanes: Behaviour) -> Peer {
        let id = key.public().to_peer_id();
        let (circuits, client) = relay::client::new(id);
        let transport = circuits
            .or_transport(MemoryTransport::default())
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
        let server = is_relay.then(|| relay::Behaviour::new(id, relay::Config::default())).into();
        let protocols = Protocols { lanes, client, server, ping: ping::Behaviour::default() };
        let config = overlay_libp2p::swarm_config(libp2p::swarm::Config::with_tokio_executor());
        let mut swarm = Swarm::new(transport, protocols, id, config);
        swarm.listen_on("/memory/0".parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        swarm.add_external_address(address.clone());
        let (todo, todos) = mpsc::unbounded_channel();
        let (events, received) = mpsc::unbounded_channel();
        let (addresses, listening) = mpsc::unbounded_channel();
        tokio::spawn(run(swarm, todos, events, addresses));
        Peer { id, address: address.with_p2p(id).unwrap(), todo, events: received, listening }
    }

    fn kernel_id(&self) -> overlay::id::PeerId {
        kernel_peer(&self.id).unwrap()
    }

    fn send(&self, to: &Peer, lane: Lane, frame: Vec<u8>) {
        self.todo.send(Do::Send(to.kernel_id(), lane, frame)).unwrap();
    }

    fn dial(&self, address: &Multiaddr) {
        self.todo.send(Do::Dial(address.clone())).unwrap();
    }

    async fn event(&mut self) -> Event {
        timeout(Duration::from_secs(10), self.events.recv()).await.expect("an event in time").unwrap()
    }

    async fn connected(&mut self, to: &Peer, path: Path) {
        assert_eq!(self.event().await, Event::Connected { peer: to.kernel_id(), path });
    }
}

async fn run(
    mut swarm: Swarm<Protocols>,
    mut todos: mpsc::UnboundedReceiver<Do>,
    events: mpsc::UnboundedSender<Event>,
    listening: mpsc::UnboundedSender<Multiaddr>,
) {
    loop {
        tokio::select! {
            todo = todos.recv() => match todo {
                Some(Do::Dial(address)) => {
                    let opts = DialOpts::peer_id(overlay_libp2p::addresses::last_peer(&address).unwrap());
                    swarm.dial(opts.condition(PeerCondition::Always).addresses(vec![address]).build()).unwrap();
                }
                Some(Do::Listen(address)) => drop(swarm.listen_on(address).unwrap()),
                Some(Do::Send(peer, lane, frame)) => swarm.behaviour_mut().lanes.send(peer, lane, frame),
                None => return,
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(ProtocolsEvent::Lanes(event)) => drop(events.send(event)),
                SwarmEvent::NewListenAddr { address, .. } => drop(listening.send(address)),
                _ => {}
            },
        }
    }
}

async fn peer(seed: u64) -> Peer {
    Peer::start(&Keypair::generate_ed25519(), seed, false).await
}

fn number(n: u32) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_in_order_on_every_lane_and_of_every_size() {
    let (mut a, mut b) = (peer(1).await, peer(2).await);
    a.dial(&b.address);
    a.connected(&b, Path::Direct).await;
    b.connected(&a, Path::Direct).await;
    let sizes = [0, 1, 1_000, 9_000, 70_000, MAX_FRAME];
    let sizes_of =
        |lane| if lane == Lane::Datagram { [0, 1, 2, 3, 1_000, MAX_DATAGRAM_FRAME] } else { sizes };
    for round in 0..20u8 {
        for lane in Lane::ALL {
            a.send(&b, lane, vec![round; sizes_of(lane)[round as usize % sizes.len()]]);
        }
    }
    let mut next = [0; Lane::ALL.len()];
    for _ in 0..20 * Lane::ALL.len() {
        let Event::Received { peer, lane, frame } = b.event().await else { panic!("only frames") };
        let round: usize = next[lane as usize];
        assert_eq!(peer, a.kernel_id());
        assert_eq!(frame, vec![round as u8; sizes_of(lane)[round % sizes.len()]], "{lane:?} {round}");
        next[lane as usize] += 1;
    }
}

/// A way beside the streams that takes every other datagram.
struct EveryOther {
    taken: mpsc::UnboundedSender<Vec<u8>>,
    arriving: mpsc::UnboundedReceiver<(PeerId, Vec<u8>)>,
    next: bool,
}

impl Datagrams for EveryOther {
    fn send(&mut self, _: &PeerId, datagram: &[u8]) -> bool {
        self.next = !self.next;
        if self.next {
            self.taken.send(datagram.to_vec()).unwrap();
        }
        self.next
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(PeerId, Vec<u8>)> {
        match self.arriving.poll_recv(cx) {
            Poll::Ready(Some(arrived)) => Poll::Ready(arrived),
            _ => Poll::Pending,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_take_the_way_beside_the_streams_where_there_is_one_and_are_heard_of_peers_only() {
    let (taken, mut beside) = mpsc::unbounded_channel();
    let (arrive, arriving) = mpsc::unbounded_channel();
    let way = EveryOther { taken, arriving, next: false };
    let key = Keypair::generate_ed25519();
    let mut a = Peer::with_lanes(&key, false, Behaviour::new(1).with_datagrams(Box::new(way))).await;
    let mut b = peer(2).await;
    a.dial(&b.address);
    a.connected(&b, Path::Direct).await;
    b.connected(&a, Path::Direct).await;
    for n in 0..4 {
        a.send(&b, Lane::Datagram, number(n));
        a.send(&b, Lane::Session, number(n));
    }
    let (mut datagrams, mut ordered) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let Event::Received { lane, frame, .. } = b.event().await else { panic!("only frames") };
        if lane == Lane::Datagram { &mut datagrams } else { &mut ordered }.push(frame);
    }
    assert_eq!(datagrams, [number(1), number(3)]);
    assert_eq!(ordered, (0..4).map(number).collect::<Vec<_>>());
    assert_eq!([beside.recv().await.unwrap(), beside.recv().await.unwrap()], [number(0), number(2)]);
    arrive.send((PeerId::random(), number(8))).unwrap();
    arrive.send((b.id, number(9))).unwrap();
    let heard = Event::Received { peer: b.kernel_id(), lane: Lane::Datagram, frame: number(9) };
    assert_eq!(a.event().await, heard);
}

/// A libp2p node that knows nothing of lanes.
#[derive(NetworkBehaviour)]
struct Plain {
    client: relay::client::Behaviour,
    ping: ping::Behaviour,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_libp2p_node_is_no_peer_of_the_overlay_and_uses_its_connection_undisturbed() {
    let mut relay = Peer::start(&Keypair::generate_ed25519(), 1, true).await;
    let key = Keypair::generate_ed25519();
    let id = key.public().to_peer_id();
    let (circuits, client) = relay::client::new(id);
    let transport = circuits
        .or_transport(MemoryTransport::default())
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let ping = ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(50)));
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::MAX);
    let mut plain = Swarm::new(transport, Plain { client, ping }, id, config);
    plain.dial(relay.address.clone()).unwrap();
    let peer = kernel_peer(&id).unwrap();
    let connected = async {
        loop {
            tokio::select! {
                event = relay.event() => break event,
                _ = plain.select_next_some() => {}
            }
        }
    };
    assert_eq!(connected.await, Event::Connected { peer, path: Path::Direct });
    // As the kernel does with whomever it meets, on more than one lane and more than once.
    for lane in [Lane::Control, Lane::Session, Lane::Control] {
        relay.todo.send(Do::Send(peer, lane, number(1))).unwrap();
    }
    let (mut refused, mut reserved, mut pings) = (false, false, 0);
    let used = async {
        while !(refused && reserved && pings >= 5) {
            tokio::select! {
                event = relay.event(), if !refused => {
                    assert_eq!(event, Event::Disconnected { peer });
                    relay.todo.send(Do::Send(peer, Lane::Control, number(2))).unwrap();
                    plain.listen_on(relay.address.clone().with(Protocol::P2pCircuit)).unwrap();
                    (refused, pings) = (true, 0);
                }
                event = plain.select_next_some() => match event {
                    SwarmEvent::ConnectionClosed { cause, .. } => panic!("closed: {cause:?}"),
                    SwarmEvent::ExternalAddrConfirmed { .. } => reserved = true,
                    SwarmEvent::Behaviour(PlainEvent::Ping(ping::Event { result: Ok(_), .. })) => pings += 1,
                    _ => {}
                },
            }
        }
    };
    timeout(Duration::from_secs(10), used).await.expect("a reservation and round trips on one connection");
    assert!(relay.events.try_recv().is_err(), "nothing more is said of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_reordered_when_a_circuit_gives_way_to_a_direct_connection() {
    let key = Keypair::generate_ed25519();
    let relay = Peer::start(&key, 1, true).await;
    let (mut a, mut b) = (peer(2).await, peer(3).await);
    b.todo.send(Do::Listen(format!("{}/p2p-circuit", relay.address).parse().unwrap())).unwrap();
    timeout(Duration::from_secs(10), b.listening.recv()).await.expect("a reservation").unwrap();
    b.connected(&relay, Path::Direct).await;
    let circuit: Multiaddr = format!("{}/p2p-circuit/p2p/{}", relay.address, b.id).parse().unwrap();
    a.dial(&circuit);
    a.connected(&relay, Path::Direct).await;
    a.connected(&b, Path::Relayed).await;
    b.connected(&a, Path::Relayed).await;
    for n in 0..2_000 {
        a.send(&b, Lane::Session, number(n));
        b.send(&a, Lane::Session, number(n));
        if n == 500 {
            a.dial(&b.address);
        }
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for (me, other) in [(&mut a, b.kernel_id()), (&mut b, relay.kernel_id())] {
        let mut upgraded = false;
        let mut next = 0;
        while next < 2_000 {
            match me.event().await {
                Event::Received { frame, .. } => {
                    assert_eq!(frame, number(next));
                    next += 1;
                }
                Event::Connected { path: Path::Direct, .. } => upgraded = true,
                event => panic!("{event:?} at frame {next}"),
            }
        }
        assert!(upgraded, "the direct connection came up before {other:?}'s last frame");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_is_cut_off_when_its_queue_is_full() {
    let (mut a, mut b) = (peer(1).await, peer(2).await);
    a.dial(&b.address);
    a.connected(&b, Path::Direct).await;
    b.connected(&a, Path::Direct).await;
    // All at once, so that the writer gets no turn in between; twice the bound, whatever it manages to write.
    for _ in 0..2 * MAX_QUEUED / MAX_FRAME + 200 {
        a.send(&b, Lane::Bulk, vec![0; MAX_FRAME]);
    }
    let cut = timeout(Duration::from_secs(20), async {
        loop {
            match a.event().await {
                Event::Disconnected { .. } => return true,
                Event::Received { .. } => return false,
                Event::Connected { .. } => {}
            }
        }
    });
    // Either the reader kept up or the peer was cut off; nothing in between, and memory stayed bounded.
    if let Ok(cut) = cut.await {
        assert!(cut);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_starts_afresh_resets_the_pair_and_is_heard_at_once() {
    let key = Keypair::generate_ed25519();
    let mut b = peer(1).await;
    let mut first = Peer::start(&key, 100, false).await;
    first.dial(&b.address);
    first.connected(&b, Path::Direct).await;
    b.connected(&first, Path::Direct).await;
    first.send(&b, Lane::Control, number(1));
    b.send(&first, Lane::Control, number(2));
    assert!(matches!(b.event().await, Event::Received { .. }));
    assert!(matches!(first.event().await, Event::Received { .. }));
    // The same key in another life, while the first one's connection still stands.
    let mut second = Peer::start(&key, 200, false).await;
    second.dial(&b.address);
    second.connected(&b, Path::Direct).await;
    second.send(&b, Lane::Control, number(3));
    let peer = second.kernel_id();
    assert_eq!(b.event().await, Event::Disconnected { peer });
    assert_eq!(b.event().await, Event::Connected { peer, path: Path::Direct });
    assert_eq!(b.event().await, Event::Received { peer, lane: Lane::Control, frame: number(3) });
    b.send(&second, Lane::Control, number(4));
    assert!(matches!(second.event().await, Event::Received { frame, .. } if frame == number(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_the_least_recently_used_connection_goes_unless_all_are_in_use() {
    let limit = |idle| Some(Limit { keep: 2, idle, counts: |_| true });
    let key = Keypair::generate_ed25519();
    let mut a = Peer::limited(&key, 1, false, limit(Duration::ZERO)).await;
    let (mut b, mut c, mut d) = (peer(2).await, peer(3).await, peer(4).await);
    for other in [&mut b, &mut c] {
        other.dial(&a.address);
        a.connected(other, Path::Direct).await;
        other.connected(&a, Path::Direct).await;
    }
    // `b` came first, but `c` has been silent for longer.
    b.send(&a, Lane::Control, number(1));
    assert!(matches!(a.event().await, Event::Received { .. }));
    d.dial(&a.address);
    let expected = [
        Event::Connected { peer: d.kernel_id(), path: Path::Direct },
        Event::Disconnected { peer: c.kernel_id() },
    ];
    assert_eq!([a.event().await, a.event().await], expected);
    assert_eq!(c.event().await, Event::Disconnected { peer: a.kernel_id() });
    d.connected(&a, Path::Direct).await;
    for other in [&mut b, &mut d] {
        a.send(other, Lane::Session, number(2));
        assert!(matches!(other.event().await, Event::Received { .. }));
    }

    let busy = Keypair::generate_ed25519();
    let mut busy = Peer::limited(&busy, 5, false, limit(Duration::from_secs(3_600))).await;
    for other in [&mut b, &mut c, &mut d] {
        busy.dial(&other.address);
        busy.connected(other, Path::Direct).await;
        other.connected(&busy, Path::Direct).await;
    }
    for other in [&mut b, &mut c, &mut d] {
        busy.send(other, Lane::Session, number(3));
        assert!(matches!(other.event().await, Event::Received { .. }));
    }
    assert!(busy.events.try_recv().is_err(), "nobody had to go");
}
