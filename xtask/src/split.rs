//! Splits the app's wasm at the functions that its source marks as loaded late (`www/src/lazy.rs`).
//!
//! ```text
//! OUT/NAME.js  OUT/NAME_bg.wasm         what is there from the start
//! OUT/parts/BUILD/split_PART.wasm       a part; chunk_N.wasm is what some parts share
//! OUT/parts/BUILD/link.js               loads them into the memory of the first
//! ```
//! BUILD is a digest of the whole: parts of two builds do not fit together, and a page that was opened before its relay was
//! renewed must not find the new ones under the names of its own.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{anyhow, Context, Result};
use wasm_split_cli_support::{transform, Options};

use crate::bindgen;

/// Splits the cargo output `input` and makes its bindings; the wasm files of the parts.
pub fn run(input: &Path, out: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let wasm = fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
    let mut digest = DefaultHasher::new();
    wasm.hash(&mut digest);
    let build = format!("{:016x}", digest.finish());
    let parts = out.join("parts");
    // What an earlier build left.
    let _ = fs::remove_dir_all(&parts);
    let dir = parts.join(&build);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;

    let (main, link, home) =
        (dir.join("main.wasm"), format!("./parts/{build}/link.js"), format!("../../{name}.js"));
    let mut options = Options::new(&wasm);
    options.output_dir = out;
    options.main_out_path = &main;
    options.link_name = &link;
    options.main_module = &home;
    let made = transform(options).map_err(|error| anyhow!("{} is not split: {error:#}", input.display()))?;
    bindgen::run_shared(&main, out, name)?;
    fs::remove_file(&main)?;
    // The splitter writes them beside the first module, and has `link.js` look for them beside itself.
    let mut moved = Vec::new();
    for part in made.split_modules {
        let place = dir.join(part.file_name().unwrap_or_default());
        fs::rename(&part, &place).with_context(|| format!("cannot move {}", part.display()))?;
        moved.push(place);
    }
    Ok(moved)
}
