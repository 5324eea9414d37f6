//! What runs found: as a table for people, as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::history::{History, Verdict};

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RunReport {
    /// The seed.
    pub seed: u64,
    /// The fault that struck at a step of a handover.
    pub fault: Option<String>,
    /// Events processed.
    pub events: u64,
    /// Frames sent.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Sessions that ended without their consumer's wish.
    pub sessions_lost: u64,
    /// Calls made.
    pub calls: u64,
    /// Calls answered.
    pub replies: u64,
    /// Broadcast lines received.
    pub messages: u64,
    /// Reads answered.
    pub reads: u64,
    /// Those that were answered by others than the leader.
    pub reads_elsewhere: u64,
    /// Calls answered in each virtual second.
    pub replies_per_second: Vec<u64>,
    /// The longest time between two replies of one consumer, in ms.
    pub longest_gap_ms: u64,
    /// Errors by code, of all commands.
    pub errors: BTreeMap<String, u64>,
    /// Planned moves.
    pub handovers: HandoverReport,
    /// Tabs that died at random.
    pub deaths: u64,
    /// Partitions at random.
    pub blocks: u64,
    /// Services that a host gave away because it foresaw too much load.
    pub sheds: u64,
    /// Services that one node serves in the end, at most.
    pub most_led: u64,
    /// Services that nobody serves in the end.
    pub lost: u64,
    /// What must not happen.
    pub violations: Vec<String>,
    /// A digest of everything that happened.
    pub trace: u64,
    /// What consumers asked and heard, when the scenario has them recorded.
    #[serde(skip)]
    pub history: History,
    /// What the checks of the history found.
    #[serde(skip)]
    pub verdict: Option<Verdict>,
    /// What a person wants to read.
    #[serde(skip)]
    pub log: Vec<String>,
}

/// What became of planned moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HandoverReport {
    /// Complete.
    pub done: u64,
    /// It is not known who serves.
    pub uncertain: u64,
    /// Never answered: the source died.
    pub unanswered: u64,
    /// Refused or aborted, by reason.
    pub failed: BTreeMap<String, u64>,
    /// The pauses that sources report, in ms.
    pub pauses_ms: Vec<u64>,
}

impl RunReport {
    /// An empty report.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}

/// All runs of one scenario, added up.
pub fn summary(name: &str, runs: &[RunReport], wall_seconds: f64) -> String {
    let sum = |value: fn(&RunReport) -> u64| runs.iter().map(value).sum::<u64>();
    let mut pauses: Vec<u64> = runs.iter().flat_map(|run| run.handovers.pauses_ms.iter().copied()).collect();
    pauses.sort_unstable();
    let mut gaps: Vec<u64> = runs.iter().map(|run| run.longest_gap_ms).collect();
    gaps.sort_unstable();
    let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for run in runs {
        run.handovers.failed.iter().for_each(|(reason, count)| *failed.entry(reason).or_default() += count);
        run.errors.iter().for_each(|(code, count)| *errors.entry(code).or_default() += count);
    }
    let bad = runs.iter().filter(|run| !run.violations.is_empty()).count();
    let failures: u64 = failed.values().sum();
    let rows = [
        ("seeds", format!("{} in {wall_seconds:.1} s, {bad} with violations", runs.len())),
        ("events, frames, MB", {
            let megabytes = sum(|run| run.bytes) as f64 / 1e6;
            format!("{}, {}, {megabytes:.0}", sum(|run| run.events), sum(|run| run.frames))
        }),
        ("calls, replies, messages", {
            format!("{}, {}, {}", sum(|run| run.calls), sum(|run| run.replies), sum(|run| run.messages))
        }),
        ("reads, not by the leader", format!("{}, {}", sum(|run| run.reads), sum(|run| run.reads_elsewhere))),
        ("shed, most on one node", {
            let most = runs.iter().map(|run| run.most_led).max().unwrap_or(0);
            format!("{}, {most}", sum(|run| run.sheds))
        }),
        ("sessions, lost", format!("{}, {}", sum(|run| run.sessions), sum(|run| run.sessions_lost))),
        ("handovers done, failed", {
            let (uncertain, unanswered) =
                (sum(|run| run.handovers.uncertain), sum(|run| run.handovers.unanswered));
            let done = sum(|run| run.handovers.done);
            format!("{done}, {failures} (uncertain {uncertain}, source died {unanswered})")
        }),
        ("handover pause p50, p95, max", format!("{} ms", quantiles(&pauses))),
        ("longest reply gap p50, p95, max", format!("{} ms", quantiles(&gaps))),
        ("services lost with their host", sum(|run| run.lost).to_string()),
    ];
    let mut text = format!("{name}\n");
    for (label, value) in rows {
        let _ = writeln!(text, "  {label:<32} {value}");
    }
    for (label, counts) in [("handover failed", failed), ("error", errors)] {
        for (reason, count) in counts {
            let _ = writeln!(text, "  {:<32} {count}", format!("{label}: {reason}"));
        }
    }
    text
}

fn quantiles(sorted: &[u64]) -> String {
    let at = |share: usize| {
        sorted.get((sorted.len().saturating_sub(1)) * share / 100).copied().unwrap_or_default()
    };
    format!("{}, {}, {}", at(50), at(95), at(100))
}
