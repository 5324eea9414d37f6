//! Addresses: `<relay>/p2p-circuit/webrtc/p2p/<id>` and the plain circuit underneath.

use libp2p_core::{multiaddr::Protocol, ConnectedPoint, Multiaddr};
use libp2p_identity::PeerId;

/// How a connection reaches its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// Through a relay, with the relay's limits.
    Relayed,
    /// By this crate's WebRTC, without a relay.
    WebRtc,
    /// By another direct transport, for example the websocket to a relay.
    Direct,
}

impl Path {
    /// The path of a connection. Use this, not [`ConnectedPoint::is_relayed`]: the address of a WebRTC connection
    /// names the relay that introduced its ends, although no byte goes there any more.
    pub fn of(endpoint: &ConnectedPoint) -> Path {
        let (a, b) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => (address, address),
            ConnectedPoint::Listener { local_addr, send_back_addr } => (local_addr, send_back_addr),
        };
        if is_webrtc(a) || is_webrtc(b) {
            Path::WebRtc
        } else if endpoint.is_relayed() {
            Path::Relayed
        } else {
            Path::Direct
        }
    }

    /// Whether the peer is reached without a relay.
    pub fn is_direct(self) -> bool {
        self != Path::Relayed
    }
}

/// What a dialled address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebRtcAddress {
    /// The peer that is dialled.
    pub peer: PeerId,
    /// The circuit over which to signal, `<relay>/p2p-circuit/p2p/<peer>`; `None` for the bare `/webrtc/p2p/<peer>`,
    /// which works only while some connection to the peer exists.
    pub circuit: Option<Multiaddr>,
}

impl WebRtcAddress {
    /// Reads an address, or `None` if it is not one of ours.
    pub fn parse(addr: &Multiaddr) -> Option<WebRtcAddress> {
        let mut seen_webrtc = false;
        let mut peer = None;
        let mut circuit = Multiaddr::empty();
        let mut relayed = false;
        for part in addr {
            match part {
                Protocol::WebRTC if seen_webrtc => return None,
                Protocol::WebRTC => {
                    seen_webrtc = true;
                    continue;
                }
                Protocol::P2pCircuit if relayed || seen_webrtc => return None,
                Protocol::P2pCircuit => {
                    relayed = true;
                    peer = None;
                }
                Protocol::P2p(id) => peer = Some(id),
                _ if relayed || seen_webrtc => return None,
                _ => {}
            }
            circuit.push(part);
        }
        // `/webrtc` behind something that is not a circuit would be a host of its own: not this protocol.
        let bare = !relayed && addr.iter().next() == Some(Protocol::WebRTC);
        if !seen_webrtc || !(relayed || bare) {
            return None;
        }
        Some(WebRtcAddress { peer: peer?, circuit: relayed.then_some(circuit) })
    }
}

/// Whether an address is of this transport.
pub fn is_webrtc(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| part == Protocol::WebRTC)
}

/// `<relay>/p2p-circuit[/p2p/<peer>]` → `<relay>/p2p-circuit/webrtc/p2p/<peer>`; `None` if `circuit` is not a plain
/// circuit address, or one of another peer.
pub fn webrtc_over(circuit: &Multiaddr, peer: PeerId) -> Option<Multiaddr> {
    let mut out = Multiaddr::empty();
    let mut relayed = false;
    for part in circuit {
        match part {
            Protocol::P2p(id) if relayed && id == peer => {}
            Protocol::P2pCircuit if !relayed => {
                relayed = true;
                out.push(part);
            }
            _ if relayed => return None,
            _ => out.push(part),
        }
    }
    relayed.then(|| out.with(Protocol::WebRTC).with(Protocol::P2p(peer)))
}

/// `/webrtc/p2p/<peer>`: names an inbound connection's end; not to be announced.
pub fn bare(peer: PeerId) -> Multiaddr {
    Multiaddr::empty().with(Protocol::WebRTC).with(Protocol::P2p(peer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_form_and_back() {
        let (relay, peer) = (PeerId::random(), PeerId::random());
        let circuit: Multiaddr =
            format!("/dns4/r/tcp/443/tls/ws/p2p/{relay}/p2p-circuit/p2p/{peer}").parse().unwrap();
        let webrtc: Multiaddr =
            format!("/dns4/r/tcp/443/tls/ws/p2p/{relay}/p2p-circuit/webrtc/p2p/{peer}").parse().unwrap();
        assert_eq!(webrtc_over(&circuit, peer), Some(webrtc.clone()));
        assert_eq!(
            WebRtcAddress::parse(&webrtc),
            Some(WebRtcAddress { peer, circuit: Some(circuit.clone()) })
        );
        assert_eq!(WebRtcAddress::parse(&bare(peer)), Some(WebRtcAddress { peer, circuit: None }));
        assert_eq!(WebRtcAddress::parse(&circuit), None);
        assert_eq!(webrtc_over(&circuit, relay), None);
        assert_eq!(webrtc_over(&webrtc, peer), None);
    }

    #[test]
    fn other_peoples_addresses_are_left_alone() {
        let peer = PeerId::random();
        for text in [
            format!("/ip4/1.2.3.4/udp/1/webrtc/p2p/{peer}"),
            format!("/ip4/1.2.3.4/udp/1/webrtc-direct/p2p/{peer}"),
            format!("/ip4/1.2.3.4/tcp/1/ws/p2p/{peer}"),
            format!("/p2p/{peer}/p2p-circuit/webrtc"),
            format!("/p2p-circuit/webrtc/webrtc/p2p/{peer}"),
        ] {
            assert_eq!(WebRtcAddress::parse(&text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn paths_are_told_apart() {
        let peer = PeerId::random();
        let listener = |local: &str, back: Multiaddr| ConnectedPoint::Listener {
            local_addr: local.parse().unwrap(),
            send_back_addr: back,
        };
        assert_eq!(Path::of(&listener("/ip4/1.1.1.1/tcp/1/p2p-circuit", bare(peer))), Path::WebRtc);
        let back = Multiaddr::empty().with(Protocol::P2p(peer));
        assert_eq!(Path::of(&listener("/ip4/1.1.1.1/tcp/1/p2p-circuit", back.clone())), Path::Relayed);
        assert_eq!(Path::of(&listener("/ip4/1.1.1.1/tcp/1", back)), Path::Direct);
    }
}
