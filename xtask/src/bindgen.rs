//! JavaScript bindings of a wasm crate, by wasm-bindgen as a library: no tool has to be installed.

use std::path::Path;

use anyhow::{Context, Result};

/// Writes `OUT/NAME.js` and `OUT/NAME_bg.wasm` (wasm-bindgen's `web` target, without TypeScript) for the cargo
/// output `input`.
pub fn run(input: &Path, out: &Path, name: &str) -> Result<()> {
    generate(input, out, name, false)
}

/// The same for the first module of several, which lends the others its table of functions.
pub fn run_shared(input: &Path, out: &Path, name: &str) -> Result<()> {
    generate(input, out, name, true)
}

fn generate(input: &Path, out: &Path, name: &str, shared: bool) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(input)
        .out_name(name)
        .typescript(false)
        .keep_lld_exports(shared)
        .omit_default_module_path(false)
        .web(true)?
        .generate(out)
        .with_context(|| format!("wasm-bindgen refused {}", input.display()))
}
