//! What consumers asked and heard under faults is linearizable and exactly once; and the checks of it find bugs that are planted.

use overlay::seeded::{self, SeededBug};
use overlay::Node;
use simulator::history::History;
use simulator::report::RunReport;
use simulator::run::run;
use simulator::scenario::Scenario;

/// Seeds within which a planted bug shows.
const SEEDS: u64 = 9;

fn load(name: &str) -> Scenario {
    let path = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a scenario file");
    toml::from_str(&text).expect("a scenario")
}

fn assert_good(name: &str, report: &RunReport) {
    let again = format!("cargo run -p simulator -- {name} --seed {} --log", report.seed);
    assert!(report.violations.is_empty(), "{again}\n{:#?}", report.violations);
    let verdict = report.verdict.as_ref().expect("its history was checked");
    assert!(verdict.is_good() && verdict.journalled > Some(500), "{again}\n{verdict}");
    assert_eq!(report.sessions_lost, 0, "{again}");
}

/// Plants a bug until the checks of the history find it; then the same seeds without it.
fn is_found(bug: SeededBug, name: &str, seeds: std::ops::Range<u64>) {
    let scenario = load(name);
    let mut tried = Vec::new();
    let planted = seeded::plant(bug);
    let found = seeds.clone().find(|seed| {
        tried.push(*seed);
        let report = run(&scenario, *seed, Node::new);
        report.verdict.is_some_and(|verdict| !verdict.violations.is_empty())
    });
    drop(planted);
    assert!(found.is_some(), "{bug:?} was not found in seeds {seeds:?} of {name}");
    for seed in tried {
        assert_good(name, &run(&scenario, seed, Node::new));
    }
}

#[test]
fn histories_under_every_fault_are_linearizable_and_exactly_once() {
    // Seed 8 once left three consumers at a voted-out leader that they were still connected to.
    for (name, seeds) in [("histories", SEEDS), ("histories-single", 6), ("histories-split", 4)] {
        let scenario = load(name);
        (0..seeds).for_each(|seed| assert_good(name, &run(&scenario, seed, Node::new)));
    }
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let report = run(&load("histories-single"), 1, Node::new);
    let text = report.history.to_lines().expect("it has lines");
    assert_eq!(text.parse::<History>().as_ref(), Ok(&report.history));
}

#[test]
fn acknowledging_before_commit_is_found() {
    is_found(SeededBug::AcknowledgeBeforeCommit, "histories", 0..SEEDS);
}

#[test]
fn executing_a_repeat_is_found() {
    is_found(SeededBug::NoDedupe, "histories", 0..SEEDS);
}

#[test]
fn an_old_leader_that_goes_on_is_found() {
    is_found(SeededBug::NoFence, "histories", 0..SEEDS);
}

#[test]
fn a_dedupe_table_that_a_handover_loses_is_found() {
    is_found(SeededBug::DedupeLostInHandover, "histories-single", 0..40);
}

#[test]
fn a_stale_read_is_found() {
    is_found(SeededBug::StaleRead, "histories-split", 0..SEEDS);
}
