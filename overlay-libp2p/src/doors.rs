//! Which sockets a tab opens.
//!
//! Addresses of peers come from strangers: in records, in greetings, in the DHT. A tab that dialled whatever it is told
//! could be made to scan ports of the network that it is in, or to flood a host that somebody dislikes. So a tab opens
//! sockets to the relays that it was given itself, and else only to what a public web server looks like: a name of the
//! public DNS, TLS, port 443; of these a few at a time and a bounded number in a while. [`Gate`] holds this for every dial,
//! whoever asks for it: the kernel, the DHT, a circuit on its way to a relay.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Transport};
use web_time::Instant;

/// Relays that are remembered; what adds them has a smaller bound of its own.
const MAX_KNOWN: usize = 64;
/// Sockets to strangers that are being opened at a time.
const MAX_OPENING: usize = 8;
/// Sockets to strangers in one go, and the time after which there may be one more.
const BURST: u32 = 16;
const REFILL: Duration = Duration::from_secs(4);
/// The longest name of the DNS.
const MAX_NAME: usize = 253;

/// The sockets that may be opened. Clones share them.
#[derive(Clone)]
pub struct Doors(Arc<Mutex<State>>);

struct State {
    known: BTreeSet<Multiaddr>,
    opening: usize,
    tokens: u32,
    refilled: Instant,
}

/// Why a socket is not opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError<E: std::error::Error> {
    /// The address is neither a relay that was given nor a public web server.
    #[error("{0} is neither a relay of this node's nor a public name with TLS on port 443")]
    NotPublic(Multiaddr),
    /// Too many strangers' sockets have been opened lately.
    #[error("too many addresses of strangers were dialled; try again in a few seconds")]
    TooMany,
    /// The socket itself failed.
    #[error(transparent)]
    Socket(E),
}

