//! For authors who write in Rust: a new service, its module, its tests, its publication.
//!
//! A service is a folder with a crate, `manifest.json` and perhaps `ui/`. What is built lies in its `dist/`, in the form in which
//! `services/NAME/` of the web tree holds the examples.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context, Result};

use crate::shell::{cargo, command, root, run};
use crate::web::{copy_tree, list_ui, TARGET};
use crate::{relay, setup, web};

const USAGE: &str = "cargo xtask service new DIR | build DIR | test DIR | publish DIR [--relay URL]";
const LIB: &str = include_str!("service/lib.rs.txt");
const MANIFEST: &str = include_str!("service/manifest.json");
const CARGO: &str = include_str!("service/Cargo.toml.txt");

/// Runs one of the commands.
pub fn run_command(args: &[&str]) -> Result<()> {
    match args {
        ["new", dir] => create(Path::new(dir)),
        ["build", dir] => build(Path::new(dir)).map(|_| ()),
        ["test", dir] => test(Path::new(dir)),
        ["publish", dir] => publish(Path::new(dir), "http://127.0.0.1:8080"),
        ["publish", dir, "--relay", url] | ["publish", "--relay", url, dir] => publish(Path::new(dir), url),
        _ => bail!("{USAGE}"),
    }
}

/// A folder with a service that counts, tests and all.
fn create(dir: &Path) -> Result<()> {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    ensure!(
        (1..=64).contains(&name.len()) && name.bytes().all(fits) && name.starts_with(|c: char| c.is_ascii_lowercase()),
        "a service's name has 1 to 64 characters of a-z, 0-9 and -, and begins with a letter: {name:?} has not"
    );
    let is_free = fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    ensure!(is_free, "{} is not empty", dir.display());
    fs::create_dir_all(dir.join("src")).with_context(|| format!("cannot make {}", dir.display()))?;
    let sdk = root().join("service-modules/sdk");
    let filled = |text: &str| text.replace("NAME", &name).replace("SDK", &sdk.display().to_string());
    for (path, text) in [
        ("Cargo.toml", filled(CARGO)),
        ("manifest.json", filled(MANIFEST)),
        ("src/lib.rs", LIB.to_owned()),
        (".gitignore", "/target\n/dist\n/.tabfarm\n".to_owned()),
    ] {
        fs::write(dir.join(path), text)?;
    }
    println!("{}: edit src/lib.rs, then `cargo xtask service test {0}`", dir.display());
    Ok(())
}

/// `dist/`: module.wasm, manifest.json, ui.json, ui/.
fn build(dir: &Path) -> Result<PathBuf> {
    let dir = fs::canonicalize(dir).with_context(|| format!("there is no {}", dir.display()))?;
    for file in ["Cargo.toml", "manifest.json"] {
        ensure!(
            dir.join(file).is_file(),
            "{} has no {file}: `cargo xtask service new DIR` makes a service",
            dir.display()
        );
    }
    setup::for_build()?;
    run(in_crate(&dir).args(["build", "--release", "--target", TARGET]))?;
    let dist = dir.join("dist");
    // What is gone from `ui/` must not be published.
    let _ = fs::remove_dir_all(&dist);
    fs::create_dir_all(&dist)?;
    fs::copy(module(&dir)?, dist.join("module.wasm"))?;
    fs::copy(dir.join("manifest.json"), dist.join("manifest.json"))?;
    copy_tree(&dir.join("ui"), &dist.join("ui"))?;
    list_ui(&dir.join("ui"), &dist)?;
    println!("{}: module.wasm has {} bytes", dist.display(), fs::metadata(dist.join("module.wasm"))?.len());
    Ok(dist)
}

/// The one `cdylib` that cargo built.
fn module(dir: &Path) -> Result<PathBuf> {
    let manifest = fs::read_to_string(dir.join("Cargo.toml"))?;
    let named =
        manifest.lines().find_map(|line| line.trim().strip_prefix("name")?.trim_start().strip_prefix('='));
    let name = named.context("Cargo.toml names no package")?.trim().trim_matches('"').replace('-', "_");
    let module = target().join(TARGET).join("release").join(format!("{name}.wasm"));
    ensure!(
        module.is_file(),
        "no {name}.wasm was built: the crate needs `crate-type = [\"cdylib\", \"rlib\"]`"
    );
    Ok(module)
}

/// Its own tests, then its trial in a real sandbox: what each host does before it runs the service.
fn test(dir: &Path) -> Result<()> {
    let dist = build(dir)?;
    run(in_crate(&fs::canonicalize(dir)?).arg("test"))?;
    setup::everything()?;
    let tree = web::build(web::Kind::Quick)?;
    let relay = relay::build(web::Kind::Quick)?;
    run(tool("trial", &dist).env("TABFARM_RELAY", relay).env("TABFARM_WEB", tree))
}

/// Publishes from a tab without a window, whose identity stays in `.tabfarm/`, and serves until it is stopped.
fn publish(dir: &Path, url: &str) -> Result<()> {
    let dist = build(dir)?;
    setup::everything()?;
    let profile = fs::canonicalize(dir)?.join(".tabfarm");
    relay::become_program(tool("publish", &dist).arg(url).arg(profile))
}

fn tool(what: &str, dist: &Path) -> std::process::Command {
    let mut node = command("node");
    node.args(["playwright-tests/service.mjs", what]).arg(dist);
    if let Some(chromium) = setup::find_chromium() {
        node.env("CHROMIUM", chromium);
    }
    node
}

/// Cargo in the author's crate; all authors' crates share what they are built from.
fn in_crate(dir: &Path) -> std::process::Command {
    let mut cargo = cargo();
    cargo.current_dir(dir).env("CARGO_TARGET_DIR", target());
    cargo
}

fn target() -> PathBuf {
    root().join("target/authors")
}
