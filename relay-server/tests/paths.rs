//! Paths between tabs and relays: one that dies without a word, and plain libp2p nodes that use a relay.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{dns, identify, kad, noise, ping, relay, tcp, websocket, yamux};
use libp2p::{Multiaddr, PeerId, Swarm, Transport};
use overlay::io::Role;
use overlay_libp2p::addresses::circuit_through;
use overlay_libp2p::behaviour::{Behaviour, Options};
use overlay_libp2p::brisk::Brisk;
use overlay_libp2p::dht::{self, Capacity};
use overlay_libp2p::doors::{Doors, Gate};
use overlay_libp2p::driver::{Clock, Driver, TimerAlarm};
use overlay_libp2p::relays::Use;
use relay_server::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);
/// As in a tab, but shorter: a dial into a dead path must end before the next one can begin.
const HANDSHAKE_TIME: Duration = Duration::from_secs(2);
/// Many times what silence takes to be noticed here, and less than two pings take to time out.
const BEFORE_PINGS_TIME_OUT: Duration = Duration::from_secs(25);

async fn relay() -> Relay {
    Relay::start(&common::config()).await.unwrap()
}

#[derive(NetworkBehaviour)]
struct Client {
    relay: relay::client::Behaviour,
}

type Tab = Driver<Client>;

/// Circuits and websockets, with a tab's gate before the latter.
fn transport(
    key: &Keypair,
    circuits: relay::client::Transport,
    doors: Doors,
) -> Boxed<(PeerId, StreamMuxerBox)> {
    let sockets = dns::tokio::Transport::system(tcp::tokio::Transport::default()).unwrap();
    circuits
        .or_transport(Gate::new(websocket::Config::new(sockets), doors))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .timeout(HANDSHAKE_TIME)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Brisk::new(muxer))))
        .boxed()
}

/// A tab without a browser: the real driver and kernel.
fn tab(seed: u8, relays: &[&Multiaddr]) -> Tab {
    let key = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
    let id = key.public().to_peer_id();
    let (circuits, client) = relay::client::new(id);
    let doors = Doors::default();
    let options = Options {
        capacity: Capacity::TAB,
        ping_interval: SOON,
        socket_ping_interval: Duration::from_secs(1),
        limit: None,
        hide_listen_addresses: true,
        seed: seed.into(),
    };
    let behaviour = Behaviour::new(&key, Client { relay: client }, options);
    let config = overlay_libp2p::swarm_config(libp2p::swarm::Config::with_tokio_executor());
    let swarm = Swarm::new(transport(&key, circuits, doors.clone()), behaviour, id, config);
    let clock = Clock::start();
    let config = overlay::io::Config {
        secret_key: [seed; 32],
        role: Role::Tab,
        name: "test".into(),
        seed: [seed; 32],
    };
    let kernel = overlay::Node::new(config, clock.now());
    let alarm = Box::new(TimerAlarm::default());
    let mut driver = Driver::new(swarm, kernel, clock, alarm, (Use::Reserve, doors), dht::admit);
    for relay in relays {
        assert!(driver.add_relay((*relay).clone()));
    }
    driver
}

/// Runs the tabs until `met`.
async fn until(tabs: &mut [&mut Tab], what: &str, mut met: impl FnMut(&mut [&mut Tab]) -> bool) {
    let wait = poll_fn(|cx| {
        for tab in tabs.iter_mut() {
            while tab.poll(cx).is_ready() {}
        }
        if met(tabs) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("not within a minute: {what}"));
}

fn announces(tab: &mut Tab, relay: PeerId) -> bool {
    tab.swarm().external_addresses().any(|address| address.iter().any(|part| part == Protocol::P2p(relay)))
}

fn knows(tab: &Tab, peer: PeerId) -> bool {
    tab.connected().iter().any(|(other, _)| *other == peer)
}

/// Carries connections to `to` until it is told that the path is dead: then nothing moves, and nothing is closed.
async fn path(to: SocketAddr, dead: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let dead = dead.clone();
            tokio::spawn(async move {
                let is_dead = *dead.borrow();
                if is_dead {
                    pending::<()>().await;
                }
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = TcpStream::connect(to).await.unwrap().into_split();
                tokio::join!(carry(near_in, far_out, dead.clone()), carry(far_in, near_out, dead));
            });
        }
    });
    here
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut dead: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let died = async { dead.wait_for(|dead| *dead).await.is_ok() };
        let read = tokio::select! {
            biased;
            _ = died => None,
            read = from.read(&mut bytes) => Some(read.unwrap_or(0)),
        };
        // Held open, and nothing moves.
        let Some(read) = read else { return pending().await };
        if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_path_dies_in_silence_is_left_and_the_other_one_carries_on() {
    let (first, second) = (relay().await, relay().await);
    let (kill, dead) = watch::channel(false);
    let mut parts = first.addresses[0].iter();
    let (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) = (parts.next(), parts.next()) else { panic!() };
    let proxy = path((ip, port).into(), dead).await;
    let through: Multiaddr =
        format!("/ip4/127.0.0.1/tcp/{}/ws/p2p/{}", proxy.port(), first.node.peer_id).parse().unwrap();
    let relays = [&through, &second.addresses[0]];
    let (one, two) = (first.node.peer_id, second.node.peer_id);
    let mut host = tab(1, &relays);
    let id = *host.swarm().local_peer_id();
    until(&mut [&mut host], "two reservations", |tabs| {
        announces(tabs[0], one) && announces(tabs[0], two) && tabs[0].relays_up().len() == 2
    })
    .await;

    kill.send(true).unwrap();
    let mut alone = [&mut host];
    let left = until(&mut alone, "the dead relay is left, its address vanishes", |tabs| {
        !announces(tabs[0], one)
            && !knows(tabs[0], one)
            && tabs[0].relays_up() == [second.addresses[0].clone()]
    });
    timeout(BEFORE_PINGS_TIME_OUT, left).await.expect("silence is noticed");
    assert!(announces(&mut host, two) && knows(&host, two), "the other reservation stands");

    // Whoever comes now, knowing both, joins through the second and finds the host there.
    let mut newcomer = tab(2, &relays);
    until(&mut [&mut host, &mut newcomer], "the newcomer joins", |tabs| announces(tabs[1], two)).await;
    newcomer.swarm().dial(circuit_through(&second.addresses[0], id)).unwrap();
    until(&mut [&mut host, &mut newcomer], "they meet", |tabs| knows(tabs[1], id)).await;

    // The path comes back, and so does the reservation.
    kill.send(false).unwrap();
    until(&mut [&mut host], "the reservation is regained", |tabs| announces(tabs[0], one)).await;
    first.stop().await;
    second.stop().await;
}

