//! A browser tab as a peer.
//!
//! | module | does |
//! |---|---|
//! | `raw` | [`raw::RawPeer`], what `js/tabfarm.js` drives: commands in, answers and events out |
//! | `network` | the tab's transports: WebRTC before circuits before websockets |
//! | `values` | the kernel's data as JavaScript values |
//! | `alarm` | the node's alarm, rung by a worker that hidden tabs do not throttle |
//!
//! Services run behind the crate `sandbox-host`, in the frame of `sandbox/`.
//!
//! The public interface is JavaScript: `js/tabfarm.js` with `js/tabfarm.d.ts`. This crate is the wasm behind it and
//! compiles to nothing on other targets.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod alarm;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod network;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod raw;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod values;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use sandbox_host as sandbox;
