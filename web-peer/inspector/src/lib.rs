//! Inspection and instrumenting as a wasm of its own, which a tab loads only when it first prepares a service. It runs in
//! `sandbox/inspect-worker.js`, so that a huge module blocks nobody.

#![warn(missing_docs)]

use instrument::{rewrite, scan, Limits};
use wasm_bindgen::prelude::*;

/// Inspects and instruments a module for a host: the instrumenter refuses what is no module of this ABI, the policy of
/// `overlay::inspect` what no host takes. Throws a text for a person if the module is refused.
#[wasm_bindgen]
pub fn prepare(module: &[u8], memory_pages: u32) -> Result<Vec<u8>, String> {
    let scan = scan::scan(module).map_err(|refused| refused.to_string())?;
    overlay::inspect::inspect_within(&scan.report, memory_pages).map_err(|refused| refused.to_string())?;
    rewrite::rewrite(module, &scan, &Limits { memory_pages }).map_err(|refused| refused.to_string())
}
