//! Staying in touch with relays: reservations for a tab, connections for a native node.

use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{dial_opts::DialOpts, NetworkBehaviour, Swarm};
use libp2p::Multiaddr;
use overlay::time::{Millis, Time};

use crate::addresses::last_peer;
use crate::doors::Doors;

/// Relays that one node keeps up with.
pub const MAX_RELAYS: usize = 8;
/// Pause before a lost relay is tried again, doubled up to the second value. A lost reservation is regained within 10 s
/// of the relay's return, and a relay that restarts is not stormed by its tabs all at once.
const RETRY: Millis = Millis(250);
const MAX_RETRY: Millis = Millis(8_000);
/// A try that neither succeeded nor failed after this time counts as failed.
const PATIENCE: Millis = Millis(15_000);

/// How a node uses its relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A tab: others reach it through the relay's circuits.
    Reserve,
    /// A native node: relays are only peers.
    Connect,
}

pub(crate) struct Relays {
    how: Use,
    doors: Doors,
    relays: Vec<Relay>,
}

struct Relay {
    /// Ends in the relay's id.
    address: Multiaddr,
    peer: libp2p::PeerId,
    state: State,
    failures: u32,
}

#[derive(Debug, PartialEq)]
enum State {
    Waiting(Time),
    Trying(Option<ListenerId>, Time),
    Up(Option<ListenerId>),
}

impl Relays {
    /// Relays whose sockets `doors` let through as they are added.
    pub fn new(how: Use, doors: Doors) -> Self {
        Self { how, doors, relays: Vec::new() }
    }

    /// Adds a relay. False if the address does not end in a peer id or there are enough.
    pub fn add(&mut self, address: Multiaddr, now: Time) -> bool {
        let Some(peer) = last_peer(&address) else { return false };
        if self.relays.iter().any(|relay| relay.address == address) {
            return true;
        }
        let room = self.relays.len() < MAX_RELAYS;
        if room {
            self.doors.add(&address);
            self.relays.push(Relay { address, peer, state: State::Waiting(now), failures: 0 });
        }
        room
    }

    pub fn contains(&self, peer: &libp2p::PeerId) -> bool {
        self.relays.iter().any(|relay| relay.peer == *peer)
    }

    /// The address that this node has of a relay, up or not.
    pub fn address(&self, peer: &libp2p::PeerId) -> Option<&Multiaddr> {
        let of_peer = || self.relays.iter().filter(|relay| relay.peer == *peer);
        let best = of_peer().find(|relay| matches!(relay.state, State::Up(_))).or(of_peer().next());
        best.map(|relay| &relay.address)
    }

    /// Where this node opens sockets to.
    pub fn doors(&self) -> &Doors {
        &self.doors
    }

    /// Addresses of the relays that are up.
    pub fn up(&self) -> impl Iterator<Item = &Multiaddr> {
        self.relays.iter().filter(|relay| matches!(relay.state, State::Up(_))).map(|relay| &relay.address)
    }

