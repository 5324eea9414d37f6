//! A relay that is slow to accept a reservation.

use std::time::Duration;

use futures::StreamExt;
use libp2p::core::transport::MemoryTransport;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{noise, relay, yamux, Transport};
use tokio::time::timeout;

use super::*;

fn swarm<B: NetworkBehaviour>(key: &Keypair, make: impl FnOnce(relay::client::Behaviour) -> B) -> Swarm<B> {
    let id = key.public().to_peer_id();
    let (circuits, client) = relay::client::new(id);
    let transport = circuits
        .or_transport(MemoryTransport::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let config = crate::swarm_config(libp2p::swarm::Config::with_tokio_executor());
    Swarm::new(transport, make(client), id, config)
}

/// Runs a swarm for a moment.
async fn run<B: NetworkBehaviour>(swarm: &mut Swarm<B>, ms: u64) {
    let _ = timeout(Duration::from_millis(ms), async { while swarm.next().await.is_some() {} }).await;
}

/// libp2p-relay 0.22 panics when a reservation is accepted whose listener was removed meanwhile; a tab would be dead.
#[tokio::test]
async fn a_reservation_that_comes_after_its_time_harms_nobody() {
    let (relay_key, tab_key) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let relay_id = relay_key.public().to_peer_id();
    let mut relay = swarm(&relay_key, |_| relay::Behaviour::new(relay_id, relay::Config::default()));
    relay.listen_on("/memory/0".parse().unwrap()).unwrap();
    let address: Multiaddr = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = relay.select_next_some().await {
            break address;
        }
    };
    relay.add_external_address(address.clone());
    let mut tab = swarm(&tab_key, |client| client);
    let mut relays = Relays::new(Use::Reserve, Doors::default());
    assert!(relays.add(address.with_p2p(relay_id).unwrap(), Time(0)));
    relays.tick(&mut tab, Time(0));
    // Connected, and the request is on its way.
    while !tab.is_connected(&relay_id) {
        tokio::select! {
            _ = relay.next() => {}
            _ = tab.next() => {}
        }
    }
    run(&mut tab, 200).await;
    // The tab finds that the time is over, and then the relay answers.
    relays.tick(&mut tab, Time(60_000));
    run(&mut tab, 100).await;
    run(&mut relay, 200).await;
    run(&mut tab, 200).await;
    run(&mut relay, 100).await;
    // And tries again, with success.
    relays.tick(&mut tab, Time(120_000));
    let accepted = async {
        loop {
            tokio::select! {
                _ = relay.next() => {}
                event = tab.select_next_some() => {
                    if let SwarmEvent::Behaviour(relay::client::Event::ReservationReqAccepted { .. }) = event {
                        return;
                    }
                }
            }
        }
    };
    timeout(Duration::from_secs(20), accepted).await.unwrap();
}
