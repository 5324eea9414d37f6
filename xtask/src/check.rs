//! Checks that need no run: formatting, lints, and that the kernel stays pure.

use anyhow::{bail, Context, Result};

use crate::setup;
use crate::shell::{cargo, quiet, run};
use crate::tally::Tally;

/// What a pure kernel must not pull in: networks, runtimes, browsers, clocks.
const IMPURE: [&str; 12] = [
    "async-std",
    "futures-timer",
    "gloo",
    "js-sys",
    "libp2p",
    "mio",
    "smol",
    "socket2",
    "tokio",
    "wasm-bindgen",
    "wasm-timer",
    "web-sys",
];

/// Crates whose wasm build differs from their native one and is linted on its own.
const WASM_CRATES: [&str; 7] =
    ["inspector", "sandbox-host", "sandbox-tab-test", "tab-test", "transport-webrtc", "web-peer", "www"];

/// What users run of the kernel: the package, and where it runs.
const SHIPPED: [(&str, &str); 2] =
    [("relay-server", "x86_64-unknown-linux-gnu"), ("web-peer", "wasm32-unknown-unknown")];

type Check = fn() -> Result<()>;

/// All checks; each that finds something says what.
pub fn all() -> Result<Tally> {
    setup::for_build()?;
    let checks: [(&str, Check); 5] = [
        ("formatting", formatting),
        ("the kernel is pure", pure_kernel),
        ("no planted bug is shipped", no_seeded_bugs),
        ("lints, native", clippy_native),
        ("lints, wasm", clippy_wasm),
    ];
    let mut tally = Tally::default();
    for (name, check) in checks {
        tally += match check() {
            Ok(()) => Tally::SUCCESS,
            Err(error) => {
                println!("{name}: {error:#}");
                Tally::FAILURE
            }
        };
    }
    Ok(tally)
}

fn formatting() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--", "--check"]))
}

fn clippy_native() -> Result<()> {
    run(cargo().args(["clippy", "--workspace", "--exclude", "www", "--all-targets", "--", "-D", "warnings"]))
}

fn clippy_wasm() -> Result<()> {
    let mut wasm = cargo();
    wasm.args(["clippy", "--target", "wasm32-unknown-unknown", "--profile", "web"]);
    for package in WASM_CRATES {
        wasm.args(["-p", package]);
    }
    run(wasm.args(["--", "-D", "warnings"]))
}

/// The kernel's dependency tree on a native target, build and test tools aside.
fn pure_kernel() -> Result<()> {
    let args =
        ["tree", "-p", "overlay", "-e", "normal", "--target", "x86_64-unknown-linux-gnu", "--prefix", "none"];
    let tree = quiet(cargo().args(args)).context("cargo tree failed")?;
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let found: Vec<&str> = names.filter(|name| is_impure(name)).collect();
    if found.is_empty() {
        return Ok(());
    }
    bail!("overlay must stay free of I/O, clocks and browsers, but depends on {}", found.join(", "))
}

/// Tabs and relays are made of an `overlay` without `seeded-bugs`: only the simulator asks for them.
fn no_seeded_bugs() -> Result<()> {
    for (package, target) in SHIPPED {
        let args = [
            "tree",
            "-p",
            package,
            "-e",
            "normal,build",
            "--target",
            target,
            "--prefix",
            "none",
            "-f",
            "{p} {f}",
        ];
        let tree = quiet(cargo().args(args)).context("cargo tree failed")?;
        if !tree.lines().any(|line| line.starts_with("overlay ")) {
            bail!("{package} does not depend on overlay: look at another package");
        }
        if tree.contains("seeded-bugs") {
            bail!("{package} is built with bugs that are planted for the simulator");
        }
    }
    Ok(())
}

fn is_impure(package: &str) -> bool {
    IMPURE.iter().any(|name| package == *name || (*name == "libp2p" && package.starts_with("libp2p-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_packages_are_known() {
        for package in ["libp2p", "libp2p-core", "tokio", "web-sys"] {
            assert!(is_impure(package), "{package}");
        }
        for package in ["raft", "tokio-stream-free", "serde"] {
            assert!(!is_impure(package), "{package}");
        }
    }
}
