//! The smallest peer with `transport-webrtc`: what the tests and benchmarks in tabs drive from JavaScript.
//!
//! | module | holds |
//! |---|---|
//! | `peer` | the JavaScript class `TestPeer` |
//! | `swarm` | its swarm, and the loop that drives it |
//! | `streams` | streams on a peer's WebRTC connection, and never on the circuit beside it |
//! | `protocols` | echo, sink, source and a sink that can be paused |

#[cfg(target_family = "wasm")]
mod peer;
#[cfg(target_family = "wasm")]
mod protocols;
#[cfg(target_family = "wasm")]
mod streams;
#[cfg(target_family = "wasm")]
mod swarm;
