//! Is a queue's history linearizable? By the four things that alone can make it not so, when no value comes twice: a value that nobody put
//! in, a value taken twice, values taken in another order than they were put in, and an empty queue while something was surely in it.
//!
//! Source: Henzinger, Sezgin, Vafeiadis, "Aspect-oriented linearizability proofs" (2013). A search for an order, as in [`super::linear`], finds
//! a wrong guess about two values only when they are taken, thousands of operations later. Calls of one session take effect in
//! their order, also those that were under way at once.
//!
//! Of unknown outcome: a value whose `enqueue` nobody saw end was put in if it was taken, else it is left out; each `dequeue` without an answer
//! may have taken any one value that is missing.

use std::collections::BTreeMap;

use super::model::Call;
use super::{Micros, Operation, Outcome};

/// Violations that are told of one queue.
const MAX_TOLD: usize = 5;

/// An operation in real time, and in its session.
#[derive(Clone, Copy)]
struct Span<'a> {
    begin: Micros,
    end: Micros,
    session: &'a str,
    number: u64,
}

/// A value's way through the queue.
struct Passage<'a> {
    value: u64,
    put: Span<'a>,
    taken: Option<Span<'a>>,
}

/// What is wrong with the operations on one queue, in words.
pub fn check(operations: &[&Operation], clock_error: Micros) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut taken: BTreeMap<u64, Span<'_>> = BTreeMap::new();
    let mut empty = Vec::new();
    // When the first `dequeue` without an answer began, and how many there are.
    let (mut guesses_from, mut guesses) = (Micros::MAX, 0);
    for op in operations.iter().filter(|op| matches!(op.call, Call::Dequeue { .. })) {
        let span = span(op, clock_error);
        match (op.outcome, op.result.as_u64()) {
            (Outcome::Fail, _) => {}
            (Outcome::Unknown, _) => (guesses_from, guesses) = (guesses_from.min(span.begin), guesses + 1),
            (Outcome::Ok, None) => empty.push(span),
            (Outcome::Ok, Some(value)) => {
                let first = *taken.entry(value).or_insert(span);
                if (first.session, first.number) != (span.session, span.number) {
                    wrong.push(format!("{value} was taken twice"));
                }
            }
        }
    }
    let mut passages = Vec::new();
    for op in operations {
        let Call::Enqueue { value, .. } = op.call else { continue };
        let taken = taken.remove(&value);
        if op.outcome == Outcome::Ok || op.outcome == Outcome::Unknown && taken.is_some() {
            passages.push(Passage { value, put: span(op, clock_error), taken });
        }
    }
    wrong.extend(taken.keys().map(|value| format!("{value} was taken, but nobody put it in")));
    wrong.extend(
        passages
            .iter()
            .filter(|p| p.taken.is_some_and(|t| t.end < p.put.begin))
            .map(|p| format!("{} was taken before it was put in", p.value)),
    );
    wrong.extend(overtakers(&mut passages, guesses));
    wrong.extend(never_empty(&passages, &empty, guesses_from));
    wrong.truncate(MAX_TOLD);
    wrong
}

fn span(op: &Operation, clock_error: Micros) -> Span<'_> {
    let end = op.returned.filter(|_| op.outcome == Outcome::Ok);
    Span {
        begin: op.invoke.saturating_sub(clock_error),
        end: end.map_or(Micros::MAX, |at| at + clock_error),
        session: &op.client,
        number: op.number,
    }
}

/// Values that were put in after another one and taken before it, or instead of it.
fn overtakers(passages: &mut [Passage<'_>], guesses: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut skipped = Vec::new();
    passages.sort_by_key(|passage| passage.put.begin);
    let mut by_end: Vec<usize> = (0..passages.len()).collect();
    by_end.sort_by_key(|index| passages[*index].put.end);
    let mut earlier = by_end.into_iter().peekable();
    // Of those that were surely put in before: the one that is surely taken last, and whether one never is.
    let mut last: Option<usize> = None;
    let mut never: Vec<usize> = Vec::new();
    for (index, passage) in passages.iter().enumerate() {
        while let Some(before) = earlier.next_if(|before| passages[*before].put.end < passage.put.begin) {
            match passages[before].taken {
                None => never.push(before),
                Some(span)
                    if last.is_none_or(|last| passages[last].taken.is_none_or(|t| t.begin < span.begin)) =>
                {
                    last = Some(before);
                }
                Some(_) => {}
            }
        }
        let Some(taken) = passage.taken else { continue };
        if let Some(last) = last.filter(|last| passages[*last].taken.is_some_and(|t| taken.end < t.begin)) {
            wrong.push(format!("{} overtook {}", passages[index].value, passages[last].value));
        }
        skipped.append(&mut never);
    }
    if skipped.len() > guesses {
        let values: Vec<u64> = skipped.iter().map(|index| passages[*index].value).collect();
        wrong.push(format!(
            "{} values were never taken, though later ones were ({guesses} calls may have taken one each): {:?}",
            values.len(),
            &values[..values.len().min(MAX_TOLD)]
        ));
    }
    wrong.extend(overtakers_in_sessions(passages));
    wrong
}

/// The same for values that one session put in, or that one session took.
fn overtakers_in_sessions(passages: &[Passage<'_>]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut puts: BTreeMap<&str, Vec<(u64, &Passage<'_>, Span<'_>)>> = BTreeMap::new();
    let mut takes = puts.clone();
    for passage in passages {
        let Some(taken) = passage.taken else { continue };
        puts.entry(passage.put.session).or_default().push((passage.put.number, passage, taken));
        takes.entry(taken.session).or_default().push((taken.number, passage, passage.put));
    }
    for session in puts.values_mut().chain(takes.values_mut()) {
        session.sort_by_key(|(number, ..)| *number);
        let mut latest: Option<(Micros, u64)> = None;
        for (_, passage, other) in session {
            if let Some((_, value)) = latest.filter(|(begin, _)| other.end < *begin) {
                wrong.push(format!(
                    "{} and {value} changed places, though one session put in or took both",
                    passage.value
                ));
            }
            latest = latest.max(Some((other.begin, passage.value)));
        }
    }
    wrong
}

/// Empty answers while at each moment some value was surely in the queue.
fn never_empty(passages: &[Passage<'_>], empty: &[Span<'_>], guesses_from: Micros) -> Vec<String> {
    let inside = |passage: &Passage<'_>| {
        let until = passage.taken.map_or(guesses_from, |taken| taken.begin);
        (passage.put.end < until).then_some((passage.put.end, until))
    };
    let mut sure: Vec<(Micros, Micros)> = passages.iter().filter_map(inside).collect();
    sure.sort_unstable();
    // Spans that touch in one moment may leave the queue empty in it.
    let mut merged: Vec<(Micros, Micros)> = Vec::new();
    for (from, until) in sure {
        match merged.last_mut() {
            Some((_, end)) if from < *end => *end = (*end).max(until),
            _ => merged.push((from, until)),
        }
    }
    let covers = |span: &&Span<'_>| {
        let at = merged.partition_point(|(from, _)| *from < span.begin);
        at > 0 && merged[at - 1].1 > span.end
    };
    let found = empty.iter().filter(covers);
    found
        .map(|span| format!("call {} of {} found it empty, but it was not", span.number, span.session))
        .collect()
}
