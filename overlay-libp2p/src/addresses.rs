//! Identities and addresses between libp2p and the kernel.

use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::Multiaddr;
use overlay::id::PeerId;

/// The longest address that is looked at; a circuit through a named relay has about 180 bytes.
const MAX_ADDRESS: usize = 512;
/// Addresses of one peer that are looked at.
pub const MAX_ADDRESSES: usize = 8;

/// The kernel's id of a libp2p peer; `None` unless its key is ed25519.
pub fn kernel_peer(peer: &libp2p::PeerId) -> Option<PeerId> {
    PeerId::from_libp2p_bytes(&peer.to_bytes())
}

/// The libp2p id of a kernel peer; `None` never happens for an id that came from libp2p.
pub fn libp2p_peer(peer: PeerId) -> Option<libp2p::PeerId> {
    libp2p::PeerId::from_bytes(&peer.to_libp2p_bytes()).ok()
}

/// Does every byte of the connection pass a relay? The address of a WebRTC connection names the relay that
/// introduced its ends, although nothing goes through it any more.
pub fn is_relayed(endpoint: &ConnectedPoint) -> bool {
    !is_webrtc_connection(endpoint) && endpoint.is_relayed()
}

/// Is it a connection of the browser-to-browser transport?
pub fn is_webrtc_connection(endpoint: &ConnectedPoint) -> bool {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } => is_webrtc(address),
        ConnectedPoint::Listener { local_addr, send_back_addr } => {
            is_webrtc(local_addr) || is_webrtc(send_back_addr)
        }
    }
}

/// Is it an address of the browser-to-browser transport?
pub fn is_webrtc(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::WebRTC)
}

/// Does the address lead through a relay, whether to stay there or to be introduced?
pub fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// The peer that an address ends in.
pub fn last_peer(address: &Multiaddr) -> Option<libp2p::PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// `<relay>/p2p-circuit/webrtc/p2p/<peer>`, for a relay's address that ends in its id.
pub fn webrtc_through(relay: &Multiaddr, peer: libp2p::PeerId) -> Multiaddr {
    relay.clone().with(Protocol::P2pCircuit).with(Protocol::WebRTC).with(Protocol::P2p(peer))
}

/// `<relay>/p2p-circuit/p2p/<peer>`, for a relay's address that ends in its id.
pub fn circuit_through(relay: &Multiaddr, peer: libp2p::PeerId) -> Multiaddr {
    relay.clone().with(Protocol::P2pCircuit).with(Protocol::P2p(peer))
}

/// The relay's part of a circuit address, ending in the relay's id.
pub fn relay_of(circuit: &Multiaddr) -> Option<Multiaddr> {
    let relay: Multiaddr = circuit.iter().take_while(|part| *part != Protocol::P2pCircuit).collect();
    (is_circuit(circuit) && last_peer(&relay).is_some()).then_some(relay)
}

/// An address that somebody claims for `peer`, made to end in its id; `None` if it is too long, names another peer, or
/// is of a kind that leads nowhere from here: only sockets (tcp, ws, wss) and WebRTC through a relay's socket.
pub fn claimed(address: Multiaddr, peer: libp2p::PeerId) -> Option<Multiaddr> {
    if address.len() > MAX_ADDRESS {
        return None;
    }
    let address = address.with_p2p(peer).ok()?;
    let mut parts = address.iter();
    let host = matches!(
        parts.next()?,
        Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)
    );
    let port = matches!(parts.next()?, Protocol::Tcp(port) if port > 0);
    let circuits = address.iter().filter(|part| *part == Protocol::P2pCircuit).count();
    let shape = match circuits {
        0 => !is_webrtc(&address),
        1 => is_webrtc(&address) && relay_of(&address).is_some(),
        _ => false,
    };
    (host && port && shape).then_some(address)
}

/// As [`claimed`], from text.
pub fn claimed_text(text: &str, peer: libp2p::PeerId) -> Option<Multiaddr> {
    if text.len() > MAX_ADDRESS {
        return None;
    }
    claimed(text.parse().ok()?, peer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn peer() -> libp2p::PeerId {
        libp2p_peer(PeerId([3; 32])).unwrap()
    }

    #[test]
    fn ids_round_trip() {
        assert_eq!(kernel_peer(&peer()), Some(PeerId([3; 32])));
        assert_eq!(peer().to_string(), PeerId([3; 32]).to_string());
    }

    #[test]
    fn claims_that_lead_nowhere_are_dropped() {
        let (peer, other) = (peer(), libp2p_peer(PeerId([4; 32])).unwrap());
        let good = [
            "/ip4/127.0.0.1/tcp/9/ws".to_owned(),
            format!("/dns/r.example/tcp/443/tls/ws/p2p/{other}/p2p-circuit/webrtc/p2p/{peer}"),
        ];
        for text in good {
            assert_eq!(last_peer(&claimed_text(&text, peer).unwrap()), Some(peer), "{text}");
        }
        let bad = [
            format!("/ip4/127.0.0.1/tcp/9/ws/p2p/{other}"),
            format!("/webrtc/p2p/{peer}"),
            format!("/ip4/127.0.0.1/udp/9/quic-v1/p2p/{peer}"),
            format!("/ip4/127.0.0.1/tcp/9/ws/p2p/{other}/p2p-circuit/p2p/{peer}"),
            format!("/ip4/1.1.1.1/tcp/9/ws/p2p-circuit/webrtc/p2p/{peer}"),
            "/memory/1".to_owned(),
            "nonsense".to_owned(),
            format!("/dns/{}/tcp/1", "a".repeat(600)),
        ];
        for text in bad {
            assert_eq!(claimed_text(&text, peer), None, "{text}");
        }
    }

    #[test]
    fn circuits_are_taken_apart() {
        let relay: Multiaddr = format!("/ip4/127.0.0.1/tcp/9/ws/p2p/{}", peer()).parse().unwrap();
        assert_eq!(relay_of(&webrtc_through(&relay, peer())), Some(relay.clone()));
        assert_eq!(relay_of(&circuit_through(&relay, peer())), Some(relay.clone()));
        assert_eq!(relay_of(&relay), None);
    }
}
