//! The tree that a relay serves, `target/web-tree`.
//!
//! ```text
//! index.html  app/       the app: app.js, app_bg.wasm, styles, editor and compiler bundles
//! app/parts/BUILD/       its views, each loaded when it is first shown
//! tabfarm.js  tabfarm.d.ts  peer/   the JavaScript API and the wasm behind it
//! peer/inspector*        the instrumenter, loaded when a module has to be prepared
//! sandbox/               the frame and worker in which services run
//! app/engines/           QuickJS, which the IDE links with what people write in TypeScript
//! services/NAME/         the example services: manifest.json, module.wasm, ui/
//! ```
//! Every step looks at modification times and does nothing when its inputs are older than its output.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::bindgen;
use crate::engine;
use crate::scripts;
use crate::shell::{cargo, command, root, run};
use crate::split;

/// What tabs and modules are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Wasm crates of the tab: package, its wasm's name in cargo's output, name in the web tree.
const CRATES: [(&str, &str, &str); 4] = [
    ("web-peer", "web_peer", "peer/web_peer"),
    ("inspector", "inspector", "peer/inspector"),
    ("www", "www", "app/app"),
    ("wat-compiler", "wat_compiler", "app/wat"),
];

/// The one that is split into parts.
const APP: &str = "www";

/// What only tests need, beside the web tree: a small peer for the transport, and the sandbox alone.
const TEST_CRATES: [(&str, &str, &str); 2] = [
    ("tab-test", "tab_test", "../tab-test/tab_test"),
    ("sandbox-tab-test", "sandbox_tab_test", "../tab-test/sandbox_tab_test"),
];

/// Folders that are served as they are: source, place in the web tree.
const STATIC: [(&str, &str); 3] = [
    ("web-peer/sandbox", "sandbox"),
    ("www/static", ""),
    // Loaded when somebody joins a conference, and by an audio context: no part of the app's own bundle.
    ("www/js/voice", "app/voice"),
];

/// Bundles: folder with a `build.mjs OUT_DIR`, what else it reads, place in the web tree.
const BUNDLES: [(&str, &[&str], &str); 1] = [("www/ide", &["service-modules/assemblyscript"], "app")];

/// Example services; each has a crate `service-NAME` in `service-modules/NAME`.
const SERVICES: [&str; 6] = ["counter", "chat", "voice", "kv", "echo", "ledger"];

/// Flags of wasm-opt. Never all features: Chromium refuses what comes out. Functions in the order of their names lie beside
/// their like, which makes the compressed file 1 % smaller.
const WASM_OPT: [&str; 11] = [
    "-Oz",
    "--converge",
    "--reorder-functions-by-name",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-producers",
];

/// How much work goes into small code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Profile `web`: for work on the project and for tests.
    Quick,
    /// Profile `web-release` and wasm-opt: what users get.
    Release,
}

impl Kind {
    fn profile(self) -> &'static str {
        match self {
            Kind::Quick => "web",
            Kind::Release => "web-release",
        }
    }

    /// Where the tree of this kind lies: not in `target/web`, where cargo keeps what it builds for the profile `web`.
    pub fn tree(self) -> PathBuf {
        root().join("target").join(if self == Kind::Quick { "web-tree" } else { "web-release-tree" })
    }
}

/// Builds the tree and says where it is.
pub fn build(kind: Kind) -> Result<PathBuf> {
    build_with(kind, &CRATES)
}

/// Builds the tree and the pages that only tests need, in one run of cargo so that both share their dependencies.
pub fn build_for_tests(kind: Kind) -> Result<PathBuf> {
    build_with(kind, &[&CRATES[..], &TEST_CRATES].concat())
}

fn build_with(kind: Kind, wanted: &[(&str, &str, &str)]) -> Result<PathBuf> {
    let tree = kind.tree();
    fs::create_dir_all(&tree)?;
    crates(kind, wanted, &tree)?;
    services(&tree)?;
    for (folder, reads, place) in BUNDLES {
        bundle(folder, reads, &tree.join(place))?;
    }
    for (folder, place) in STATIC {
        copy_tree(&root().join(folder), &tree.join(place))?;
    }
    let peer = root().join("web-peer/js");
    copy(&peer.join("tabfarm.d.ts"), &tree.join("tabfarm.d.ts"))?;
    scripts::bundle(kind, &peer.join("tabfarm.js"), &tree.join("tabfarm.js"), &["./peer/web_peer.js"])?;
    scripts::minify(kind, &tree.join("app/app.css"))?;
    engine::build(&tree.join("app/engines"))?;
    compress(kind, &tree)?;
    Ok(tree)
}

