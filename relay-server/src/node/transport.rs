//! Where connections come from: websockets (over TLS where there is a certificate), TCP, and `/webrtc-direct` where it is
//! compiled in.

use std::time::Duration;

use anyhow::Context;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{dns, noise, tcp, websocket, yamux, PeerId, Transport};

use super::handshakes::Handshakes;
use super::renewed::Renewed;
use crate::config::Config;
use crate::tls::Tls;

/// The longest websocket frame. libp2p's default of 256 MiB, taken before a peer has said who it is, lets sixteen
/// sockets fill gigabytes.
const MAX_WS_FRAME: usize = 128 * 1024;
/// Handshakes by `/webrtc-direct` at a time: each is a whole stack of ICE, DTLS and SCTP.
#[cfg(feature = "webrtc-direct")]
const MAX_DIRECT: usize = 64;
/// Connections that the system holds until they are accepted. One that finds no room tries again after a second.
const BACKLOG: u32 = 4_096;
/// Streams of one connection: lanes, the protocols' own, and a circuit each for those who look for a popular tab.
const MAX_STREAMS: usize = 192;
/// A handshake that takes longer is given up.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// All of them.
pub(super) fn transport(
    key: &Keypair,
    config: &Config,
    tls: Option<&Tls>,
) -> anyhow::Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let tcp = || tcp::tokio::Transport::new(tcp::Config::default().nodelay(true).listen_backlog(BACKLOG));
    let names = |transport| dns::tokio::Transport::system(transport).context("no DNS configuration");
    let mut ws = websocket::Config::new(names(tcp())?);
    ws.set_max_data_size(MAX_WS_FRAME);
    let ws = Renewed::new(ws, tls.map(Tls::credentials));
    let noise = || noise::Config::new(key).context("noise");
    let secured_ws = ws
        .upgrade(Version::V1Lazy)
        .authenticate(noise()?)
        .multiplex(multiplexer())
        .timeout(HANDSHAKE_TIME)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let secured_tcp = names(tcp())?
        .upgrade(Version::V1Lazy)
        .authenticate(noise()?)
        .multiplex(multiplexer())
        .timeout(HANDSHAKE_TIME)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let sockets = secured_ws.or_transport(secured_tcp).map(|either, _| either.into_inner()).boxed();
    let sockets = Handshakes::new(sockets, config.limits.handshakes);
    #[cfg(feature = "webrtc-direct")]
    let sockets = {
        // With places of their own: whoever sends from addresses that are not his must not displace websockets.
        let direct = super::webrtc::transport(key, config.data_dir.as_deref())?;
        let direct = Handshakes::new(direct, MAX_DIRECT);
        sockets.or_transport(direct).map(|either, _| either.into_inner())
    };
    Ok(sockets.boxed())
}

/// What a peer leaves unread is held here, 256 KiB a stream.
fn multiplexer() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(MAX_STREAMS);
    config
}
