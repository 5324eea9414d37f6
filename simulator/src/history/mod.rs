//! Histories: what consumers asked of a service, when, and what they heard, as JSON lines; and the checks of them.
//!
//! Recorded in virtual time by [`crate::run`] and in real tabs by `cargo xtask bench faults` (`playwright-tests/lib/history.mjs`), judged by
//! the same code: `cargo run -p simulator -- check FILE`.
//!
//! ```
//! let lines = r#"{"clock_error_us":0}
//! {"client":"a","number":1,"op":"write","key":"r","value":7,"invoke":0,"return":10,"outcome":"ok","result":null}
//! {"client":"b","number":1,"op":"read","key":"r","invoke":20,"return":30,"outcome":"ok","result":null}"#;
//! let history: simulator::history::History = lines.parse().expect("readable");
//! let verdict = simulator::history::check(&history);
//! assert_eq!(verdict.violations.len(), 1, "a read that began after the write must see it");
//! ```
//!
//! | module | checks |
//! |---|---|
//! | [`linear`] | linearizability of counter and registers |
//! | [`queue`] | linearizability of queues |
//! | [`once`] | each acknowledged call executed once, calls of a session in their order, by the service's journal |
//! | [`model`] | what a correct object answers |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub mod linear;
pub mod model;
pub mod once;
pub mod queue;

use model::Call;

/// Microseconds of one clock for all clients.
pub type Micros = u64;

/// The most operations of a history: more is a mistake of whoever wrote the file.
const MAX_OPERATIONS: usize = 2_000_000;
/// The most violations that are told.
const MAX_TOLD: usize = 20;

/// One call of one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Who asked: one session. Its calls are executed in the order of their numbers.
    pub client: String,
    /// The client's calls are numbered 1, 2, 3, …
    pub number: u64,
    /// Names the call in the service's journal; none for what is not logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What it asked.
    #[serde(flatten)]
    pub call: Call,
    /// When it asked.
    pub invoke: Micros,
    /// When it heard; none when it never did.
    #[serde(rename = "return", default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Micros>,
    /// What it knows.
    pub outcome: Outcome,
    /// The answer of an operation that is `ok`.
    #[serde(default)]
    pub result: serde_json::Value,
}

/// What a client knows of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was executed.
    Ok,
    /// It was not executed, and never will be.
    Fail,
    /// It may have been executed, or may yet be.
    Unknown,
}

/// What comes first in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Clients' clocks differ by at most this: each operation counts as begun so much earlier and ended so much later.
    pub clock_error_us: Micros,
}

/// Operations of several clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// How far clocks may differ.
    pub header: Header,
    /// In any order.
    pub operations: Vec<Operation>,
}

/// A line of a file that is no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for BadLine {}

impl FromStr for History {
    type Err = BadLine;

    fn from_str(text: &str) -> Result<Self, BadLine> {
        let mut history = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |reason: String| BadLine { line: index + 1, reason };
            if index == 0 && line.contains("clock_error_us") {
                history.header = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
                continue;
            }
            let operation: Operation = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
            operation.is_sound().map_err(|reason| bad(reason.to_owned()))?;
            if history.operations.len() == MAX_OPERATIONS {
                return Err(bad(format!("more than {MAX_OPERATIONS} operations")));
            }
            history.operations.push(operation);
        }
        Ok(history)
    }
}

impl Operation {
    fn is_sound(&self) -> Result<(), &'static str> {
        match (self.outcome, self.returned) {
            (_, Some(returned)) if returned < self.invoke => Err("it returned before it was invoked"),
            (Outcome::Ok, None) => Err("it is ok, but never returned"),
            (Outcome::Ok, _) if !self.call.understands(&self.result) => {
                Err("its result is none of that operation")
            }
            _ => Ok(()),
        }
    }
}

impl History {
    /// As JSON lines, the header first.
    pub fn to_lines(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string(&self.header)?;
        for operation in &self.operations {
            text.push('\n');
            text.push_str(&serde_json::to_string(operation)?);
        }
        text.push('\n');
        Ok(text)
    }
}

/// What the checks found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Operations, and how many of them are ok, failed, unknown.
    pub operations: [usize; 4],
    /// Clients.
    pub clients: usize,
    /// Objects.
    pub objects: usize,
    /// Calls that the journal was compared with; none when the history has no journal.
    pub journalled: Option<usize>,
    /// What cannot be, in words.
    pub violations: Vec<String>,
    /// Objects whose check was given up, and why: neither right nor wrong.
    pub undecided: Vec<String>,
}

impl Verdict {
    /// Nothing wrong, and nothing left open.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.undecided.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [all, ok, failed, unknown] = self.operations;
        let (clients, objects) = (self.clients, self.objects);
        write!(f, "{all} operations of {clients} clients on {objects} objects ({ok} ok, {failed} failed, {unknown} unknown): ")?;
        match (self.violations.is_empty(), self.undecided.is_empty()) {
            (true, true) => write!(f, "linearizable")?,
            (true, false) => write!(f, "not decided")?,
            (false, _) => write!(f, "WRONG")?,
        }
        match self.journalled {
            Some(count) if self.is_good() => write!(f, "; {count} calls executed exactly once and in order"),
            Some(_) => Ok(()),
            None => write!(f, "; no journal, so executions were not compared"),
        }?;
        for line in self.violations.iter().chain(&self.undecided).take(MAX_TOLD) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Checks a history.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let clients: BTreeSet<&str> = history.operations.iter().map(|op| op.client.as_str()).collect();
    verdict.clients = clients.len();
    let count = |outcome| history.operations.iter().filter(|op| op.outcome == outcome).count();
    let counts = [Outcome::Ok, Outcome::Fail, Outcome::Unknown].map(count);
    verdict.operations = [history.operations.len(), counts[0], counts[1], counts[2]];
    let mut objects: BTreeMap<String, Vec<&Operation>> = BTreeMap::new();
    for operation in &history.operations {
        if let Some(object) = operation.call.object() {
            objects.entry(object).or_default().push(operation);
        }
    }
    verdict.objects = objects.len();
    let journal = once::journal(&history.operations).unwrap_or_default();
    let journal: BTreeMap<u64, usize> =
        journal.into_iter().enumerate().map(|(place, id)| (id, place)).collect();
    for (object, operations) in objects {
        let clock_error = history.header.clock_error_us;
        if matches!(operations[0].call.initial(), model::State::Queue(_)) {
            let wrong = queue::check(&operations, clock_error);
            verdict.violations.extend(wrong.into_iter().map(|why| format!("{object}: {why}")));
            continue;
        }
        match linear::check(&operations, clock_error, &journal) {
            linear::Verdict::Linearizable => {}
            linear::Verdict::Not(why) => verdict.violations.push(format!("{object}: {why}")),
            linear::Verdict::TooHard(states) => {
                verdict.undecided.push(format!("{object}: given up after {states} states"));
            }
        }
    }
    let executions = once::check(&history.operations);
    verdict.journalled = executions.compared;
    verdict.violations.extend(executions.violations);
    verdict
}

#[cfg(test)]
mod tests;