    /// Addresses of the relays that lead to others now: a connection will do, a reservation is for those who come.
    pub fn ways<'a>(
        &'a self,
        is_connected: impl Fn(&libp2p::PeerId) -> bool + 'a,
    ) -> impl Iterator<Item = &'a Multiaddr> {
        let leads = move |relay: &&Relay| matches!(relay.state, State::Up(_)) || is_connected(&relay.peer);
        self.relays.iter().filter(leads).map(|relay| &relay.address)
    }

    /// When to call [`Relays::tick`] next.
    pub fn timeout(&self) -> Option<Time> {
        self.relays.iter().filter_map(|relay| relay.due()).min()
    }

    /// Tries what is due.
    pub fn tick<B: NetworkBehaviour>(&mut self, swarm: &mut Swarm<B>, now: Time) {
        let how = self.how;
        for relay in &mut self.relays {
            if relay.due().is_none_or(|due| due > now) {
                continue;
            }
            if matches!(relay.state, State::Trying(Some(_), _)) {
                // The listener ends with the connection or dial that it waits for. Removed before that, it would leave a
                // reservation under way that libp2p-relay 0.22 has forgotten, and panics at when it is accepted.
                let _ = swarm.disconnect_peer_id(relay.peer);
                relay.failed(now);
                continue;
            }
            let listener = match how {
                Use::Reserve => match swarm.listen_on(relay.address.clone().with(Protocol::P2pCircuit)) {
                    Ok(listener) => Some(listener),
                    Err(_) => {
                        relay.failed(now);
                        continue;
                    }
                },
                Use::Connect if swarm.is_connected(&relay.peer) => {
                    relay.state = State::Up(None);
                    continue;
                }
                Use::Connect => {
                    let dial = DialOpts::peer_id(relay.peer).addresses(vec![relay.address.clone()]);
                    // A dial that is refused is under way already, and its end is reported like this one's.
                    let _ = swarm.dial(dial.build());
                    None
                }
            };
            relay.state = State::Trying(listener, now + PATIENCE);
        }
    }

    /// A peer is connected, which is all that a native node wants of a relay.
    pub fn on_connected(&mut self, peer: &libp2p::PeerId) {
        if self.how == Use::Connect {
            self.on_up(peer);
        }
    }

    /// A reservation was accepted (tab) or a connection established (native).
    pub fn on_up(&mut self, peer: &libp2p::PeerId) {
        for relay in self.relays.iter_mut().filter(|relay| relay.peer == *peer) {
            relay.failures = 0;
            if let State::Trying(listener, _) = relay.state {
                relay.state = State::Up(listener);
            } else if self.how == Use::Connect {
                relay.state = State::Up(None);
            }
        }
    }

    /// A listener closed: its reservation is lost or was refused.
    pub fn on_listener_closed(&mut self, id: ListenerId, now: Time) {
        let closed = |state: &State| match state {
            State::Trying(listener, _) | State::Up(listener) => *listener == Some(id),
            State::Waiting(_) => false,
        };
        for relay in self.relays.iter_mut().filter(|relay| closed(&relay.state)) {
            relay.failed(now);
        }
    }

    /// The last connection to a peer closed, or a dial of it failed.
    pub fn on_down(&mut self, peer: &libp2p::PeerId, now: Time) {
        if self.how == Use::Connect {
            for relay in self.relays.iter_mut().filter(|relay| relay.peer == *peer) {
                if !matches!(relay.state, State::Waiting(_)) {
                    relay.failed(now);
                }
            }
        }
    }

    /// Tries every relay at once: the network came back.
    pub fn retry_now(&mut self, now: Time) {
        for relay in &mut self.relays {
            if matches!(relay.state, State::Waiting(_)) {
                relay.state = State::Waiting(now);
            }
        }
    }
}

impl Relay {
    fn due(&self) -> Option<Time> {
        match self.state {
            State::Waiting(at) | State::Trying(_, at) => Some(at),
            State::Up(_) => None,
        }
    }

    fn failed(&mut self, now: Time) {
        let pause = (RETRY.0 << self.failures.min(8)).min(MAX_RETRY.0);
        // Between three quarters and the whole, by time: tabs that lost a relay together come back apart.
        let pause = pause - pause / 4 * (now.0 % 8) / 8;
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(now + Millis(pause));
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[allow(clippy::unwrap_used)]
#[path = "relays_tests.rs"]
mod late;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_end_with_success() {
        let mut relays = Relays::new(Use::Connect, Doors::default());
        let peer = libp2p::PeerId::random();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{peer}").parse().unwrap();
        assert!(relays.add(address.clone(), Time(0)));
        assert!(!relays.add("/ip4/127.0.0.1/tcp/1/ws".parse().unwrap(), Time(0)));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            relays.relays[0].failed(Time(0));
            pauses.push(relays.timeout().unwrap().0);
        }
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        relays.on_up(&peer);
        assert_eq!((relays.timeout(), relays.up().count()), (None, 1));
        relays.on_down(&peer, Time(80));
        assert_eq!(relays.timeout(), Some(Time(330)));
        assert_eq!((relays.ways(|_| false).count(), relays.ways(|relay| *relay == peer).count()), (0, 1));
    }
}
