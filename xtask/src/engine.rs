//! The engine of services in JavaScript: QuickJS as wasm, `service-modules/quickjs`.
//!
//! Its C sources come from a crate, its compiler from an npm package; both are locked, so that the same engine comes out
//! on every machine. Building it takes most of a minute, hence only when something is newer.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::shell::{command, crate_folder, root, run};
use crate::web::{copy, newest};

const CRATE: &str = "rquickjs-sys";
const FOLDER: &str = "service-modules/quickjs";

/// Builds the engine, if need be, and puts it into `place` with the licence of QuickJS.
pub fn build(place: &Path) -> Result<()> {
    let (folder, out) = (root().join(FOLDER), root().join("target/engines"));
    let (wasm, licence) = (out.join("quickjs.wasm"), out.join("quickjs.LICENSE.txt"));
    let inputs = ["src", "build.mjs", "package-lock.json"].iter().map(|input| folder.join(input));
    // Another version of the crate is another line in the task's manifest.
    let inputs = inputs.chain([root().join("xtask/Cargo.toml")]);
    if inputs.map(|input| newest(&input)).max().flatten() >= newest(&wasm) {
        let sources = crate_folder(CRATE)?.join("quickjs");
        fs::create_dir_all(&out)?;
        run(command("node").arg("build.mjs").arg(&sources).arg(&out).current_dir(&folder))?;
        fs::copy(sources.join("LICENSE"), &licence).context("the licence of QuickJS is missing")?;
    }
    fs::create_dir_all(place)?;
    copy(&wasm, &place.join("quickjs.wasm"))?;
    copy(&licence, &place.join("quickjs.LICENSE.txt"))
}
