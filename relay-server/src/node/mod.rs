//! The peer that a relay is: swarm and kernel in one task, asked through a channel.
//!
//! | module | does |
//! |---|---|
//! | `handle` | what others hold: [`Handle`] gives commands, [`Session`] is an open session, [`Facts`] is what is known |
//! | `task` | the task that owns swarm and kernel |
//! | `swarm` | the protocols, their limits, listening |
//! | `transport` | where connections come from; `handshakes` bounds them, `renewed` shows websockets' newest certificate |
//! | `webrtc` | `/webrtc-direct`, with the feature of that name |
//!
//! [`start`] puts them together.

mod handle;
mod handshakes;
mod renewed;
mod swarm;
mod task;
mod transport;
#[cfg(feature = "webrtc-direct")]
mod webrtc;

use std::sync::{Arc, Mutex};

use anyhow::Context;
use overlay::io::Role;
use overlay_libp2p::doors::Doors;
use overlay_libp2p::driver::{Clock, Driver, TimerAlarm};
use overlay_libp2p::relays::Use;
use tokio::sync::{mpsc, oneshot};

pub use self::handle::{Facts, Handle, Session};
use self::task::Task;
use crate::config::Config;
use crate::identity;
use crate::tls::Tls;

/// Commands that wait for the node; more are refused at once.
const MAX_WAITING: usize = 256;

/// Starts the node; it runs in a task until `stop` is told, then hands over what it serves and disconnects.
pub async fn start(
    config: &Config,
    tls: Option<&Tls>,
    stop: oneshot::Receiver<()>,
) -> anyhow::Result<(Handle, tokio::task::JoinHandle<()>)> {
    let key = identity::load(config.data_dir.as_deref())?;
    let mut seed = [0; 32];
    getrandom::getrandom(&mut seed).context("no randomness")?;
    let mut swarm = swarm::swarm(&key, config, tls, association_seed(&seed))?;
    let peer_id = *swarm.local_peer_id();
    let listening = swarm::listen(&mut swarm, &config.listen).await?;
    let announced: Vec<_> =
        config.announce.iter().filter_map(|address| address.clone().with_p2p(peer_id).ok()).collect();
    for address in listening.iter().chain(&announced) {
        swarm.add_external_address(address.clone());
    }
    let clock = Clock::start();
    let kernel = overlay::Node::new(
        overlay::io::Config {
            secret_key: identity::secret(&key)?,
            role: Role::Relay,
            name: config.name.clone(),
            seed,
        },
        clock.now(),
    );
    let alarm = Box::new(TimerAlarm::default());
    let mut driver = Driver::new(
        swarm,
        kernel,
        clock,
        alarm,
        (Use::Connect, Doors::default()),
        overlay_libp2p::dht::admit,
    );
    driver.report_addresses();
    for address in &config.join {
        anyhow::ensure!(driver.add_relay(address.clone()), "--join {address}: too many relays");
    }
    let facts = Arc::new(Mutex::new(Facts { listening, announced, ..Facts::default() }));
    let (commands, inbox) = mpsc::channel(MAX_WAITING);
    let handle = Handle { peer_id, facts: facts.clone(), commands };
    Ok((handle, tokio::spawn(Task::new(driver, facts, inbox).run(stop))))
}

/// Differs from run to run; tells nothing about the kernel's own seed that matters.
fn association_seed(seed: &[u8; 32]) -> u64 {
    seed.iter().rev().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}
