//! Exactly once: the service's journal, the ids of the calls that it executed, against what the clients were told.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Call;
use super::{Micros, Operation, Outcome};

/// What the comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executions {
    /// Calls that were compared; none without a journal.
    pub compared: Option<usize>,
    /// What cannot be.
    pub violations: Vec<String>,
}

/// Compares the last journal of a history with its calls, and each session with itself.
pub fn check(operations: &[Operation]) -> Executions {
    let mut found = Executions::default();
    found.violations.extend(order_of_answers(operations));
    let (Some(ids), Some(asked)) = (journal(operations), last_journal(operations)) else { return found };
    let calls: BTreeMap<u64, &Operation> = operations.iter().filter_map(|op| Some((op.id?, op))).collect();
    found.compared = Some(calls.len());
    let mut executed = BTreeSet::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for id in &ids {
        let Some(op) = calls.get(id) else {
            found.violations.push(format!("call {id} was executed, but nobody made it"));
            continue;
        };
        if !executed.insert(*id) {
            found.violations.push(format!("{} was executed twice", name(op)));
            continue;
        }
        if op.outcome == Outcome::Fail {
            found.violations.push(format!("{} failed, but was executed", name(op)));
        }
        let before = last.insert(&op.client, op.number).unwrap_or(0);
        if before > op.number {
            found.violations.push(format!("{} was executed after call {before} of its session", name(op)));
        }
    }
    let answered = |op: &&&Operation| op.outcome == Outcome::Ok && op.returned < Some(asked.invoke);
    for (id, op) in calls.iter().filter(|(_, op)| answered(op)) {
        if !executed.contains(id) {
            found.violations.push(format!("{} was acknowledged, but is lost", name(op)));
        }
    }
    found
}

/// The ids of the calls that were executed, in their order, as the service says itself.
pub fn journal(operations: &[Operation]) -> Option<Vec<u64>> {
    let ids = last_journal(operations)?.result.as_array()?;
    Some(ids.iter().filter_map(|id| id.as_u64()).collect())
}

fn last_journal(operations: &[Operation]) -> Option<&Operation> {
    let journals = operations.iter().filter(|op| op.call == Call::Journal && op.outcome == Outcome::Ok);
    journals.max_by_key(|op| op.invoke)
}

/// Answers to a session's calls come in the order of the calls.
fn order_of_answers(operations: &[Operation]) -> Vec<String> {
    let mut sessions: BTreeMap<&str, Vec<(u64, Micros)>> = BTreeMap::new();
    for op in operations.iter().filter(|op| op.outcome == Outcome::Ok && op.id.is_some()) {
        sessions.entry(&op.client).or_default().push((op.number, op.returned.unwrap_or_default()));
    }
    let mut violations = Vec::new();
    for (client, mut answers) in sessions {
        answers.sort_unstable();
        for pair in answers.windows(2) {
            let [(one, first), (two, second)] = pair else { continue };
            if one == two {
                violations.push(format!("call {one} of {client} was answered twice"));
            } else if first > second {
                violations.push(format!("call {two} of {client} was answered before call {one}"));
            }
        }
    }
    violations
}

fn name(op: &Operation) -> String {
    format!("call {} of {} ({:?})", op.number, op.client, op.call)
}
