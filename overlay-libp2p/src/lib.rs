//! Drives the kernel, `overlay::Node`, with a libp2p swarm, in a tab and natively.
//!
//! | module | does |
//! |---|---|
//! | [`driver`] | one poll runs swarm, kernel and alarm; turns events into inputs and outputs into deeds |
//! | [`lanes`] | the ordered streams between two peers, across a change of connection |
//! | [`behaviour`] | the protocols of every node; the platform adds its own |
//! | [`dht`] | kad with records that every node judges |
//! | `dials` | the kernel's dials: direct ways first, then circuits |
//! | [`doors`] | which sockets a tab opens, whatever strangers claim |
//! | [`brisk`] | connections that close in bounded time |
//! | [`pings`] | round trips, and sockets whose path has died |
//! | [`relays`] | keeps reservations and connections up, with back-off |
//! | [`addresses`] | identities and addresses between libp2p and the kernel |
//!
//! A platform makes a `Swarm<behaviour::Behaviour<P>>`, where `P` are its own protocols, wraps it in a
//! [`driver::Driver`] and polls that. Start reading there.

pub mod addresses;
pub mod behaviour;
pub mod brisk;
pub mod dht;
mod dials;
pub mod doors;
pub mod driver;
pub mod lanes;
pub mod pings;
pub mod relays;

use libp2p::core::upgrade::Version;
use libp2p::swarm::Config;
use std::time::Duration;

/// A connection without streams is closed after this time: kad's and superseded ones.
const IDLE: Duration = Duration::from_secs(20);

/// The settings that every node's swarm shares, on top of the platform's executor.
pub fn swarm_config(config: Config) -> Config {
    config
        .with_idle_connection_timeout(IDLE)
        // A stream's first bytes travel with the name of its protocol, which saves a round trip.
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        .with_max_negotiating_inbound_streams(64)
}
