//! How a tab reaches others: WebRTC to tabs, websockets to relays, circuits through relays for everything else.

use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{noise, relay, websocket_websys, yamux, Swarm, Transport};
use overlay_libp2p::addresses::is_webrtc_connection;
use overlay_libp2p::behaviour::{Behaviour, Options};
use overlay_libp2p::brisk::Brisk;
use overlay_libp2p::dht::Capacity;
use overlay_libp2p::doors::{Doors, Gate};
use overlay_libp2p::lanes::{Datagrams, Limit};
use overlay_libp2p::swarm_config;
use transport_webrtc::{Config, IceServer, Prompt};

/// Connections of one tab, circuits included.
const MAX_CONNECTIONS: u32 = 256;
/// WebRTC connections of one tab, those that are being made included; a browser allows 500 in a page. Further ones are
/// refused.
const MAX_WEBRTC: usize = 64;
/// Of these, as many as stay when they are idle: the rest is room for newcomers.
const KEPT_WEBRTC: usize = 56;
/// A connection without a frame for this long is idle.
const IDLE: Duration = Duration::from_secs(30);
/// Connections to one peer: a circuit, a crossing one, WebRTC, and its successor.
const MAX_PER_PEER: u32 = 6;
/// A handshake that takes longer is given up.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Between two pings of one connection: they keep round trips known.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Between two pings of a relay, whose dead path is found within 10 s; ten thousand tabs ping it 2,500 times a second.
const RELAY_PING_INTERVAL: Duration = Duration::from_secs(4);

/// The protocols of a tab besides those of every node.
#[derive(NetworkBehaviour)]
pub(crate) struct Tab {
    limits: connection_limits::Behaviour,
    relay: relay::client::Behaviour,
    webrtc: transport_webrtc::Behaviour,
}

/// The datagrams of WebRTC connections.
struct BesideStreams(transport_webrtc::Datagrams);

impl Datagrams for BesideStreams {
    fn send(&mut self, peer: &libp2p::PeerId, datagram: &[u8]) -> bool {
        self.0.send(peer, datagram)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(libp2p::PeerId, Vec<u8>)> {
        self.0.poll(cx)
    }
}

/// A swarm for the holder of `key`, which opens sockets to `doors` alone.
pub(crate) fn swarm(
    key: &Keypair,
    ice_servers: Vec<IceServer>,
    seed: u64,
    doors: Doors,
) -> Result<Swarm<Behaviour<Tab>>, noise::Error> {
    let local = key.public().to_peer_id();
    let (webrtc, mut webrtc_behaviour) = transport_webrtc::new(
        local,
        Config { ice_servers, max_connections: MAX_WEBRTC, ..Config::default() },
    );
    let (circuits, relay_behaviour) = relay::client::new(local);
    let webrtc = webrtc.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    // One upgrade for both kinds of socket: its code is the largest part of a transport.
    let secured = circuits
        .or_transport(
            Gate::new(websocket_websys::Transport::default(), doors).map(|socket, _| Prompt(socket)),
        )
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux::Config::default())
        .timeout(HANDSHAKE_TIME)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Brisk::new(muxer))));
    // WebRTC before circuits: the relay's transport takes the address of the former for one of its own.
    let transport = webrtc.or_transport(secured).map(|either, _| either.into_inner()).boxed();
    let datagrams = Box::new(BesideStreams(webrtc_behaviour.datagrams()));
    let tab = Tab {
        limits: connection_limits::Behaviour::new(
            ConnectionLimits::default()
                .with_max_established(Some(MAX_CONNECTIONS))
                .with_max_established_per_peer(Some(MAX_PER_PEER)),
        ),
        relay: relay_behaviour,
        webrtc: webrtc_behaviour,
    };
    let options = Options {
        capacity: Capacity::TAB,
        ping_interval: PING_INTERVAL,
        socket_ping_interval: RELAY_PING_INTERVAL,
        limit: Some(Limit { keep: KEPT_WEBRTC, idle: IDLE, counts: is_webrtc_connection }),
        hide_listen_addresses: true,
        seed,
    };
    let mut behaviour = Behaviour::new(key, tab, options);
    behaviour.lanes = behaviour.lanes.with_datagrams(datagrams);
    Ok(Swarm::new(transport, behaviour, local, swarm_config(libp2p::swarm::Config::with_wasm_executor())))
}
