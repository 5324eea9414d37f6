//! A way for datagrams beside the streams.

use std::task::{Context, Poll};

/// Unordered and lossy, to peers that have it too: in a tab WebRTC's data channel for datagrams.
pub trait Datagrams: Send {
    /// Sends a datagram, or loses it. False if the peer cannot be reached so: then its stream takes it.
    fn send(&mut self, peer: &libp2p::PeerId, datagram: &[u8]) -> bool;
    /// The next datagram that came.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(libp2p::PeerId, Vec<u8>)>;
}
