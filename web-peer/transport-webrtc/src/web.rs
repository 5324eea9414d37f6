//! WebRTC as the browser has it.

mod bindings;
mod channel;
mod connection;
mod lossy;
mod peer;

use libp2p_identity::PeerId;

pub use self::connection::Connection;
use self::{channel::RtcChannel, peer::Peer};
use crate::{
    datagrams::Datagrams,
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
    let browser = Browser(behaviour.shared_datagrams());
    (WebRtcTransport::with_backend(local, config, browser, path, established), behaviour)
}

/// The browser's `RTCPeerConnection`.
#[derive(Clone)]
pub struct Browser(Datagrams);

impl Backend for Browser {
    type Peer = Peer;
    type Connection = Connection;

    fn peer(&self, config: &Config) -> Result<Peer, RtcError> {
        Peer::new(config)
    }

    fn connected(&self, peer: PeerId, connection: &Connection) {
        self.0.connected(peer, Box::new(connection.link()));
    }
}
