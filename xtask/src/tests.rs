//! Every test, and how many passed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use anyhow::{bail, Context, Result};

use crate::shell::{cargo, command, root, succeeds};
use crate::tally::Tally;
use crate::{check, relay, setup, web};

/// Runs all suites, or the one after `--only`; `--lint` first adds the checks of `cargo xtask lint`; further
/// arguments choose files of the tabs' suite. Prints `N passed, N failed` last.
pub fn run(args: &[&str]) -> Result<ExitCode> {
    let (lint, args) = match args {
        ["--lint", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (only, files) = match args {
        ["--only", suite, files @ ..] => (Some(*suite), files),
        files => (if files.is_empty() { None } else { Some("tabs") }, files),
    };
    let chosen = |suite: &str| only.is_none_or(|only| only == suite);
    if !["rust", "sim", "tabs"].into_iter().any(chosen) {
        bail!("--only knows rust, sim and tabs");
    }
    setup::for_build()?;
    let mut total = Tally::default();
    if lint {
        total += check::all()?;
    }
    total += match (chosen("rust"), chosen("sim")) {
        (true, true) => cargo_test(&["--workspace"])?,
        (true, false) => cargo_test(&["--workspace", "--exclude", "simulator"])?,
        (false, true) => cargo_test(&["-p", "simulator"])?,
        (false, false) => Tally::default(),
    };
    if chosen("tabs") {
        total += tabs(files, chosen("rust"))?;
    }
    if total.skipped > 0 {
        println!("{} skipped, each named above", total.skipped);
    }
    println!("{total}");
    Ok(if total.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Real tabs. `relay_is_built`: the tests of the workspace have just built the relay and the simulator; building them on their own
/// would compile half of their dependencies again, with other features.
fn tabs(files: &[&str], relay_is_built: bool) -> Result<Tally> {
    setup::everything()?;
    let tree = web::build_for_tests(web::Kind::Quick)?;
    let relay = relay::path(web::Kind::Quick);
    if !relay_is_built || !relay.is_file() {
        relay::build(web::Kind::Quick)?;
    }
    let judge = root().join("target").join("debug").join("simulator");
    let is_built = relay_is_built && judge.is_file();
    if !is_built && !succeeds(cargo().args(["build", "-p", "simulator"]))? {
        bail!("the simulator, which judges what clients heard, does not build");
    }
    let chromium = setup::find_chromium().context("no Chromium")?;
    let report = root().join("target").join("tabs.tap");
    let _ = fs::remove_file(&report);
    let mut node = command("node");
    node.arg("playwright-tests/run.mjs").args(files);
    node.env("TABFARM_RELAY", relay)
        .env("TABFARM_WEB", tree)
        .env("CHROMIUM", chromium)
        .env("TABFARM_TAP", &report);
    let ok = succeeds(&mut node)?;
    let tally =
        fs::read_to_string(&report).ok().and_then(|report| Tally::of_tap(&report)).unwrap_or(Tally::FAILURE);
    Ok(at_least_one_failure_unless(ok, tally))
}

/// Runs `cargo test`, shows what it prints and sums the result lines of all its binaries.
fn cargo_test(packages: &[&str]) -> Result<Tally> {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).args(packages);
    eprintln!("$ cargo test --no-fail-fast {}", packages.join(" "));
    let mut child = command.stdout(Stdio::piped()).spawn().context("cargo does not run")?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            tally += Tally::of_cargo_line(&line).unwrap_or_default();
        }
    }
    let ok = child.wait()?.success();
    Ok(at_least_one_failure_unless(ok, tally))
}

/// A runner that ended badly without a failed test (it did not compile, it crashed) counts as one failure.
fn at_least_one_failure_unless(ok: bool, mut tally: Tally) -> Tally {
    if !ok && tally.failed == 0 {
        tally += Tally::FAILURE;
    }
    tally
}
