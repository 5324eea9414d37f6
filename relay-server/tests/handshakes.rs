//! Peers that do not finish their handshake, against those who do.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::upgrade::Version;
use libp2p::core::Endpoint;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{dns, noise, tcp, websocket, yamux, PeerId, Transport};
use relay_server::config::{Config, Limits};
use relay_server::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than a handshake is waited for.
const SOON: Duration = Duration::from_secs(30);
const PLACES: usize = 16;

async fn relay() -> Relay {
    let limits = Limits { handshakes: PLACES, ..Limits::default() };
    Relay::start(&Config { limits, ..common::config() }).await.unwrap()
}

fn address(relay: &Relay) -> SocketAddr {
    let mut parts = relay.addresses[0].iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => (ip, port).into(),
        other => panic!("{other:?}"),
    }
}

/// Sockets of one address of this machine that begin a handshake at most.
async fn half_open(relay: &Relay, from: Ipv4Addr, count: usize) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for n in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut socket = socket.connect(address(relay)).await.unwrap();
        let says = ["", "GET / HTTP/1.1\r\nHost: x\r\nUpgra"][n % 2];
        socket.write_all(says.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    sockets
}

/// How many the relay has closed.
async fn closed(sockets: &mut [TcpStream]) -> usize {
    let mut count = 0;
    for socket in sockets {
        // What is open says nothing.
        let read = timeout(Duration::from_millis(1), socket.read(&mut [0; 16])).await;
        count += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    count
}

async fn until_closed(sockets: &mut [TcpStream], wanted: usize) {
    let settled = async {
        while closed(sockets).await < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, settled).await.expect("half-open sockets lose their places");
}

/// A whole handshake, as tabs make it.
async fn joined(relay: &Relay) -> PeerId {
    let key = Keypair::generate_ed25519();
    let mut sockets =
        websocket::Config::new(dns::tokio::Transport::system(tcp::tokio::Transport::default()).unwrap())
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(&key).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
    let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let dial = sockets.dial(relay.addresses[0].clone(), options).unwrap();
    timeout(SOON, dial).await.expect("an answer").expect("a handshake").0
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_sockets_displace_each_other_and_keep_nobody_out() {
    let relay = relay().await;
    let others = Ipv4Addr::new(127, 0, 0, 2);
    let mut own = half_open(&relay, Ipv4Addr::LOCALHOST, PLACES / 4).await;
    // One address has half of the places, the last half of what it opened.
    let mut many = half_open(&relay, others, PLACES * 3).await;
    until_closed(&mut many, PLACES * 3 - PLACES / 2).await;
    assert_eq!(closed(&mut many[PLACES * 5 / 2..]).await, 0, "the oldest go");
    assert_eq!(joined(&relay).await, relay.node.peer_id);
    assert_eq!(closed(&mut own).await, 0, "and those of nobody else");
    // All places are taken, by several: whoever holds the most pays, and a newcomer finds one.
    let third = Ipv4Addr::new(127, 0, 0, 3);
    let mut more = half_open(&relay, third, PLACES / 2).await;
    until_closed(&mut many, PLACES * 3 - PLACES / 2 + PLACES / 8).await;
    assert_eq!(joined(&relay).await, relay.node.peer_id);
    assert_eq!(closed(&mut own).await, 0);
    assert!(closed(&mut more).await < PLACES / 2);
    // From the very address that floods, too.
    let flood = half_open(&relay, Ipv4Addr::LOCALHOST, PLACES * 2).await;
    assert_eq!(joined(&relay).await, relay.node.peer_id);
    drop((own, many, more, flood));
    relay.stop().await;
}
