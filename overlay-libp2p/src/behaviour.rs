//! What every node of the overlay speaks, tab or native.
// The derive makes an enum of events whose variants are the fields below and cannot carry docs.
#![allow(missing_docs)]

use std::time::Duration;

use libp2p::identify;
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::swarm::NetworkBehaviour;

use crate::dht::{self, Capacity};
use crate::{lanes, pings};

/// The protocol family that identify announces.
pub const PROTOCOL_VERSION: &str = "/tabfarm/1";

/// The protocols of every node, and `platform` with those of its kind: relay client and WebRTC in a tab, relay server
/// and limits in a native node.
#[derive(NetworkBehaviour)]
pub struct Behaviour<P: NetworkBehaviour> {
    /// The kernel's frames. First, because they are polled first.
    pub lanes: lanes::Behaviour,
    /// The platform's own protocols.
    pub platform: P,
    /// Who a peer is and where it listens.
    pub identify: identify::Behaviour,
    /// Round trips, and signs of life.
    pub ping: pings::Behaviour,
    /// The DHT.
    pub kad: kad::Behaviour<MemoryStore>,
}

/// What differs between kinds of node.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the node keeps of the DHT.
    pub capacity: Capacity,
    /// Between two pings of one WebRTC connection or circuit.
    pub ping_interval: Duration,
    /// Between two pings of one socket, whose path is taken for dead after one and a half to two times this.
    pub socket_ping_interval: Duration,
    /// Which connections are closed when there are too many; none without it.
    pub limit: Option<lanes::Limit>,
    /// Announce only addresses that are confirmed, not every address that is listened on.
    pub hide_listen_addresses: bool,
    /// Differs from run to run.
    pub seed: u64,
}

impl<P: NetworkBehaviour> Behaviour<P> {
    /// The protocols of the node that holds `key`.
    pub fn new(key: &Keypair, platform: P, options: Options) -> Self {
        let identify = identify::Config::new(PROTOCOL_VERSION.into(), key.public())
            .with_agent_version(concat!("tabfarm/", env!("CARGO_PKG_VERSION")).into())
            .with_push_listen_addr_updates(true)
            .with_hide_listen_addrs(options.hide_listen_addresses)
            // Dials take their addresses from the DHT and from the kernel; identify's own cache would offer plain
            // circuits, which win against WebRTC.
            .with_cache_size(0);
        Self {
            lanes: lanes::Behaviour::new(options.seed).with_limit(options.limit),
            platform,
            identify: identify::Behaviour::new(identify),
            ping: pings::Behaviour::new(options.socket_ping_interval, options.ping_interval),
            kad: dht::behaviour(key.public().to_peer_id(), options.capacity),
        }
    }
}
