//! The instrumenter as a wasm of its own: 65 kB brotli that a tab loads only when it first prepares a service. It runs
//! in `sandbox/inspect-worker.js`, so that a huge module blocks nobody.

#![warn(missing_docs)]

use instrument::Limits;
use wasm_bindgen::prelude::*;

/// Inspects and instruments a module for a host. Throws a text for a person if the module is refused.
#[wasm_bindgen]
pub fn prepare(module: &[u8], memory_pages: u32) -> Result<Vec<u8>, String> {
    instrument::instrument(module, &Limits { memory_pages }).map_err(|refused| refused.to_string())
}