/// Brotli is sent to browsers; made here once, so that no relay spends its start on it.
fn compress(kind: Kind, tree: &Path) -> Result<()> {
    let quality = if kind == Kind::Quick { "4" } else { "11" };
    run(command("node").arg("xtask/compress.mjs").arg(tree).arg(quality))
}

fn crates(kind: Kind, wanted: &[(&str, &str, &str)], tree: &Path) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--target", TARGET, "--profile", kind.profile()]);
    for (package, _, _) in wanted {
        build.args(["-p", package]);
    }
    run(&mut build)?;
    for (package, file, place) in wanted {
        let built = root().join("target").join(TARGET).join(kind.profile()).join(file).with_extension("wasm");
        let place = tree.join(place);
        let (dir, name) =
            (place.parent().unwrap_or(tree), place.file_name().unwrap_or_default().to_string_lossy());
        let wasm = dir.join(format!("{name}_bg.wasm"));
        if newest(&wasm) > newest(&built) {
            continue;
        }
        let script = dir.join(format!("{name}.js"));
        let parts = if *package == APP {
            let parts = split::run(&built, dir, &name)?;
            scripts::bundle(kind, &script, &script, &["/tabfarm.js", "/app/*", "./parts/*"])?;
            parts
        } else {
            bindgen::run(&built, dir, &name)?;
            scripts::minify(kind, &script)?;
            Vec::new()
        };
        if kind == Kind::Release {
            for file in parts.iter().chain([&wasm]) {
                optimise(file)?;
            }
        }
    }
    Ok(())
}

fn optimise(wasm: &Path) -> Result<()> {
    let tool = root().join("playwright-tests/node_modules/.bin/wasm-opt");
    run(command(&tool.to_string_lossy()).arg(wasm).args(WASM_OPT).arg("-o").arg(wasm))
}

fn services(tree: &Path) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--target", TARGET, "--profile", "service"]);
    for name in SERVICES {
        build.args(["-p", &format!("service-{name}")]);
    }
    run(&mut build)?;
    for name in SERVICES {
        let (source, place) = (root().join("service-modules").join(name), tree.join("services").join(name));
        fs::create_dir_all(&place)?;
        let module = root().join("target").join(TARGET).join("service").join(format!("service_{name}.wasm"));
        copy(&module, &place.join("module.wasm"))?;
        copy(&source.join("manifest.json"), &place.join("manifest.json"))?;
        copy_tree(&source.join("ui"), &place.join("ui"))?;
        list_ui(&source.join("ui"), &place)?;
    }
    Ok(())
}

/// Writes `ui.json`, the paths of the UI's assets: a page cannot list a folder.
pub fn list_ui(ui: &Path, service: &Path) -> Result<()> {
    let (mut paths, mut open) = (Vec::new(), vec![ui.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "br") {
                // A compressed copy of another asset, from an earlier build.
                continue;
            } else if let Ok(path) = path.strip_prefix(ui) {
                paths.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    paths.sort();
    fs::write(service.join("ui.json"), serde_json::to_string(&paths)?)?;
    Ok(())
}

fn bundle(folder: &str, reads: &[&str], out: &Path) -> Result<()> {
    let folder = root().join(folder);
    let stamp = out.join(".bundled");
    let inputs = ["src", "build.mjs", "package-lock.json"].iter().map(|input| folder.join(input));
    let inputs = inputs.chain(reads.iter().map(|input| root().join(input)));
    if inputs.map(|input| newest(&input)).max().flatten() < newest(&stamp) {
        return Ok(());
    }
    fs::create_dir_all(out)?;
    run(command("node").arg("build.mjs").arg(out).current_dir(&folder))?;
    fs::write(&stamp, "").with_context(|| format!("cannot write {}", stamp.display()))
}

/// Copies the files below `from` that are newer than their copies, notes for developers aside; a missing folder is an
/// empty one.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &place)?;
        } else if entry.path().extension().is_none_or(|extension| extension != "md") {
            copy(&entry.path(), &place)?;
        }
    }
    Ok(())
}

/// Copies a file unless the copy is as new and as long.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let unchanged = newest(to) > newest(from)
        && fs::metadata(to)?.len() == fs::metadata(from).map_or(0, |meta| meta.len());
    if !unchanged {
        fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// The latest change at or below `path`; `None` when it does not exist.
pub fn newest(path: &Path) -> Option<SystemTime> {
    let meta = fs::metadata(path).ok()?;
    let own = meta.modified().ok();
    if !meta.is_dir() {
        return own;
    }
    let children = fs::read_dir(path).ok()?.flatten().filter(|entry| entry.file_name() != "node_modules");
    children.map(|entry| newest(&entry.path())).max().flatten()
}
