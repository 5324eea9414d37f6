//! Is there one order of all operations on a counter or register that respects real time and in which each answer is right?
//!
//! Wing and Gong's search with Lowe's memory of what was tried (WGL): take operations one by one, each time one that began before
//! any other pending one ended, apply it to the model, go back when none fits. Objects are checked one by one, as linearizability is local; queues have
//! a quicker way ([`super::queue`]).
//! A session's calls take effect in their order, also those that were under way at once: stronger than linearizability, and promised.
//! Operations of unknown outcome may be taken at any time after they began, or never; failed ones are left out.
//!
//! Source: Gavin Lowe, "Testing for linearizability" (2017), and the way in which porcupine (Anish Athalye) treats partitions.
//! Not done: a smallest counterexample; the answer names the operation that stopped the longest order that was found.

use std::collections::{BTreeMap, BTreeSet};

use super::model::State;
use super::{Micros, Operation, Outcome};

/// Orders that are tried before the search is given up, in states remembered.
const MAX_STATES: usize = 4_000_000;

/// What came of the search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none; where the best one ended, in words.
    Not(String),
    /// So many states were looked at without an answer.
    TooHard(usize),
}

/// An operation on the search's scales.
struct Span<'a> {
    operation: &'a Operation,
    begin: Micros,
    /// `Micros::MAX` when it is not known whether it happened.
    end: Micros,
    /// The known operation of its session that comes before it; for one of unknown outcome, the known one that comes after.
    neighbour: Option<usize>,
    /// Its place in the journal.
    rank: usize,
}

/// How far an order has come: all known operations before `base` are taken, and some behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Progress {
    base: usize,
    ahead: Vec<usize>,
    /// Taken operations of unknown outcome.
    guessed: Vec<usize>,
}

impl Progress {
    fn has(&self, known: usize) -> bool {
        known < self.base || self.ahead.binary_search(&known).is_ok()
    }
}

struct Frame {
    progress: Progress,
    state: State,
    /// Candidates that were not tried yet, the best one last.
    open: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
enum Candidate {
    Known(usize),
    Guess(usize),
}

/// Checks the operations of one object. Orders are tried in that of the `journal` first, where there is one: it may be wrong, and is
/// right nearly always.
pub fn check(operations: &[&Operation], clock_error: Micros, journal: &BTreeMap<u64, usize>) -> Verdict {
    let Some(first) = operations.first() else { return Verdict::Linearizable };
    let span = |operation: &&'_ Operation| -> (Micros, Micros) {
        let end = operation.returned.filter(|_| operation.outcome == Outcome::Ok);
        (operation.invoke.saturating_sub(clock_error), end.map_or(Micros::MAX, |at| at + clock_error))
    };
    let spans = operations.iter().filter(|operation| operation.outcome != Outcome::Fail).map(|operation| {
        let (begin, end) = span(operation);
        Span { operation, begin, end, neighbour: None, rank: usize::MAX }
    });
    let (mut known, mut unknown): (Vec<Span<'_>>, Vec<Span<'_>>) =
        spans.partition(|span| span.operation.outcome == Outcome::Ok);
    known.sort_by_key(|span| (span.begin, span.operation.number));
    // Whoever looks without an answer says nothing.
    unknown.retain(|span| !span.operation.call.only_looks());
    unknown.sort_by_key(|span| span.begin);
    order_sessions(&mut known, &mut unknown);
    let rank =
        |span: &Span<'_>| span.operation.id.and_then(|id| journal.get(&id)).copied().unwrap_or(usize::MAX);
    known.iter_mut().chain(&mut unknown).for_each(|span| span.rank = rank(span));
    Search { known, unknown }.run(first.call.initial())
}

/// A session's logged calls take effect in their order, even those that were under way at once.
fn order_sessions(known: &mut [Span<'_>], unknown: &mut [Span<'_>]) {
    let mut sessions: BTreeMap<&str, Vec<(u64, usize)>> = BTreeMap::new();
    for (index, span) in known.iter().enumerate().filter(|(_, span)| span.operation.id.is_some()) {
        sessions.entry(&span.operation.client).or_default().push((span.operation.number, index));
    }
    for calls in sessions.values_mut() {
        calls.sort_unstable();
        for pair in calls.windows(2) {
            known[pair[1].1].neighbour = Some(pair[0].1);
        }
    }
    for span in unknown.iter_mut().filter(|span| span.operation.id.is_some()) {
        let calls = sessions.get(span.operation.client.as_str());
        let next = calls.and_then(|calls| calls.iter().find(|(number, _)| *number > span.operation.number));
        span.neighbour = next.map(|(_, index)| *index);
    }
}

struct Search<'a> {
    known: Vec<Span<'a>>,
    unknown: Vec<Span<'a>>,
}