impl Default for Doors {
    fn default() -> Self {
        let state = State { known: BTreeSet::new(), opening: 0, tokens: BURST, refilled: Instant::now() };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl Doors {
    /// From now on the socket of this relay may be opened.
    pub fn add(&self, relay: &Multiaddr) {
        let mut state = self.lock();
        if state.known.len() < MAX_KNOWN {
            state.known.insert(socket(relay));
        }
    }

    /// Is an address worth a dial? It leads to a known relay, or through one, or to what may be a public server.
    pub fn may_open(&self, address: &Multiaddr) -> bool {
        self.is_known(address) || is_public(&socket(address))
    }

    /// Does an address lead to a relay that this node was given, or through one?
    pub fn is_known(&self, address: &Multiaddr) -> bool {
        self.lock().known.contains(&socket(address))
    }

    /// A stranger's socket is being opened while the returned guard lives; `None` if there are too many.
    fn open(&self) -> Option<Opening> {
        let mut state = self.lock();
        let now = Instant::now();
        while state.tokens < BURST && now.saturating_duration_since(state.refilled) >= REFILL {
            state.tokens += 1;
            state.refilled += REFILL;
        }
        if state.tokens == BURST {
            state.refilled = now;
        }
        if state.opening >= MAX_OPENING || state.tokens == 0 {
            return None;
        }
        state.opening += 1;
        state.tokens -= 1;
        Some(Opening(self.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Opening(Doors);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.lock().opening -= 1;
    }
}

/// The part of an address that a socket is opened to.
fn socket(address: &Multiaddr) -> Multiaddr {
    address.iter().take_while(|part| !matches!(part, Protocol::P2p(_) | Protocol::P2pCircuit)).collect()
}

/// A public name, TLS on port 443, and nothing else: no path that a server could take for a request of a person's.
fn is_public(socket: &Multiaddr) -> bool {
    let mut parts = socket.iter();
    let named = match parts.next() {
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => is_public_name(&name),
        _ => false,
    };
    let port = parts.next() == Some(Protocol::Tcp(443));
    let root = |path: &str| path.is_empty() || path == "/";
    let tls = match (parts.next(), parts.next()) {
        (Some(Protocol::Wss(path)), None) => root(&path),
        (Some(Protocol::Tls), Some(Protocol::Ws(path))) => root(&path) && parts.next().is_none(),
        _ => false,
    };
    named && port && tls
}

/// A name below a top-level domain of the public DNS: not this machine, not its network, not an address in disguise.
fn is_public_name(name: &str) -> bool {
    /// Domains of machines and networks (RFC 6761, 6762, 7686, 8375, 9476; `internal` is ICANN's).
    const PRIVATE: [&str; 10] =
        ["alt", "arpa", "corp", "example", "home", "internal", "invalid", "lan", "local", "localhost"];
    let label = |label: &str| {
        let fits = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        !label.is_empty() && label.len() <= 63 && fits
    };
    let Some((_, top)) = name.rsplit_once('.') else { return false };
    // Browsers read a name whose last part is a number, `0x7f` too, as an address.
    let top_fits = top.len() >= 2
        && (top.bytes().all(|byte| byte.is_ascii_alphabetic())
            || top.to_ascii_lowercase().starts_with("xn--"));
    let private = PRIVATE.iter().chain(&["onion", "test"]).any(|private| top.eq_ignore_ascii_case(private));
    name.len() <= MAX_NAME && name.split('.').all(label) && top_fits && !private
}

/// A transport that dials only what [`Doors`] allow.
pub struct Gate<T> {
    transport: T,
    doors: Doors,
}

impl<T> Gate<T> {
    /// Puts `doors` before a transport.
    pub fn new(transport: T, doors: Doors) -> Self {
        Self { transport, doors }
    }
}

impl<T> Transport for Gate<T>
where
    T: Transport + Unpin,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Output: 'static,
    T::Error: 'static,
{
    type Output = T::Output;
    type Error = DoorError<T::Error>;
    type ListenerUpgrade = BoxFuture<'static, Result<T::Output, Self::Error>>;
    type Dial = BoxFuture<'static, Result<T::Output, Self::Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.transport.listen_on(id, address).map_err(|error| error.map(DoorError::Socket))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.transport.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        let opening = if self.doors.is_known(&address) {
            None
        } else if is_public(&socket(&address)) {
            Some(self.doors.open().ok_or(TransportError::Other(DoorError::TooMany))?)
        } else {
            return Err(TransportError::Other(DoorError::NotPublic(address)));
        };
        let dial = self.transport.dial(address, opts).map_err(|error| error.map(DoorError::Socket))?;
        let dial = dial.map_err(DoorError::Socket).inspect(move |_| drop(opening));
        Ok(dial.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let event = Pin::new(&mut self.transport).poll(cx);
        event.map(|event| {
            event.map_upgrade(|upgrade| upgrade.map_err(DoorError::Socket).boxed()).map_err(DoorError::Socket)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::future::Ready;
    use libp2p::core::transport::PortUse;
    use libp2p::core::Endpoint;
    use libp2p::PeerId;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn strangers_lead_to_public_names_with_tls_on_443_and_nowhere_else() {
        let doors = Doors::default();
        let id = PeerId::random();
        for good in [
            "/dns/relay.tabfarm.org/tcp/443/wss".to_owned(),
            "/dns4/a-b.xn--bcher-kva.de/tcp/443/tls/ws".to_owned(),
            format!("/dns/r.tabfarm.org/tcp/443/tls/ws/p2p/{id}/p2p-circuit/webrtc/p2p/{id}"),
        ] {
            assert!(doors.may_open(&address(&good)), "{good}");
        }
        for bad in [
            "/ip4/10.0.0.1/tcp/443/tls/ws",
            "/ip4/8.8.8.8/tcp/443/tls/ws",
            "/ip6/::1/tcp/443/tls/ws",
            "/dns/relay.tabfarm.org/tcp/22/tls/ws",
            "/dns/relay.tabfarm.org/tcp/443/ws",
            "/dns/relay.tabfarm.org/tcp/443",
            "/dns/relay.tabfarm.org/tcp/443/tls/ws/webrtc",
            "/dns/relay.tabfarm.org/tcp/443/tls/x-parity-ws/%2Flogout",
            "/dns/localhost/tcp/443/tls/ws",
            "/dns/a.localhost/tcp/443/tls/ws",
            "/dns/printer/tcp/443/tls/ws",
            "/dns/printer.local/tcp/443/tls/ws",
            "/dns/nas.home.arpa/tcp/443/tls/ws",
            "/dns/127.0.0.1/tcp/443/tls/ws",
            "/dns/10.0.0.0x1/tcp/443/tls/ws",
            "/dns/a.org./tcp/443/tls/ws",
            "/dns/user@a.org/tcp/443/tls/ws",
            "/dns/a.org:8443/tcp/443/tls/ws",
        ] {
            assert!(!doors.may_open(&address(bad)), "{bad}");
        }
    }

    #[test]
    fn what_this_node_was_given_may_be_anywhere_and_is_that_socket_alone() {
        let doors = Doors::default();
        let (relay, peer) = (PeerId::random(), PeerId::random());
        let given = address(&format!("/ip4/127.0.0.1/tcp/9/ws/p2p/{relay}"));
        assert!(!doors.may_open(&given));
        doors.add(&given);
        assert!(doors.may_open(&given));
        let through = address(&format!("{given}/p2p-circuit/webrtc/p2p/{peer}"));
        assert!(doors.may_open(&through) && doors.is_known(&through));
        assert!(!doors.may_open(&address(&format!("/ip4/127.0.0.1/tcp/10/ws/p2p/{relay}"))));
        assert!(!doors.may_open(&address(&format!("/ip4/127.0.0.1/tcp/9/p2p/{relay}"))));
    }

    /// Takes every dial and never ends one.
    struct Sockets(usize);

    impl Transport for Sockets {
        type Output = ();
        type Error = std::io::Error;
        type ListenerUpgrade = Ready<Result<(), std::io::Error>>;
        type Dial = futures::future::Pending<Result<(), std::io::Error>>;

        fn listen_on(
            &mut self,
            _: ListenerId,
            address: Multiaddr,
        ) -> Result<(), TransportError<Self::Error>> {
            Err(TransportError::MultiaddrNotSupported(address))
        }
        fn remove_listener(&mut self, _: ListenerId) -> bool {
            false
        }
        fn dial(&mut self, _: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
            self.0 += 1;
            Ok(futures::future::pending())
        }
        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_flood_of_claims_opens_a_few_sockets() {
        let doors = Doors::default();
        let mut gate = Gate::new(Sockets(0), doors.clone());
        let opts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        let mut under_way = Vec::new();
        for n in 0..100 {
            let stranger = address(&format!("/dns/host{n}.tabfarm.org/tcp/443/tls/ws"));
            under_way.extend(gate.dial(stranger, opts));
            assert!(gate.dial(address(&format!("/ip4/10.0.0.{n}/tcp/22/ws")), opts).is_err());
        }
        assert_eq!((under_way.len(), gate.transport.0), (MAX_OPENING, MAX_OPENING));
        // They end, and more come: until there have been enough for a while.
        for n in 0..100 {
            under_way.clear();
            under_way.extend(gate.dial(address(&format!("/dns/host{n}.tabfarm.org/tcp/443/wss")), opts));
        }
        assert_eq!(gate.transport.0, BURST as usize);
        doors.lock().refilled -= REFILL;
        assert!(gate.dial(address("/dns/host.tabfarm.org/tcp/443/wss"), opts).is_ok());
        // One's own relays are no strangers.
        let relay = address("/ip4/127.0.0.1/tcp/9/ws");
        doors.add(&relay);
        assert!(gate.dial(relay, opts).is_ok());
    }
}
