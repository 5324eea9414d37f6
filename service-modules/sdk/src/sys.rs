//! The host functions, raw: imports on wasm, the test host elsewhere.

#[cfg(target_arch = "wasm32")]
#[path = "sys/wasm.rs"]
mod platform;
#[cfg(not(target_arch = "wasm32"))]
#[path = "sys/native.rs"]
mod platform;

pub(crate) use platform::*;
