//! Browser-to-browser WebRTC for rust-libp2p, as in the libp2p specification `webrtc/webrtc.md`.
//!
//! A peer behind a browser is reached at `<relay>/p2p-circuit/webrtc/p2p/<id>`: the two ends exchange session
//! descriptions over a relayed connection, then talk directly. The relay may go away afterwards.
//!
//! Start at [`new`] (in a browser), which makes a transport and the [`Behaviour`] that it needs; the README has the wiring.
//!
//! | module | holds |
//! |---|---|
//! | `address` | the address forms, and [`Path`]: is a connection relayed or direct |
//! | `wire` | protobuf messages and their lengths |
//! | `sdp` | what a remote description must look like |
//! | `signalling` | [`SignallingPath`], the relayed one, message framing |
//! | `handshake` | dialler and listener, over any path and any WebRTC |
//! | `tiebreak` | one connection when both sides dial |
//! | `transport`, `behaviour`, `handler` | the libp2p side |
//! | `datagrams` | one unordered, lossy channel beside the streams: [`Datagrams`] |
//! | `stream` | streams on data channels: frames, FIN and FIN_ACK, back-pressure |
//! | `rtc`, `web` | what is needed of WebRTC, and the browser's |
//! | `prompt` | [`Prompt`]: websockets whose flushes do not hold up the signalling |
//!
//! Everything but `web` is free of the browser and is tested natively.

// Natively there is no WebRTC, so what leads to it is used by tests only.
#![cfg_attr(not(target_family = "wasm"), allow(dead_code, unused_imports))]

mod address;
mod behaviour;
mod config;
mod datagrams;
mod error;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod handshake;
mod prompt;
mod rtc;
mod sdp;
mod signalling;
mod stream;
mod tiebreak;
mod transport;
#[cfg(target_family = "wasm")]
mod web;
mod wire;

pub use self::{
    address::{is_webrtc, webrtc_over, Path, WebRtcAddress},
    behaviour::{Behaviour, Event},
    config::{Config, IceServer},
    datagrams::{Datagrams, MAX_LEN as MAX_DATAGRAM_LEN, PROTOCOL as DATAGRAM_PROTOCOL},
    error::{Error, RtcError, Step},
    handler::{Handler, Open},
    prompt::Prompt,
    sdp::SdpError,
    signalling::{Introduction, PathError, RelayedPath, SignalError, SignallingIo, SignallingPath, PROTOCOL},
    wire::WireError,
};

#[cfg(target_family = "wasm")]
pub use self::web::{new, Connection, Stream, Transport};
