//! The swarm: the protocols of a native node, what peers may use of them, and where it listens.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{relay, Multiaddr, Swarm};
use overlay_libp2p::behaviour::{Behaviour, Options};
use overlay_libp2p::dht::Capacity;
use overlay_libp2p::swarm_config;

use super::transport;
use crate::config::{Config, Limits};
use crate::tls::Tls;

/// Connections to one peer: its tab may meet the relay again before the old socket is known to be dead.
const MAX_PER_PEER: u32 = 4;
/// Connections that have lost their places during their handshake and are being closed: many come in one turn of a flood.
const MAX_CLOSING: u32 = 1_024;
/// How long a reservation lasts; tabs renew it.
const RESERVATION_TIME: Duration = Duration::from_secs(30 * 60);
/// Between two pings of a tab: ten thousand tabs make 170 pings a second each way.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// A connection without streams is closed after this time: a plain libp2p node that comes for the DHT now and then need
/// not dial anew each time.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// How long listening addresses are waited for at the start.
const LISTEN_TIME: Duration = Duration::from_secs(10);
/// Several addresses of one listener come within this time.
const SETTLE_TIME: Duration = Duration::from_millis(20);

/// The protocols of a native node.
#[derive(NetworkBehaviour)]
pub(super) struct Native {
    limits: connection_limits::Behaviour,
    relay: relay::Behaviour,
}

/// A swarm that does not listen yet.
pub(super) fn swarm(
    key: &Keypair,
    config: &Config,
    tls: Option<&Tls>,
    seed: u64,
) -> anyhow::Result<Swarm<Behaviour<Native>>> {
    let limits = config.limits;
    let transport = transport::transport(key, config, tls)?;
    let native = Native {
        limits: connection_limits::Behaviour::new(
            ConnectionLimits::default()
                .with_max_pending_incoming(Some(pending(limits)))
                .with_max_established(Some(limits.connections))
                .with_max_established_per_peer(Some(MAX_PER_PEER)),
        ),
        relay: relay::Behaviour::new(key.public().to_peer_id(), relay_config(limits)),
    };
    let options = Options {
        capacity: Capacity::RELAY,
        ping_interval: PING_INTERVAL,
        socket_ping_interval: PING_INTERVAL,
        limit: None,
        hide_listen_addresses: false,
        seed,
    };
    let config =
        swarm_config(libp2p::swarm::Config::with_tokio_executor()).with_idle_connection_timeout(IDLE);
    Ok(Swarm::new(transport, Behaviour::new(key, native, options), key.public().to_peer_id(), config))
}

/// Those in their handshake are bounded before they come here, and displace each other; this has room for those that have
/// lost their places and are still to be closed. Whoever found none would be refused for them.
fn pending(limits: Limits) -> u32 {
    u32::try_from(limits.handshakes).unwrap_or(u32::MAX).saturating_add(MAX_CLOSING)
}

fn relay_config(limits: Limits) -> relay::Config {
    let per_minute = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
    let minute = Duration::from_secs(60);
    relay::Config {
        max_reservations: limits.reservations,
        max_reservations_per_peer: MAX_PER_PEER as usize,
        reservation_duration: RESERVATION_TIME,
        reservation_rate_limiters: Vec::new(),
        max_circuits: limits.circuits,
        max_circuits_per_peer: 64,
        max_circuit_duration: limits.circuit_time,
        max_circuit_bytes: limits.circuit_bytes,
        circuit_src_rate_limiters: Vec::new(),
    }
    .reservation_rate_per_peer(per_minute(60), minute)
    .reservation_rate_per_ip(per_minute(limits.reservations_per_ip), minute)
    .circuit_src_per_peer(per_minute(240), minute)
    .circuit_src_per_ip(per_minute(limits.reservations_per_ip.saturating_mul(4)), minute)
}

/// Listens, and waits until every address is known. Addresses end in the relay's id.
pub(super) async fn listen(
    swarm: &mut Swarm<Behaviour<Native>>,
    addresses: &[Multiaddr],
) -> anyhow::Result<Vec<Multiaddr>> {
    let mut waiting = HashSet::new();
    for address in addresses {
        waiting
            .insert(swarm.listen_on(address.clone()).with_context(|| format!("cannot listen on {address}"))?);
    }
    let mut listening = Vec::new();
    let local = *swarm.local_peer_id();
    // One listener on an unspecified address reports several: the first shows that it works, and whatever comes soon
    // after belongs to it.
    let deadline = tokio::time::Instant::now() + LISTEN_TIME;
    let mut until = deadline;
    while let Ok(Some(event)) = tokio::time::timeout_at(until, swarm.next()).await {
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                waiting.remove(&listener_id);
                listening.extend(address.with_p2p(local));
                if waiting.is_empty() {
                    until = until.min(tokio::time::Instant::now() + SETTLE_TIME);
                }
            }
            SwarmEvent::ListenerClosed { reason, .. } => anyhow::bail!("a listener closed: {reason:?}"),
            SwarmEvent::ListenerError { error, .. } => anyhow::bail!("a listener failed: {error}"),
            _ => {}
        }
    }
    anyhow::ensure!(waiting.is_empty(), "listening took too long");
    Ok(listening)
}
