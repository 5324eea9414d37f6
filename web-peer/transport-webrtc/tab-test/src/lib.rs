//! The smallest peer with `transport-webrtc`: what the tests and benchmarks in tabs drive from JavaScript.
//!
//! | module | holds |
//! |---|---|
//! | `peer` | the JavaScript class `TestPeer` |
//! | `swarm` | its swarm, and the loop that drives it |
//! | `protocols` | echo, sink, source and a sink that can be paused |

#[cfg(target_family = "wasm")]
mod peer;
#[cfg(target_family = "wasm")]
mod protocols;
#[cfg(target_family = "wasm")]
mod swarm;