impl Search<'_> {
    fn run(&self, initial: State) -> Verdict {
        let start = Progress { base: 0, ahead: Vec::new(), guessed: Vec::new() };
        let mut seen = BTreeSet::new();
        let mut best = (0, start.clone(), initial.clone());
        let mut stack = vec![self.frame(start, initial)];
        while let Some(frame) = stack.last_mut() {
            if frame.progress.base == self.known.len() {
                return Verdict::Linearizable;
            }
            let Some(candidate) = frame.open.pop() else {
                stack.pop();
                continue;
            };
            let Some((progress, state)) = self.take(&frame.progress, &frame.state, candidate) else {
                continue;
            };
            if !seen.insert((progress.clone(), state.clone())) {
                continue;
            }
            if seen.len() >= MAX_STATES {
                return Verdict::TooHard(seen.len());
            }
            let taken = progress.base + progress.ahead.len();
            if taken > best.0 {
                best = (taken, progress.clone(), state.clone());
            }
            stack.push(self.frame(progress, state));
        }
        Verdict::Not(self.describe(best.0, &best.1, &best.2))
    }

    fn frame(&self, progress: Progress, state: State) -> Frame {
        let open = self.candidates(&progress, &state);
        Frame { progress, state, open }
    }

    /// What may come next: what began before anything pending ended, in the order of its session.
    fn pending(&self, progress: &Progress) -> (Vec<usize>, Micros) {
        let mut horizon = Micros::MAX;
        let mut known = Vec::new();
        for (index, span) in self.known.iter().enumerate().skip(progress.base) {
            if span.begin > horizon {
                break;
            }
            if !progress.has(index) {
                horizon = horizon.min(span.end);
                known.push(index);
            }
        }
        let may = |index: &usize| {
            let span = &self.known[*index];
            span.begin <= horizon && span.neighbour.is_none_or(|before| progress.has(before))
        };
        known.retain(may);
        (known, horizon)
    }

    /// The best one last; guesses are tried when nothing known fits.
    fn candidates(&self, progress: &Progress, state: &State) -> Vec<Candidate> {
        let (known, horizon) = self.pending(progress);
        // What changes nothing does no harm at once, and waiting does it no good.
        let sure = |index: &&usize| {
            let Operation { call, result, .. } = self.known[**index].operation;
            call.apply(state, Some(result)).is_some_and(|next| next == *state)
        };
        if let Some(index) = known.iter().filter(sure).min_by_key(|index| self.known[**index].end) {
            return vec![Candidate::Known(*index)];
        }
        let mut guesses: Vec<usize> = Vec::new();
        for (index, span) in self.unknown.iter().enumerate().take_while(|(_, span)| span.begin <= horizon) {
            let call = &span.operation.call;
            let equal = |other: &usize| {
                let other = &self.unknown[*other];
                other.operation.call == *call && other.neighbour == span.neighbour
            };
            let late = span.neighbour.is_some_and(|after| progress.has(after));
            if !late && progress.guessed.binary_search(&index).is_err() && !guesses.iter().any(equal) {
                guesses.push(index);
            }
        }
        let guesses = guesses.into_iter().map(Candidate::Guess);
        let mut all: Vec<Candidate> = known.into_iter().map(Candidate::Known).chain(guesses).collect();
        all.sort_by_key(|candidate| {
            std::cmp::Reverse(match candidate {
                Candidate::Known(index) => (self.known[*index].rank, self.known[*index].end),
                Candidate::Guess(index) => (self.unknown[*index].rank, Micros::MAX),
            })
        });
        all
    }

    fn take(&self, progress: &Progress, state: &State, candidate: Candidate) -> Option<(Progress, State)> {
        let mut progress = progress.clone();
        match candidate {
            Candidate::Guess(index) => {
                let next = self.unknown[index].operation.call.apply(state, None)?;
                let at = progress.guessed.binary_search(&index).unwrap_or_else(|at| at);
                progress.guessed.insert(at, index);
                // What changes nothing need not have happened.
                (next != *state).then_some((progress, next))
            }
            Candidate::Known(index) => {
                let operation = self.known[index].operation;
                let next = operation.call.apply(state, Some(&operation.result))?;
                let at = progress.ahead.binary_search(&index).unwrap_or_else(|at| at);
                progress.ahead.insert(at, index);
                while progress.ahead.first() == Some(&progress.base) {
                    progress.ahead.remove(0);
                    progress.base += 1;
                }
                Some((progress, next))
            }
        }
    }

    fn describe(&self, taken: usize, progress: &Progress, state: &State) -> String {
        let mut stuck = self.pending(progress).0;
        stuck.sort_by_key(|index| self.known[*index].end);
        let named: Vec<String> = stuck
            .into_iter()
            .take(3)
            .map(|index| {
                let span = &self.known[index];
                let Operation { client, number, call, result, .. } = span.operation;
                let at = span.operation.invoke as f64 / 1e6;
                format!("{call:?} → {result} (call {number} of {client} at {at:.3} s)")
            })
            .collect();
        format!(
            "not linearizable: after {taken} of {} operations it holds {:?}, and this does not fit: {}",
            self.known.len(),
            state,
            named.join("; ")
        )
    }
}
