//! What the handshake and the transport need of a WebRTC implementation. The browser's is in `web`; tests have one of
//! their own, so that everything else runs natively.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use libp2p_core::StreamMuxer;
use libp2p_identity::PeerId;

use crate::{error::RtcError, Config};

/// Makes peer connections.
pub trait Backend: Clone + Send + Sync + Unpin + 'static {
    /// Its peer connection.
    type Peer: Rtc<Connection = Self::Connection>;
    /// What a finished handshake leaves.
    type Connection: StreamMuxer + Send + Unpin + 'static;

    /// Makes a peer connection that does nothing yet.
    fn peer(&self, config: &Config) -> Result<Self::Peer, RtcError>;
    /// A connection to `peer` is about to be handed to the swarm.
    fn connected(&self, peer: PeerId, connection: &Self::Connection);
}

/// A peer connection until it is usable. Dropping it closes it.
pub trait Rtc: Send + Unpin + 'static {
    /// What a finished handshake leaves.
    type Connection;

    /// Creates the channel `init` and an offer, and makes it the local description.
    fn offer(&mut self) -> BoxFuture<'static, Result<String, RtcError>>;
    /// Takes the answer to our offer.
    fn accept(&mut self, answer: String) -> BoxFuture<'static, Result<(), RtcError>>;
    /// Answers an offer, and makes the answer the local description.
    fn answer(&mut self, offer: String) -> BoxFuture<'static, Result<String, RtcError>>;
    /// Adds a candidate of the peer, JSON as it came. Nonsense is dropped.
    fn add_candidate(&mut self, json: &str);
    /// What happened.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<RtcEvent>;
    /// The usable connection. It closes `init` if it has created it, and then lets `goodbye`, which ends the signalling,
    /// run.
    fn into_connection(self, goodbye: BoxFuture<'static, ()>) -> Self::Connection;
}

/// What happened to a peer connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RtcEvent {
    /// A candidate of ours, as JSON, for the peer.
    Candidate(String),
    /// ICE and DTLS are up.
    Connected,
    /// The channel `init` that we created has opened.
    InitOpen,
    /// It will not become usable any more.
    Failed(String),
}
