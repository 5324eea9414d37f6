//! Scripts and styles as browsers get them, made by esbuild, which bundles the IDE as well.

use std::path::Path;

use anyhow::Result;

use crate::shell::{command, root, run};
use crate::web::Kind;

/// Puts a module and what it imports into one file; imports that begin with one of `stay` are left to the browser.
pub fn bundle(kind: Kind, from: &Path, to: &Path, stay: &[&str]) -> Result<()> {
    let mut esbuild = esbuild(kind, from, to);
    esbuild.args(["--bundle", "--format=esm"]);
    for import in stay {
        esbuild.arg(format!("--external:{import}"));
    }
    run(&mut esbuild)
}

/// Makes a script or a style sheet small in its place; left as it is for work on the project.
pub fn minify(kind: Kind, file: &Path) -> Result<()> {
    if kind == Kind::Quick {
        return Ok(());
    }
    run(&mut esbuild(kind, file, file))
}

fn esbuild(kind: Kind, from: &Path, to: &Path) -> std::process::Command {
    let mut command = command(&root().join("www/ide/node_modules/.bin/esbuild").to_string_lossy());
    command.arg(from).arg(format!("--outfile={}", to.display()));
    command.args(["--allow-overwrite", "--target=es2022", "--charset=utf8", "--log-level=warning"]);
    // wasm-bindgen names a module once for each function that the wasm takes from it.
    command.arg("--log-override:duplicate-object-key=silent");
    if kind == Kind::Release {
        command.arg("--minify");
    }
    command
}
