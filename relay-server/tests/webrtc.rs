//! `/webrtc-direct`: a native peer without TCP (`cargo test -p relay-server --features webrtc-direct`).
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{identify, noise, ping, relay, yamux, Multiaddr, Swarm, Transport};
use libp2p_webrtc::tokio::Certificate;
use relay_server::config::Config;
use relay_server::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);

async fn relay(data: &Path, listen: &[&str]) -> Relay {
    let config = Config {
        listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
        data_dir: Some(data.to_owned()),
        web: Some(data.join("no-such-web-tree")),
        ..common::config()
    };
    Relay::start(&config).await.unwrap()
}

/// The one that ends in a certificate's digest and the relay's id.
fn direct(relay: &Relay) -> Multiaddr {
    let is_direct = |address: &&Multiaddr| {
        let parts: Vec<Protocol> = address.iter().collect();
        matches!(parts[2..], [Protocol::WebRTCDirect, Protocol::Certhash(_), Protocol::P2p(_)])
    };
    let direct: Vec<&Multiaddr> = relay.addresses.iter().filter(is_direct).collect();
    assert_eq!(direct.len(), 1, "{:?}", relay.addresses);
    direct[0].clone()
}

#[derive(NetworkBehaviour)]
struct Plain {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    relay: relay::client::Behaviour,
}

/// A libp2p node that has nothing but `/webrtc-direct`, and circuits.
async fn peer() -> Swarm<Plain> {
    let key = Keypair::generate_ed25519();
    let id = key.public().to_peer_id();
    let (circuits, client) = relay::client::new(id);
    let circuits = circuits
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let certificate = Certificate::generate(&mut rand::rng()).unwrap();
    let direct = libp2p_webrtc::tokio::Transport::new(key.clone(), certificate)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let transport = circuits.or_transport(direct).map(|either, _| either.into_inner()).boxed();
    let behaviour = Plain {
        identify: identify::Behaviour::new(identify::Config::new("/test".into(), key.public())),
        ping: ping::Behaviour::default(),
        relay: client,
    };
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(SOON);
    let mut swarm = Swarm::new(transport, behaviour, id, config);
    // It dials from the socket that it listens on.
    swarm.listen_on("/ip4/127.0.0.1/udp/0/webrtc-direct".parse().unwrap()).unwrap();
    while !matches!(swarm.select_next_some().await, SwarmEvent::NewListenAddr { .. }) {}
    swarm
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_peer_dials_identifies_pings_and_gets_a_reservation() {
    let dir = tempfile::tempdir().unwrap();
    let listen = ["/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/webrtc-direct"];
    let relay = relay(dir.path(), &listen).await;
    let mut peer = peer().await;
    peer.dial(direct(&relay)).unwrap();
    let (mut identified, mut pinged) = (false, false);
    let heard = async {
        while !(identified && pinged) {
            match peer.select_next_some().await {
                SwarmEvent::Behaviour(PlainEvent::Identify(identify::Event::Received {
                    peer_id, ..
                })) => {
                    identified = peer_id == relay.node.peer_id;
                }
                SwarmEvent::Behaviour(PlainEvent::Ping(event)) => pinged = event.result.is_ok(),
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    };
    timeout(SOON, heard).await.expect("the relay says who it is, and answers");
    peer.listen_on(direct(&relay).with(Protocol::P2pCircuit)).unwrap();
    let reserved = async {
        while !matches!(peer.select_next_some().await, SwarmEvent::ExternalAddrConfirmed { .. }) {}
        while relay.node.facts().reservations != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, reserved).await.expect("a reservation");
    // Programs are told the address; tabs, which cannot dial it, are not.
    assert!(relay.ready_line().contains(&direct(&relay).to_string()));
    let mut socket = TcpStream::connect(relay.http).await.unwrap();
    let asks = "GET /api/node HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    socket.write_all(asks.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.contains("/ws/p2p/") && !answer.contains("webrtc-direct"), "{answer}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = relay(dir.path(), &["/ip4/127.0.0.1/udp/0/webrtc-direct"]).await;
    let address = direct(&first);
    first.stop().await;
    let place: Multiaddr = address.iter().take(3).collect();
    let second = relay(dir.path(), &[&place.to_string()]).await;
    assert_eq!(direct(&second), address);
    second.stop().await;
}
