//! WebRTC as the browser has it.

mod bindings;
mod channel;
mod connection;
mod peer;

use libp2p_identity::PeerId;

pub use self::connection::Connection;
use self::{channel::RtcChannel, peer::Peer};
use crate::{
    rtc::Backend,
    signalling::RelayedPath,
    stream::DataStream,
    transport::{Established, WebRtcTransport},
    Behaviour, Config, RtcError,
};

/// A stream of a [`Connection`].
pub type Stream = DataStream<RtcChannel>;

/// The transport; yields `(PeerId, Connection)`.
pub type Transport = WebRtcTransport<Browser>;

/// Makes a transport and the behaviour that it needs: both go into the same swarm.
///
/// Must be called, and the swarm polled, on a page: workers have no `RTCPeerConnection`.
pub fn new(local: PeerId, config: Config) -> (Transport, Behaviour) {
    let (path, requests, inbox) = RelayedPath::new();
    let established = Established::default();
    let behaviour = Behaviour::new(local, config.clone(), requests, inbox, established.clone());
    (WebRtcTransport::with_backend(local, config, Browser, path, established), behaviour)
}

/// The browser's `RTCPeerConnection`.
#[derive(Debug, Clone, Copy)]
pub struct Browser;

impl Backend for Browser {
    type Peer = Peer;
    type Connection = Connection;

    fn peer(&self, config: &Config) -> Result<Peer, RtcError> {
        Peer::new(config)
    }
}
