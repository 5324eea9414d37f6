//! Benchmarks: figures, not tests, so that a noisy machine fails nothing.

use anyhow::{bail, Context, Result};

use crate::shell::{cargo, command, run};
use crate::{relay, setup, web};

/// Runs all benchmarks but the long ones, or those whose name starts with the given one (`p1`, `p3b`, …, `faults [FAULT] [COUNT]`).
/// JSON lines go to stdout, tables to stderr.
pub fn run_all(args: &[&str]) -> Result<()> {
    let wanted_by_faults = matches!(args, ["faults", ..]);
    if args.len() > 1 && !wanted_by_faults {
        bail!("bench takes one name; `faults` takes a fault and a number too");
    }
    if let [name, ..] = args {
        // What nobody knows is said before all is built.
        run(command("node").args(["playwright-tests/bench.mjs", "--known", name]))?;
    }
    if wanted_by_faults {
        // It judges the histories.
        run(cargo().args(["build", "-p", "simulator"]))?;
    }
    setup::everything()?;
    let tree = web::build_for_tests(web::Kind::Release)?;
    let relay = relay::build(web::Kind::Release)?;
    let chromium = setup::find_chromium().context("no Chromium")?;
    let mut node = command("node");
    node.arg("playwright-tests/bench.mjs").args(args);
    run(node.env("TABFARM_RELAY", relay).env("TABFARM_WEB", tree).env("CHROMIUM", chromium))
}
