//! `cargo run -p simulator -- SCENARIO [--seed N] [--seeds N] [--out DIR]`, `cargo run -p simulator -- check FILE…`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, Context as _};
use overlay::seeded::{self, SeededBug};
use overlay::Node;
use simulator::history::{self, History};
use simulator::plots;
use simulator::report::{summary, RunReport};
use simulator::run::run;
use simulator::scenario::Scenario;

const USAGE: &str = "usage: simulator SCENARIO [--seed N] [--seeds N] [--out DIR] [--log] [--bug NAME]
       simulator check FILE…   are these recorded histories linearizable, and was each call executed exactly once?
  SCENARIO   a file, or the name of one in simulator/scenarios
  --seed N   the first seed (default 0)
  --seeds N  how many seeds (default 1)
  --out DIR  where the runs' reports (runs.json) and plots (*.svg) go (default target/simulator/SCENARIO)
  --bug NAME plants a bug in all nodes, to see that it is found: acknowledge-before-commit, no-dedupe, no-fence,
             dedupe-lost-in-handover or stale-read
  --log      prints handovers, faults, errors and connections of each run";

fn main() -> ExitCode {
    match simulate(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// True when no run had a violation.
fn simulate(arguments: Vec<String>) -> anyhow::Result<bool> {
    let mut name = None;
    let (mut first, mut count, mut out) = (0_u64, 1_u64, None);
    let mut log = false;
    let mut planted = None;
    if let [command, files @ ..] = &arguments[..] {
        if command == "check" {
            return check_files(files);
        }
    }
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--seed" => first = value()?.parse().context("--seed takes a number")?,
            "--seeds" => count = value()?.parse().context("--seeds takes a number")?,
            "--log" => log = true,
            "--bug" => {
                let name = value()?;
                let known = SeededBug::ALL.iter().find(|(known, _)| *known == name);
                let (_, bug) = known.with_context(|| format!("no bug is called {name}\n{USAGE}"))?;
                planted = Some(seeded::plant(*bug));
            }
            "--out" => out = Some(PathBuf::from(value()?)),
            _ if name.is_none() && !argument.starts_with('-') => name = Some(argument),
            _ => bail!("unknown argument {argument}\n{USAGE}"),
        }
    }
    let name = name.context(USAGE)?;
    let scenario = load(&name)?;
    let stem = Path::new(&name).file_stem().unwrap_or_default();
    let folder = out.unwrap_or_else(|| Path::new("target").join("simulator").join(stem));
    // The wall clock is for the table only; the runs know virtual time.
    #[allow(clippy::disallowed_methods, clippy::disallowed_types)]
    let started = std::time::Instant::now();
    let mut runs = Vec::new();
    for seed in first..first.saturating_add(count) {
        let mut report = run(&scenario, seed, Node::new);
        if log {
            report.log.iter().for_each(|line| println!("{line}"));
        }
        if !report.violations.is_empty() {
            print_failure(&name, &report);
        }
        if report.verdict.is_some() && (count == 1 || !report.violations.is_empty()) {
            write_history(&folder, &report)?;
        }
        report.history = History::default();
        runs.push(report);
    }
    drop(planted);
    print!("{}", summary(&scenario.name, &runs, started.elapsed().as_secs_f64()));
    if let [one] = &runs[..] {
        println!("  {:<32} {:016x}", "trace", one.trace);
    }
    write_json(&folder, &runs)?;
    plots::write_all(&folder, &scenario.name, &runs)?;
    println!("  {:<32} {}", "reports and plots", folder.display());
    Ok(runs.iter().all(|run| run.violations.is_empty()))
}

/// True when all histories are as they must be.
fn check_files(files: &[String]) -> anyhow::Result<bool> {
    if files.is_empty() {
        bail!("check takes files\n{USAGE}");
    }
    let mut good = true;
    for file in files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        let history: History = text.parse().with_context(|| format!("{file} is no history"))?;
        let verdict = history::check(&history);
        println!("{file}: {verdict}");
        good &= verdict.is_good();
    }
    Ok(good)
}

/// A file, or the name of a scenario that comes with the simulator.
fn load(name: &str) -> anyhow::Result<Scenario> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.toml"));
    let path = if Path::new(name).is_file() { PathBuf::from(name) } else { own };
    let text =
        fs::read_to_string(&path).with_context(|| format!("no scenario {name} (looked for {path:?})"))?;
    toml::from_str(&text).with_context(|| format!("{path:?} is no scenario"))
}

fn print_failure(name: &str, report: &RunReport) {
    println!("seed {} failed: cargo run -p simulator -- {name} --seed {}", report.seed, report.seed);
    if let Some(fault) = &report.fault {
        println!("  fault: {fault}");
    }
    for violation in &report.violations {
        println!("  {violation}");
    }
    if let Some(verdict) = &report.verdict {
        println!("  {verdict}");
    }
}

/// What consumers asked and heard, for `check` and for people: of a run alone, or of one that failed.
fn write_history(folder: &Path, run: &RunReport) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {folder:?}"))?;
    let path = folder.join(format!("history-{}.jsonl", run.seed));
    fs::write(&path, run.history.to_lines()?).with_context(|| format!("cannot write {path:?}"))
}

fn write_json(folder: &Path, runs: &[RunReport]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {folder:?}"))?;
    let path = folder.join("runs.json");
    fs::write(&path, serde_json::to_vec_pretty(runs)?).with_context(|| format!("cannot write {path:?}"))
}