/// A stock libp2p node: no lanes, and the DHT as a client.
#[derive(NetworkBehaviour)]
struct Plain {
    relay: relay::client::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    kad: kad::Behaviour<kad::store::MemoryStore>,
}

fn plain(relay: &Multiaddr) -> Swarm<Plain> {
    let key = Keypair::generate_ed25519();
    let id = key.public().to_peer_id();
    let (circuits, client) = relay::client::new(id);
    let doors = Doors::default();
    doors.add(relay);
    let mut kad =
        kad::Behaviour::with_config(id, kad::store::MemoryStore::new(id), kad::Config::new(dht::PROTOCOL));
    kad.set_mode(Some(kad::Mode::Client));
    let behaviour = Plain {
        relay: client,
        identify: identify::Behaviour::new(identify::Config::new("/ipfs/0.1.0".into(), key.public())),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(100))),
        kad,
    };
    let config =
        libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(600));
    Swarm::new(transport(&key, circuits, doors), behaviour, id, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_libp2p_nodes_stay_connected_reserve_use_circuits_and_the_dht() {
    let relay = relay().await;
    let (mut host, mut caller) = (plain(&relay.addresses[0]), plain(&relay.addresses[0]));
    let host_id = *host.local_peer_id();
    host.listen_on(relay.addresses[0].clone().with(Protocol::P2pCircuit)).unwrap();
    caller.dial(relay.addresses[0].clone()).unwrap();
    caller.behaviour_mut().kad.add_address(&relay.node.peer_id, relay.addresses[0].clone());
    let (mut to_relay, mut over_circuit, mut found) = (0, 0, false);
    let mut circuit = None;
    let used = async {
        while to_relay < 10 || over_circuit < 3 || !found {
            // A circuit through a relay that is still being dialled ends with a second dial, which is refused.
            if to_relay > 0 {
                circuit.take().into_iter().for_each(|address| caller.dial(address).unwrap());
            }
            tokio::select! {
                event = host.select_next_some() => match event {
                    SwarmEvent::ConnectionClosed { cause, .. } => panic!("the host lost a connection: {cause:?}"),
                    SwarmEvent::ExternalAddrConfirmed { address } => circuit = Some(address),
                    _ => {}
                },
                event = caller.select_next_some() => match event {
                    SwarmEvent::ConnectionClosed { cause, .. } => panic!("the caller lost a connection: {cause:?}"),
                    SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                    SwarmEvent::Behaviour(PlainEvent::Ping(ping::Event { peer, result: Ok(_), .. })) => {
                        *if peer == host_id { &mut over_circuit } else { &mut to_relay } += 1;
                        if to_relay == 1 {
                            caller.behaviour_mut().kad.get_closest_peers(host_id);
                        }
                    }
                    SwarmEvent::Behaviour(PlainEvent::Kad(kad::Event::OutboundQueryProgressed {
                        result: kad::QueryResult::GetClosestPeers(Ok(closest)),
                        ..
                    })) => found |= closest.peers.iter().any(|peer| peer.peer_id == relay.node.peer_id),
                    _ => {}
                },
            }
        }
    };
    timeout(SOON, used).await.expect("round trips with the relay, through it, and an answer of the DHT");
    assert_eq!(relay.node.facts().reservations, 1);
    relay.stop().await;
}
