//! Tasks of the project: `cargo xtask help` lists them.

use std::path::Path;

use anyhow::{bail, Result};

mod bindgen;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bindgen", input, out, name] => bindgen::run(Path::new(input), Path::new(out), name),
        _ => bail!("usage: cargo xtask bindgen IN.wasm OUT_DIR NAME"),
    }
}
