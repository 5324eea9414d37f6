//! Settings, with the reason for each default.

use std::time::Duration;

/// A STUN or TURN server, as `RTCIceServer` has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IceServer {
    /// For example `stun:stun.example.org:3478`.
    pub urls: Vec<String>,
    /// For TURN.
    pub username: Option<String>,
    /// For TURN.
    pub credential: Option<String>,
}

/// Settings of the transport and its behaviour. All sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// STUN and TURN servers. Default: none, so that no third party is told anything unasked; peers behind different
    /// NATs need at least one.
    pub ice_servers: Vec<IceServer>,
    /// Dial WebRTC as soon as a peer is connected through a relay only. Default: true.
    pub upgrade: bool,
    /// How long the side that *accepted* a circuit waits for the other one to upgrade before it does so itself.
    /// Default: 5 s; implementations that never upgrade exist.
    pub upgrade_inbound_after: Duration,
    /// How often an upgrade is tried before the peer stays relayed. Default: 4.
    pub upgrade_attempts: u32,
    /// Pause before the second attempt, doubled each time. Default: 3 s; js-libp2p closes the `init` channel as listener
    /// and so can fail a dial for no other reason.
    pub upgrade_retry: Duration,
    /// How long a circuit stays open beside a direct connection, so that streams that began on it can end; `None` keeps
    /// it. Default: 2 s.
    pub close_circuit_after: Option<Duration>,
    /// Time for the relayed connection and the signalling stream on it. Default: 10 s.
    pub relay_timeout: Duration,
    /// Time for the exchange of descriptions. Default: 10 s.
    pub signalling_timeout: Duration,
    /// Time for ICE and DTLS after that. Default: 15 s.
    pub ice_timeout: Duration,
    /// Time for the `init` channel to open after that. Default: 5 s.
    pub init_timeout: Duration,
    /// How long the loser of a simultaneous dial waits for the winner's offer. Default: 5 s.
    pub crossing_timeout: Duration,
    /// WebRTC connections at once, handshakes included; beyond that our dials fail with [`Error::Full`](crate::Error::Full)
    /// and the peer's are refused. Default: 256; Chromium allows 500 in a page.
    pub max_connections: usize,
    /// Handshakes that peers may have under way with us at once. Default: 64.
    pub max_inbound_handshakes: usize,
    /// Longest session description. Default: 16 KiB; browsers write about 600 bytes, some add candidates.
    pub max_sdp_len: usize,
    /// Most candidates of one peer. Default: 64.
    pub max_candidates: usize,
    /// Longest candidate. Default: 2 KiB; browsers write about 250 bytes.
    pub max_candidate_len: usize,
    /// Most streams of one connection, closing ones included; beyond that inbound ones are closed at once and outbound
    /// ones wait. Default: 512; Chromium allows 1,023 data channels. Until the peer has said by identify what it speaks,
    /// at most 100 are opened here.
    pub max_streams: usize,
    /// Bytes that a stream hands to the browser before it waits. Default: 4 MiB (64 KiB gives 22 MiB/s, 1 MiB 41, 4 MiB
    /// 50 on loopback).
    pub send_buffer: usize,
    /// Unread bytes that a stream holds. A peer that knows credits is held back at this, any other is reset when it goes
    /// beyond. Default: 8 MiB.
    pub receive_buffer: usize,
    /// Unread bytes that all streams of one connection hold; the stream that goes beyond is reset. Default: 64 MiB.
    pub connection_receive_buffer: usize,
    /// How long a dropped stream waits for the peer's acknowledgement before its data channel is closed. Default: 10 s,
    /// as js-libp2p.
    pub linger: Duration,
}

impl Default for Config {
    fn default() -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        Config {
            ice_servers: Vec::new(),
            upgrade: true,
            upgrade_inbound_after: 5 * SECOND,
            upgrade_attempts: 4,
            upgrade_retry: 3 * SECOND,
            close_circuit_after: Some(2 * SECOND),
            relay_timeout: 10 * SECOND,
            signalling_timeout: 10 * SECOND,
            ice_timeout: 15 * SECOND,
            init_timeout: 5 * SECOND,
            crossing_timeout: 5 * SECOND,
            max_connections: 256,
            max_inbound_handshakes: 64,
            max_sdp_len: 16 * 1024,
            max_candidates: 64,
            max_candidate_len: 2 * 1024,
            max_streams: 512,
            send_buffer: 4 << 20,
            receive_buffer: 8 << 20,
            connection_receive_buffer: 64 << 20,
            linger: 10 * SECOND,
        }
    }
}
