//! Long runs of the fuzzer.

use anyhow::{bail, Context, Result};

use crate::setup;
use crate::shell::{cargo, root, succeeds};

/// The targets of `fuzz`.
const TARGETS: [&str; 9] =
    ["wire", "transfer", "records", "manifest", "image", "instrument", "webrtc", "group", "node"];
/// For each target, where nothing else is asked for.
const SECONDS: &str = "60";

/// `[TARGET] [--seconds N]`: one target or all of them. What breaks one is kept in `fuzz/corpus/TARGET`, where tests find it.
pub fn run_targets(args: &[&str]) -> Result<()> {
    let (only, seconds) = match args {
        [] => (None, SECONDS),
        ["--seconds", seconds] => (None, *seconds),
        [target] => (Some(*target), SECONDS),
        [target, "--seconds", seconds] => (Some(*target), *seconds),
        _ => bail!("fuzz takes [TARGET] [--seconds N]"),
    };
    seconds.parse::<u32>().context("--seconds takes a whole number")?;
    if only.is_some_and(|only| !TARGETS.contains(&only)) {
        bail!("the targets are {}", TARGETS.join(", "));
    }
    setup::for_build()?;
    let mut broken = Vec::new();
    for name in TARGETS.into_iter().filter(|name| only.is_none_or(|only| only == *name)) {
        let corpus = root().join("fuzz/corpus").join(name);
        let mut fuzzer = cargo();
        fuzzer.args(["run", "--quiet", "-p", "fuzz", "--bin", "fuzz", "--", name, seconds]).arg(corpus);
        if !succeeds(&mut fuzzer)? {
            broken.push(name);
        }
    }
    if !broken.is_empty() {
        bail!("broken: {}; the bytes are in fuzz/corpus", broken.join(", "));
    }
    Ok(())
}
