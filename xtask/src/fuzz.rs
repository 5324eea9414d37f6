//! Long runs of the fuzzer: coverage-guided, by libFuzzer, on the stable compiler.

use std::fs;

use anyhow::{bail, Context, Result};

use crate::setup;
use crate::shell::{cargo, command, quiet, root, run, succeeds, which};

/// Instrumentation that libFuzzer reads; `cargo fuzz` uses the same. `--target` keeps it out of build scripts.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// For each target, where nothing else is asked for.
const SECONDS: &str = "60";
/// The longest input: a script of some hundred steps, or a handful of messages.
const MAX_LEN: usize = 4096;
/// An input that takes longer hangs.
const TIMEOUT_SECONDS: u32 = 10;
/// A run that takes more has lost a bound.
const MEMORY_MIB: u32 = 2048;

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
    setup::for_build()?;
    if which("c++").is_none() {
        bail!("libFuzzer needs a C++ compiler (`c++`), and there is none");
    }
    let found = root().join("target/fuzz/corpus");
    run(cargo().args(["run", "--quiet", "-p", "fuzz", "--bin", "seeds", "--"]).arg(&found))?;
    let names = targets(&found)?;
    let chosen: Vec<&String> = names.iter().filter(|name| only.is_none_or(|only| only == **name)).collect();
    if chosen.is_empty() {
        bail!("no target {}; there are {}", only.unwrap_or_default(), names.join(", "));
    }
    let binary = build()?;
    let mut broken = Vec::new();
    for name in chosen {
        let kept = root().join("fuzz/corpus").join(name);
        fs::create_dir_all(&kept)?;
        let mut fuzzer = command(&binary);
        fuzzer.env("TABFARM_FUZZ", name);
        fuzzer.args([format!("-max_total_time={seconds}"), format!("-max_len={MAX_LEN}")]);
        fuzzer.args([format!("-timeout={TIMEOUT_SECONDS}"), format!("-rss_limit_mb={MEMORY_MIB}")]);
        fuzzer.arg(format!("-artifact_prefix={}/", kept.display())).arg("-print_final_stats=1");
        if !succeeds(fuzzer.arg(found.join(name)).arg(&kept))? {
            broken.push(name.as_str());
        }
        // Only there for what breaks a target.
        let _ = fs::remove_dir(&kept);
    }
    if !broken.is_empty() {
        bail!("broken: {}; the bytes are in fuzz/corpus", broken.join(", "));
    }
    Ok(())
}

/// The names of the targets: a folder of seeds each.
fn targets(found: &std::path::Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(found)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn build() -> Result<String> {
    let version = quiet(command("rustc").arg("-vV")).context("cannot run rustc")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let target_dir = root().join("target/fuzz");
    let mut build = cargo();
    build.args(["build", "-p", "fuzz", "--bin", "fuzz", "--features", "libfuzzer", "--profile", "fuzz"]);
    build.args(["--target", host, "--target-dir"]).arg(&target_dir).env("RUSTFLAGS", COVERAGE);
    run(&mut build)?;
    Ok(target_dir.join(host).join("fuzz/fuzz").to_string_lossy().into_owned())
}
